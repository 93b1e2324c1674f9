"""What conduct rules ask beyond the facts of every decision: read only when a pack in force asks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from agent.domain.calendar import local_date
from agent.domain.conduct_base import Quiet
from agent.domain.conduct_ways import Way, days_since, facts_asked
from agent.domain.event import GivenTo, Scope
from agent.domain.frame import Role
from agent.flows.lane import Lane
from agent.store.conduct import EvidenceRow, Wishes, read_evidence, read_wishes
from agent.store.dispatch import Facts, PersonRow, PointRow
from agent.store.sql import Connection

_WISHES = frozenset({"quiet", "waivers"})
_EVIDENCE = frozenset(
    ("sms_consent", "express_consent", "days_since_consent", "days_since_consumer_text",
     "reassigned_number_check_days")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conduct:
    """The facts of one batch that only conduct rules look at, and which of them are asked for."""

    asked: frozenset[str] = frozenset()
    wishes: Mapping[int, Wishes] = field(default_factory=dict)
    evidence: Mapping[int, EvidenceRow] = field(default_factory=dict)


NOTHING = Conduct()


async def read_conduct(conn: Connection, lane: Lane, facts: Facts) -> Conduct:
    """Read what the packs of these people's places ask for; the house asks for nothing."""
    asked = facts_asked_of(lane, facts)
    if not asked:
        return NOTHING
    portfolio, people = lane.portfolio.id, list(facts.people)
    return Conduct(
        asked,
        await read_wishes(conn, portfolio, people) if asked & _WISHES else {},
        await read_evidence(conn, portfolio, people) if asked & _EVIDENCE else {},
    )


def facts_asked_of(lane: Lane, facts: Facts) -> frozenset[str]:
    """The facts that any rule may ask for that binds somebody of this batch."""
    regions = {person.region for person in facts.people.values()}
    asked = [facts_asked(lane.rules_for(region).packs, lane.portfolio.role) for region in regions]
    return frozenset().union(*asked)


def quiet_of(conduct: Conduct, person: int) -> tuple[Quiet, ...]:
    """Hours at which the person wants to be left alone."""
    wishes = conduct.wishes.get(person)
    return () if wishes is None else wishes.quiet


def waived_by(conduct: Conduct, person: int, role: Role | None) -> frozenset[str]:
    """What the person waived towards whoever collects here: a consent given to another binds nobody."""
    wishes = conduct.wishes.get(person)
    if wishes is None or role is None:
        return frozenset()
    return frozenset(waived for waived, given_to in wishes.waivers if given_to == _HERE[role])


_HERE = {Role.FIRST_PARTY: GivenTo.LENDER, Role.THIRD_PARTY: GivenTo.COLLECTOR}


def ways_of(
    conduct: Conduct, points: tuple[PointRow, ...], person: PersonRow, lane: Lane, now: datetime
) -> tuple[Way, ...]:
    """What is known of each way to a person, as far as rules ask."""
    if not conduct.evidence or not person.zones:
        return ()
    today = local_date(now, person.zones[0])
    return tuple(
        Way(row.point.id, tuple(_evidence(known, lane.portfolio.role, person.zones[0], today)))
        for row in points
        if (known := conduct.evidence.get(row.point.id)) is not None
    )


def _evidence(
    known: EvidenceRow, role: Role | None, zone: str, today: date
) -> Iterator[tuple[str, object]]:
    """Facts by the names that rules use; what cannot be said is left out."""
    here = None if role is None else _HERE[role]
    # a lender's own consent is what its form asks for; a collector was given one only if somebody says so
    unsaid = role is Role.FIRST_PARTY and known.given_to is None
    direct = unsaid or (here is not None and known.given_to == here)
    if not known.consented or direct:
        yield "sms_consent", known.consented
    elif known.given_to is not None and here is not None:
        yield "sms_consent", False
    yield "express_consent", known.consented and Scope.COMMERCIAL in known.scopes
    told = {
        "days_since_consent": known.consent_at if known.consented and direct else None,
        "days_since_consumer_text": known.heard_at,
        "reassigned_number_check_days": known.checked_at,
    }
    for name, at in told.items():
        yield name, days_since(None if at is None else local_date(at, zone), today)
