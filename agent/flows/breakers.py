"""The circuit breaker of a sender: what opens it, who may try it, and what proves that it works again.

One row is one halted route: a sender in one country, or everywhere. A breaker that an answer opened
closes when a message is accepted; one that a receipt opened only when a receipt says delivered, for
such a fault never shows in the answer; one that staff opened when staff say so.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import orjson

from agent.store.sql import Connection, execute, fetch, fetch_value
from agent.store.waking import wake_held

EVERYWHERE = "*"
PROBE_FIRST = timedelta(minutes=1)
ROUTE_PROBE = timedelta(hours=1)
# What only staff may end is looked at this often all the same; they wake what waits.
STAFF_LOOK = timedelta(hours=1)
HALTED = "route-halted"


class Proof(StrEnum):
    """What closes a breaker."""

    ANSWER = "answer"
    RECEIPT = "receipt"
    STAFF = "staff"


class Route(NamedTuple):
    """A sender of a channel in one country, or everywhere."""

    channel: str
    sender: str
    country: str = EVERYWHERE


class Halt(NamedTuple):
    """A route that is out of order: until when, and whether we are the one who may try it now."""

    until: datetime
    probing: bool


def probe_after(country: str) -> timedelta:
    """A whole sender is tried again soon; a country that is not enabled takes people to mend."""
    return PROBE_FIRST if country == EVERYWHERE else ROUTE_PROBE


def place_of(country: str) -> str:
    """How the subject of a case says where a sender is out of order."""
    return "everywhere" if country == EVERYWHERE else country


async def open_breaker(
    conn: Connection,
    portfolio_id: int,
    route: Route,
    code: str,
    now: datetime,
    *,
    proof: Proof = Proof.ANSWER,
    begun: datetime | None = None,
) -> bool:
    """Stop a route, with one case however many messages it stops; False if that is no news.

    `begun` is when the message was begun that says so: one from before the last closing proves nothing.
    """
    opened = await fetch_value(
        conn, "open_halt", **route._asdict(), code=code, now=now, probe=now + probe_after(route.country),
        proof=proof, reason=None, by=None, begun=begun or now,
    )  # fmt: skip
    if opened is None:
        return False
    await execute(
        conn, "open_cases", portfolio=portfolio_id, now=now, kinds=["sender-halted"],
        subjects=[f"{route.channel} {route.sender} {place_of(route.country)}"],
        loans=[None], borrowers=[None],
        details=[orjson.dumps({"code": code, "country": route.country}).decode()],
    )  # fmt: skip
    return True


async def read_breakers(
    conn: Connection, channel: str, sender: str, now: datetime
) -> dict[str, Halt]:
    """The routes of a sender that are out of order, by country. One reader of all may try each again."""
    found: dict[str, Halt] = {}
    for row in await fetch(conn, "open_halts", channel=channel, sender=sender):
        route = Route(channel, sender, row["country"])
        if row["proof"] == Proof.RECEIPT and row["tried"] == "delivered":
            await close_breakers(conn, route, [route.country], now, before=now, proof=Proof.RECEIPT)
        elif row["probe_at"] is None:
            found[route.country] = Halt(now + STAFF_LOOK, probing=False)
        elif row["probe_at"] > now:
            found[route.country] = Halt(row["probe_at"], probing=False)
        else:
            found[route.country] = await _claimed(conn, route, now)
    return found


async def _claimed(conn: Connection, route: Route, now: datetime) -> Halt:
    first = probe_after(route.country)
    again = await fetch_value(conn, "claim_probe", **route._asdict(), now=now, first=first)
    return Halt(again or now + first, probing=again is not None)


async def note_probe(conn: Connection, route: Route, lane: int, token: str) -> None:
    """Keep which attempt tries the route: its receipt may be what closes the breaker."""
    await execute(conn, "note_probe", **route._asdict(), lane=lane, token=token)


async def close_breakers(
    conn: Connection,
    route: Route,
    countries: Sequence[str],
    now: datetime,
    *,
    before: datetime,
    proof: Proof = Proof.ANSWER,
) -> int:
    """Close what was halted before that instant and is proven to work; what waited is looked at again."""
    closed = await execute(
        conn, "close_halts", channel=route.channel, sender=route.sender, countries=list(countries),
        now=now, before=before, by="probe", proofs=[proof],
    )  # fmt: skip
    if closed:
        await wake_held(conn, [HALTED], now)
    return closed
