"""`why` tells what was decided, by which rules and on which facts, and keeps texts closed unless asked."""

import asyncio
import json
import re
import tomllib
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

import schedules
from agent.domain.conduct import Pack, compile_pack
from agent.entry.cli import _register_commands, app
from agent.entry.output import Refused
from agent.flows.intake import take
from agent.flows.pause import Scope, Switch, pause, resume
from agent.flows.trail import NoTrail, Question, Trail, trail
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from tests.conftest import TEST_MASTER_KEY
from tests.support.intake import NOW, desk, lines, paid
from tests.support.rows import ANCHOR, World, at, healthy, opened


def house() -> Pack:
    pack = compile_pack(tomllib.loads(schedules.conduct_text("house")), "1")
    assert isinstance(pack, Pack)
    return pack


@pytest.fixture
async def world(pool: asyncpg.Pool, keyring: Keyring) -> World:
    made = await healthy(pool, keyring)
    await made.sent("L2", "overdue-3", at("18", "10:00"))
    until = at("19", "08:01")
    await made.decision(
        "L2", "overdue-7", at("18", "21:00"), verdict="snooze", rules=["HOUSE-DAY"], until_at=until
    )
    return made


async def told(world: World, question: Question, keyring: Keyring | None = None) -> Trail:
    found = await trail(world.pool, question, packs=[house()], keyring=keyring)
    assert isinstance(found, Trail), found
    return found


async def refused(world: World, question: Question) -> NoTrail:
    found = await trail(world.pool, question, packs=[house()])
    assert isinstance(found, NoTrail)
    return found


async def test_a_loan_is_told_in_order_of_time(world: World) -> None:
    found = await told(world, Question("L1"))
    assert (found.portfolio, found.borrower, found.status, found.balance) == (
        "demo",
        "ann",
        "paid",
        "0.00",
    )
    instants = [entry.at for entry in found.entries]
    assert instants == sorted(instants)
    assert [e.text.split()[0] for e in found.entries if e.kind == "event"] == [
        "loan.opened",
        "payment.posted",
    ]
    outcomes = [entry.detail["type"] for entry in found.entries if entry.kind == "outcome"]
    assert outcomes == ["account.bucket_changed", "account.cured", "account.paid_off"]
    assert not any("6,500" in json.dumps(dict(e.detail), default=str) for e in found.entries)


async def test_one_notice_with_the_rules_that_failed_in_words(world: World) -> None:
    found = await told(world, Question("L2", "overdue-7", ANCHOR))
    decision = next(entry for entry in found.entries if entry.kind == "decision")
    assert decision.rules[0].words == "At most one notice a person a day."
    assert decision.rules[0].clause == "house policy"
    assert {e.notice for e in found.entries if e.notice} == {("overdue-7", ANCHOR)}
    assert all(e.at <= found.entries[-1].at for e in found.entries)


async def test_kill_switches_that_cover_the_loan_are_told(world: World) -> None:
    now = at("19", "12:00")
    for scope, subject in ((Scope.ALL, None), (Scope.LOAN, "L2"), (Scope.LOAN, "L1")):
        await pause(world.pool, Switch(scope, subject), reason="flood", by="ana", now=now)
    await resume(world.pool, Switch(Scope.LOAN, "L2"), reason="dry again", by="bo", now=now)
    found = await told(world, Question("L2"))
    assert [entry.text for entry in found.entries if entry.kind == "pause"] == [
        "all: flood (by ana)",
        "loan L2: flood (by ana)",
        "loan L2 ends: dry again (by bo)",
    ]


async def test_events_of_a_loan_that_never_came_are_told(pool: Any, keyring: Keyring) -> None:
    await take(desk(pool, keyring), lines([paid("L9", "p", "1.00", "2024-01-20")]), NOW)
    found = await trail(pool, Question("L9"), packs=[house()])
    assert isinstance(found, NoTrail)
    assert found.why.endswith("events about it are: payment.posted of 2024-01-20 (unknown-loan)")
    assert found.fix == "they wait for its `loan.opened`"


async def test_rules_of_the_gate_are_told_in_words(world: World) -> None:
    found = await told(world, Question("L2", "due-today"))
    decision = next(entry for entry in found.entries if entry.kind == "decision")
    assert decision.text == "due-today: cancel"
    assert decision.rules[0].words == "The person had opted out"


async def test_texts_are_opened_only_with_the_key(world: World) -> None:
    found = await told(world, Question("L2", "overdue-3"), world.keyring)
    attempt = next(entry for entry in found.entries if entry.kind == "attempt")
    assert attempt.detail["text"] == "Please pay NGN 6,500.00 by 15 March."
    other = await told(world, Question("L2", "overdue-3"), Keyring(bytes(32)))
    attempt = next(entry for entry in other.entries if entry.kind == "attempt")
    assert attempt.detail["text"] == "(cannot be decrypted with this master key)"


