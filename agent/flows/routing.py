"""Which portfolio an event belongs to, and whether we have it already."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.domain.event import Event, Flagged, Opened, Reason, Rejected, Updated, parse_event
from agent.flows.reading import Read
from agent.store.sql import Connection, fetch

UNASSIGNED = 0
PARKED = frozenset({Reason.UNKNOWN_LOAN, Reason.UNKNOWN_PAYMENT})
_BRINGERS = frozenset({"loan.opened", "payment.posted"})


@dataclass(slots=True)
class Item:
    """An event on its way through a batch."""

    event: Event
    known_at: datetime
    portfolio_id: int
    read: Read | None = None
    parked_in: int | None = None
    refused: Rejected | None = None

    @property
    def line(self) -> int:
        return self.read.line if self.read else 0


@dataclass(frozen=True, slots=True)
class Places:
    """Which portfolios know a reference, and the keys of what is stored."""

    loans: dict[str, set[int]] = field(default_factory=dict)
    people: dict[str, set[int]] = field(default_factory=dict)
    loan_keys: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    person_keys: dict[tuple[int, str], int] = field(default_factory=dict)


def person_ref(event: Event) -> str | None:
    """The person an event is about, where it says so itself."""
    match event.fact:
        case Opened(person=person) | Updated(person=person):
            return person.ref
        case Flagged(person_ref=ref):
            return ref
        case _:
            return None


async def find_places(
    conn: Connection, events: Sequence[Event], ids: Mapping[str, int], default: str
) -> Places:
    """Look up every reference of a batch, and count in what the batch itself opens."""
    places = Places()
    subjects = list({event.subject for event in events})
    for row in await fetch(conn, "loans_named", refs=subjects):
        key = (row["portfolio_id"], row["ref"])
        places.loans.setdefault(row["ref"], set()).add(row["portfolio_id"])
        places.loan_keys[key] = (row["id"], row["borrower_id"])
    refs = list({ref for event in events if (ref := person_ref(event))})
    for row in await fetch(conn, "borrowers_named", refs=refs):
        places.people.setdefault(row["ref"], set()).add(row["portfolio_id"])
        places.person_keys[row["portfolio_id"], row["ref"]] = row["id"]
    for event in events:
        if isinstance(event.fact, Opened):
            portfolio = ids[event.portfolio or default]
            places.loans.setdefault(event.subject, set()).add(portfolio)
            places.people.setdefault(event.fact.person.ref, set()).add(portfolio)
    return places


def place(
    event: Event, places: Places, ids: Mapping[str, int], default: str
) -> tuple[int, Rejected | None]:
    """The portfolio of an event, or why it has none: a reference must not be guessed at."""
    if isinstance(event.fact, Opened):
        return ids[event.portfolio or default], None
    if isinstance(event.fact, Updated | Flagged):
        known, missing = _known_person(event, places)
    else:
        known, missing = places.loans.get(event.subject, set()), Reason.UNKNOWN_LOAN
    if event.portfolio is not None:
        named = ids.get(event.portfolio)
        known = known & {named} if named is not None else set()
    if len(known) == 1:
        return next(iter(known)), None
    home = ids.get(event.portfolio, UNASSIGNED) if event.portfolio else UNASSIGNED
    return home, Rejected(Reason.AMBIGUOUS_LOAN if known else missing, "subject")


def _known_person(event: Event, places: Places) -> tuple[set[int], Reason]:
    ref = person_ref(event)
    found = places.people.get(ref or "", set())
    if not found and isinstance(event.fact, Flagged):
        # a flag may name the loan instead of the person
        found = places.loans.get(event.subject, set())
    return found, Reason.UNKNOWN_BORROWER


async def drop_known(conn: Connection, items: Sequence[Item]) -> tuple[list[Item], int, list[Item]]:
    """New items, how many were stored already, and those that reuse an id for another content."""
    rows = await fetch(
        conn,
        "known_events",
        portfolios=[item.portfolio_id for item in items],
        ids=[item.event.id for item in items],
    )
    seen = {(row["portfolio_id"], row["id"]): bytes(row["sha256"]) for row in rows}
    fresh: list[Item] = []
    reused: list[Item] = []
    duplicates = 0
    for item in items:
        assert item.read is not None
        key, digest = (item.portfolio_id, item.event.id), item.read.sha256
        if key not in seen:
            seen[key] = digest
            fresh.append(item)
        elif seen[key] == digest:
            duplicates += 1
        else:
            reused.append(item)
    return fresh, duplicates, reused


async def wake_parked(
    conn: Connection, items: Iterable[Item], portfolios: Sequence[int]
) -> list[Item]:
    """Events that came too early and whose loan, or payment, this batch brings."""
    bringers = {
        item.event.subject: item
        for item in items
        if item.event.type in _BRINGERS and item.refused is None
    }
    if not bringers:
        return []
    rows = await fetch(conn, "parked_events", subjects=list(bringers), portfolios=list(portfolios))
    return [_woken(row, bringers[row["subject"]]) for row in rows]


def _woken(row: Any, bringer: Item) -> Item:
    event = parse_event(
        {
            "id": row["id"],
            "source": row["source"],
            "type": row["type"],
            "subject": row["subject"],
            "time": row["at"].isoformat(),
            "data": row["data"],
        }
    )
    assert isinstance(event, Event), f"a stored event no longer reads: {row['id']}"
    known_at = max(bringer.known_at, row["at"])
    return Item(event, known_at, bringer.portfolio_id, parked_in=row["portfolio_id"])


def in_order(items: Iterable[Item]) -> list[Item]:
    """Openings first, then by time; at the same instant a payment comes before a closing."""
    return sorted(items, key=_order)


_RANK = {"loan.opened": 0, "borrower.updated": 1, "payment.posted": 2, "loan.closed": 4}


def _order(item: Item) -> tuple[bool, datetime, int]:
    event = item.event
    return (event.type != "loan.opened", event.at, _RANK.get(event.type, 3))
