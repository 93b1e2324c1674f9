"""Which portfolio an event belongs to, and whether we have it already."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from agent.domain.event import ABOUT_PEOPLE, ABOUT_THEM, Event, Flagged, Opened, Reason, Rejected
from agent.domain.event_reading import parse_event
from agent.flows.reading import Read, whole
from agent.store.keyring import Keyring, event_place
from agent.store.sql import Connection, execute, fetch

UNASSIGNED = 0
# What waits for another event; the first two also within one batch.
PARKED = frozenset({Reason.UNKNOWN_LOAN, Reason.UNKNOWN_PAYMENT, Reason.UNKNOWN_BORROWER})
_NOWHERE: frozenset[int] = frozenset()
_BRINGERS = frozenset({"loan.opened", "payment.posted"})


@dataclass(slots=True)
class Item:
    """An event on its way through a batch."""

    event: Event
    known_at: datetime
    portfolio_id: int
    read: Read | None = None
    parked_in: int | None = None
    parked_for: str | None = None
    refused: Rejected | None = None
    # its place in the order of the batch, and whether it is put to a loan
    position: int = 0
    applies: bool = False

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
    fact = event.fact
    if isinstance(fact, ABOUT_THEM):
        return fact.person.ref
    return fact.person_ref if isinstance(fact, Flagged) else None


async def find_places(
    conn: Connection, events: Sequence[Event], ids: Mapping[str, int], default: str
) -> Places:
    """Look up every reference of a batch, and count in what the batch itself opens."""
    places = Places()
    await _look_up(conn, events, places)
    for event in events:
        if isinstance(event.fact, Opened):
            portfolio = ids[event.portfolio or default]
            places.loans.setdefault(event.subject, set()).add(portfolio)
            places.people.setdefault(event.fact.person.ref, set()).add(portfolio)
    await _meet(conn, events, places)
    return places


async def _meet(conn: Connection, events: Sequence[Event], places: Places) -> None:
    """Of two transactions, one opening a loan and one parking an event for it, one sees the other's.

    What is still unknown once the references are locked is looked up again: it may have come meanwhile.
    """
    missing = [event for event in events if not _is_known(event, places)]
    opening = [event for event in events if isinstance(event.fact, Opened)]
    refs = {event.subject for event in (*missing, *opening)}
    refs |= {ref for event in (*missing, *opening) if (ref := person_ref(event))}
    if refs:
        await execute(conn, "lock_references", refs=list(refs))
    if missing:
        await _look_up(conn, missing, places)


def _is_known(event: Event, places: Places) -> bool:
    if isinstance(event.fact, ABOUT_PEOPLE):
        return bool(_known_person(event, places)[0])
    return event.subject in places.loans


async def _look_up(conn: Connection, events: Sequence[Event], places: Places) -> None:
    subjects = list({event.subject for event in events})
    for row in await fetch(conn, "loans_named", refs=subjects):
        key = (row["portfolio_id"], row["ref"])
        places.loans.setdefault(row["ref"], set()).add(row["portfolio_id"])
        places.loan_keys[key] = (row["id"], row["borrower_id"])
    refs = list({ref for event in events if (ref := person_ref(event))})
    for row in await fetch(conn, "borrowers_named", refs=refs):
        places.people.setdefault(row["ref"], set()).add(row["portfolio_id"])
        places.person_keys[row["portfolio_id"], row["ref"]] = row["id"]


def place(
    event: Event, places: Places, ids: Mapping[str, int], default: str
) -> tuple[int, Rejected | None]:
    """The portfolio of an event, or why it has none: a reference must not be guessed at."""
    if isinstance(event.fact, Opened):
        return ids[event.portfolio or default], None
    if isinstance(event.fact, ABOUT_PEOPLE):
        known, missing = _known_person(event, places)
    else:
        known, missing = places.loans.get(event.subject, _NOWHERE), Reason.UNKNOWN_LOAN
    if event.portfolio is not None:
        named = ids.get(event.portfolio)
        known = known & {named} if named is not None else _NOWHERE
    if len(known) == 1:
        return next(iter(known)), None
    home = ids.get(event.portfolio, UNASSIGNED) if event.portfolio else UNASSIGNED
    return home, Rejected(Reason.AMBIGUOUS_LOAN if known else missing, "subject")


def _known_person(event: Event, places: Places) -> tuple[AbstractSet[int], Reason]:
    ref = person_ref(event)
    found: AbstractSet[int] = places.people.get(ref or "", _NOWHERE)
    if not found and isinstance(event.fact, Flagged):
        # a flag may name the loan instead of the person
        found = places.loans.get(event.subject, _NOWHERE)
    return found, Reason.UNKNOWN_BORROWER


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch against what is stored: new, known, refused before, another content under a known id."""

    fresh: list[Item]
    duplicates: int
    still_refused: list[Item]
    reused: list[Item]


