"""The end of data: people whose loans have all ended, once the longest duty to keep theirs is over.

Their key is destroyed, so that everything sealed with it is noise, and addresses and words are deleted.
What stays names nobody: dates, amounts, decisions, and opt-outs by a keyed hash. A hold (a legal one is a
flag of the ledger's, `legal_hold`), an open case or an unsettled send keeps everything, whatever the rules.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from agent.domain.calendar import local_date
from agent.domain.retention import Kept, Upkeep, retention_rules, upkeep
from agent.flows.rules import Binding, binding, installed
from agent.store import retention
from agent.store.retention import Erased, Mark, Person

BATCH = 200
BATCHES_MAX = 50
CASE_DUE = timedelta(days=7)
# The last place on earth where a day ends: nothing is over before it is over there.
_LATEST = "Etc/GMT+12"
_LOOK_AGAIN = {
    Kept.NO_RULE: timedelta(days=30),
    Kept.PACK_MISSING: timedelta(days=1),
    Kept.DUTY: timedelta(days=90),
    Kept.HELD: timedelta(days=1),
    Kept.OPEN_CASE: timedelta(days=1),
    Kept.UNFINISHED: timedelta(days=1),
    Kept.CONFLICT: timedelta(days=7),
}


async def end_of_keeping(
    pool: "asyncpg.Pool[asyncpg.Record]", now: datetime, *, batch: int = BATCH
) -> Mapping[str, int]:
    """Look at everybody who is to be looked at, a bounded number at a time; counts of what came of it."""
    counts: Counter[str] = Counter(erased=0, addresses=0)
    for _ in range(BATCHES_MAX):
        # a transaction for each batch: whoever waits for a person waits for few
        async with pool.acquire() as conn, conn.transaction():
            people = await retention.ended_people(conn, now, batch)
            if people:
                counts.update(await _look_at(conn, people, now))
        if len(people) < batch:
            break
    return dict(counts)


async def _look_at(conn: Any, people: list[Person], now: datetime) -> Counter[str]:
    locked = await retention.lock(conn, people)
    rows = await retention.facts(conn, locked, now)
    marks: list[Mark] = []
    over: list[Erased] = []
    for row in rows:
        bound = binding(installed(row["packs"]), tuple(row["packs"]), row["region"])
        found = _upkeep(row, bound, now)
        person = (row["portfolio_id"], row["id"])
        span = (found.rules, found.keeping.keep_through, found.keeping.delete_by)
        if found.kept is None:
            over.append(Erased(person, *span, bound.versions))
        else:
            marks.append(Mark(person, *span, found.kept.value, _look_at_next(found, now)))
    addresses = await retention.erase(conn, over, now)
    await retention.mark(conn, marks, now)
    conflicts = [mark for mark in marks if mark.reason == Kept.CONFLICT]
    await retention.open_cases(conn, conflicts, now, now + CASE_DUE)
    counts = Counter(f"kept_{mark.reason.replace('-', '_')}" for mark in marks)
    counts.update(erased=len(over), addresses=addresses)
    return counts


def _upkeep(row: Any, bound: Binding, now: datetime) -> Upkeep:
    anchors = {name: row[name] for name in ("loan_ended", "last_activity", "event_ended")}
    rules = retention_rules(bound.packs, row["role"])
    found = upkeep(rules, anchors, local_date(now, _LATEST), _standing(row))
    if bound.missing and found.kept in (None, Kept.DUTY, Kept.NO_RULE):
        return Upkeep(found.keeping, found.rules, Kept.PACK_MISSING)
    return found


def _standing(row: Any) -> Kept | None:
    """What keeps everything, whatever the rules."""
    if row["held"]:
        return Kept.HELD
    if row["has_case"]:
        return Kept.OPEN_CASE
    if row["unfinished"] or row["open"]:
        return Kept.UNFINISHED
    return None


def _look_at_next(found: Upkeep, now: datetime) -> datetime:
    """When it may be over, but not later than a while from now: rules and holds change."""
    assert found.kept is not None
    latest = now + _LOOK_AGAIN[found.kept]
    end = found.keeping.keep_through or found.keeping.delete_by
    if found.kept is not Kept.DUTY or end is None:
        return latest
    days = (end - local_date(now, _LATEST)).days + 1
    return min(latest, now + timedelta(days=max(days, 1)))
