"""Flags of the ledger: each holds all automated contact with a person until it ends or is taken back."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from agent.domain.event import Flagged, Opened, Reason, Rejected
from agent.flows.intake_work import People, PersonWork
from agent.flows.passed_over import derive_holds
from agent.flows.routing import Item, Places
from agent.store.sql import Connection, execute, fetch

Held = tuple[PersonWork, Flagged]


def read_flags(people: People, items: Sequence[Item], places: Places) -> list[Held]:
    """What the batch says of flags, in its order: of one flag the last word counts.

    A flag that names nobody is refused on its item.
    """
    last: dict[tuple[int, int, str], Held] = {}
    for person, fact in _flags(people, items, places):
        last[person.portfolio_id, person.id, fact.flag] = (person, fact)
    return list(last.values())


async def write_holds(
    conn: Connection, held: Sequence[PersonWork], flags: Sequence[Held], now: datetime
) -> None:
    """Hold the new loans of people who are held, then place and lift what the batch says."""
    if held:
        await _derive_held_until(conn, held, now)
    if flags:
        await _lift(conn, [held for held in flags if not held[1].active], now)
        await _place(conn, [held for held in flags if held[1].active], now)
        await _derive_held_until(conn, [person for person, _ in flags], now)


def _flags(people: People, items: Sequence[Item], places: Places) -> list[Held]:
    if not any(isinstance(item.event.fact, Flagged) for item in items):
        return []
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


async def held_borrowers(
    conn: Connection, people: People, items: Sequence[Item]
) -> list[PersonWork]:
    """Who borrows again while a hold is on them: it covers the loans that come later, too."""
    again = {
        (person.portfolio_id, person.id)
        for item in items
        if isinstance(item.event.fact, Opened)
        and item.refused is None
        and not (person := people.by_ref[item.portfolio_id, item.event.fact.person.ref]).is_new
    }
    if not again:
        return []
    rows = await fetch(
        conn, "people_held", portfolios=[key[0] for key in again], ids=[key[1] for key in again]
    )
    return [people.by_id[row["portfolio_id"], row["borrower_id"]] for row in rows]


async def _derive_held_until(conn: Connection, people: Sequence[PersonWork], now: datetime) -> None:
    """Write on the loans of these people until when planning has to skip them."""
    portfolios = [person.portfolio_id for person in people]
    await derive_holds(conn, portfolios, [person.id for person in people], now)


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
