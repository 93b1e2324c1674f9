"""What binds a sender: where it may text, how fast, and when it is out of order.

One row in PostgreSQL is the sender's line, so that all workers together keep to one pace, and one row
a halted route is its circuit breaker. A lane takes a small share of the line at a time: portfolios
that share a sender take turns, and what is begun can leave long before its deadline.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import orjson

from agent.store.dispatch import Facts, PersonRow, PointRow
from agent.store.keyring import Unreadable, contact_place, unseal
from agent.store.sql import Connection, execute, fetch, fetch_row, fetch_value
from channels.base import Accepted, Answer, Halt, Refused

if TYPE_CHECKING:
    from agent.flows.dispatch_begin import Outgoing
    from agent.flows.lane import Lane

SHARE = timedelta(seconds=2)
LINE_MAX = timedelta(seconds=8)
# Texts about loans take two parts more often than one; the line itself counts exactly.
PARTS_GUESS = 2
PROBE_FIRST = timedelta(minutes=1)
ROUTE_PROBE = timedelta(hours=1)
EVERYWHERE = "*"
TOO_MANY = "429"


@dataclass(frozen=True, slots=True)
class Carrier:
    """One sender of a channel, and what its provider allows."""

    channel: str
    sender: str
    parts_per_second: float
    parts_of: Callable[[str], int]
    country_of: Callable[[str], str | None]
    no_route: Callable[[str | None], str | None]
    text_refused: Callable[[str, str], str | None]


@dataclass(slots=True)
class Traffic:
    """What one begin may use of a sender."""

    carrier: Carrier
    allowed: int
    free_at: datetime
    halted: dict[str, datetime] = field(default_factory=dict)
    probes: dict[str, datetime] = field(default_factory=dict)
    countries: dict[int, str] = field(default_factory=dict)
    overflow: int = 0

    def until(self, country: str) -> datetime | None:
        """When a halted route to a country may be tried again."""
        return max(
            (at for at in map(self.halted.get, (country, EVERYWHERE)) if at is not None),
            default=None,
        )

    def wait(self, point_id: int, now: datetime) -> tuple[str, datetime] | None:
        """Why a message to this point has to wait and until when; None takes its place in the line."""
        country = self.countries.get(point_id, "")
        for probed in (country, EVERYWHERE):
            if probed in self.probes:
                self.halted[probed] = self.probes.pop(probed)
                break
        else:
            if (until := self.until(country)) is not None:
                return "route-halted", until
        if self.allowed < 1:
            self.overflow += 1
            line = timedelta(seconds=self.overflow * PARTS_GUESS / self.carrier.parts_per_second)
            return "pace", max(self.free_at + line, now + timedelta(seconds=1))
        self.allowed -= PARTS_GUESS
        return None


async def read_traffic(
    conn: Connection, lane: "Lane", facts: Facts, now: datetime
) -> dict[str, Traffic]:
    """What each sender may do now; the facts' points learn which of them have no route."""
    found: dict[str, Traffic] = {}
    for carrier in lane.carriers.values():
        traffic = await _traffic(conn, carrier, now)
        found[carrier.channel] = traffic
        for person_id, rows in facts.points.items():
            person = facts.people[person_id]
            facts.points[person_id] = [
                _routed(lane, traffic, person, row)
                if row.point.channel == carrier.channel and person.data_key is not None
                else row
                for row in rows
            ]
    return found


async def _traffic(conn: Connection, carrier: Carrier, now: datetime) -> Traffic:
    who = {"channel": carrier.channel, "sender": carrier.sender}
    row = await fetch_row(conn, "sender_state", **who)
    line = max(row["busy_until"] - now, timedelta()) if row else timedelta()
    patient = row is not None and row["not_before"] > now
    share = min(SHARE, LINE_MAX - line)
    allowed = 0 if patient else int(carrier.parts_per_second * share.total_seconds())
    if not patient and not line:
        allowed = max(allowed, 1)  # a slow sender is still allowed one at a time
    free_at = max(row["not_before"], now) if row else now
    traffic = Traffic(carrier, allowed, max(free_at, now + line - LINE_MAX + SHARE))
    for halt in await fetch(conn, "open_halts", **who):
        await _halted(conn, traffic, halt["country"], halt["probe_at"], now)
    return traffic


async def _halted(
    conn: Connection, traffic: Traffic, country: str, probe_at: datetime, now: datetime
) -> None:
    if probe_at > now:
        traffic.halted[country] = probe_at
        return
    again = now + (PROBE_FIRST if country == EVERYWHERE else ROUTE_PROBE)
    carrier = traffic.carrier
    mine = await fetch_value(
        conn, "claim_probe", channel=carrier.channel, sender=carrier.sender, country=country,
        now=now, again=again,
    )  # fmt: skip
    (traffic.probes if mine is not None else traffic.halted)[country] = again


