"""The numbers of a batch: locked in the order of their keys, then asked what speaks against them."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from agent.store.sql import Connection, fetch

# Channel and blind index of the address.
NumberKey = tuple[str, bytes]


class Number(NamedTuple):
    """What is known of a number under its lock."""

    rev: int
    opted_out: bool = False
    held: bool = False
    busy_since: datetime | None = None


async def lock_numbers(
    conn: Connection, portfolio_id: int, points: Sequence[Any], now: datetime
) -> dict[NumberKey, Number]:
    """Lock the numbers of these points in the order of their keys; what speaks against each."""
    by_channel: defaultdict[str, set[bytes]] = defaultdict(set)
    for row in points:
        by_channel[row["channel"]].add(row["address_key"])
    numbers: dict[NumberKey, Number] = {}
    for name in sorted(by_channel):
        told = {"channel": name, "keys": list(by_channel[name])}
        for key, rev in await fetch(conn, "lock_numbers", portfolio=portfolio_id, **told):
            numbers[name, key] = Number(rev)
    against = await fetch(
        conn,
        "numbers_against",
        portfolio=portfolio_id,
        now=now,
        channels=[channel for channel, _ in numbers],
        keys=[key for _, key in numbers],
    )
    for channel, key, what, since in against:
        # the same key on another channel is another number
        if (number := numbers.get((channel, key))) is not None:
            numbers[channel, key] = number._replace(
                opted_out=number.opted_out or what == "opted-out",
                held=number.held or what == "held",
                busy_since=since or number.busy_since,
            )
    return numbers