async def drop_known(conn: Connection, items: Sequence[Item]) -> Sorted:
    """Find out which items are new. An event that had no portfolio when it came is known by its source."""
    rows = await fetch(
        conn,
        "known_events",
        portfolios=sorted({UNASSIGNED, *(item.portfolio_id for item in items)}),
        ids=list({item.event.id for item in items}),
    )
    seen: dict[tuple[int, str], tuple[bytes, str | None]] = {}
    homeless: dict[tuple[str, str], tuple[bytes, str | None]] = {}
    for row in rows:
        known = (bytes(row["sha256"]), row["reason"])
        seen[row["portfolio_id"], row["id"]] = known
        if row["portfolio_id"] == UNASSIGNED:
            homeless[row["source"], row["id"]] = known
    found = Sorted([], 0, [], [])
    duplicates = 0
    for item in items:
        assert item.read is not None
        key, digest = (item.portfolio_id, item.event.id), item.read.sha256
        before = seen.get(key) or homeless.get((item.event.source, item.event.id))
        if before is None:
            seen[key] = (digest, None)
            found.fresh.append(item)
        elif before[0] != digest:
            found.reused.append(item)
        elif before[1] is not None:
            item.refused = Rejected(Reason(before[1]), "refused before")
            found.still_refused.append(item)
        else:
            duplicates += 1
    return replace(found, duplicates=duplicates)


async def wake_parked(
    conn: Connection,
    keyring: Keyring,
    items: Sequence[Item],
    places: Places,
    portfolios: Mapping[str, int],
) -> list[Item]:
    """Events that came too early and whose loan, payment or person this batch brings."""
    bringers: dict[str, Item] = {}
    for item in items:
        if item.event.type in _BRINGERS and item.refused is None:
            bringers[item.event.subject] = item
            if isinstance(item.event.fact, Opened):
                bringers.setdefault(item.event.fact.person.ref, item)
    if not bringers:
        return []
    rows = await fetch(
        conn, "parked_events", subjects=list(bringers), portfolios=list(portfolios.values())
    )
    woken = [_woken(row, keyring, bringers[row["subject"]]) for row in rows]
    return [item for item in woken if _has_place(item, places, portfolios)]


def _has_place(item: Item, places: Places, portfolios: Mapping[str, int]) -> bool:
    """Where a woken event belongs; one that names another portfolio, or fits two, goes on waiting."""
    event, parked_in = item.event, item.parked_in
    if isinstance(event.fact, ABOUT_PEOPLE):
        known = _known_person(event, places)[0]
    else:
        known = places.loans.get(event.subject, _NOWHERE)
    if event.portfolio is not None:
        known = known & {portfolios.get(event.portfolio, UNASSIGNED)}
    if parked_in != UNASSIGNED:
        known = known & {parked_in or UNASSIGNED}
    if len(known) != 1:
        return False
    item.portfolio_id = next(iter(known))
    return True


def _woken(row: Any, keyring: Keyring, bringer: Item) -> Item:
    hidden = row["personal"]
    personal = (
        {} if hidden is None else orjson.loads(keyring.open_loose(hidden, event_place(row["id"])))
    )
    event = parse_event(
        {
            "id": row["id"],
            "source": row["source"],
            "type": row["type"],
            "subject": row["subject"],
            "time": row["at"].isoformat(),
            "data": whole(row["data"], personal),
        }
    )
    assert isinstance(event, Event), f"a stored event no longer reads: {row['id']}"
    known_at = max(bringer.known_at, row["at"])
    return Item(
        event,
        known_at,
        bringer.portfolio_id,
        parked_in=row["portfolio_id"],
        parked_for=row["reason"],
    )


def in_order(items: Iterable[Item]) -> list[Item]:
    """Openings first, then by time; at the same instant a payment comes before a closing."""
    return sorted(items, key=_order)


def refuse_reopenings(items: Sequence[Item], places: Places) -> None:
    """A loan is opened once. A second opening is refused before it can say anything of the person."""
    opened = set(places.loan_keys)
    for item in items:
        if isinstance(item.event.fact, Opened) and item.refused is None:
            key = (item.portfolio_id, item.event.subject)
            if key in opened:
                item.refused = Rejected(Reason.LOAN_EXISTS, "subject")
            opened.add(key)


_RANK = {"loan.opened": 0, "borrower.updated": 1, "payment.posted": 2, "loan.closed": 4}


def _order(item: Item) -> tuple[bool, datetime, int]:
    event = item.event
    return (event.type != "loan.opened", event.at, _RANK.get(event.type, 3))