def _routed(lane: "Lane", traffic: Traffic, person: PersonRow, row: PointRow) -> PointRow:
    assert person.data_key is not None
    try:
        key = lane.keyring.person_key(person.data_key)
        address = unseal(key, row.address, contact_place(lane.portfolio.id, row.point.id)).decode()
    except Unreadable:
        return row  # told as such when it is about to be used
    country = traffic.carrier.country_of(address)
    traffic.countries[row.point.id] = country or ""
    return replace(
        row,
        point=replace(
            row.point,
            no_route=traffic.carrier.no_route(country),
            halted_until=traffic.until(country or ""),
        ),
    )


async def line_up(lane: "Lane", outgoing: Sequence["Outgoing"]) -> dict[str, float]:
    """Places in the senders' lines: for each token the monotonic time at which it may go."""
    slots: dict[str, float] = {}
    for carrier in lane.carriers.values():
        ours = [one.message for one in outgoing if one.message.channel == carrier.channel]
        if not ours:
            continue
        sizes = [carrier.parts_of(message.body) for message in ours]
        took = timedelta(seconds=sum(sizes) / carrier.parts_per_second)
        now, monotonic = lane.clock.now(), lane.clock.monotonic()
        async with lane.pool.acquire() as conn:
            begins = await fetch_value(
                conn, "reserve_line", channel=carrier.channel, sender=carrier.sender,
                now=now, took=took,
            )  # fmt: skip
        at = monotonic + (begins - now).total_seconds()
        for message, size in zip(ours, sizes, strict=True):
            slots[message.token] = at
            at += size / carrier.parts_per_second
    return slots


async def follow_traffic(
    conn: Connection,
    lane: "Lane",
    sent: Sequence[tuple["Outgoing", Answer]],
    now: datetime,
) -> None:
    """What the answers of a batch say of their senders: too many, out of order, or well again."""
    for carrier in lane.carriers.values():
        ours = [pair for pair in sent if pair[0].message.channel == carrier.channel]
        if ours:
            await _back_off(conn, carrier, [answer for _, answer in ours], now)
            await _halt(conn, lane, carrier, ours, now)
            await _recover(conn, carrier, ours, now)


async def _back_off(
    conn: Connection, carrier: Carrier, answers: Sequence[Answer], now: datetime
) -> None:
    waits = [
        answer.retry_after
        for answer in answers
        if isinstance(answer, Refused) and (answer.code == TOO_MANY or answer.retry_after)
    ]
    if waits:
        asked = max((wait for wait in waits if wait is not None), default=None)
        await execute(
            conn, "back_off", channel=carrier.channel, sender=carrier.sender, now=now,
            asked=None if asked is None else timedelta(seconds=asked),
        )  # fmt: skip


async def _halt(
    conn: Connection,
    lane: "Lane",
    carrier: Carrier,
    sent: Sequence[tuple["Outgoing", Answer]],
    now: datetime,
) -> None:
    halts: dict[str, str] = {}
    for outgoing, answer in sent:
        if isinstance(answer, Refused) and answer.halt is not None:
            everywhere = answer.halt is Halt.SENDER
            country = None if everywhere else carrier.country_of(outgoing.message.address)
            halts[country or EVERYWHERE] = answer.code
    for country, code in sorted(halts.items()):
        await halt(conn, lane.portfolio.id, carrier, country, code, now)


async def halt(
    conn: Connection, portfolio_id: int, carrier: Carrier, country: str, code: str, now: datetime
) -> bool:
    """Open the breaker of a route, with one case however many messages it stops; False if it was open."""
    probe = now + (PROBE_FIRST if country == EVERYWHERE else ROUTE_PROBE)
    opened = await fetch_value(
        conn, "open_halt", channel=carrier.channel, sender=carrier.sender, country=country,
        code=code, now=now, probe=probe,
    )  # fmt: skip
    if opened is None:
        return False
    where = "everywhere" if country == EVERYWHERE else country
    await execute(
        conn, "open_cases", portfolio=portfolio_id, now=now, kinds=["sender-halted"],
        subjects=[f"{carrier.channel} {carrier.sender} {where}"], loans=[None], borrowers=[None],
        details=[orjson.dumps({"code": code, "country": country}).decode()],
    )  # fmt: skip
    return True


async def _recover(
    conn: Connection, carrier: Carrier, sent: Sequence[tuple["Outgoing", Answer]], now: datetime
) -> None:
    well = {
        carrier.country_of(outgoing.message.address) or ""
        for outgoing, answer in sent
        if isinstance(answer, Accepted)
    }
    if not well:
        return
    who: Mapping[str, str] = {"channel": carrier.channel, "sender": carrier.sender}
    await execute(conn, "pace_well", **who, now=now)
    # what is recorded this long after the halt was begun after it
    before = now - timedelta(seconds=15)
    await execute(
        conn, "close_halts", **who, now=now, before=before, countries=[*sorted(well), EVERYWHERE]
    )
