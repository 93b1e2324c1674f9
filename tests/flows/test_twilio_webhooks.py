"""Twilio's webhooks: only signed ones, stored before the answer, harmless to repeat."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.inbound import ask_the_silent, catch_up, take_inbound
from agent.flows.invariant_rows import INVARIANTS
from agent.store.invariants import violations
from agent.store.keyring import Keyring, inbound_place
from channels.base import Inbound, InboundList, Receipt, Status
from tests.support.twilio_office import OLD_TOKEN, Office, reply, twilio_office
from tests.support.twilio_stand_in import ACCOUNT, AUTH_TOKEN
from tests.support.world import World, ladder_toml, phone, sms, stage_toml

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SENDER = phone(1)
TOKEN = "0" * 31 + "1"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


@pytest.fixture
def world(pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock) -> World:
    schedule = ladder_toml(stage_toml("due-today", 0, time(9), message="due-today"))
    return World(pool, keyring, clock, schedule=schedule)


async def inbound_rows(pool: asyncpg.Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch("select provider_id, reading, found_by from inbound order by 1")
    return [tuple(row) for row in rows]


async def test_a_reply_is_stored_encrypted_before_its_empty_answer(
    pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    async with twilio_office(pool, keyring, clock) as office:
        status, body = await office.post(office.inbound_url, reply("SM1", "I paid ✓ 欠款", SENDER))
    assert (status, body) == (200, b'<?xml version="1.0" encoding="UTF-8"?><Response />')
    row = await pool.fetchrow("select * from inbound")
    assert (row["portfolio_id"], row["channel"], row["provider_id"]) == (0, "sms", "SM1")
    assert bytes(row["sender_key"]) == keyring.blind("sms", SENDER)
    opened = keyring.open_loose(bytes(row["body"]), inbound_place("body", "sms", "SM1"))
    assert opened.decode() == "I paid ✓ 欠款"
    assert SENDER.encode() not in bytes(row["sender"])
    assert await pool.fetch("select portfolio_id, kind, subject from case_item") == [
        (0, "reply", "message SM1")
    ]


async def test_a_stop_binds_the_number_in_every_portfolio_with_the_message(
    world: World, pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    await world.opens("loan-1", date(2026, 3, 5), contacts=[sms(SENDER)])
    rev = await pool.fetchval("select rev from number")
    async with twilio_office(pool, keyring, clock) as office:
        said = reply("SM1", "Stop please", SENDER)
        for _ in range(3):
            assert (await office.post(office.inbound_url, said))[0] == 200
    assert await inbound_rows(pool) == [("SM1", "opt_out", "webhook")]
    rows = await pool.fetch("select reason, stored_at, number_rev from suppression")
    assert [tuple(row) for row in rows] == [("opt-out", NOW, rev + 1)]
    assert await pool.fetchval("select count(*) from case_item") == 0


async def test_a_reply_is_a_case_of_whoever_has_the_number_if_that_is_one(
    world: World, pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    for number, address in [(1, SENDER), (2, SENDER), (3, phone(3))]:
        await world.opens(f"loan-{number}", date(2026, 3, 5), contacts=[sms(address)])
    known = {row[0]: row[1] for row in await pool.fetch("select id, ref from borrower")}
    async with twilio_office(pool, keyring, clock) as office:
        for number, address in enumerate([SENDER, phone(3), phone(4)]):
            said = reply(f"SM{number}", "when?\x1f\0", address, OptOutType="\x1f")
            for _ in range(2):
                assert (await office.post(office.inbound_url, said))[0] == 200
    cases = await pool.fetch(
        "select subject, portfolio_id > 0, borrower_id from case_item order by subject"
    )
    assert [(row[0], row[1], known.get(row[2])) for row in cases] == [
        ("message SM0", True, None),  # two people have it
        ("message SM1", True, "owner-of-loan-3"),
        ("message SM2", False, None),
    ]


async def test_the_providers_flag_counts_whatever_the_words(
    world: World, pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    await world.opens("loan-1", date(2026, 3, 5))
    stranger = phone(99)
    async with twilio_office(pool, keyring, clock) as office:
        await office.post(office.inbound_url, reply("SM1", "arrêt", stranger, OptOutType="STOP"))
        await office.post(office.inbound_url, reply("SM2", "STOP", phone(98), OptOutType="HELP"))
    keys = {bytes(row["address_key"]) for row in await pool.fetch("select * from suppression")}
    assert keys == {keyring.blind("sms", stranger), keyring.blind("sms", phone(98))}


async def test_what_is_not_signed_leaves_nothing(
    pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    async with twilio_office(pool, keyring, clock) as office:
        url, said = office.inbound_url, reply("SM1", "STOP", SENDER)
        tampered = "MessageSid=SM1&From=%2B1&Body=yes"
        doubled = "&".join(f"{k}={quote(v, safe='')}" for k, v in said.items()) + "&Body=STOP"
        forged = [
            await office.post(url, said, secret="not ours"),
            await office.post(url, said, signed_url=f"{office.public}/webhooks/twilio/other"),
            await office.post(url, said, signed_url=url.replace("http://", "https://")),
            await office.post(f"{url}?a=1", said, signed_url=url),
            await office.post(url, said, body=tampered.encode()),
            await office.post(url, said, body=doubled.encode()),
            await office.post(url, said, headers={"X-Twilio-Signature": ""}),
            await office.post(url, said, headers={"Content-Type": "application/json"}),
            await office.post(url, said, body=b"\xff\xfe=1"),
            await office.post(url, said, body=b""),
            await office.post(office.status_url(1, TOKEN), said, body=b""),
            await office.post(url, said, headers={"X-Twilio-Signature": "é"}),
            await office.post(url, said | {"AccountSid": "AC" + "f" * 32}),
            await office.post(
                url, said, secret="k",
                headers={"X-Twilio-Webhooks-Signature-Settings": "key=k,algorithm=HMAC_SHA256"},
            ),
        ]  # fmt: skip
        assert [status for status, _ in forged] == [403] * len(forged)
        async with office.http.post(url, data=said) as unsigned:
            assert unsigned.status == 403
        large = reply("SM1", "x" * 70_000, SENDER)
        assert (await office.post(url, large))[0] == 413
    assert await inbound_rows(pool) == []


async def test_a_body_that_comes_in_parts_is_limited_too(
    pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b"Body=" + b"x" * 4_000

    async with twilio_office(pool, keyring, clock) as office:
        headers = {"X-Twilio-Signature": "x", "Content-Type": "application/x-www-form-urlencoded"}
        async with office.http.post(office.inbound_url, data=endless(), headers=headers) as answer:
            assert answer.status == 413


async def test_both_secrets_count_during_a_rotation_and_the_port_may_be_dropped(
    pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    async with twilio_office(pool, keyring, clock) as office:
        url = office.inbound_url
        bare = url.replace(f":{url.split(':')[2].split('/')[0]}", "")
        for number, (secret, signed) in enumerate([(OLD_TOKEN, url), (AUTH_TOKEN, bare)]):
            said = reply(f"SM{number}", "hello", SENDER)
            assert (await office.post(url, said, secret=secret, signed_url=signed))[0] == 200
    assert len(await inbound_rows(pool)) == 2


async def test_when_the_database_is_away_twilio_hears_so_and_may_come_again(
    pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    async with twilio_office(pool, keyring, clock) as office:
        said = reply("SM1", "STOP", SENDER)
        await pool.execute("alter table inbound rename to elsewhere")
        assert (await office.post(office.inbound_url, said))[0] == 503
        await pool.execute("alter table elsewhere rename to inbound")
        assert (await office.post(office.inbound_url, said))[0] == 200
    assert await inbound_rows(pool) == [("SM1", "opt_out", "webhook")]


NASTY = ["", "\0", "\ud800", "\u202e" * 500, "e" + "\u0301" * 5000, "😀" * 2000, "x" * 60_000]


async def test_whatever_people_send_is_stored(
    pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    messages = [
        Inbound("sms", f"SM{number}", SENDER, "+1", text, None, 0, NOW)
        for number, text in enumerate(NASTY)
    ]
    heard = await take_inbound(pool, keyring, messages, NOW)
    assert heard.stored == len(NASTY)
    async with twilio_office(pool, keyring, clock) as office:
        status, _ = await office.post(office.inbound_url, reply("SMx", "a\0b\r\n\t欠", SENDER))
        assert status == 200


class Way:
    """A provider whose list a test writes."""

    sender = "+15005550006"

    def __init__(self, *messages: Inbound, complete: bool = True) -> None:
        self.messages, self.complete = messages, complete
        self.asked: list[tuple[datetime, datetime | None]] = []

    async def inbound(self, since: datetime, until: datetime | None = None) -> InboundList:
        self.asked.append((since, until))
        return InboundList(self.complete, self.messages)

    async def told(self, token: str, provider_id: str, now: datetime) -> Receipt | None:
        return Receipt("sms", provider_id, Status.DELIVERED, token, None, now)


async def test_what_the_webhook_missed_is_filled_in_from_the_list(
    world: World, pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    await world.opens("loan-1", date(2026, 3, 5), contacts=[sms(SENDER)])
    missed = Inbound("sms", "SM2", SENDER, "+1", "STOP", None, 0, NOW)
    way = Way(Inbound("sms", "SM1", SENDER, "+1", "hi", None, 0, NOW), missed, complete=False)
    async with twilio_office(pool, keyring, clock) as office:
        await office.post(office.inbound_url, reply("SM1", "hi", SENDER))
        assert await catch_up(pool, keyring, "sms", way, NOW) == {"missed": 1, "incomplete": 1}
        way.complete = True
        assert await catch_up(pool, keyring, "sms", way, NOW) == {"missed": 0, "incomplete": 0}
        later = NOW + timedelta(minutes=1)
        await catch_up(pool, keyring, "sms", way, later)
    assert await inbound_rows(pool) == [("SM1", "case", "webhook"), ("SM2", "opt_out", "list")]
    assert await pool.fetchval("select count(*) from suppression") == 1
    # a day is read hour by hour; an incomplete list moves no mark, and only the newest hours are read
    # besides; a complete one is read again from ten minutes before
    hour, ten = timedelta(hours=1), timedelta(minutes=10)
    whole = [(NOW - n * hour, NOW - (n - 1) * hour) for n in range(24, 2, -1)]
    newest = (NOW - 2 * hour, None)
    assert way.asked == [whole[0], newest, *whole, newest, (NOW - ten, None)]


async def test_what_piled_up_is_read_from_where_the_list_broke(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    hour = timedelta(hours=1)

    class Breaking(Way):
        """Its list of the third hour does not answer."""

        async def inbound(self, since: datetime, until: datetime | None = None) -> InboundList:
            heard = await super().inbound(since, until)
            return heard if since != NOW - 22 * hour else InboundList(complete=False)

    breaking, way = Breaking(), Way()
    assert (await catch_up(pool, keyring, "sms", breaking, NOW))["incomplete"] == 1
    assert len(breaking.asked) == 4
    assert (await catch_up(pool, keyring, "sms", way, NOW))["incomplete"] == 0
    assert way.asked[0][0] == NOW - 22 * hour - timedelta(minutes=10)


async def test_the_invariant_sees_a_message_that_led_to_nothing(
    world: World, pool: asyncpg.Pool, keyring: Keyring
) -> None:
    await world.opens("loan-1", date(2026, 3, 5), contacts=[sms(SENDER)])
    messages = [
        Inbound("sms", f"SM{number}", phone(number), "+1", text, None, 0, NOW)
        for number, text in enumerate(["STOP", "hello"])
    ]
    await take_inbound(pool, keyring, messages, NOW)
    [rule] = [one for one in INVARIANTS if one.id == "8"]
    assert rule.statement is not None

    async def broken() -> int:
        async with pool.acquire() as conn:
            return (await violations(conn, str(rule.statement), {"examples": 5})).total

    assert await broken() == 0
    await pool.execute("delete from suppression")
    assert await broken() == 1
    await pool.execute("delete from case_item")
    assert await broken() == 2


# ---- receipts


async def sent_notice(world: World, number: int = 1) -> tuple[str, str]:
    """One message that the sandbox accepted: its token and the provider's id; no receipt came yet."""
    await world.opens(f"loan-{number}", date(2026, 3, 3), contacts=[sms(SENDER)])
    await world.plan()
    world.wait_to(date(2026, 3, 3), "09:05")
    await world.dispatch()
    row = await world.pool.fetchrow("select token, provider_id from attempt order by begun_at desc")
    assert row is not None
    return row["token"], row["provider_id"]