async def test_receipts_holds_cases_and_opt_outs_are_part_of_it(world: World) -> None:
    row = await world.loan("L2")
    own = {"portfolio_id": row["portfolio_id"]}
    provider = await world.sql("select provider_id from attempt where stage = 'overdue-3'")
    when = at("18", "10:01")
    await world.insert("receipt", own | {
        "channel": "sms", "provider_id": provider, "status": "failed", "code": "30003", "at": when,
        "received_at": when, "effect": "contradiction",
    })  # fmt: skip
    await world.insert("hold", own | {
        "reason": "dispute", "scope": "person", "borrower_id": row["borrower_id"], "placed_by": "ops",
        "from_at": at("19", "09:00"), "placed_rev": 9,
    })  # fmt: skip
    await world.insert("suppression", own | {
        "channel": "sms", "address_key": row["address_key"], "reason": "stop",
        "stored_at": at("20", "09:00"), "number_rev": 9,
    })  # fmt: skip
    await world.insert("case_item", own | {
        "kind": "call", "subject": "loan L2", "loan_id": row["id"], "opened_at": at("20", "10:00"),
        "due_at": at("21", "10:00"), "detail": {"stage": "call"},
    })  # fmt: skip
    await world.sql("insert into attempt_archive select * from attempt")
    await world.sql("delete from attempt")
    entries = (await told(world, Question("L2"))).entries
    texts = {entry.kind: entry.text for entry in entries}
    assert (
        texts["receipt"]
        == "overdue-3 by sms: failed (30003), contradicts an earlier receipt: ignored"
    )
    assert texts["hold"].startswith("dispute holds the person until lifted by hand")
    assert texts["opt-out"] == "sms: stop"
    assert texts["case"].startswith("call, due 2016-03-21")
    assert sum(entry.kind == "attempt" for entry in entries) == 2


async def test_what_is_unknown_is_said_with_a_way_on(world: World) -> None:
    assert (await refused(world, Question("L9"))).why == "no loan L9 is known"
    stage = await refused(world, Question("L1", "overdue-1"))
    assert stage.fix == "due-in-3-days, due-today"
    day = await refused(world, Question("L1", "due-today", ANCHOR.replace(day=16)))
    assert day.fix == "known: 2016-03-15"
    elsewhere = await refused(world, Question("L1", portfolio="other"))
    assert elsewhere.fix == "known in: demo"


async def test_a_loan_of_several_portfolios_must_be_chosen(world: World) -> None:
    twin = opened("L1", "ann", "+2347010000009")
    await world.take({**twin, "id": "twin", "data": {**twin["data"], "portfolio": "other"}})
    both = await refused(world, Question("L1"))
    assert both.fix == "choose one with --portfolio: demo, other"
    assert (await told(world, Question("L1", portfolio="other"))).status == "open"


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("DULY_DATABASE_URL", database_url)
    monkeypatch.setenv("DULY_MASTER_KEY", TEST_MASTER_KEY.hex())
    monkeypatch.setenv("DULY_CONFIG", "/dev/null")
    if not app.registered_commands:
        _register_commands()
    return CliRunner()


def _json(result: Result) -> object:
    assert result.exception is None or result.exit_code == 1, result.exception
    return json.loads(result.stdout)


def test_the_commands(command: CliRunner, database_url: str, keyring: Keyring) -> None:
    """On a loop of their own, as the shell runs them."""

    async def fill(*statements: str) -> None:
        pool = await open_pool(database_url)
        if not statements:
            await healthy(pool, keyring)
        for statement in statements:
            await pool.execute(statement)
        await pool.close()

    asyncio.run(fill())
    moment = ["--at", "2016-03-21T12:00:00+00:00"]
    result = command.invoke(app, ["invariants", *moment])
    assert result.exit_code == 0, result.output
    assert re.search(r"\d+ hold, 0 violated, \d+ not yet applicable\.", result.stdout)
    asyncio.run(fill("update loan set balance_minor = 7 where ref = 'L2'"))
    result = command.invoke(app, ["invariants", "--json", *moment])
    assert result.exit_code == 1
    findings = _json(result)
    assert isinstance(findings, list)
    assert [f["id"] for f in findings if f["state"] == "violated"] == ["10-loan"]
    result = command.invoke(app, ["why", "L2", "due-today", "2016-03-15"])
    assert "opted-out: The person had opted out" in result.stdout
    result = command.invoke(app, ["why", "L1", "--json", "--text"])
    assert "Please pay NGN 6,500.00" in result.stdout
    assert isinstance(command.invoke(app, ["why", "L9"]).exception, Refused)
    assert isinstance(command.invoke(app, ["invariants", "--at", "today"]).exception, Refused)
    early = command.invoke(app, ["invariants", "--at", "2016-03-01T12:00:00+00:00"]).exception
    assert isinstance(early, Refused)
    assert "has facts up to 2016-03-" in str(early)
