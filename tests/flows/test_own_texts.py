"""A lender's own texts: checked whole, signed by two, said by the next batch, and kept version by version."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, time
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.text_change import Signed
from agent.domain.text_files import TextFile
from agent.flows.dispatch import run_lane
from agent.flows.dispatch_begin import begin
from agent.flows.pause import Scope, Switch, pause
from agent.flows.portfolios import load_portfolios
from agent.flows.registered_texts import Registered, missing, register
from agent.flows.rules import BadRules
from agent.flows.text_listing import ListedText, history, listed
from agent.flows.text_saving import Changed, Terms, examine, save, withdraw
from agent.flows.trail import Question, Trail, trail
from agent.flows.unclear import Unclear
from agent.store.keyring import Keyring
from agent.store.registered import TextKey
from agent.store.sql import fetch_value
from templates import text
from tests.support.conduct import decided, lane_under
from tests.support.waiting import until
from tests.support.world import World, ladder_toml, phone, push, sms, stage_toml, utc

DUE = date(2026, 3, 5)
SIGNED = Signed("ana", "ben", "clearer words")
OWN = "Your instalment of {amount} was due on {due_date}. Reply here if you need more time."


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    ladder = ladder_toml(
        stage_toml("day-1", 1, time(10), not_after_hours=47, channels=["sms", "push"],
                   fallback_after_minutes=60),
        stage_toml("day-3", 3, time(10), message="overdue-3"),
    )  # fmt: skip
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ladder)


async def saved(
    town: World, texts: Mapping[str, str | bytes], signed: Signed = SIGNED, **how: Any
) -> Changed | Unclear:
    files = [
        TextFile(f"{name}.txt", text if isinstance(text, bytes) else text.encode())
        for name, text in texts.items()
    ]
    return await save(town.pool, town.name, files, signed, now=town.clock.now(), **how)


async def done(town: World, texts: Mapping[str, str | bytes], **how: Any) -> Changed:
    found = await saved(town, texts, **how)
    assert isinstance(found, Changed)
    assert not found.refused, found.told
    return found


async def rows(town: World) -> list[tuple[Any, ...]]:
    found = await town.pool.fetch(
        "select locale, message, version, source, author, approved_by, reason, active_from"
        " from text_version order by locale, message, version"
    )
    return [tuple(row) for row in found]


async def bodies(town: World) -> list[str]:
    return [heard.body for heard in town.heard]


async def owing(town: World, *loans: str) -> None:
    for loan in loans or ("L1",):
        await town.opens(loan, DUE)
    town.wait_to(date(2026, 3, 6), "10:00")
    await town.plan()


# ---- saving


async def test_what_is_saved_is_stored_with_its_signatures_and_said(town: World) -> None:
    await owing(town)
    found = await done(town, {"en/overdue-1": OWN})
    assert [(one.locale, one.message, one.version) for one in found.written] == [
        ("en", "overdue-1", 1)
    ]
    now = town.clock.now()
    assert await rows(town) == [
        ("en", "overdue-1", 1, OWN, "ana", "ben", "clearer words", now)
    ]  # fmt: skip
    await town.dispatch()
    assert await bodies(town) == [
        f"Sunrise: {OWN.format(amount='NGN 100.00', due_date='5 Mar 2026')} Reply STOP to opt out."
    ]
    template = await town.value("select template from attempt")
    assert template.startswith("en/overdue-1@")
    async with town.pool.acquire() as conn:
        (mine,) = [one for one in await all_listed(conn, town) if one.own]
    assert template == mine.words["NG"]


async def all_listed(conn: Any, town: World) -> list[ListedText]:
    found = await listed(conn, town.clock.now(), town.name)
    assert isinstance(found, list)
    return found


async def test_a_lane_that_was_opened_before_says_the_new_words(town: World) -> None:
    """A run may last for hours: each of its batches has the texts that are in force then."""
    await owing(town, "L1", "L2", "L3")
    lane = replace(await town.lane(), limits=replace((await town.lane()).limits, batch=1))
    await done(town, {"en/overdue-1": OWN})
    await run_lane(lane)
    assert all("more time" in body for body in await bodies(town))
    await done(town, {"en/overdue-3": "We still miss {amount}."})
    town.wait_to(date(2026, 3, 8), "10:00")
    await town.plan()
    await run_lane(lane)
    assert "We still miss NGN 100.00." in (await bodies(town))[-1]


async def test_other_portfolios_keep_the_shipped_texts(town: World) -> None:
    other = World(town.pool, town.keyring, town.clock, town.schedule, name="village")
    await town.opens("L1", DUE)
    await other.opens("L1", DUE, person="ann", contacts=[sms(phone(900))])
    await done(town, {"en/overdue-1": OWN})
    town.wait_to(date(2026, 3, 6), "10:00")
    for one in (town, other):
        await one.plan()
        await one.dispatch()
    assert "more time" in town.heard[-1].body
    assert "more time" not in other.heard[-1].body


async def test_a_text_that_says_what_it_said_is_no_new_version(town: World) -> None:
    await town.opens("L1", DUE)
    shipped = text("en", "overdue-1")
    assert shipped is not None
    found = await done(town, {"en/overdue-1": shipped.strip(), "en/overdue-3": OWN})
    assert found.unchanged == (("en", "overdue-1"),)
    again = await done(town, {"en/overdue-3": OWN + "\n"})
    assert (again.written, again.unchanged) == ((), (("en", "overdue-3"),))
    assert len(await rows(town)) == 1


async def test_each_change_is_a_version_and_none_is_lost(town: World) -> None:
    await town.opens("L1", DUE)
    await done(town, {"en/overdue-1": OWN})
    await done(town, {"en/overdue-1": OWN.replace("instalment", "payment")})
    await done(town, {"en/overdue-1": OWN})
    async with town.pool.acquire() as conn:
        found = await history(conn, town.clock.now(), town.name)
    assert not isinstance(found, Unclear)
    assert [(one.version, one.source == OWN) for one in found] == [(3, True), (2, False), (1, True)]


async def test_a_push_of_one_s_own_shows_on_the_phone(town: World) -> None:
    await town.opens("L1", DUE, contacts=[push("app")])
    await done(town, {"en/overdue-1.push": "{lender}\nPlease look into the app."})
    town.wait_to(date(2026, 3, 6), "10:00")
    await town.plan()
    await town.dispatch()
    assert [heard.body for heard in town.heard] == ["Please look into the app."]


async def test_a_regional_text_is_for_its_readers_only(town: World) -> None:
    await town.opens("L1", DUE)
    await town.opens("L2", DUE, locale="en-GB")
    await done(town, {"en-NG/overdue-1": "Abeg, {amount} was due."})
    town.wait_to(date(2026, 3, 6), "10:00")
    await town.plan()
    await town.dispatch()
    assert sorted("Abeg" in body for body in await bodies(town)) == [False, True]


async def test_a_dry_run_tells_and_stores_nothing(town: World) -> None:
    await town.opens("L1", DUE)
    found = await done(town, {"en/overdue-1": OWN}, dry_run=True)
    assert [(one.message, one.version) for one in found.written] == [("overdue-1", 1)]
    assert await rows(town) == []
    assert await town.value("select texts from portfolio where name = 'town'") == ""


# ---- refusing


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("en/overdue-1", "Pay {amount} or we sue", ("en/overdue-1.txt", 1, "threat")),
        ("en/overdue-1", "Dear reader,\n{amount} is due.\nSee bit.ly/x",
         ("en/overdue-1.txt", 3, "shortener")),
        ("en/overdue-1", "Please\npay {amount.value}", ("en/overdue-1.txt", 2, "placeholder")),
        ("en/overdue-1", "Please pay", ("en/overdue-1.txt", None, "placeholder")),
        ("en/overdue-99", OWN, ("en/overdue-99.txt", None, "file")),
        ("sw/overdue-1", "Lipa {amount}", ("sw/overdue-1.txt", None, "file")),
        ("en/overdue-1", b"caf\xe9 {amount}", ("en/overdue-1.txt", 1, "file")),
    ],
)  # fmt: skip
async def test_one_bad_text_refuses_all(
    town: World, name: str, words: str | bytes, told: tuple[str, int | None, str]
) -> None:
    await town.opens("L1", DUE)
    found = await saved(town, {"en/overdue-3": OWN, name: words})
    assert isinstance(found, Changed)
    assert found.refused
    assert told in [(one.file, one.line, one.rule) for one in found.told]
    assert all(one.fix for one in found.told)
    # what is there and cannot be read is not called missing besides
    assert not {"missing", "fit"} & {one.rule for one in found.told if one.file == told[0]}
    assert await rows(town) == []


@pytest.mark.parametrize("approver", ["ana", " Ana ", "ANA", "", "ａｎａ"])
async def test_nobody_approves_what_they_wrote(town: World, approver: str) -> None:
    await town.opens("L1", DUE)
    found = await saved(town, {"en/overdue-1": OWN}, Signed("ana", approver, "because"))
    assert isinstance(found, Unclear)
    assert "--approved-by" in found.fix
    assert await rows(town) == []


@pytest.mark.parametrize("approver", ["ana", " ANA", ""])
async def test_the_table_takes_no_text_that_its_author_approved(town: World, approver: str) -> None:
    await town.opens("L1", DUE)
    with pytest.raises(asyncpg.CheckViolationError):
        await town.pool.execute(
            "insert into text_version select id, 'en', 'overdue-1', 1, 'x', '{}', 'ana', $1, 'why',"
            " $2, rev from portfolio where name = 'town'",
            approver, town.clock.now(),
        )  # fmt: skip


async def test_an_unknown_portfolio_and_a_missing_reason_are_named(town: World) -> None:
    assert isinstance(await saved(town, {"en/overdue-1": OWN}), Unclear)
    await town.opens("L1", DUE)
    found = await saved(town, {"en/overdue-1": OWN}, Signed("ana", "ben", " "))
    assert isinstance(found, Unclear)


async def test_one_regional_text_may_stand_alone(town: World) -> None:
    """What is missing is judged over all texts, the shipped ones included."""
    await town.opens("L1", DUE)
    found = await done(town, {"es-MX/overdue-1": "Su pago de {amount} sigue pendiente."})
    assert found.told == ()


async def test_a_message_of_the_ladder_is_not_withdrawn_and_not_left_without_the_lender_s_language(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """No text of it is shipped, so without the lender's own its notices could not leave."""
    ladder = ladder_toml(stage_toml("day-1", 1, time(10), message="our-word"))
    town = World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ladder)
    await town.opens("L1", DUE)
    await pool.execute("update portfolio set locale = 'zh-CN'")
    found = await saved(town, {"en/our-word": OWN})
    assert isinstance(found, Changed)
    assert found.refused
    assert {(one.file, one.severity) for one in found.told} == {
        ("zh-CN/our-word", "problem"), ("zh-TW/our-word", "warning"),
        ("es/our-word", "warning"), ("id/our-word", "warning"),
    }  # fmt: skip
    await done(town, {"en/our-word": OWN, "zh-CN/our-word": "您有一笔{amount}的还款已到期。"})
    found = await withdraw(pool, town.name, "our-word", (), SIGNED, now=town.clock.now())
    assert isinstance(found, Changed)
    assert found.refused
    assert {one.file for one in found.told if one.severity == "problem"} >= {"en/our-word"}
    assert len(await rows(town)) == 2


