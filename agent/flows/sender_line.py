"""The line of a sender: places in it, and what a message hears of its sender while it waits for its own."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from agent.flows.breakers import EVERYWHERE
from agent.flows.carriers import Carrier
from agent.store.sql import fetch, fetch_row
from channels.base import Message

if TYPE_CHECKING:
    from agent.flows.dispatch_begin import Outgoing
    from agent.flows.lane import Lane


class Slot(NamedTuple):
    """A message's place in its sender's line: from when, on the monotonic clock, it may go; and its end."""

    at: float
    ends: float
    carrier: Carrier


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
                now=now, parts=sum(sizes), part_takes=carrier.part_takes,
            )  # fmt: skip
        assert row is not None
        at, takes = monotonic + (row["begins"] - now).total_seconds(), row["part_takes"]
        for message, size in zip(ours, sizes, strict=True):
            ends = at + size * takes.total_seconds()
            slots[message.token] = Slot(at, ends, carrier)
            at = ends
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
