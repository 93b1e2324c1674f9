"""Duties that the law gives days for: a case each, due by the rule, closed when the ledger says it is done.

They begin with a fact that the ledger states, with a flag of its, or with the first word about a loan.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg

from agent.domain.calendar import local_date
from agent.domain.deadlines import FACT_OF, FIRST_WORD, Due, duties, ends_at, facts_counted_from
from agent.domain.inbound import read_reply
from agent.flows.calendars import take_over
from agent.flows.rules import BY_PLACE, Binding, binding, every_pack, installed
from agent.store import deadlines
from agent.store.deadlines import Begun
from agent.store.keyring import Keyring, Unreadable, inbound_place
from agent.store.sql import Connection, execute, fetch

BATCH = 500
# First words of longer ago have their case, unless this duty stood still for a week.
FIRST_WORDS_SINCE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class _Start:
    """A fact that a deadline may count from."""

    borrower_id: int
    person: str
    loan: str
    fact: str
    began_on: date
    region: str | None
    zones: tuple[str, ...]


async def begin_duties(
    pool: "asyncpg.Pool[asyncpg.Record]", keyring: Keyring, now: datetime, *, batch: int = BATCH
) -> Mapping[str, int]:
    """Open the cases of duties that began, portfolio by portfolio; close those that are done.

    Replies that wait for a person become due by the rule that they start, if they start one.
    """
    opened = done = dated = 0
    async with pool.acquire() as conn:
        await take_over(conn)
        homes = await fetch(conn, "portfolio_duties")
        for home in homes:
            counted = _counted_from(home)
            if not counted:
                continue
            async for starts in _starts(conn, home["id"], counted, now, batch):
                async with conn.transaction():
                    opened += await _open(conn, home, starts, now)
            async with conn.transaction():
                done += await deadlines.close_done(conn, home["id"], now)
                dated += await _date_replies(conn, keyring, home, counted, batch)
    return {"opened": opened, "done": done, "dated": dated}


async def _date_replies(
    conn: Connection, keyring: Keyring, home: Any, counted: frozenset[str], batch: int
) -> int:
    """A dispute or complaint is due by the rule that it starts; what it asks for, a person decides."""
    if not counted & frozenset(FACT_OF.values()):
        return 0
    rows = await fetch(conn, "unread_replies", portfolio=home["id"], batch=batch)
    if not rows:
        return 0
    found = [(_intent(row, keyring), row) for row in rows]
    await execute(
        conn,
        "date_replies",
        portfolio=home["id"],
        ids=[row["id"] for row in rows],
        details=[{"intent": intent} for intent, _ in found],
        dues=[_reply_due(home, row, intent) for intent, row in found],
    )
    return sum(intent in FACT_OF for intent, _ in found)


def _intent(row: Any, keyring: Keyring) -> str:
    place = inbound_place("body", row["channel"], row["provider_id"])
    try:
        body = keyring.open_loose(row["body"], place).decode("utf-8", "replace")
    except Unreadable:
        return "unreadable"
    return read_reply(body, row["locale"]).intent.value


def _counted_from(home: Any) -> frozenset[str]:
    """The facts that any pack which may bind somebody of this portfolio counts from."""
    named = tuple(home["packs"])
    packs = every_pack() if BY_PLACE in named else installed(named)
    return facts_counted_from(packs, home["role"])


async def _starts(
    conn: Connection, portfolio_id: int, counted: frozenset[str], now: datetime, batch: int
) -> AsyncIterator[list[_Start]]:
    after: tuple[Any, ...] = (0, "", "")
    while True:
        rows = await fetch(
            conn, "stated_starts", portfolio=portfolio_id, names=sorted(counted), batch=batch,
            after_id=after[0], after_loan=after[1], after_name=after[2],
        )  # fmt: skip
        if not rows:
            break
        after = (rows[-1]["borrower_id"], rows[-1]["loan_ref"], rows[-1]["name"])
        found = (_stated(row) for row in rows)
        yield [start for start in found if start is not None]
    reasons = [flag for flag, fact in FACT_OF.items() if fact in counted]
    if reasons:
        async for rows in _pages(conn, "flag_starts", portfolio_id, batch, reasons=reasons):
            yield [_start(row, "", FACT_OF[row["reason"]], row["from_at"]) for row in rows]
    if FIRST_WORD in counted:
        since = now - FIRST_WORDS_SINCE
        async for rows in _pages(conn, "first_words", portfolio_id, batch, since=since):
            yield [_start(row, row["loan_ref"], FIRST_WORD, row["first"]) for row in rows]


async def _pages(
    conn: Connection, statement: str, portfolio_id: int, batch: int, **more: Any
) -> AsyncIterator[list[Any]]:
    after = 0
    while rows := await fetch(
        conn, statement, portfolio=portfolio_id, after_id=after, batch=batch, **more
    ):
        after = rows[-1]["id"]
        yield rows


def _stated(row: Any) -> _Start | None:
    """A fact whose value is a date; what is none starts nothing that could be counted."""
    try:
        began_on = date.fromisoformat(row["value"][:10])
    except ValueError:
        return None
    zones = tuple(row["zones"])
    return _Start(
        row["borrower_id"], row["ref"], row["loan_ref"], row["name"], began_on, row["region"], zones
    )


def _start(row: Any, loan: str, fact: str, at: datetime) -> _Start:
    zones = tuple(row["zones"])
    began_on = min(local_date(at, zone) for zone in zones or ("UTC",))
    return _Start(row["borrower_id"], row["ref"], loan, fact, began_on, row["region"], zones)


async def _open(conn: Connection, home: Any, starts: Sequence[_Start], now: datetime) -> int:
    people = sorted({start.borrower_id for start in starts})
    stated: dict[tuple[int, str], dict[str, Any]] = {}
    for row in await fetch(conn, "facts_of_people", portfolio=home["id"], ids=people):
        stated.setdefault((row["borrower_id"], row["loan_ref"]), {})[row["name"]] = row["value"]
    begun = [
        _begun(start, due)
        for start in starts
        for due in duties(
            _bound(home, start.region).packs,
            home["role"],
            start.fact,
            start.began_on,
            {
                **stated.get((start.borrower_id, ""), {}),
                **stated.get((start.borrower_id, start.loan), {}),
            },
        )
    ]
    return await deadlines.begin(conn, home["id"], begun, now)


def _bound(home: Any, region: str | None) -> Binding:
    named = tuple(home["packs"])
    return binding(installed(named), named, region)


def _begun(start: _Start, due: Due) -> Begun:
    about = f"loan {start.loan}" if start.loan else f"person {start.person}"
    detail = {
        "rule": due.rule,
        "duty": due.duty,
        "began_on": start.began_on.isoformat(),
        "due_on": due.on.isoformat(),
        "done": due.done,
        "loan": start.loan,
    }
    if due.guessed:
        detail["calendar"] = "not confirmed: no holiday was counted"
    return Begun(
        start.borrower_id, start.loan, due.rule, start.began_on, due.on,
        ends_at(due.on, start.zones), f"{about}: {due.rule} since {start.began_on}", detail,
    )  # fmt: skip


def _reply_due(home: Any, row: Any, intent: str) -> datetime | None:
    """The earliest deadline that a reply starts; None if it starts none."""
    fact, zones = FACT_OF.get(intent), tuple(row["zones"])
    if fact is None:
        return None
    began_on = min(local_date(row["opened_at"], zone) for zone in zones or ("UTC",))
    packs = _bound(home, row["region"]).packs
    ends = [ends_at(due.on, zones) for due in duties(packs, home["role"], fact, began_on, {})]
    return min(ends, default=None)
