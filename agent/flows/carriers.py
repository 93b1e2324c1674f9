"""What binds a sender: where it may send, how fast, and when it is out of order.

One row in PostgreSQL is the sender's line, so that all workers together keep to one pace, and one row
a halted route is its circuit breaker (`breakers.py`). A lane takes a small share of the line at a time:
portfolios that share a sender take turns, and what is begun can leave long before its deadline.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from agent.domain.quiet import QuietHours, quiet_at
from agent.flows import breakers
from agent.flows.breakers import EVERYWHERE, HALTED, Route
from agent.store.dispatch import Facts, PersonRow, PointRow
from agent.store.keyring import Unreadable, contact_place, unseal
from agent.store.sql import Connection, execute, fetch, fetch_row
from channels.base import Accepted, Answer, Halt, Message, Refused

if TYPE_CHECKING:
    from agent.flows.dispatch_begin import Outgoing
    from agent.flows.lane import Lane

SHARE = timedelta(seconds=2)
LINE_MAX = timedelta(seconds=8)
# Texts about loans take two parts more often than one; the line itself counts exactly.
PARTS_GUESS = 2
PACE = "pace"
TOO_MANY = "429"


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


class Slot(NamedTuple):
    """A message's place in its sender's line: the monotonic time at which it may go."""

    at: float
    carrier: Carrier


@dataclass(slots=True)
class Traffic:
    """What one begin may use of a sender."""

    carrier: Carrier
    part_takes: timedelta
    allowed: int
    free_at: datetime
    halted: dict[str, datetime] = field(default_factory=dict)
    probes: dict[str, datetime] = field(default_factory=dict)
    countries: dict[int, str] = field(default_factory=dict)
    trying: dict[int, str] = field(default_factory=dict)
    closes: dict[int, datetime] = field(default_factory=dict)
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
                self.trying[point_id] = probed
                break
        else:
            if (until := self.until(country)) is not None:
                return HALTED, until
        if self.allowed < 1:
            self.overflow += 1
            line = self.overflow * self.carrier.parts_guess * self.part_takes
            return PACE, max(self.free_at + line, now + timedelta(seconds=1))
        self.allowed -= self.carrier.parts_guess
        return None


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
        found.by_sender[who] = await _traffic(conn, carrier, now)
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


async def _traffic(conn: Connection, carrier: Carrier, now: datetime) -> Traffic:
    row = await fetch_row(conn, "sender_state", channel=carrier.channel, sender=carrier.sender)
    part_takes = (row["part_takes"] if row else None) or carrier.part_takes
    line = max(row["busy_until"] - now, timedelta()) if row else timedelta()
    patient = row is not None and row["not_before"] > now
    share = min(SHARE, LINE_MAX - line)
    allowed = 0 if patient else int(share / part_takes)
    if not patient and not line:
        allowed = max(allowed, 1)  # a slow sender is still allowed one at a time
    free_at = max(row["not_before"], now) if row else now
    traffic = Traffic(carrier, part_takes, allowed, max(free_at, now + line - LINE_MAX + SHARE))
    halts = await breakers.read_breakers(conn, carrier.channel, carrier.sender, now)
    for country, halt in halts.items():
        (traffic.probes if halt.probing else traffic.halted)[country] = halt.until
    return traffic


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


def carrier_of(lane: "Lane", message: Message) -> Carrier | None:
    """The sender that carries this message; None where nothing binds it."""
    carriers = lane.carriers.get(message.channel)
    return carriers.of(message.provider, message.address) if carriers is not None else None


def _by_carrier(
    lane: "Lane", outgoing: Sequence["Outgoing"]
) -> Iterator[tuple[Carrier, list[int]]]:
    """Which of these go by which sender, by their places in the sequence."""
    places: dict[tuple[str, str], tuple[Carrier, list[int]]] = {}
    for place, one in enumerate(outgoing):
        carrier = carrier_of(lane, one.message)
        if carrier is not None:
            places.setdefault((carrier.channel, carrier.sender), (carrier, []))[1].append(place)
    yield from places.values()


async def line_up(lane: "Lane", outgoing: Sequence["Outgoing"]) -> dict[str, Slot]:
    """Places in the senders' lines, by the token of the attempt."""
    slots: dict[str, Slot] = {}
    if not lane.carriers:
        return slots
    for carrier, places in _by_carrier(lane, outgoing):
        ours = [outgoing[place].message for place in places]
        sizes = [carrier.parts_of(message.body) for message in ours]
        now, monotonic = lane.clock.now(), lane.clock.monotonic()
        async with lane.pool.acquire() as conn:
            row = await fetch_row(
                conn, "reserve_line", channel=carrier.channel, sender=carrier.sender,
                now=now, parts=sum(sizes), part_takes=carrier.part_takes,
            )  # fmt: skip
        assert row is not None
        at, takes = monotonic + (row["begins"] - now).total_seconds(), row["part_takes"]
        for message, size in zip(ours, sizes, strict=True):
            slots[message.token] = Slot(at, carrier)
            at += size * takes.total_seconds()
    return slots


