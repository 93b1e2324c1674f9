"""What events say for conduct rules: consents beyond their source, checked numbers, wishes of people.

Few events say any of it; a batch in which none does costs nothing here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from agent.domain.conduct_base import Quiet
from agent.domain.event import Contact, Person, Waiver
from agent.store.sql import Connection, execute

Key = tuple[int, int]
Wish = tuple[Key, Person, datetime]
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Word:
    """The newest word on the consent of one contact point, and on whose number it is."""

    told_at: datetime = LONG_AGO
    contact: Contact | None = None
    checked_at: datetime | None = None


Words = dict[Key, Word]


def hear(words: Words, key: Key, contact: Contact, at: datetime, newest: datetime) -> None:
    """Note what an event says of a contact point whose consent was last told at `newest`.

    That a consent was taken back is heard however late it comes; what is newer still stands.
    """
    word = words.setdefault(key, Word())
    evidence = contact.evidence
    taken_back = evidence is not None and evidence.revoked_at is not None
    known = word.told_at if taken_back else max(newest, word.told_at)
    if contact.consent_source is not None and at >= known:
        word.told_at, word.contact = at, contact
    checked = evidence.checked_at if evidence is not None else None
    if checked is not None:
        word.checked_at = checked if word.checked_at is None else max(word.checked_at, checked)


def wishes_of(person: Person) -> bool:
    """Whether an event says anything that is kept here of a person."""
    return person.quiet is not None or person.waivers is not None or person.stated != ()


async def store_consents(conn: Connection, words: Words, now: datetime) -> None:
    """Keep what was said of consents; one that was taken back is none from here on."""
    heard = {k: w for k, w in words.items() if w.contact is not None or w.checked_at is not None}
    if not heard:
        return
    contacts = [word.contact for word in heard.values()]
    more = [None if contact is None else contact.evidence for contact in contacts]
    await execute(
        conn,
        "tell_consents",
        now=now,
        portfolios=[portfolio for portfolio, _ in heard],
        ids=[point for _, point in heard],
        sources=[None if contact is None else contact.consent_source for contact in contacts],
        ats=[None if contact is None else contact.consent_at for contact in contacts],
        givens=[one.given_to if one else None for one in more],
        scopes=[",".join(one.scopes) if one else "" for one in more],
        revokeds=[one.revoked_at if one else None for one in more],
        tolds=[None if w.contact is None else w.told_at for w in heard.values()],
        checkeds=[word.checked_at for word in heard.values()],
    )


async def store_preferences(conn: Connection, told: Iterable[Wish]) -> None:
    """Keep the hours and waivers that people named, the newest word on each; `told` in order of time."""
    quiet: dict[Key, tuple[datetime, Sequence[Quiet]]] = {}
    waivers: dict[Key, tuple[datetime, Sequence[Waiver]]] = {}
    for key, person, at in told:
        if person.quiet is not None:
            quiet[key] = (at, person.quiet)
        if person.waivers is not None:
            waivers[key] = (at, person.waivers)
    keys = [*quiet, *(key for key in waivers if key not in quiet)]
    if not keys:
        return
    await execute(
        conn,
        "tell_preferences",
        portfolios=[portfolio for portfolio, _ in keys],
        ids=[person for _, person in keys],
        quiets=[_text(map(_quiet, quiet[key][1])) if key in quiet else "[]" for key in keys],
        quiet_ats=[quiet[key][0] if key in quiet else None for key in keys],
        waivers=[_text(map(_waiver, waivers[key][1])) if key in waivers else "[]" for key in keys],
        waiver_ats=[waivers[key][0] if key in waivers else None for key in keys],
    )


async def store_stated(conn: Connection, told: Iterable[Wish]) -> None:
    """Keep the facts that the ledger states, the newest word on each; `told` in order of time."""
    facts = {
        (*key, one.loan, one.name): (one.value, at)
        for key, person, at in told
        for one in person.stated
    }
    if not facts:
        return
    await execute(
        conn,
        "tell_facts",
        portfolios=[portfolio for portfolio, _, _, _ in facts],
        ids=[person for _, person, _, _ in facts],
        loans=[loan for _, _, loan, _ in facts],
        names=[name for _, _, _, name in facts],
        values=[orjson.dumps(value).decode() for value, _ in facts.values()],
        tolds=[at for _, at in facts.values()],
    )


def _text(items: Iterable[list[object]]) -> str:
    return orjson.dumps(list(items)).decode()


def _quiet(one: Quiet) -> list[object]:
    return [sorted(one.days), one.begins, one.ends]


def _waiver(one: Waiver) -> list[object]:
    return [one.waives, one.given_to.value, one.at.isoformat()]