async def test_a_link_may_lead_to_an_allowed_host_only(town: World) -> None:
    await town.opens("L1", DUE)
    words = {"en/overdue-1": "See https://lender.example/pay for {amount}."}
    found = await saved(town, words)
    assert isinstance(found, Changed)
    assert {one.rule for one in found.told} == {"link"}
    await done(town, words, terms=Terms(hosts=("lender.example",)))
    assert await town.value("select allowed_hosts from text_version") == ["lender.example"]


async def test_a_text_that_a_pack_would_keep_back_is_refused(town: World) -> None:
    """Dispatch would never begin it: staff learn that now, and not from a case on the day."""
    await town.opens("L1", DUE)
    await lane_under(town, ("house", "house-holds"))
    found = await saved(town, {"en/overdue-1": "Pay NGN 500 of {amount}."})
    assert isinstance(found, Changed)
    assert [(one.rule, one.severity) for one in found.told] == [("conduct", "problem")]
    assert "POL-AMOUNT" in found.told[0].what
    assert found.refused


async def test_what_kept_the_words_before_back_is_no_fault_of_the_new_ones(town: World) -> None:
    """Nothing stands around a push, so no words of one could say all that a collector has to."""
    await town.opens("L1", DUE)
    await lane_under(town, ("house", "us-fed-regf"), role="third_party")
    found = await done(town, {"en/overdue-1.push": "{lender}\nPlease look into the app."})
    assert {(one.rule, one.severity) for one in found.told} == {("conduct", "warning")}
    assert any("REGF-6E-OPTOUT" in one.what for one in found.told)