def told(sid: str, status: str, **also: str) -> dict[str, str]:
    return {
        "MessageSid": sid, "MessageStatus": status, "SmsStatus": status, "AccountSid": ACCOUNT,
        "To": SENDER, "From": "+15005550006", "ApiVersion": "2010-04-01", **also,
    }  # fmt: skip


@asynccontextmanager
async def office_of(world: World) -> AsyncIterator[tuple[Office, int]]:
    portfolio = await world.portfolio()
    async with twilio_office(world.pool, world.keyring, world.clock, lambda: portfolio) as office:
        yield office, portfolio.id


async def test_receipts_raise_the_attempt_whatever_their_order(world: World) -> None:
    token, sid = await sent_notice(world)
    async with office_of(world) as (office, lane):
        url = office.status_url(lane, token)
        for status in ("delivered", "sent", "queued", "delivered", "read", "sending"):
            assert (await office.post(url, told(sid, status))) == (204, b"")
    assert await world.value("select state from attempt") == "delivered"
    rows = await world.rows("select status, effect from receipt order by 1")
    assert rows == [("delivered", "moved"), ("queued", "behind"), ("sent", "behind")]
    assert await world.notices() == {"due-today": "sent"}


async def test_a_receipt_can_come_before_our_own_record_and_brings_the_id(world: World) -> None:
    token, _ = await sent_notice(world)
    await world.pool.execute(
        "update attempt set state = 'unknown', provider_id = null, settled_at = null"
    )
    await world.pool.execute("update notice set state = 'sending', closed_at = null")
    async with office_of(world) as (office, lane):
        assert (await office.post(office.status_url(lane, token), told("SM9", "sent")))[0] == 204
    assert await world.rows("select state, provider_id from attempt") == [("sent", "SM9")]
    assert await world.notices() == {"due-today": "sent"}


