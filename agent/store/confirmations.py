"""Answers to opt-outs: what is open, who is behind a number, what was decided."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from agent.store.sql import Connection, execute, fetch, fetch_value

Number = tuple[str, bytes]


class Owner(NamedTuple):
    """Somebody who may be behind a number."""

    portfolio_id: int
    borrower_id: int
    region: str | None
    zones: tuple[str, ...]
    locale: str
    packs: tuple[str, ...]
    role: str | None
    lender: str
    provider: str | None
    # why nobody writes to them, whatever the rules of answers say
    stopped: bool


async def owners(conn: Connection, numbers: Sequence[Number]) -> dict[Number, list[Owner]]:
    """Everybody behind these numbers, in all portfolios."""
    rows = await fetch(
        conn,
        "owners_of_numbers",
        channels=[channel for channel, _ in numbers],
        keys=[key for _, key in numbers],
    )
    found: dict[Number, list[Owner]] = {}
    for row in rows:
        stopped = row["held"] or row["paused"] or row["status"] != "active"
        found.setdefault((row["channel"], bytes(row["address_key"])), []).append(
            Owner(
                row["portfolio_id"], row["borrower_id"], row["region"], tuple(row["zones"]),
                row["locale"], tuple(row["packs"]), row["role"], row["lender"], row["provider"],
                stopped,
            )
        )  # fmt: skip
    return found


async def unanswered(conn: Connection, since: datetime, batch: int) -> list[Any]:
    """Opt-outs of which nobody decided yet whether they are answered; others wait meanwhile."""
    await fetch_value(conn, "confirmations_lock")
    return await fetch(conn, "opt_outs_unanswered", since=since, batch=batch)


class Decided(NamedTuple):
    """Whether an opt-out is answered. Without a token it is not."""

    channel: str
    provider_id: str
    key: bytes
    rules: tuple[str, ...]
    packs: str
    token: str | None = None
    body: bytes | None = None
    deadline: datetime | None = None


async def keep(conn: Connection, one: Decided, now: datetime) -> bool:
    """Write the decision down; False if somebody was faster."""
    kept = await fetch_value(
        conn, "keep_confirmation", channel=one.channel, provider_id=one.provider_id, key=one.key,
        now=now, rules=list(one.rules), packs=one.packs, token=one.token, body=one.body,
        deadline=one.deadline, state="none" if one.token is None else "begun",
    )  # fmt: skip
    return kept is not None


async def settle(
    conn: Connection, token: str, state: str, sent_as: str | None, now: datetime
) -> None:
    """What became of an answer."""
    await execute(
        conn, "settle_confirmation", token=token, state=state, sent_as=sent_as, now=now
    )  # fmt: skip


async def strand(conn: Connection, before: datetime, now: datetime) -> int:
    """Answers that nobody will settle any more."""
    return await execute(conn, "strand_confirmations", before=before, now=now)


class Closing(NamedTuple):
    """What an opt-out closes beyond its number."""

    portfolio_id: int
    borrower_id: int
    scope: str
    channel: str


async def close_more(conn: Connection, what: Sequence[Closing], now: datetime) -> None:
    """Hold channels, loans or people of an opt-out, and let planning know."""
    if not what:
        return
    await execute(
        conn,
        "hold_opted_out",
        portfolios=[one.portfolio_id for one in what],
        borrowers=[one.borrower_id for one in what],
        scopes=[one.scope for one in what],
        channels=[one.channel for one in what],
        now=now,
    )
    people = sorted({(one.portfolio_id, one.borrower_id) for one in what})
    await execute(
        conn,
        "derive_held_until",
        portfolios=[portfolio for portfolio, _ in people],
        ids=[borrower for _, borrower in people],
        now=now,
    )
