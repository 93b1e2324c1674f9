"""A text that a carrier filtered: it alone is stopped, until staff let it go on."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.message import Template, parse
from agent.flows.dispatch import run_lane
from agent.flows.dispatch_begin import begin
from agent.flows.dispatch_record import Sent, record
from agent.flows.inbound import ask_the_silent
from agent.flows.invariants import check
from agent.flows.pause import Scope, Switch, Switched, pause, resume
from agent.flows.receipts import apply_receipts, join_late
from agent.flows.rules import packs
from agent.flows.unclear import Unclear
from agent.store.keyring import Keyring
from agent.store.sql import fetch_value
from channels.base import (
    Accepted,
    Answer,
    Fault,
    InboundList,
    Listing,
    Message,
    Receipt,
    Status,
)
from channels.sms_twilio.codes import refusal
from tests.entry.command import Answer as Answered
from tests.entry.command import duly
from tests.support.twilio_office import twilio_office
from tests.support.twilio_stand_in import ACCOUNT
from tests.support.waiting import until
from tests.support.world import World, ladder_toml, phone, push, sms, stage_toml, utc

DUE, SECOND = date(2026, 3, 5), date(2026, 3, 6)
STAGE = stage_toml("due-today", 0, time(9), message="due-today", not_after_hours=30)
TWO_WAYS = ladder_toml(
    stage_toml(
        "due-today", 0, time(9), message="due-today", channels=["sms", "push"],
        fallback_after_minutes=600,
    )
)  # fmt: skip
BOTH_GO_ON = {"elsewhere": "sms", "spanish": "sms"}


@pytest.fixture
async def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    """One person was texted; the same step of others, in two languages, is due the day after."""
    return await lived_to_the_first(pool, keyring, ladder_toml(STAGE))


async def lived_to_the_first(pool: asyncpg.Pool, keyring: Keyring, schedule: str) -> World:
    town = World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), schedule)
    await town.opens("first", DUE, contacts=[sms(phone(1))])
    await town.opens("same", SECOND, contacts=[sms(phone(2)), push("app-2")])
    await town.opens("spanish", SECOND, contacts=[sms(phone(3))], locale="es-MX")
    await town.opens("elsewhere", SECOND, contacts=[sms("+12125550123")])
    await town.tick()
    town.wait_to(DUE, "09:05")
    await town.tick()
    assert await town.attempts() == [("due-today", "sms", "accepted")]
    return town


async def told(town: World) -> Receipt:
    """What a carrier says of the message that went out on the first day."""
    row = await town.pool.fetchrow("select token, provider_id from attempt order by begun_at")
    assert row is not None
    at, id_ = town.clock.now(), row["provider_id"]
    return Receipt("sms", id_, Status.UNDELIVERED, row["token"], "30007", at, Fault.FILTERED)


async def filtered(town: World) -> str:
    receipt = await told(town)
    await apply_receipts(town.pool, await town.portfolio(), [receipt], town.clock.now())
    return await text_of(town)


async def text_of(town: World) -> str:
    return str(await town.value("select template from attempt order by begun_at limit 1"))


async def next_day(town: World) -> dict[str, str]:
    town.wait_to(SECOND, "08:55")
    await town.tick()
    town.wait_to(SECOND, "09:05")
    await town.tick()
    return await reached(town)


async def reached(town: World) -> dict[str, str]:
    rows = await town.rows(
        "select l.ref, a.channel from attempt a join loan l on l.id = a.loan_id"
        " where l.ref <> 'first' order by 1"
    )
    return dict(rows)


async def decided(town: World) -> list[tuple[str, list[str]]]:
    rows = await town.rows(
        "select d.verdict, d.rules from decision d join loan l on l.id = d.loan_id"
        " where l.ref = 'same' order by d.decided_at, d.id"
    )
    return [(verdict, rules) for verdict, rules in rows]


async def broken(town: World) -> list[tuple[str, tuple[str, ...]]]:
    findings = await check(town.pool, town.keyring, town.clock.now(), packs=packs(("house",)))
    return [(one.id, one.examples) for one in findings if one.violated]


async def let_go(town: World, text: str) -> Switched | Unclear:
    switch, now = Switch(Scope.TEMPLATE, text), town.clock.now()
    return await resume(town.pool, switch, reason="reworded", by="bob", now=now)


async def stops(town: World) -> list[tuple[str, ...]]:
    return await town.rows("select scope, subject, paused_by from pause where resumed_at is null")


async def test_only_that_text_waits_until_staff_let_it_go_on(town: World) -> None:
    text = await filtered(town)
    assert await town.cases() == [("filtered", f"text {text}")]
    assert await stops(town) == [("template", text, "provider")]
    assert await next_day(town) == BOTH_GO_ON
    assert await decided(town) == [("snooze", [f"paused:template:{text}"])]
    assert await broken(town) == []
    done = await let_go(town, text)
    assert isinstance(done, Switched)
    assert (done.changed, done.portfolio, done.woken) == (True, town.name, 1)
    closed = "select closed_by, detail ->> 'reason' from case_item where kind = 'filtered'"
    assert await town.rows(closed) == [("bob", "reworded")]
    assert await town.rows("select resumed_by, resume_reason from pause") == [("bob", "reworded")]
    await town.tick()
    assert await reached(town) == {**BOTH_GO_ON, "same": "sms"}
    # word of what had been begun before is late, and stops nothing again
    await filtered(town)
    assert await stops(town) == []
    assert await town.value("select count(*) from case_item where closed_at is null") == 0
    # of what was begun since it is news
    newest = (
        "select token, provider_id from attempt where template = $1 order by begun_at desc limit 1"
    )
    token, id_ = (await town.rows(newest, text))[0]
    again = (await told(town))._replace(token=token, provider_id=id_)
    await apply_receipts(town.pool, await town.portfolio(), [again], town.clock.now())
    assert await stops(town) == [("template", text, "provider")]
    assert await broken(town) == []


async def test_another_portfolio_goes_on(town: World, pool: asyncpg.Pool, keyring: Keyring) -> None:
    village = World(pool, keyring, town.clock, town.schedule, name="village")
    await village.opens("there", SECOND, contacts=[sms(phone(9))])
    text = await filtered(town)
    town.wait_to(SECOND, "08:55")
    await village.tick()
    town.wait_to(SECOND, "09:05")
    await village.tick()
    assert await town.rows(
        "select a.template from attempt a join loan l on l.id = a.loan_id where l.ref = 'there'"
    ) == [(text,)]


@dataclass
class Filtering:
    """A provider that filters one text at once, and keeps whom it was asked to send to."""

    asked: list[str] = field(default_factory=list)

    async def send(self, message: Message) -> Answer:
        self.asked.append(message.address)
        english = message.address.startswith("+234") and "due" in message.body
        return refusal(30007) if english else Accepted(f"SM{message.token}")

    async def listing(self, _address: str, _since: datetime) -> Listing:
        return Listing(complete=True)


async def test_an_answer_stops_it_and_what_is_under_way_is_recorded(town: World) -> None:
    """Messages that were begun before are refused once each; there is one case for all of them."""
    for number in range(4):
        await town.opens(f"more-{number}", SECOND, contacts=[sms(phone(20 + number))])
    town.wait_to(SECOND, "08:55")
    await town.tick()
    await town.pool.execute(
        "update notice n set next_at = next_at + interval '1 hour' from loan l"
        " where l.id = n.loan_id and l.ref in ('more-3', 'same')"
    )
    town.wait_to(SECOND, "09:05")
    provider = Filtering()
    lane = await town.lane(channels={"sms": provider, "push": provider})
    await run_lane(lane)
    text = await text_of(town)
    refused = await town.rows(
        "select l.ref, n.state from attempt a join loan l on l.id = a.loan_id"
        " join notice n on n.loan_id = l.id where a.state = 'refused' order by 1"
    )
    assert refused == [("more-0", "failed"), ("more-1", "failed"), ("more-2", "failed")]
    assert await town.cases() == [("filtered", f"text {text}")]
    assert await stops(town) == [("template", text, "provider")]
    town.wait_to(SECOND, "10:05")
    await run_lane(lane)
    assert await decided(town) == [("snooze", [f"paused:template:{text}"])]
    assert len(provider.asked) == 3 + len(BOTH_GO_ON)
    assert await broken(town) == []


async def test_two_workers_who_hear_it_at_once_stop_it_once(town: World) -> None:
    for number in range(4):
        await town.opens(f"more-{number}", SECOND, contacts=[sms(phone(20 + number))])
    town.wait_to(SECOND, "08:55")
    await town.tick()
    town.wait_to(SECOND, "09:05")
    lane = await town.lane()
    halves = [(await begin(lane, 2)).sent_off for _ in range(4)]
    said = [[Sent(one, refusal(30007)) for one in half] for half in halves if half]
    await asyncio.gather(*(record(lane, half) for half in said))
    texts = await town.rows("select distinct template from attempt where state = 'refused'")
    assert sorted(subject for _, subject, _ in await stops(town)) == sorted(t for (t,) in texts)
    assert len(await town.cases()) == len(texts)


async def test_a_begin_under_way_ends_first_and_the_next_one_knows(town: World) -> None:
    town.wait_to(SECOND, "08:55")
    await town.tick()
    town.wait_to(SECOND, "09:05")
    portfolio = (await town.portfolio()).id
    async with town.pool.acquire() as conn, conn.transaction():
        assert await fetch_value(conn, "portfolio_shared", portfolio=portfolio) == 0
        stopping = asyncio.create_task(filtered(town))
        await until(lambda: waits(town.pool), 10, "the stop waits for the begin")
        assert await stops(town) == []
    await stopping
    await town.dispatch()
    assert await reached(town) == BOTH_GO_ON
    assert await broken(town) == []


async def waits(pool: asyncpg.Pool) -> bool:
    return bool(
        await pool.fetchval(
            "select exists (select 1 from pg_stat_activity where datname = current_database()"
            " and wait_event_type = 'Lock')"
        )
    )


async def test_another_channel_is_taken_meanwhile(pool: asyncpg.Pool, keyring: Keyring) -> None:
    town = await lived_to_the_first(pool, keyring, TWO_WAYS)
    await filtered(town)
    assert (await next_day(town))["same"] == "push"


async def test_a_new_version_of_the_text_goes_out(town: World) -> None:
    """Also to those who were held for the old one: nothing wakes them, they are looked at each hour."""
    text = await filtered(town)
    assert await next_day(town) == BOTH_GO_ON
    town.wait_to(SECOND, "10:05")
    lane = await town.lane()
    reworded = parse("Please pay {amount} for {loan} by today.")
    assert isinstance(reworded, Template)
    locale, message = text.partition("@")[0].split("/")
    texts = replace(lane.texts, sms={**lane.texts.sms, (locale, message): reworded})
    await run_lane(replace(lane, texts=texts))
    assert (await reached(town))["same"] == "sms"
    assert await stops(town) == [("template", text, "provider")]
    assert await broken(town) == []


@pytest.mark.parametrize(
    ("at", "verdict"), [("20:30", ("snooze", "WINDOW")), ("15:30", ("cancel", "not-after"))]
)
async def test_what_was_held_goes_out_only_if_it_still_may(
    town: World, at: str, verdict: tuple[str, str]
) -> None:
    """Resumed in the evening of its day, and after it was of any use."""
    text = await filtered(town)
    await next_day(town)
    town.wait_to(SECOND if at > "20" else SECOND + timedelta(days=1), at)
    await let_go(town, text)
    await town.tick()
    last, rules = (await decided(town))[-1]
    assert (last, verdict[1] in rules[0]) == (verdict[0], True), rules
    assert await reached(town) == BOTH_GO_ON
    assert await broken(town) == []


async def test_a_message_under_a_stop_is_a_violation(town: World) -> None:
    await next_day(town)
    text = await text_of(town)
    await town.pool.execute(
        "insert into pause (portfolio_id, scope, subject, reason, paused_by, paused_at, paused_rev)"
        " select id, 'template', $1, 'x', 'x', $2, 0 from portfolio where name = $3",
        text, utc("2026-03-01T08:00"), town.name,
    )  # fmt: skip
    assert "4-pause" in {name for name, _ in await broken(town)}


async def test_a_callback_stops_it(town: World, pool: asyncpg.Pool, keyring: Keyring) -> None:
    portfolio, one = await town.portfolio(), await told(town)
    form = {
        "MessageSid": one.provider_id, "MessageStatus": "undelivered", "AccountSid": ACCOUNT,
        "To": phone(1), "From": "+15005550006", "ErrorCode": "30007",
    }  # fmt: skip
    assert one.token is not None
    async with twilio_office(pool, keyring, town.clock, lambda: portfolio) as office:
        for _ in range(2):
            await office.post(office.status_url(portfolio.id, one.token), form)
    assert await town.rows("select subject from pause") == [(await text_of(town),)]
    assert "same" not in await next_day(town)


class Asked:
    """A provider that answers with 30007 when it is asked what became of a message."""

    sender = "+15005550006"

    def __init__(self, receipt: Receipt) -> None:
        self._receipt = receipt

    async def inbound(self, since: datetime, until: datetime | None = None) -> InboundList:
        return InboundList(complete=until is None or until > since)

    async def told(self, token: str, provider_id: str, now: object) -> Receipt | None:
        assert (token, provider_id, now) != ("", "", None)
        return self._receipt


async def test_an_answer_to_our_question_stops_it(town: World) -> None:
    later, way = town.clock.now() + timedelta(hours=2), Asked(await told(town))
    assert await ask_the_silent(town.pool, await town.portfolio(), "sms", way, later) == 1
    assert await town.rows("select subject from pause") == [(await text_of(town),)]
    assert "same" not in await next_day(town)


async def test_word_that_came_before_the_record_stops_it(town: World) -> None:
    portfolio, early = await town.portfolio(), (await told(town))._replace(token=None)
    known = await town.rows("update attempt set provider_id = null returning token")
    await apply_receipts(town.pool, portfolio, [early], town.clock.now())
    assert await stops(town) == []
    await town.pool.execute(
        "update attempt set provider_id = $1 where token = $2", early.provider_id, known[0][0]
    )
    assert await join_late(town.pool, portfolio, town.clock.now()) == 1
    assert await stops(town) == [("template", await text_of(town), "provider")]
    assert await town.attempts() == [("due-today", "sms", "undelivered")]


async def test_the_commands_and_the_trail(town: World, database_url: str) -> None:
    text = await filtered(town)
    await next_day(town)

    def run(*args: str) -> Answered:
        return duly(*args, DULY_DATABASE_URL=database_url)

    why = await asyncio.to_thread(run, "why", "same")
    assert "This text was stopped until staff let it go on" in why.out
    assert f"template {text}: a carrier filtered it (30007) (by provider)" in why.out
    spanish = await asyncio.to_thread(run, "why", "spanish")
    assert text not in spanish.out
    senders = await asyncio.to_thread(run, "senders")
    assert (senders.code, f"text {text} in town: stopped" in senders.out) == (1, True)
    assert "Waiting for a text: 1;" in senders.out
    doctor = await asyncio.to_thread(run, "doctor")
    assert f"duly resume template {text} --portfolio town --reason" in doctor.out
    other = text.partition("@")[0] + "@00000000"
    unused = await asyncio.to_thread(run, "pause", "template", other, "--reason", "x")
    assert (unused.code, text in unused.err) == (2, True)
    assert await stops(town) == [("template", text, "provider")]
    wrong = await asyncio.to_thread(run, "resume", "template", "due-today", "--reason", "x")
    assert (wrong.code, "locale/message@version" in wrong.err) == (2, True)
    args = ("resume", "template", text, "--reason", "reworded", "--by", "bob")
    done = await asyncio.to_thread(run, *args)
    assert (done.code, f"template {text} in town resumed" in done.out) == (0, True)
    ended = await town.rows("select resumed_by, resume_reason from pause")
    assert ended == [("bob", "reworded")]
    why = await asyncio.to_thread(run, "why", "same")
    assert f"template {text} ends: reworded (by bob)" in why.out


async def test_which_of_two_portfolios_is_asked(
    town: World, pool: asyncpg.Pool, keyring: Keyring
) -> None:
    village = World(pool, keyring, town.clock, town.schedule, name="village")
    await village.opens("there", SECOND, contacts=[sms(phone(9))])
    text = await filtered(town)
    switch, now = Switch(Scope.TEMPLATE, text, "village"), town.clock.now()
    await pause(pool, switch, reason="the same words", by="ann", now=now)
    unclear = await let_go(town, text)
    assert isinstance(unclear, Unclear)
    assert (unclear.why, len(await stops(town))) == ("it is stopped in town, village", 2)
    ended = await resume(pool, switch, reason="x", by="bob", now=now)
    assert isinstance(ended, Switched)
    assert await stops(town) == [("template", text, "provider")]
