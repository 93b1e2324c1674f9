"""Which message of a provider's list is an attempt's own: the list does not say whose token it carried.

By its text, then: at most one attempt to a number is unsettled in a portfolio, and what other attempts
explain is not it. Portfolios that share a number may send it the same words at the same time; as long as
there are fewer messages than attempts which claim them, nobody can say whose they are.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from agent.domain.echo import is_echo
from agent.flows.lane import Lane
from agent.store.keyring import Keyring, Unreadable, body_place, unseal
from agent.store.sql import Connection, fetch
from channels.base import Listed, Listing


class Matched(NamedTuple):
    """The message that is ours; without one, whether the list proves that there is none."""

    provider_id: str | None
    complete: bool


# What is not known to be there, and not to be absent.
NOTHING = Matched(None, complete=False)


async def match(lane: Lane, row: Any, listing: Listing) -> Matched:
    """Find an unsettled attempt's message in a list of its number."""
    body = _text(lane.keyring, row)
    same = [one for one in listing.messages if one.body == body]
    same = same or [one for one in listing.messages if is_echo(body, one.body)]
    if not same:
        return Matched(None, listing.complete)
    async with lane.pool.acquire() as conn:
        # in this order: whoever settles in between leaves us with one message less, never one too many
        claims = await _claims(conn, lane, row, body)
        free = await _unexplained(conn, row["channel"], same)
    if not free:
        return Matched(None, listing.complete)
    if len(free) < len(claims):
        return NOTHING
    # whoever looks at the same time picks another one
    return Matched(free[claims.index(row["token"])], complete=False)


def _text(keyring: Keyring, row: Any) -> str:
    key = keyring.person_key(row["data_key"])
    return unseal(key, row["body"], body_place(row["token"])).decode()


async def _unexplained(conn: Connection, channel: str, same: Sequence[Listed]) -> list[str]:
    ids = sorted({one.provider_id for one in same})
    rows = await fetch(conn, "known_provider_ids", channel=channel, ids=ids)
    known = {row["provider_id"] for row in rows}
    return [provider_id for provider_id in ids if provider_id not in known]


async def _claims(conn: Connection, lane: Lane, row: Any, body: str) -> list[str]:
    """The tokens of all unsettled attempts, ours among them, that sent this number these words."""
    rivals = await fetch(
        conn, "rivals", channel=row["channel"], address_key=row["address_key"], token=row["token"]
    )
    claims = [row["token"]]
    for rival in rivals:
        try:
            theirs = _text(lane.keyring, rival)
        except Unreadable:
            continue  # whoever was forgotten claims nothing
        if is_echo(body, theirs) or is_echo(theirs, body):
            claims.append(rival["token"])
    return sorted(claims)
