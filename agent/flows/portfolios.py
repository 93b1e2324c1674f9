"""Portfolios with the schedule version in force; made when an event first names one."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from agent.domain.frame import Role
from agent.domain.ladder import Ladder, compile_ladder
from agent.flows.calendars import calendars_in_force, edition, take_over
from agent.store.sql import Connection, execute, fetch


class BadSchedule(Exception):
    """A stored schedule does not compile: it was written by another version or by hand."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """One lender's product line, with its ladder in force."""

    id: int
    name: str
    lender: str
    zone: str
    locale: str
    packs: tuple[str, ...]
    version: int
    ladder: Ladder
    # whose debt it collects; not known, every rule binds
    role: Role | None = None
    # where people are of whom nothing tells; not known, they are held
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Founding:
    """What a portfolio starts with when an event names it for the first time."""

    zone: str
    locale: str
    lender: str
    schedule: str
    packs: tuple[str, ...] = ("house",)
    role: Role | None = None
    country: str | None = None


def ladder_of(source: str) -> Ladder:
    """Compile a stored schedule; raises `BadSchedule` with every problem."""
    return _ladder(source, edition())


@lru_cache(maxsize=64)
def _ladder(source: str, _edition: str) -> Ladder:
    found = compile_ladder(tomllib.loads(source), calendars_in_force())
    if isinstance(found, Ladder):
        return found
    raise BadSchedule("; ".join(f"{p.where}: {p.what} ({p.fix})" for p in found))


async def load_portfolios(conn: Connection, now: datetime) -> dict[str, Portfolio]:
    """Every portfolio by name, with the schedule version that is in force at `now`."""
    rows = await fetch(conn, "portfolios", now=now)
    if rows:
        await take_over(conn, rows[0]["calendars"] or "")
    return {
        row["name"]: Portfolio(
            row["id"],
            row["name"],
            row["lender"],
            row["zone"],
            row["locale"],
            tuple(row["packs"]),
            row["version"],
            ladder_of(row["source"]),
            None if row["role"] is None else Role(row["role"]),
            row["country"],
        )
        for row in rows
    }


async def ensure_portfolios(
    conn: Connection, wanted: Mapping[str, Founding], now: datetime
) -> dict[str, Portfolio]:
    """All portfolios, those in `wanted` included: missing ones are made with schedule version 1."""
    known = await load_portfolios(conn, now)
    missing = {name: founding for name, founding in wanted.items() if name not in known}
    for name, founding in sorted(missing.items()):
        await execute(
            conn,
            "create_portfolio",
            name=name,
            lender=founding.lender,
            zone=founding.zone,
            locale=founding.locale,
            packs=list(founding.packs),
            role=founding.role,
            country=founding.country,
            now=now,
        )
        ladder = ladder_of(founding.schedule)
        await execute(
            conn,
            "first_schedule",
            name=name,
            schedule=ladder.name,
            source=founding.schedule,
            sha256=hashlib.sha256(founding.schedule.encode()).hexdigest(),
        )
    return await load_portfolios(conn, now) if missing else known
