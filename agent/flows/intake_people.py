"""People and their addresses: stored encrypted, found by a keyed blind index."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from agent.domain.event import Contact, Event, Flagged, Opened, Person, Updated
from agent.flows.portfolios import Portfolio
from agent.flows.routing import Item, Places
from agent.store.intake import insert_people, insert_points, new_ids
from agent.store.keyring import (
    Keyring,
    PersonKey,
    borrower_place,
    contact_place,
    seal,
    unseal,
)
from agent.store.sql import Connection, execute, fetch

Key = tuple[int, int]
CHANNELS = frozenset({"sms", "push"})


@dataclass(slots=True)
class PersonWork:
    """One person of a batch: as stored, then as the batch leaves them."""

    portfolio_id: int
    id: int
    ref: str
    locale: str
    region: str | None
    zones: tuple[str, ...]
    key: PersonKey | None
    rev: int = 0
    name: str | None = None
    is_new: bool = True
    changed: bool = False
    moved: bool = False
    points: dict[tuple[str, bytes], tuple[int, str]] = field(default_factory=dict)


@dataclass(slots=True)
class People:
    """The people of a batch, locked; found by reference or by id."""

    by_ref: dict[tuple[int, str], PersonWork] = field(default_factory=dict)
    by_id: dict[Key, PersonWork] = field(default_factory=dict)

    def add(self, person: PersonWork) -> None:
        self.by_ref[person.portfolio_id, person.ref] = person
        self.by_id[person.portfolio_id, person.id] = person


@dataclass(slots=True)
class _Changes:
    points: list[tuple[Any, ...]] = field(default_factory=list)
    numbers: dict[tuple[int, str, bytes], None] = field(default_factory=dict)
    statuses: list[tuple[int, int, str]] = field(default_factory=list)


async def store_people(
    conn: Connection,
    keyring: Keyring,
    portfolios: dict[int, Portfolio],
    places: Places,
    items: Sequence[Item],
    now: datetime,
) -> People:
    """Lock everybody this batch touches, in one order, and store what it says of them."""
    people = await _locked(conn, keyring, places)
    told = [
        (item, item.event.fact)
        for item in items
        if isinstance(item.event.fact, Opened | Updated) and item.refused is None
    ]
    await _welcome(conn, keyring, portfolios, people, [(i, f.person) for i, f in told])
    await _load_points(conn, people, {(i.portfolio_id, f.person.ref) for i, f in told})
    changes = _Changes()
    ids = iter(
        await new_ids(conn, "contact_point_seq", sum(len(f.person.contacts) for _, f in told))
    )
    for item, fact in told:
        person = people.by_ref[item.portfolio_id, fact.person.ref]
        _learn(person, fact.person)
        _learn_contacts(person, fact, keyring, ids, changes)
    await _write(conn, people, changes, now)
    return people


async def _locked(conn: Connection, keyring: Keyring, places: Places) -> People:
    wanted = {(pid, known) for (pid, _), known in places.person_keys.items()}
    wanted |= {(pid, owner) for (pid, _), (_, owner) in places.loan_keys.items()}
    people = People()
    rows = await fetch(
        conn, "lock_people", portfolios=[k[0] for k in wanted], ids=[k[1] for k in wanted]
    )
    for row in rows:
        people.add(_stored(row, keyring))
    return people


def _stored(row: Any, keyring: Keyring) -> PersonWork:
    key = keyring.person_key(row["data_key"]) if row["data_key"] is not None else None
    name = None
    if key is not None and row["personal"] is not None:
        place = borrower_place(row["portfolio_id"], row["id"])
        name = orjson.loads(unseal(key, row["personal"], place)).get("name")
    return PersonWork(
        row["portfolio_id"], row["id"], row["ref"], row["locale"], row["region"],
        tuple(row["zones"]), key, row["rev"], name, is_new=False,
    )  # fmt: skip


async def _welcome(
    conn: Connection,
    keyring: Keyring,
    portfolios: dict[int, Portfolio],
    people: People,
    told: Sequence[tuple[Item, Person]],
) -> None:
    new = {
        (item.portfolio_id, person.ref): person
        for item, person in told
        if (item.portfolio_id, person.ref) not in people.by_ref
    }
    ids = await new_ids(conn, "borrower_seq", len(new))
    for ((portfolio_id, ref), person), identity in zip(new.items(), ids, strict=True):
        home = portfolios[portfolio_id]
        zones = person.zones or (home.zone,)
        locale = person.locale or home.locale
        people.add(
            PersonWork(
                portfolio_id, identity, ref, locale, person.region, zones, keyring.new_person_key()
            )
        )


async def _load_points(conn: Connection, people: People, refs: set[tuple[int, str]]) -> None:
    known = [person for ref in refs if not (person := people.by_ref[ref]).is_new]
    if not known:
        return
    rows = await fetch(
        conn, "points_of", portfolios=[p.portfolio_id for p in known], ids=[p.id for p in known]
    )
    for row in rows:
        person = people.by_id[row["portfolio_id"], row["borrower_id"]]
        person.points[row["channel"], bytes(row["address_key"])] = (row["id"], row["status"])


def _learn(person: PersonWork, told: Person) -> None:
    """The newest word wins; what an event leaves out stays as it was."""
    before = (person.locale, person.region, person.zones, person.name)
    person.locale = told.locale or person.locale
    person.region = told.region or person.region
    person.name = told.name or person.name
    if told.zones and told.zones != person.zones:
        person.zones, person.moved = told.zones, True
    person.changed |= before != (person.locale, person.region, person.zones, person.name)


def _learn_contacts(
    person: PersonWork,
    fact: Opened | Updated,
    keyring: Keyring,
    ids: Iterable[int],
    changes: _Changes,
) -> None:
    named = set()
    for contact in fact.person.contacts:
        if contact.channel not in CHANNELS:
            continue
        at = (contact.channel, keyring.blind(contact.channel, contact.address))
        named.add(at)
        known = person.points.get(at)
        if known is None:
            identity = next(iter(ids))
            changes.points.append(_point(person, identity, contact, at[1]))
            changes.numbers[person.portfolio_id, *at] = None
            person.points[at] = (identity, "active")
        elif known[1] == "withdrawn":
            _set_status(person, at, "active", changes)
    if isinstance(fact, Updated) and fact.person.contacts:
        for at, (_, status) in list(person.points.items()):
            if at not in named and status == "active":
                _set_status(person, at, "withdrawn", changes)


def _set_status(person: PersonWork, at: tuple[str, bytes], status: str, changes: _Changes) -> None:
    identity = person.points[at][0]
    person.points[at] = (identity, status)
    changes.numbers[person.portfolio_id, *at] = None
    changes.statuses.append((person.portfolio_id, identity, status))


def _point(
    person: PersonWork, identity: int, contact: Contact, address_key: bytes
) -> tuple[Any, ...]:
    assert person.key is not None
    place = contact_place(person.portfolio_id, identity)
    sealed = seal(person.key, contact.address.encode(), place)
    return (
        person.portfolio_id, identity, person.id, contact.channel, contact.provider, sealed,
        address_key, "active", contact.consent_source, contact.consent_at,
    )  # fmt: skip


def _personal(person: PersonWork) -> bytes | None:
    if person.key is None or person.name is None:
        return None
    text = orjson.dumps({"name": person.name})
    return seal(person.key, text, borrower_place(person.portfolio_id, person.id))


async def _write(conn: Connection, people: People, changes: _Changes, now: datetime) -> None:
    everyone = people.by_id.values()
    await insert_people(
        conn,
        [
            (
                p.portfolio_id, p.id, p.ref, p.locale, p.region, list(p.zones),
                p.key.wrapped if p.key else None, _personal(p), now,
            )
            for p in everyone
            if p.is_new
        ],
    )  # fmt: skip
    await _update(conn, [p for p in everyone if p.changed and not p.is_new], now)
    if changes.numbers:
        await execute(
            conn,
            "numbers_locked",
            portfolios=[n[0] for n in changes.numbers],
            channels=[n[1] for n in changes.numbers],
            keys=[n[2] for n in changes.numbers],
        )
    await insert_points(conn, changes.points)
    if changes.statuses:
        final = {(pid, identity): status for pid, identity, status in changes.statuses}
        await execute(
            conn,
            "set_point_status",
            portfolios=[k[0] for k in final],
            ids=[k[1] for k in final],
            statuses=list(final.values()),
        )


async def _update(conn: Connection, changed: Sequence[PersonWork], now: datetime) -> None:
    if not changed:
        return
    await execute(
        conn,
        "update_people",
        portfolios=[p.portfolio_id for p in changed],
        ids=[p.id for p in changed],
        locales=[p.locale for p in changed],
        regions=[p.region for p in changed],
        zones=[",".join(p.zones) for p in changed],
        personals=[_personal(p) for p in changed],
        keys=[p.key.wrapped if p.key else None for p in changed],
        ats=[now for _ in changed],
    )
    moved = [p for p in changed if p.moved]
    if moved:
        keys = {"portfolios": [p.portfolio_id for p in moved], "ids": [p.id for p in moved]}
        zones = [p.zones[0] for p in moved]
        await execute(conn, "move_zone", **keys, zones=zones, ats=[now for _ in moved])
        await execute(conn, "forget_plans", **keys)


async def store_flags(
    conn: Connection, people: People, items: Sequence[Item], places: Places, now: datetime
) -> None:
    """A flag of the ledger holds all automated contact with the person until it ends."""
    holds = []
    for item in items:
        fact = item.event.fact
        if isinstance(fact, Flagged) and item.refused is None:
            holds.append((_flagged(people, item.event, fact, item.portfolio_id, places), fact))
    if not holds:
        return
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
    await derive_held_until(conn, [person for person, _ in holds], now)


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
    people: People, event: Event, fact: Flagged, portfolio_id: int, places: Places
) -> PersonWork:
    person = people.by_ref.get((portfolio_id, fact.person_ref))
    if person is None:
        person = people.by_id[portfolio_id, places.loan_keys[portfolio_id, event.subject][1]]
    return person
