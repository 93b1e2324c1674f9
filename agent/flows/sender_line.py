"""The line of a sender: places in it, and what a message hears of its sender while it waits for its own.

Places are given out seconds before, a share at a time. A worker that is late uses them late, and whoever
comes after it is on time: so a message of a slow sender asks once more as it leaves, and all workers
together keep within the limit in every second.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from agent.flows.breakers import EVERYWHERE
from agent.flows.carriers import Carrier
from agent.store.sql import fetch, fetch_row, fetch_value
from channels.base import Message

if TYPE_CHECKING:
    from agent.flows.dispatch_begin import Outgoing
    from agent.flows.lane import Lane


# A second, and what clocks, timers and the way to the provider may differ by.
SPAN = timedelta(seconds=1.02)
# Whoever is later than this after its moment takes another; who found no room asks again not sooner.
PROMPT, TICK = 0.018, 0.001
# A faster sender is asked for no single message: what a late worker adds is little of a second's.
SLOW = 100.0


class Slot(NamedTuple):
    """A message's place in its sender's line: from when, on the monotonic clock, it may go; and its end."""

    at: float
    ends: float
    carrier: Carrier
    parts: int

    @property
    def asks_again(self) -> bool:
        """Its sender is so slow that a worker's delay would show in the parts of a second."""
        return self.parts < SLOW * (self.ends - self.at)


def carrier_of(lane: "Lane", message: Message) -> Carrier | None:
    """The sender that carries this message; None where nothing binds it."""
    carriers = lane.carriers.get(message.channel)
    return carriers.of(message.provider, message.address) if carriers is not None else None


def by_carrier(lane: "Lane", outgoing: Sequence["Outgoing"]) -> Iterator[tuple[Carrier, list[int]]]:
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
    for carrier, places in by_carrier(lane, outgoing):
        ours = [outgoing[place].message for place in places]
        sizes = [carrier.parts_of(message.body) for message in ours]
        now, monotonic = lane.clock.now(), lane.clock.monotonic()
        async with lane.pool.acquire() as conn:
            row = await fetch_row(
                conn, "reserve_line", channel=carrier.channel, sender=carrier.sender,
                now=now, sizes=sizes, part_takes=carrier.part_takes,
            )  # fmt: skip
        assert row is not None
        at = monotonic + (row["begins"] - now).total_seconds()
        for message, size, takes in zip(ours, sizes, row["takes"], strict=True):
            ends = at + takes.total_seconds()
            slots[message.token] = Slot(at, ends, carrier, size)
            at = ends
    return slots


async def leaves(lane: "Lane", slot: Slot, latest: float) -> bool:
    """Wait until the parts of this message may leave, and take that moment; False if it comes too late."""
    clock = lane.clock
    while slot.asks_again:
        asked = clock.monotonic()
        if (after := await _wait_for_room(lane, slot, clock.now())) is None:
            if clock.monotonic() <= asked + PROMPT:
                return True
        elif asked + after > latest:
            return False
        else:
            await clock.sleep(max(after, TICK))
    return True


async def _wait_for_room(lane: "Lane", slot: Slot, now: datetime) -> float | None:
    """None if this moment is ours now; otherwise how long there is no room, as things stand."""
    asked = {
        "channel": slot.carrier.channel, "sender": slot.carrier.sender, "now": now, "span": SPAN,
        "parts": slot.parts, "part_takes": slot.carrier.part_takes,
    }  # fmt: skip
    async with lane.pool.acquire() as conn:
        if await fetch_value(conn, "take_leave", **asked):
            return None
        at: datetime | None = await fetch_value(conn, "leave_after", **asked)
    return None if at is None else (at - now).total_seconds()


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