# ---- registration


async def test_new_words_have_no_registration(town: World) -> None:
    town.zone = "Asia/Kolkata"
    await town.opens("L1", DUE, person="ann", contacts=[sms("+919820098200")], locale="en-IN")
    await town.take("borrower.updated", "ann", {"id": "ann", "region": "IN-MH"})
    key, now = TextKey("IN", "overdue-1", "en"), town.clock.now()
    await register(town.pool, town.name, key, "1107161", by="ana", reason="DLT", now=now)
    packs = ("house", "by-place")
    await lane_under(town, packs)
    found = await done(town, {"en/overdue-1": OWN})
    assert found.unregistered == (key,)
    (warning,) = [one for one in found.told if one.rule == "registration"]
    assert "register overdue-1 --portfolio town --country IN --locale en" in warning.fix
    town.wait_to(date(2026, 3, 6), "10:00", "Asia/Kolkata")
    assert await decided(town, packs) == [
        ("snooze", ["ENGINE-FACT-MISSING:template_id", "IN-TRAI-DLT"])
    ]
    await register(town.pool, town.name, key, "1107162", by="ana", reason="DLT", now=now)
    await run_lane(await lane_under(town, packs))
    assert "more time" in town.heard[-1].body


async def test_a_regional_text_is_registered_by_its_own_name(town: World) -> None:
    town.zone = "Asia/Kolkata"
    await town.opens("L1", DUE, person="ann", contacts=[sms("+919820098200")], locale="en-IN")
    await town.take("borrower.updated", "ann", {"id": "ann", "region": "IN-MH"})
    await lane_under(town, ("house", "by-place"))
    key = TextKey("IN", "overdue-1", "en-IN")

    async def registers() -> Registered | Unclear:
        now = town.clock.now()
        return await register(town.pool, town.name, key, "1", by="ana", reason="DLT", now=now)

    assert isinstance(await registers(), Unclear)
    await done(town, {"en-IN/overdue-1": OWN})
    async with town.pool.acquire() as conn:
        assert key in await missing(conn, await town.portfolio())
        assert isinstance(await registers(), Registered)
        assert key not in await missing(conn, await town.portfolio())


