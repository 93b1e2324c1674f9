"""Facts that conduct rules ask for, read for a batch under the locks of its people."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from agent.domain.conduct_base import Quiet
from agent.store.sql import Connection, fetch


class Wishes(NamedTuple):
    """Hours without contact, and waivers as (what is waived, to whom)."""

    quiet: tuple[Quiet, ...]
    waivers: tuple[tuple[str, str], ...]


class EvidenceRow(NamedTuple):
    """What is known of the consent to one contact point, and of whose number it is."""

    consented: bool
    consent_at: datetime | None
    given_to: str | None
    scopes: tuple[str, ...]
    checked_at: datetime | None
    heard_at: datetime | None


async def read_wishes(
    conn: Connection, portfolio_id: int, people: Sequence[int]
) -> dict[int, Wishes]:
    """What these people asked for, by person."""
    rows = await fetch(conn, "preferences_of", portfolio=portfolio_id, ids=people)
    return {row["borrower_id"]: _wishes(row) for row in rows}


def _wishes(row: Any) -> Wishes:
    quiet = tuple(Quiet(frozenset(days), begins, ends) for days, begins, ends in row["quiet"])
    return Wishes(quiet, tuple((waived, given_to) for waived, given_to, _ in row["waivers"]))


async def read_evidence(
    conn: Connection, portfolio_id: int, people: Sequence[int]
) -> dict[int, EvidenceRow]:
    """The evidence behind these people's contact points, by point."""
    rows = await fetch(conn, "evidence_of", portfolio=portfolio_id, ids=people)
    return {
        row["id"]: EvidenceRow(
            row["consented"], row["consent_at"], row["given_to"], tuple(row["scopes"]),
            row["checked_at"], row["heard_at"],
        )
        for row in rows
    }  # fmt: skip


async def read_first_contacts(
    conn: Connection, portfolio_id: int, loans: Sequence[int]
) -> dict[int, datetime]:
    """When somebody was first told of these loans; the others nobody was told of."""
    rows = await fetch(conn, "first_contacts", portfolio=portfolio_id, ids=loans)
    return {row["id"]: row["at"] for row in rows}


class Try(NamedTuple):
    """An earlier attempt to reach a person."""

    loan_id: int
    address_key: bytes
    state: str


async def read_tries(
    conn: Connection, portfolio_id: int, people: Sequence[int]
) -> dict[int, list[Try]]:
    """What was tried for these people, oldest first."""
    rows = await fetch(conn, "tries_of", portfolio=portfolio_id, ids=people)
    found: dict[int, list[Try]] = {}
    for row in rows:
        one = Try(row["loan_id"], bytes(row["address_key"]), row["state"])
        found.setdefault(row["borrower_id"], []).append(one)
    return found


async def read_stated(
    conn: Connection, portfolio_id: int, people: Sequence[int], names: Sequence[str]
) -> dict[tuple[int, str], dict[str, Any]]:
    """What the ledger states, by person and reference of the loan (empty: of the person)."""
    rows = await fetch(conn, "facts_stated", portfolio=portfolio_id, ids=people, names=names)
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for row in rows:
        value = row["value"]
        told = date.fromisoformat(value) if isinstance(value, str) else value
        found.setdefault((row["borrower_id"], row["loan_ref"]), {})[row["name"]] = told
    return found
