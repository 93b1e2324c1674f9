"""What answers say of the sender: too many, out of order, or well again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agent.flows import breakers
from agent.flows.breakers import EVERYWHERE, Route
from agent.flows.carriers import Carrier
from agent.flows.sender_line import by_carrier
from agent.store.sql import Connection, execute
from channels.base import Accepted, Answer, Halt, Refused

if TYPE_CHECKING:
    from agent.flows.dispatch_begin import Outgoing
    from agent.flows.lane import Lane

TOO_MANY = "429"


async def follow_traffic(
    conn: Connection,
    lane: "Lane",
    sent: Sequence[tuple["Outgoing", Answer]],
    now: datetime,
) -> None:
    """What the answers of a batch say of their senders: too many, out of order, or well again."""
    if not lane.carriers:
        return
    for carrier, places in by_carrier(lane, [outgoing for outgoing, _ in sent]):
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