# ---- in time with begins


async def test_a_save_waits_for_begins_and_the_next_one_has_its_words(town: World) -> None:
    await owing(town)
    portfolio = (await town.portfolio()).id
    async with town.pool.acquire() as conn, conn.transaction():
        await fetch_value(conn, "portfolio_shared", portfolio=portfolio)
        saving = asyncio.create_task(done(town, {"en/overdue-1": OWN}))
        await until(lambda: blocked(town.pool, 1), 10, "the save waits for the begin")
        following = asyncio.create_task(begin(await town.lane()))
        await until(lambda: blocked(town.pool, 2), 10, "the next begin waits for the save")
        assert await rows(town) == []
    await saving
    (sent,) = (await following).sent_off
    assert "more time" in sent.message.body
    row = await town.pool.fetchrow(
        "select t.portfolio_rev as saved, a.portfolio_rev as begun from text_version t, attempt a"
    )
    assert row is not None
    assert row["begun"] >= row["saved"]


async def blocked(pool: asyncpg.Pool, count: int) -> bool:
    waiting: int = await pool.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock'"
    )
    return waiting == count


async def test_of_two_that_save_at_once_one_is_asked_to_look_again(town: World) -> None:
    await town.opens("L1", DUE)
    portfolio = (await town.portfolio()).id
    async with town.pool.acquire() as conn, conn.transaction():
        await fetch_value(conn, "portfolio_shared", portfolio=portfolio)
        words = (OWN, OWN.replace("instalment", "payment"))
        saving = [asyncio.create_task(saved(town, {"en/overdue-1": one})) for one in words]
        await until(lambda: blocked(town.pool, 2), 10, "both have been checked")
    both = await asyncio.gather(*saving)
    assert sorted(type(one).__name__ for one in both) == ["Changed", "Unclear"]
    assert len(await rows(town)) == 1


async def test_what_waited_for_stopped_words_goes_out_in_new_ones(town: World) -> None:
    await owing(town)
    async with town.pool.acquire() as conn:
        (text_,) = [
            one.words["NG"]
            for one in await all_listed(conn, town)
            if (one.locale, one.message) == ("en", "overdue-1")
        ]
    switch = Switch(Scope.TEMPLATE, text_, town.name)
    await pause(town.pool, switch, reason="filtered", by="ops", now=town.clock.now())
    await town.dispatch()
    assert await bodies(town) == []
    assert (await done(town, {"en/overdue-3": OWN})).woken == 0
    assert (await done(town, {"en/overdue-1": OWN})).woken == 1
    await town.dispatch()
    assert "more time" in town.heard[-1].body


# ---- later on