async def test_an_address_that_we_did_not_make_is_refused_even_when_signed(world: World) -> None:
    token, sid = await sent_notice(world)
    async with office_of(world) as (office, lane):
        good = office.status_url(lane, token)
        last = "0" if good[-1] != "0" else "1"
        other = office.status_url(lane, TOKEN).replace(TOKEN, token)
        for url in (good[:-1] + last, other, good.replace(f"/{lane}/", f"/{lane + 1}/")):
            assert (await office.post(url, told(sid, "delivered")))[0] == 403
        assert (await office.post(good, told(sid, "something-new")))[0] == 204
    assert await world.value("select count(*) from receipt") == 0


async def test_contradicting_ends_are_kept_and_change_nothing(world: World) -> None:
    token, sid = await sent_notice(world)
    async with office_of(world) as (office, lane):
        url = office.status_url(lane, token)
        await office.post(url, told(sid, "delivered"))
        await office.post(url, told(sid, "undelivered", ErrorCode="30003"))
    assert await world.value("select state from attempt") == "delivered"
    assert ("undelivered", "contradiction") in await world.rows(
        "select status, effect from receipt"
    )


@pytest.mark.parametrize(
    ("code", "cases", "suppressed"),
    [
        ("30004", [("blocked", "borrower-id 1")], 1),
        ("30007", [("filtered", "text en/due-today")], 0),
        ("30034", [("sender-halted", "sms +15005550006 NG")], 0),
        ("30033", [("sender-halted", "sms +15005550006 everywhere")], 0),
        ("30610", [("configuration", "sms 30610")], 0),
        ("30003", [], 0),
        ("30036", [], 0),
        ("30005", [], 0),
        ("39999", [("provider-code", "sms 39999")], 0),
        ("30410", [("provider-code", "sms 30410")], 0),
    ],
)
async def test_what_follows_from_an_error_code(
    world: World, code: str, cases: list[tuple[str, str]], suppressed: int
) -> None:
    token, sid = await sent_notice(world)
    async with office_of(world) as (office, lane):
        for _ in range(2):
            await office.post(
                office.status_url(lane, token), told(sid, "undelivered", ErrorCode=code)
            )
    # a filtered text is named with its version, which follows from its words
    told_of = [
        (kind, re.sub("@[0-9a-f]{8}$", "", subject)) for kind, subject in await world.cases()
    ]
    assert told_of == cases
    assert await world.value("select count(*) from suppression") == suppressed
    assert await world.value("select status from contact_point") == "active"
    assert await world.rows("select state, code from attempt") == [("undelivered", code)]


