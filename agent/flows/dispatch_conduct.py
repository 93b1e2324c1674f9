"""What conduct rules ask beyond the facts of every decision: read only when a pack in force asks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from agent.domain.calendar import local_date
from agent.domain.conduct_asked import LOAN_FACTS, OWN_FACTS, facts_asked
from agent.domain.conduct_base import Quiet
from agent.domain.conduct_ways import Named, Tried, Way, days_since
from agent.domain.event import GivenTo, Scope
from agent.domain.frame import Country, Role
from agent.domain.gate import Hold
from agent.domain.ladder import Stage
from agent.domain.money import decimal_text
from agent.flows.dispatch_texts import profile, said_of, sender_of, setting_of
from agent.flows.lane import Lane
from agent.store.conduct import (
    EvidenceRow,
    Try,
    Wishes,
    read_evidence,
    read_first_contacts,
    read_stated,
    read_tries,
    read_wishes,
)
from agent.store.dispatch import Facts, LoanRow, PersonRow, PointRow
from agent.store.keyring import PersonKey, Unreadable, contact_place, unseal
from agent.store.registered import TextKey, read_registered
from agent.store.sql import Connection
from channels.base import SMS

Opened = tuple[PersonKey, str]
# What stands for the id of a text where gateways ask for none.
NOT_NEEDED = "not needed"
_WISHES = frozenset({"quiet", "waivers"})
_EVIDENCE = frozenset(
    ("sms_consent", "express_consent", "days_since_consent", "days_since_consumer_text",
     "reassigned_number_check_days")
)  # fmt: skip


_FIRSTS = frozenset({"first_communication", "initial_communication"})


@dataclass(frozen=True, slots=True)
class Conduct:
    """The facts of one batch that only conduct rules look at, and which of them are asked for."""

    asked: frozenset[str] = frozenset()
    wishes: Mapping[int, Wishes] = field(default_factory=dict)
    evidence: Mapping[int, EvidenceRow] = field(default_factory=dict)
    # when somebody was first told of a loan; of the others nobody was
    contacted: Mapping[int, datetime] = field(default_factory=dict)
    # what the ledger states, by person and reference of the loan (empty: of the person)
    stated: Mapping[tuple[int, str], Mapping[str, Any]] = field(default_factory=dict)
    # how what was tried for these people ended, oldest first
    tries: Mapping[int, Sequence[Try]] = field(default_factory=dict)
    # the ids under which gateways know texts
    registered: Mapping[TextKey, str] = field(default_factory=dict)
    # read once, for the country that rules ask for and for sending
    addresses: dict[int, Opened] = field(default_factory=dict)

    @property
    def of_texts(self) -> bool:
        """Whether any rule looks at what a message says, at its step or at where it goes."""
        return bool(self.asked - _WISHES - _EVIDENCE - LOAN_FACTS)

    @property
    def of_loans(self) -> bool:
        """Whether any rule looks at what is owed, or at how earlier tries ended."""
        return not self.asked.isdisjoint(LOAN_FACTS)

    def is_first(self, facts: Facts, loan: int, person: int) -> bool:
        """Whether nobody was told of this loan yet, this batch included."""
        told = facts.contacts.get(person, ())
        return loan not in self.contacted and all(key[0] != loan for key, _, _ in told)


NOTHING = Conduct()


async def read_conduct(conn: Connection, lane: Lane, facts: Facts) -> Conduct:
    """Read what the packs of these people's places ask for; the house asks for nothing.

    Who collects for others says so in a first message otherwise than in later ones, whatever packs say.
    """
    asked = facts_asked_of(lane, facts)
    firsts = bool(asked & _FIRSTS) or lane.portfolio.role is Role.THIRD_PARTY
    if not asked and not firsts:
        return Conduct()
    portfolio, people = lane.portfolio.id, list(facts.people)
    foreign = asked - OWN_FACTS
    return Conduct(
        asked,
        await read_wishes(conn, portfolio, people) if asked & _WISHES else {},
        await read_evidence(conn, portfolio, people) if asked & _EVIDENCE else {},
        await read_first_contacts(conn, portfolio, list(facts.loans)) if firsts else {},
        await read_stated(conn, portfolio, people, sorted(foreign)) if foreign else {},
        await read_tries(conn, portfolio, people) if "tries" in asked else {},
        await read_registered(conn, portfolio) if "template_id" in asked else {},
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


@dataclass(frozen=True, slots=True)
class Told:
    """What a notice would tell, to whom."""

    stage: Stage
    person: PersonRow
    loan: LoanRow
    first: bool
    holds: tuple[Hold, ...] = ()


def ways_of(
    conduct: Conduct, points: tuple[PointRow, ...], told: Told, lane: Lane, now: datetime
) -> tuple[Way, ...]:
    """What is known of each way to a person, as far as rules ask."""
    zones = told.person.zones
    today = local_date(now, zones[0]) if zones else None
    stated = tuple(_stated(conduct, told).items())
    owed = tuple(_of_loan(conduct, told, now).items())
    return tuple(
        _of_person(_way(conduct, row, told, lane, today, stated), owed, conduct, row, told)
        for row in points
    )


def _of_person(way: Way, owed: Named, conduct: Conduct, row: PointRow, told: Told) -> Way:
    """What is of one loan stands with the evidence: texts are much alike, loans are not."""
    if not owed:
        return way
    more: Named = ()
    if "tries" in conduct.asked:
        tries = conduct.tries.get(told.person.id, ())
        more = (("tries", outcomes_of(tries, told.loan.id, row.address_key)),)
    return way._replace(evidence=(*way.evidence, *owed, *more))


# How an attempt ended, by the words that rules count.
_ENDED = {
    "begun": "unknown", "unknown": "unknown", "closed_unknown": "unknown", "delivered": "connected",
    "undelivered": "not_connected", "failed": "not_connected", "refused": "not_connected",
}  # fmt: skip


def outcomes_of(tries: Sequence[Try], loan: int, number: bytes) -> tuple[Tried, ...]:
    """What became of earlier tries, oldest first; one that was never made is none."""
    return tuple(
        Tried(_ENDED.get(one.state, "sent"), one.loan_id == loan, one.address_key == number)
        for one in tries
        if one.state != "absent"
    )


def _stated(conduct: Conduct, told: Told) -> dict[str, Any]:
    """What the ledger states of the person and the loan, and since when somebody was told of it."""
    facts = {
        **conduct.stated.get((told.person.id, ""), {}),
        **conduct.stated.get((told.person.id, told.loan.ref), {}),
    }
    begun = conduct.contacted.get(told.loan.id)
    if begun is not None and told.person.zones:
        facts["initial_communication"] = local_date(begun, told.person.zones[0])
    return facts


# Holds under which a debt is disputed.
_DISPUTED = frozenset({"dispute", "dispute_open"})


def _of_loan(conduct: Conduct, told: Told, now: datetime) -> dict[str, Any]:
    """What is owed as the ledger has it now, whether it is disputed, and how earlier tries ended."""
    if not conduct.of_loans:
        return {}
    loan = told.loan
    today = local_date(now, loan.zone)
    balance = max(0, sum(amount for _, amount in loan.parts) - loan.paid_minor)
    facts = {
        "amount": decimal_text(loan.amount_due(today), loan.currency),
        "balance": decimal_text(balance, loan.currency),
        "currency": loan.currency,
        "dispute_open": any(hold.reason in _DISPUTED for hold in told.holds),
    }
    if loan.anchor is not None:
        facts["dpd"] = (today - loan.anchor).days
    return facts


def _way(
    conduct: Conduct, row: PointRow, told: Told, lane: Lane, today: date | None, stated: Named
) -> Way:
    evidence = stated
    known = conduct.evidence.get(row.point.id)
    if known is not None and today is not None:
        zone = told.person.zones[0]
        evidence = (*evidence, *_evidence(known, lane.portfolio.role, zone, today))
    if not conduct.of_texts or told.stage.message is None:
        return Way(row.point.id, evidence)
    channel, lender = row.point.channel, lane.portfolio.lender
    opened = address_of(conduct, row, told.person, lane)
    address = None if opened is None else opened[1]
    setting = setting_of(told.stage, channel, address, lane, told.person.region, first=told.first)
    text = profile(lane.texts, told.stage.message, channel, told.person.locale, lender, setting)
    if text is None:
        # it fails as a notice without a text when it is about to be sent
        return Way(row.point.id, evidence)
    step = (told.stage.id, told.stage.grade.value)
    country = lane.texts.countries.get(setting.country or "")
    sender = sender_of(lane, row, address, country)
    known_as = _known_as(conduct, (text.locale, told.stage.message), channel, country)
    said = said_of(text, channel, step, lane.portfolio.role, sender, known_as, first=told.first)
    # dates are of one loan each: rules that look at texts are asked of the rest, which is much alike
    plain = tuple(fact for fact in stated if not isinstance(fact[1], date))
    return Way(row.point.id, evidence, (*said, *plain), text.content_class, text.name)


def _known_as(
    conduct: Conduct, text: tuple[str, str], channel: str, country: Country | None
) -> str | None:
    """The id under which the gateways of a number's country know a text; None if nobody registered it."""
    if "template_id" not in conduct.asked or channel != SMS:
        return None
    if country is None or not country.registration:
        return NOT_NEEDED
    locale, message = text
    return conduct.registered.get(TextKey(country.code, message, locale))


def address_of(conduct: Conduct, row: PointRow, person: PersonRow, lane: Lane) -> Opened | None:
    """A person's key and an address in the clear, read once a batch; None if it cannot be read."""
    known = conduct.addresses.get(row.point.id)
    if known is None and person.data_key is not None:
        try:
            key = lane.keyring.person_key(person.data_key)
            place = contact_place(lane.portfolio.id, row.point.id)
            known = key, unseal(key, row.address, place).decode()
        except Unreadable:
            return None
        conduct.addresses[row.point.id] = known
    return known


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