async def test_own_texts_are_examined_as_a_save_would_today(town: World) -> None:
    await town.opens("L1", DUE)
    await done(town, {"en/overdue-1": "Please settle {amount}: NGN 500 a week will do."})
    async with town.pool.acquire() as conn:
        assert await examine(conn, await town.portfolio(), now=town.clock.now()) == []
        await lane_under(town, ("house", "house-holds"))
        (found,) = await examine(conn, await town.portfolio(), now=town.clock.now())
        assert (found.file, found.rule, found.severity) == ("en/overdue-1", "conduct", "problem")
        await town.pool.execute("update text_version set source = 'Hi\n{amont}'")
        told = await examine(conn, await town.portfolio(), now=town.clock.now())
    assert ("en/overdue-1", 2, "placeholder") in [(one.file, one.line, one.rule) for one in told]


# ---- withdrawing


async def withdrawn(town: World, *locales: str, **how: Any) -> Changed | Unclear:
    now = town.clock.now()
    return await withdraw(town.pool, town.name, "overdue-1", locales, SIGNED, now=now, **how)


async def test_a_withdrawn_text_is_the_shipped_one_again(town: World) -> None:
    await owing(town)
    await done(town, {"en/overdue-1": OWN, "es/overdue-1": "Su pago de {amount} sigue pendiente."})
    found = await withdrawn(town, "en")
    assert isinstance(found, Changed)
    assert [(one.version, one.own) for one in found.written] == [(2, False)]
    await town.dispatch()
    assert "more time" not in town.heard[-1].body
    assert [row[2:4] for row in await rows(town)] == [
        (1, OWN), (2, None), (1, "Su pago de {amount} sigue pendiente."),
    ]  # fmt: skip
    assert isinstance(await withdrawn(town, "en"), Unclear)
    assert isinstance(await withdrawn(town), Changed)
    assert await town.value("select texts from portfolio where name = 'town'") == ""
    assert isinstance(await withdrawn(town), Unclear)


async def test_attempts_keep_the_words_that_they_had(town: World) -> None:
    await owing(town)
    await town.dispatch()
    before = await town.value("select template from attempt")
    await done(town, {"en/overdue-1": OWN})
    assert await town.value("select template from attempt") == before
    async with town.pool.acquire() as conn:
        known = {one.message: one for one in await all_listed(conn, town) if one.locale == "en"}
    assert known["overdue-1"].words["NG"] != before


async def test_a_text_that_this_release_cannot_read_holds_its_portfolio(town: World) -> None:
    """After an upgrade: nothing goes out in words that nobody chose, and a save puts it right."""
    await owing(town)
    await done(town, {"en/overdue-1": OWN})
    await town.pool.execute("update text_version set source = 'Pay {amont}'")
    await town.pool.execute("update portfolio set texts = 'another' where name = 'town'")
    with pytest.raises(BadRules, match="save or withdraw"):
        await town.dispatch()
    assert await bodies(town) == []
    await done(town, {"en/overdue-1": OWN})
    await town.dispatch()
    assert "more time" in town.heard[-1].body


async def test_shipped_texts_are_listed_without_a_version(town: World) -> None:
    await town.opens("L1", DUE)
    async with town.pool.acquire() as conn:
        found = await all_listed(conn, town)
        assert len(await load_portfolios(conn, town.clock.now())) == 1
    assert {(one.own, one.version) for one in found} == {(False, None)}
    assert all(one.words for one in found)


async def test_why_says_who_answers_for_the_words(town: World) -> None:
    await town.opens("L1", DUE, contacts=[sms(phone(1)), push("app")])
    town.wait_to(date(2026, 3, 6), "10:00")
    await town.plan()
    await town.dispatch()
    await done(town, {"en/overdue-3": OWN})
    town.wait_to(date(2026, 3, 8), "10:00")
    await town.plan()
    await town.dispatch()
    await done(town, {"en/overdue-3": OWN.replace("more time", "time")})
    found = await trail(town.pool, Question("L1", None, None, None), packs=(), keyring=None)
    assert isinstance(found, Trail)
    words = [one.detail["words"] for one in found.entries if one.kind == "attempt"]
    assert words == [None, "version 1 by ana, approved by ben"]


async def test_why_knows_a_push_of_its_own_from_the_neutral_one(town: World) -> None:
    await town.opens("L1", DUE, contacts=[push("app")])
    await done(town, {"en/neutral.push": "{lender}\nPlease open the app."})
    await done(
        town, {"en/overdue-1.push": "{lender}\nPlease look."}, signed=Signed("cy", "ben", "x")
    )
    town.wait_to(date(2026, 3, 6), "10:00")
    await town.plan()
    await town.dispatch()
    found = await trail(town.pool, Question("L1", None, None, None), packs=(), keyring=None)
    assert isinstance(found, Trail)
    (own,) = [one.detail["words"] for one in found.entries if one.kind == "attempt"]
    assert own == "version 1 by cy, approved by ben"
