"""Flags of the ledger: each holds all automated contact with a person until it ends or is taken back."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from agent.domain.event import Flagged, Opened, Reason, Rejected
from agent.flows.intake_people import People, PersonWork
from agent.flows.routing import Item, Places
from agent.store.sql import Connection, execute

Held = tuple[PersonWork, Flagged]


async def store_flags(
    conn: Connection, people: People, items: Sequence[Item], places: Places, now: datetime
) -> None:
    """Place and lift holds as the batch says, in its order: of one flag the last word counts."""
    last: dict[tuple[int, int, str], Held] = {}
    for person, fact in _flags(people, items, places):
        last[person.portfolio_id, person.id, fact.flag] = (person, fact)
    if not last:
        return
    placed = [held for held in last.values() if held[1].active]
    taken_back = [held for held in last.values() if not held[1].active]
    await _lift(conn, taken_back, now)
    await _place(conn, placed, now)
    await derive_held_until(conn, [person for person, _ in last.values()], now)


def _flags(people: People, items: Sequence[Item], places: Places) -> list[Held]:
    owners = {
        (item.portfolio_id, item.event.subject): item.event.fact.person.ref
        for item in items
        if isinstance(item.event.fact, Opened) and item.refused is None
    }
    found = []
    for item in items:
        fact = item.event.fact
        if isinstance(fact, Flagged) and item.refused is None:
            person = _flagged(people, item, fact, owners, places)
            if person is None:
                item.refused = Rejected(Reason.UNKNOWN_BORROWER, "subject")
            else:
                found.append((person, fact))
    return found


async def _place(conn: Connection, holds: Sequence[Held], now: datetime) -> None:
    if holds:
        await execute(
            conn,
            "place_person_holds",
            portfolios=[person.portfolio_id for person, _ in holds],
            borrowers=[person.id for person, _ in holds],
            reasons=[fact.flag for _, fact in holds],
            untils=[fact.until for _, fact in holds],
            revs=[person.rev for person, _ in holds],
            placed_by="ledger",
            now=now,
        )


async def _lift(conn: Connection, holds: Sequence[Held], now: datetime) -> None:
    """Only what the ledger placed: a hold of staff's stays theirs."""
    if holds:
        await execute(
            conn,
            "lift_person_holds",
            portfolios=[person.portfolio_id for person, _ in holds],
            borrowers=[person.id for person, _ in holds],
            reasons=[fact.flag for _, fact in holds],
            revs=[person.rev for person, _ in holds],
            placed_by="ledger",
            now=now,
        )


async def hold_new_loans(
    conn: Connection, people: People, items: Sequence[Item], now: datetime
) -> None:
    """A hold on a person covers the loans that come later, too."""
    opened = {
        person.id: person
        for item in items
        if isinstance(item.event.fact, Opened)
        and item.refused is None
        and not (person := people.by_ref[item.portfolio_id, item.event.fact.person.ref]).is_new
    }
    if opened:
        await derive_held_until(conn, list(opened.values()), now)


async def derive_held_until(conn: Connection, people: Sequence[PersonWork], now: datetime) -> None:
    """Write on the loans of these people until when planning has to skip them."""
    await execute(
        conn,
        "derive_held_until",
        portfolios=[person.portfolio_id for person in people],
        ids=[person.id for person in people],
        now=now,
    )


def _flagged(
    people: People,
    item: Item,
    fact: Flagged,
    owners: Mapping[tuple[int, str], str],
    places: Places,
) -> PersonWork | None:
    """The person a flag names, or whose loan it names; the loan may have come with this batch."""
    loan = (item.portfolio_id, item.event.subject)
    person = people.by_ref.get((item.portfolio_id, fact.person_ref))
    if person is None and loan in owners:
        person = people.by_ref.get((item.portfolio_id, owners[loan]))
    if person is None and loan in places.loan_keys:
        person = people.by_id.get((item.portfolio_id, places.loan_keys[loan][1]))
    return person
