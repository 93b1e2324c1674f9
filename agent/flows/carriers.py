"""What binds a sender: where it may send, how fast, and when it is out of order.

One row in PostgreSQL is the sender's line, so that all workers together keep to one pace, and one row
a halted route is its circuit breaker (`breakers.py`). A lane takes a small share of the line at a time, so
that what is begun can leave long before its deadline. Portfolios that share a sender take turns: room is
left in the line for those who waited longer, whether or not they come for it soon.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from agent.domain.quiet import QuietHours, quiet_at
from agent.flows import breakers
from agent.flows.breakers import EVERYWHERE, HALTED, Route
from agent.store.dispatch import Facts, PersonRow, PointRow
from agent.store.keyring import Unreadable, contact_place, unseal
from agent.store.sql import Connection, execute, fetch_row

if TYPE_CHECKING:
    from agent.flows.dispatch_begin import Outgoing
    from agent.flows.lane import Lane

SHARE = timedelta(seconds=2)
LINE_MAX = timedelta(seconds=8)
# A lane comes back for its next share this long before the present one is used up.
REFILL = timedelta(seconds=1)
# Neither a full line nor who waits for it is asked more often.
SOON = timedelta(seconds=0.5)
# Who asked for a place so long ago and has not come back does not want it any more.
ASKS = timedelta(seconds=10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A provider that asks for more patience than this is as good as out of order: another way is taken.
LONG = timedelta(minutes=10)
# Texts about loans take two parts more often than one; the line itself counts exactly.
PARTS_GUESS = 2
PACE = "pace"


def never_quiet(country: str | None) -> QuietHours | None:  # noqa: ARG001
    """A way out without hours of its own."""
    return None


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
    parts_guess: int = PARTS_GUESS
    quiet: Callable[[str | None], QuietHours | None] = never_quiet

    def of(self, provider: str | None, address: str) -> "Carrier | None":  # noqa: ARG002
        """The only sender of its channel carries all."""
        return self

    def all(self) -> Sequence["Carrier"]:
        """Itself."""
        return (self,)

    @property
    def part_takes(self) -> timedelta:
        """How much of the line one part fills."""
        return timedelta(seconds=1 / self.parts_per_second)


class Carriers(Protocol):
    """The senders of a channel."""

    def of(self, provider: str | None, address: str) -> Carrier | None:
        """Who carries a message to this address; None if nobody does, as its channel will say."""
        ...

    def all(self) -> Sequence[Carrier]:
        """Every sender that is known beforehand."""
        ...


@dataclass(slots=True)
class Traffic:
    """What one begin may use of a sender."""

    carrier: Carrier
    part_takes: timedelta
    allowed: int
    free_at: datetime
    # what is taken at a time, and how many take it in turn
    share: timedelta = SHARE
    sharers: int = 1
    asked: bool = False
    sent: int = 0
    parts: int = 0
    halted: dict[str, datetime] = field(default_factory=dict)
    probes: dict[str, datetime] = field(default_factory=dict)
    countries: dict[int, str] = field(default_factory=dict)
    trying: dict[int, str] = field(default_factory=dict)
    closes: dict[int, datetime] = field(default_factory=dict)
    overflow: int = 0
    away_until: datetime | None = None

    def until(self, country: str) -> datetime | None:
        """When a route to a country that is out of order may be tried again."""
        ends = (*map(self.halted.get, (country, EVERYWHERE)), self.away_until)
        return max((at for at in ends if at is not None), default=None)

    def wait(self, point_id: int, now: datetime) -> tuple[str, datetime] | None:
        """Why a message to this point has to wait and until when; None takes its place in the line."""
        country = self.countries.get(point_id, "")
        for probed in (country, EVERYWHERE):
            if probed in self.probes:
                self.halted[probed] = self.probes.pop(probed)
                self.trying[point_id] = probed
                break
        else:
            if (until := self.until(country)) is not None:
                return HALTED, until
        if self.allowed < 1:
            return PACE, self._turn(now)
        return None

    def _turn(self, now: datetime) -> datetime:
        """When to look again at the next one that has to wait: a share's worth of them together.

        Early rather than late: a line must not run dry, nor a turn be missed, while somebody waits. With
        many who wait each looks less often.
        """
        each = self.parts / self.sent if self.sent else self.carrier.parts_guess
        together = max(1, int(self.share / (each * self.part_takes)))
        line = self.overflow // together * together * each * self.part_takes
        self.overflow += 1
        soon = now + min(max(SOON, SOON / 5 * self.sharers), ASKS / 2)
        return max(self.free_at, soon, soon + line * max(1.0, self.sharers / 3) - REFILL)

    def charge(self, text: str) -> None:
        """This text is about to take its place."""
        parts = self.carrier.parts_of(text)
        self.allowed, self.sent, self.parts = (
            self.allowed - parts,
            self.sent + 1,
            self.parts + parts,
        )


@dataclass(slots=True)
class Traffics:
    """The traffic of every sender that the points of a batch could go by."""

    by_point: dict[int, Traffic] = field(default_factory=dict)
    by_sender: dict[tuple[str, str], Traffic] = field(default_factory=dict)

    def of(self, point_id: int) -> Traffic | None:
        """The traffic of the sender that carries messages to this point."""
        return self.by_point.get(point_id)

    @property
    def waiting(self) -> bool:
        """Some sender's line was full."""
        return any(traffic.overflow for traffic in self.by_sender.values())


