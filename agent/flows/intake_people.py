"""People and their addresses: stored encrypted, found by a keyed blind index."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

import orjson

from agent.domain.event import ABOUT_THEM, Contact, Opened, Person, Updated
from agent.domain.places import number_block
from agent.flows.intake_conduct import (
    LONG_AGO,
    Wish,
    Words,
    hear,
    store_consents,
    store_preferences,
    store_stated,
    wishes_of,
)
from agent.flows.intake_places import Was, first_place, hear_of_place, keep_places, weigh_all
from agent.flows.intake_work import Address, People, PersonWork, Placing, Point
from agent.flows.portfolios import Portfolio
from agent.flows.routing import Item, Places
from agent.store.intake import insert_people, insert_points, new_ids
from agent.store.keyring import (
    Keyring,
    borrower_place,
    contact_place,
    seal,
    unseal,
)
from agent.store.sql import Connection, execute, fetch

_NEVER = float("-inf")
CHANNELS = frozenset({"sms", "push"})


@dataclass(slots=True)
class Changes:
    """What a batch says of people, to be written."""

    # new contact points are written as they stand at the end of the batch
    points: list[tuple[PersonWork, Address, Contact, Point]] = field(default_factory=list)
    numbers: dict[tuple[int, str, bytes], None] = field(default_factory=dict)
    known: dict[tuple[int, int], Point] = field(default_factory=dict)
    consents: Words = field(default_factory=dict)
    wishes: list[Wish] = field(default_factory=list)
    was: list[Was] = field(default_factory=list)


async def learn_people(
    conn: Connection,
    keyring: Keyring,
    portfolios: dict[int, Portfolio],
    people: People,
    items: Sequence[Item],
) -> Changes:
    """Learn what a batch says of people, by the time of each word: an older one that comes late is old."""
    told = [
        (item, item.event.fact)
        for item in items
        if isinstance(item.event.fact, ABOUT_THEM) and item.refused is None
    ]
    await _welcome(conn, keyring, portfolios, people, [(i, f.person) for i, f in told])
    await _load_points(conn, people, {(i.portfolio_id, f.person.ref) for i, f in told})
    told.sort(key=lambda one: one[0].event.at)
    changes = Changes()
    ids = iter(
        await new_ids(conn, "contact_point_seq", sum(len(f.person.contacts) for _, f in told))
    )
    for item, fact in told:
        person = people.by_ref[item.portfolio_id, fact.person.ref]
        if person.wrapped is None:
            # erased, and told of again: a new key, nothing of old can be read with it
            key = keyring.new_person_key()
            person.wrapped, person.opened, person.changed = key.wrapped, key, True
        _learn(person, fact.person, item)
        if fact.person.contacts:
            _learn_contacts(person, fact, item.event.at, keyring, ids, changes)
        if wishes_of(fact.person):
            changes.wishes.append(((person.portfolio_id, person.id), fact.person, item.event.at))
    changes.was = weigh_all(people, portfolios)
    return changes


async def write_people(conn: Connection, people: People, changes: Changes, now: datetime) -> None:
    """Write what was learned: people first, then numbers, then what hangs on both."""
    await _write(conn, people, changes, now)
    await keep_places(conn, changes.was, now)
    await store_consents(conn, changes.consents, now)
    await store_preferences(conn, changes.wishes)
    await store_stated(conn, changes.wishes)


async def lock_people(conn: Connection, keyring: Keyring, places: Places) -> People:
    """Lock everybody this batch touches, in one order; whoever parks or brings events waits here."""
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
    told, zones = row["told"], tuple(row["zones"])
    placing = Placing(zones, row["region"], row["clues"], stale=False)
    return PersonWork(
        row["portfolio_id"], row["id"], row["ref"], row["locale"],
        first_place(row["region"]) if "region" in told else None, zones if "zones" in told else (),
        keyring, row["data_key"], row["personal"], row["rev"], is_new=False, told=told,
        placing=placing,
    )  # fmt: skip


def _name_of(person: PersonWork) -> str | None:
    """The name as it is stored."""
    key = person.key
    if key is None or person.personal is None:
        return None
    place = borrower_place(person.portfolio_id, person.id)
    named: str | None = orjson.loads(unseal(key, person.personal, place)).get("name")
    return named


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
        locale = person.locale or home.locale
        key = keyring.new_person_key()
        people.add(
            PersonWork(
                portfolio_id, identity, ref, locale, person.region, person.zones, keyring,
                key.wrapped, opened=key,
            )
        )  # fmt: skip


async def _load_points(conn: Connection, people: People, refs: set[tuple[int, str]]) -> None:
    known = [person for ref in refs if not (person := people.by_ref[ref]).is_new]
    if not known:
        return
    rows = await fetch(
        conn, "points_of", portfolios=[p.portfolio_id for p in known], ids=[p.id for p in known]
    )
    for row in rows:
        person = people.by_id[row["portfolio_id"], row["borrower_id"]]
        consent = (row["consent_source"], row["consent_at"])
        point = Point(row["id"], row["status"], row["told_at"], consent, row["number_block"])
        person.points[row["channel"], bytes(row["address_key"])] = point


def _learn(person: PersonWork, told: Person, item: Item) -> None:
    """The newest word wins; what an event leaves out stays as it was."""
    at = item.event.at.timestamp()
    person.heard = True
    if told.name and person.name is None:
        person.name = _name_of(person)
    for name in ("locale", "region", "name", "zones"):
        said = getattr(told, name)
        if not said or at < person.told.get(name, _NEVER):
            continue
        person.told[name] = at
        before = getattr(person, name)
        if said == before:
            continue
        setattr(person, name, said)
        person.changed = True
        person.placing.stale |= name in ("zones", "region")
        # days are counted in the first zone; the others only narrow the hours of contact
        if name == "zones" and said[0] != next(iter(before), None):
            person.moved_at = item.known_at
    person.changed |= hear_of_place(person.placing, told, person.region, person.told, at)


def _learn_contacts(
    person: PersonWork,
    fact: Opened | Updated,
    at: datetime,
    keyring: Keyring,
    ids: Iterator[int],
    changes: Changes,
) -> None:
    """A loan adds addresses; an update that lists addresses withdraws the others named before it."""
    if at.timestamp() < person.told.get("contacts", _NEVER):
        _hear_late(person, fact.person.contacts, at, keyring, changes)
        return
    named = set()
    for contact in fact.person.contacts:
        if contact.channel not in CHANNELS or contact.of_other:
            continue
        where = (contact.channel, keyring.blind(contact.channel, contact.address))
        named.add(where)
        _name(person, where, contact, at, next(ids), changes)
    if isinstance(fact, Updated) and fact.person.contacts:
        person.told["contacts"] = at.timestamp()
        for where, point in person.points.items():
            if where not in named and point.status == "active" and point.told_at <= at:
                _change(person, where, changes, status="withdrawn")


def _hear_late(
    person: PersonWork,
    contacts: Sequence[Contact],
    at: datetime,
    keyring: Keyring,
    changes: Changes,
) -> None:
    """An old word on addresses is over, except that a consent was taken back."""
    for contact in contacts:
        if contact.evidence is not None and contact.evidence.revoked_at is not None:
            where = (contact.channel, keyring.blind(contact.channel, contact.address))
            if (point := person.points.get(where)) is not None:
                key = (person.portfolio_id, point.id)
                hear(changes.consents, key, contact, at, LONG_AGO)


def _name(
    person: PersonWork,
    where: Address,
    contact: Contact,
    at: datetime,
    fresh_id: int,
    changes: Changes,
) -> None:
    point = person.points.get(where)
    if point is None:
        consent = (contact.consent_source, contact.consent_at)
        block = number_block(contact.address) if contact.channel == "sms" else None
        point = Point(fresh_id, "active", at, consent, block, is_new=True)
        person.points[where] = point
        changes.points.append((person, where, contact, point))
        changes.numbers[person.portfolio_id, *where] = None
        person.placing.stale = True
        if contact.evidence is not None:
            hear(changes.consents, (person.portfolio_id, fresh_id), contact, at, at)
        return
    said = (contact.consent_source, contact.consent_at)
    if contact.evidence is not None or (said[0] is not None and said != point.consent):
        newest = LONG_AGO if point.consent[0] is None else point.told_at
        hear(changes.consents, (person.portfolio_id, point.id), contact, at, newest)
        point.consent = said
    if point.told_at < at:
        point.told_at = at
        if not point.is_new:
            changes.known[person.portfolio_id, point.id] = point
    if point.status == "withdrawn":
        _change(person, where, changes, status="active")


def _change(person: PersonWork, where: Address, changes: Changes, *, status: str) -> None:
    point = person.points[where]
    point.status = status
    person.placing.stale = True
    changes.numbers[person.portfolio_id, *where] = None
    if not point.is_new:
        changes.known[person.portfolio_id, point.id] = point


def _point_row(
    person: PersonWork, where: Address, contact: Contact, point: Point
) -> tuple[Any, ...]:
    key = person.key
    assert key is not None
    place = contact_place(person.portfolio_id, point.id)
    sealed = seal(key, contact.address.encode(), place)
    return (
        person.portfolio_id, point.id, person.id, contact.channel, contact.provider, sealed,
        where[1], point.status, contact.consent_source, contact.consent_at, point.told_at,
        point.block,
    )  # fmt: skip


def _personal(person: PersonWork) -> bytes | None:
    if person.name is None or (key := person.key) is None:
        return person.personal
    text = orjson.dumps({"name": person.name})
    return seal(key, text, borrower_place(person.portfolio_id, person.id))


async def _write(conn: Connection, people: People, changes: Changes, now: datetime) -> None:
    everyone = people.by_id.values()
    await insert_people(
        conn,
        [
            (
                p.portfolio_id, p.id, p.ref, p.locale, p.placing.region, list(p.placing.zones),
                p.wrapped, _personal(p), p.told, p.placing.clues, now,
            )
            # in one order, so that two transactions with the same new people cannot lock each other
            for p in sorted(everyone, key=attrgetter("portfolio_id", "ref"))
            if p.is_new
        ],
    )  # fmt: skip
    await _update(conn, [p for p in everyone if p.changed and not p.is_new], now)
    heard = [p for p in everyone if p.heard and not p.changed and not p.is_new]
    if heard:
        await execute(
            conn,
            "tell_people",
            portfolios=[p.portfolio_id for p in heard],
            ids=[p.id for p in heard],
            tolds=[orjson.dumps(p.told).decode() for p in heard],
        )
    if changes.numbers:
        await execute(
            conn,
            "numbers_locked",
            portfolios=[n[0] for n in changes.numbers],
            channels=[n[1] for n in changes.numbers],
            keys=[n[2] for n in changes.numbers],
        )
    await insert_points(conn, [_point_row(*point) for point in changes.points])
    if changes.known:
        await execute(
            conn,
            "set_points",
            portfolios=[key[0] for key in changes.known],
            ids=[key[1] for key in changes.known],
            statuses=[point.status for point in changes.known.values()],
            tolds=[point.told_at for point in changes.known.values()],
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
        regions=[p.placing.region for p in changed],
        zones=[",".join(p.placing.zones) for p in changed],
        clues=[p.placing.clues for p in changed],
        personals=[_personal(p) for p in changed],
        keys=[p.wrapped for p in changed],
        tolds=[p.told for p in changed],
        ats=[now for _ in changed],
    )
    moved = [p for p in changed if p.moved_at is not None]
    if moved:
        keys = {"portfolios": [p.portfolio_id for p in moved], "ids": [p.id for p in moved]}
        await execute(conn, "forget_plans", **keys)