class Lookout:
    """Whether a sender was stopped after a message had been begun, while it waits for its turn.

    Asked once in half a second for each sender, however many messages wait.
    """

    EVERY = 0.5

    def __init__(self, lane: "Lane") -> None:
        self._lane = lane
        self._news: dict[tuple[str, str], tuple[float, dict[str, datetime], datetime | None]] = {}

    async def stopped(self, carrier: Carrier, message: Message, begun: datetime) -> bool:
        """A breaker was opened, or the provider asked for patience, and not for our trying it."""
        halts, not_before = await self._read(carrier)
        if not_before is not None and not_before > self._lane.clock.now():
            return True
        if not halts:
            return False
        country = carrier.country_of(message.address)
        return any(halts[each] > begun for each in {country or "", EVERYWHERE} & halts.keys())

    async def _read(self, carrier: Carrier) -> tuple[Mapping[str, datetime], datetime | None]:
        who, at = (carrier.channel, carrier.sender), self._lane.clock.monotonic()
        known = self._news.get(who)
        if known is not None and at - known[0] < self.EVERY:
            return known[1:]
        self._news[who] = (at, *(known[1:] if known else ({}, None)))  # one of us asks
        async with self._lane.pool.acquire() as conn:
            rows = await fetch(conn, "sender_news", channel=who[0], sender=who[1])
        halts = {row["country"]: row["halted_at"] for row in rows if row["country"] is not None}
        self._news[who] = (at, halts, rows[0]["not_before"])
        return halts, rows[0]["not_before"]


async def follow_traffic(
    conn: Connection,
    lane: "Lane",
    sent: Sequence[tuple["Outgoing", Answer]],
    now: datetime,
) -> None:
    """What the answers of a batch say of their senders: too many, out of order, or well again."""
    if not lane.carriers:
        return
    for carrier, places in _by_carrier(lane, [outgoing for outgoing, _ in sent]):
        ours = [sent[place] for place in places]
        await _back_off(conn, carrier, [answer for _, answer in ours], now)
        await _halt(conn, lane, carrier, ours, now)
        await _recover(conn, carrier, ours, now)


def is_crowded(answer: Refused) -> bool:
    """Not this message but its sender is over what its provider takes."""
    return answer.code == TOO_MANY or answer.halt is Halt.AWHILE


async def _back_off(
    conn: Connection, carrier: Carrier, answers: Sequence[Answer], now: datetime
) -> None:
    waits = [
        answer.retry_after
        for answer in answers
        if isinstance(answer, Refused) and is_crowded(answer)
    ]
    if waits:
        asked = max((wait for wait in waits if wait is not None), default=None)
        await be_patient(conn, carrier.channel, carrier.sender, asked, now)


async def be_patient(
    conn: Connection, channel: str, sender: str, seconds: float | None, now: datetime
) -> None:
    """Nobody sends by this sender for so long; without a time, twice as long as the last time."""
    asked = None if seconds is None else timedelta(seconds=seconds)
    await execute(conn, "back_off", channel=channel, sender=sender, now=now, asked=asked)


async def _halt(
    conn: Connection,
    lane: "Lane",
    carrier: Carrier,
    sent: Sequence[tuple["Outgoing", Answer]],
    now: datetime,
) -> None:
    halts: dict[str, str] = {}
    for outgoing, answer in sent:
        if isinstance(answer, Refused) and answer.halt in {Halt.ROUTE, Halt.SENDER}:
            everywhere = answer.halt is Halt.SENDER
            country = None if everywhere else carrier.country_of(outgoing.message.address)
            halts[country or EVERYWHERE] = answer.code
    for country, code in sorted(halts.items()):
        route = Route(carrier.channel, carrier.sender, country)
        await breakers.open_breaker(conn, lane.portfolio.id, route, code, now)


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
    route = Route(carrier.channel, carrier.sender)
    await execute(conn, "pace_well", channel=route.channel, sender=route.sender, now=now)
    # what is recorded this long after the halt was begun after it
    before = now - timedelta(seconds=15)
    await breakers.close_breakers(conn, route, [*sorted(well), EVERYWHERE], now, before=before)
