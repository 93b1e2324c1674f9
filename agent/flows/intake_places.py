"""Where the people of a batch may be, weighed anew where the ledger said something that may change it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import asyncpg

from agent.domain.event import NOWHERE, Person
from agent.domain.places import Candidates
from agent.flows.intake_work import People, Placing
from agent.flows.portfolios import Portfolio
from agent.flows.rules import BETWEEN
from agent.flows.whereabouts import Known, clues_of, settle
from agent.store.sql import Connection, execute, fetch

# A number that reaches somebody else, or that the person no longer has, tells nothing of them.
TELLING = frozenset({"active", "disconnected"})
_NEVER = float("-inf")
BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Was:
    """Where a person was thought to be before a change that raised their rev."""

    portfolio_id: int
    borrower_id: int
    rev: int
    zones: tuple[str, ...]
    region: str | None


def hear_of_place(
    placing: Placing, said: Person, region: str | None, times: dict[str, float], at: float
) -> bool:
    """Keep what an event says of a place; of each kind the newest word counts. Whether it was new."""
    if said.whereabouts is NOWHERE:
        return False
    new = False
    for name, clue in clues_of(said.whereabouts, said.region or region).items():
        if at < times.get(name, _NEVER):
            continue
        times[name] = at
        if placing.clues.get(name) != clue:
            placing.clues[name] = clue
            placing.stale = new = True
    if _overtake(placing.clues, times):
        placing.stale = new = True
    return new


def _overtake(clues: dict[str, Any], times: dict[str, float]) -> bool:
    """A statement stands for all else until a newer word points elsewhere. Whether that changed."""
    before = "overtaken" in clues
    stated, since = clues.get("stated"), times.get("stated", _NEVER)
    device = clues.get("device", stated) != stated and times.get("device", _NEVER) > since
    address = clues.get("address", {}).get("zones") or [stated]
    moved = stated not in address and times.get("address", _NEVER) > since
    clues.pop("overtaken", None)
    if stated is not None and (device or moved):
        clues["overtaken"] = True
    return before != ("overtaken" in clues)


def weigh(
    placing: Placing,
    zones: tuple[str, ...],
    region: str | None,
    blocks: Iterable[str],
    country: str | None,
) -> bool:
    """Settle where the person may be; True if that is somewhere else than before."""
    known = (zones, region, tuple(sorted(set(blocks))), country)
    found = _plain(*known) if not placing.clues else settle(_known(known, placing.clues))
    before = placing.zones, placing.region
    placing.zones, placing.region = found.zones, BETWEEN.join(found.places) or None
    placing.stale = False
    return before != (placing.zones, placing.region)


_Key = tuple[tuple[str, ...], str | None, tuple[str, ...], str | None]


def _known(key: _Key, clues: dict[str, Any]) -> Known:
    zones, region, blocks, country = key
    return Known(zones, region, clues, blocks, country)


@lru_cache(maxsize=65_536)
def _plain(
    zones: tuple[str, ...], region: str | None, blocks: tuple[str, ...], country: str | None
) -> Candidates:
    """Of most people nothing but zones and numbers is known, and many share the first digits."""
    return settle(Known(zones, region, {}, blocks, country))


def first_place(region: str | None) -> str | None:
    """The region that the ledger named stands first among the places."""
    return region.split(BETWEEN)[0] if region else None


def weigh_all(people: People, portfolios: dict[int, Portfolio]) -> list[Was]:
    """Where people may be, of whom something was said that may change it; where they were before."""
    was = []
    for person in people.by_id.values():
        if not person.placing.stale:
            continue
        before = person.placing.zones, person.placing.region
        points = (point for point in person.points.values() if point.status in TELLING)
        blocks = [point.block for point in points if point.block is not None]
        country = portfolios[person.portfolio_id].country
        moved = weigh(person.placing, person.zones, person.region, blocks, country)
        if moved and not person.is_new:
            person.changed = True
            was.append(Was(person.portfolio_id, person.id, person.rev, *before))
    return was


async def keep_places(conn: Connection, was: Sequence[Was], now: datetime) -> None:
    """Write down where people were thought to be until now: decisions of then are checked by it."""
    if was:
        await execute(
            conn,
            "keep_places",
            portfolios=[one.portfolio_id for one in was],
            borrowers=[one.borrower_id for one in was],
            revs=[one.rev for one in was],
            zones=[",".join(one.zones) for one in was],
            regions=[one.region for one in was],
            now=now,
        )


async def weigh_again(
    pool: "asyncpg.Pool[asyncpg.Record]", portfolio: int, country: str | None, now: datetime
) -> int:
    """Weigh anew where the people of a portfolio may be, a batch a transaction; how many are elsewhere."""
    moved, last = 0, 0
    while True:
        async with pool.acquire() as conn, conn.transaction():
            named = await fetch(
                conn, "people_unplaced", portfolio=portfolio, after=last, batch=BATCH
            )
            if named:
                last = named[-1]["id"]
                ids = [row["id"] for row in named]
                moved += await _weigh_again(conn, portfolio, ids, country, now)
        if len(named) < BATCH:
            return moved


async def _weigh_again(
    conn: Connection, portfolio: int, ids: Sequence[int], country: str | None, now: datetime
) -> int:
    whose = {"portfolios": [portfolio] * len(ids), "ids": ids}
    rows = await fetch(conn, "lock_people", **whose)
    blocks: dict[int, list[str]] = {}
    for point in await fetch(conn, "points_of", **whose):
        if point["status"] in TELLING and point["number_block"] is not None:
            blocks.setdefault(point["borrower_id"], []).append(point["number_block"])
    was, there = [], []
    for row in rows:
        # whose zones the ledger has named meanwhile
        if "zones" in row["told"]:
            continue
        placing = Placing(tuple(row["zones"]), row["region"], row["clues"])
        before = placing.zones, placing.region
        region = first_place(row["region"]) if "region" in row["told"] else None
        if weigh(placing, (), region, blocks.get(row["id"], ()), country):
            was.append(Was(portfolio, row["id"], row["rev"], *before))
            there.append((row["id"], ",".join(placing.zones), placing.region))
    await keep_places(conn, was, now)
    if there:
        found, zones, regions = map(list, zip(*there, strict=True))
        await execute(
            conn, "place_people", portfolio=portfolio, ids=found, zones=zones, regions=regions
        )
    return len(there)