async def test_a_number_is_given_up_when_a_second_message_says_so(world: World) -> None:
    async with AsyncExitStack() as stack:
        token, sid = await sent_notice(world)
        office, lane = await stack.enter_async_context(office_of(world))
        said = told(sid, "undelivered", ErrorCode="30005")
        for _ in range(2):
            await office.post(office.status_url(lane, token), said)
        assert await world.value("select status from contact_point") == "active"
        # a second message of the same person, some days later
        await world.pool.execute(
            "insert into attempt select (jsonb_populate_record(a, jsonb_build_object('token',"
            " $1::text, 'stage', 'other', 'provider_id', 'SM77', 'state', 'accepted'))).*"
            " from attempt a", TOKEN,
        )  # fmt: skip
        again = told("SM77", "undelivered", ErrorCode="30006")
        await office.post(office.status_url(lane, TOKEN), again)
    assert await world.value("select status from contact_point") == "disconnected"


async def test_the_silent_are_asked_after_an_hour(world: World, clock: VirtualClock) -> None:
    await sent_notice(world)
    portfolio, way = await world.portfolio(), Way()
    now = clock.now()
    assert await ask_the_silent(world.pool, portfolio, "sms", way, now) == 0
    later = now + timedelta(hours=2)
    assert await ask_the_silent(world.pool, portfolio, "sms", way, later) == 1
    assert await world.value("select state from attempt") == "delivered"
    assert await ask_the_silent(world.pool, portfolio, "sms", way, later) == 0


async def test_a_storm_of_callbacks_is_stored_in_few_commits(
    pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock
) -> None:
    async with twilio_office(pool, keyring, clock) as office:
        posts = [
            office.post(office.inbound_url, reply(f"SM{n % 100}", "hi", phone(n % 100)))
            for n in range(300)
        ]
        answers = await asyncio.gather(*posts)
    assert {status for status, _ in answers} == {200}
    assert len(await inbound_rows(pool)) == 100