async def read_traffic(conn: Connection, lane: "Lane", facts: Facts, now: datetime) -> Traffics:
    """What each sender may do now; the facts' points learn which of them have no route."""
    found = Traffics()
    if not lane.carriers:
        return found
    for person_id, rows in facts.points.items():
        person = facts.people[person_id]
        facts.points[person_id] = [
            await _routed(conn, lane, found, person, row, now)
            if row.point.channel in lane.carriers and person.data_key is not None
            else row
            for row in rows
        ]
    return found


async def _routed(
    conn: Connection, lane: "Lane", found: Traffics, person: PersonRow, row: PointRow, now: datetime
) -> PointRow:
    assert person.data_key is not None
    try:
        key = lane.keyring.person_key(person.data_key)
        address = unseal(key, row.address, contact_place(lane.portfolio.id, row.point.id)).decode()
    except Unreadable:
        return row  # told as such when it is about to be used
    carrier = lane.carriers[row.point.channel].of(row.provider, address)
    if carrier is None:
        return row
    who = (carrier.channel, carrier.sender)
    if who not in found.by_sender:
        found.by_sender[who] = await _traffic(conn, lane, carrier, now)
    traffic = found.by_point[row.point.id] = found.by_sender[who]
    country = carrier.country_of(address)
    traffic.countries[row.point.id] = country or ""
    return row._replace(
        point=row.point._replace(
            no_route=carrier.no_route(country),
            halted_until=traffic.until(country or ""),
            quiet_until=_quiet_until(traffic, person, row, country, now),
        ),
    )


def _quiet_until(
    traffic: Traffic, person: PersonRow, row: PointRow, country: str | None, now: datetime
) -> datetime | None:
    """Until when the country's own hours forbid texts; the traffic learns when they come next."""
    hours = traffic.carrier.quiet(country)
    if hours is None or not person.zones:
        return None  # without a zone the gate holds
    quiet = quiet_at(hours, person.zones, now)
    traffic.closes[row.point.id] = quiet.starts
    return quiet.until


async def _traffic(conn: Connection, lane: "Lane", carrier: Carrier, now: datetime) -> Traffic:
    row = await fetch_row(
        conn, "sender_state", channel=carrier.channel, sender=carrier.sender,
        lane=lane.portfolio.id, since=now - ASKS,
    )  # fmt: skip
    assert row is not None
    part_takes = row["part_takes"] or carrier.part_takes
    line = max((row["busy_until"] or now) - now, timedelta())
    not_before = max(row["not_before"] or now, now)
    share = share_of(row["others"], carrier.parts_guess * part_takes)
    # taken whole or not at all, and room stays in the line for a share of each that waits longer
    fits = line + (1 + row["ahead"]) * share <= LINE_MAX
    allowed = int(share / part_takes) if fits and not_before <= now else 0
    if not line and not_before <= now:
        allowed = max(allowed, 1)  # a slow sender is still allowed one at a time
    traffic = Traffic(
        carrier, part_takes, allowed, not_before, share, 1 + row["others"], row["asked"] is not None
    )
    if not_before - now > LONG:
        traffic.away_until = not_before
    halts = await breakers.read_breakers(conn, carrier.channel, carrier.sender, now)
    for country, halt in halts.items():
        (traffic.probes if halt.probing else traffic.halted)[country] = halt.until
    return traffic


def share_of(others: int, least: timedelta) -> timedelta:
    """How much of a sender's line is taken at a time: less the more wait, never less than a message."""
    return max(min(SHARE, LINE_MAX / 2 / (1 + others)), least)


async def note_turns(conn: Connection, lane: "Lane", traffics: Traffics, now: datetime) -> None:
    """Whoever did not get enough waits for a turn; whoever got places was served now."""
    for (channel, sender), traffic in sorted(traffics.by_sender.items()):
        if traffic.overflow or traffic.asked:
            await execute(
                conn, "note_turn", lane=lane.portfolio.id, channel=channel, sender=sender,
                asked=now if traffic.overflow else _EPOCH, took=now if traffic.sent else _EPOCH,
            )  # fmt: skip


async def note_probes(
    conn: Connection, lane: "Lane", traffics: Traffics, outgoing: Sequence["Outgoing"]
) -> None:
    """Keep which of these messages try routes that are out of order."""
    if not any(traffic.trying for traffic in traffics.by_sender.values()):
        return
    for one in outgoing:
        traffic = traffics.of(one.point_id)
        country = traffic.trying.get(one.point_id) if traffic is not None else None
        if traffic is not None and country is not None:
            route = Route(traffic.carrier.channel, traffic.carrier.sender, country)
            await breakers.note_probe(conn, route, lane.portfolio.id, one.message.token)
