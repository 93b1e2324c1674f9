"""One loan as intake sees it: apply events in order, derive its columns, tell its outcomes.

`apply` is the whole rule: (account, what happened at one instant) → (account, outcomes, refusals).
"""

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import NamedTuple

from agent.domain.calendar import instant, local_date
from agent.domain.event import (
    Closed,
    Event,
    Fee,
    Opened,
    Part,
    Posted,
    Reason,
    Rejected,
    Rescheduled,
    Reversed,
)
from agent.domain.event_reading import read_amount, read_parts
from agent.domain.outcome import (
    Account,
    Announced,
    Claim,
    Outcome,
    OutcomeType,
    announced_by,
    crossings,
    current_bucket,
    is_paid_off,
    next_crossing,
    outcomes,
    retraction,
    untrue,
)
from agent.domain.standing import (
    Instalment,
    Kind,
    LoanFacts,
    Payment,
    Position,
    Status,
    in_order,
    position,
    worst_dpd,
)


class Loan(NamedTuple):
    """A loan's facts with what was derived from them and already told."""

    ref: str
    currency: str
    facts: LoanFacts
    now: Position
    anchor_since: datetime
    bucket: int = 0
    next_bucket_at: datetime | None = None
    contact_ended_at: datetime | None = None
    outcome_seq: int = 0
    claims: tuple[Claim, ...] = ()

    def announced(self) -> Announced:
        """The ledger's belief, kept in the loan row so that the outcomes need not be read."""
        return Announced(self.bucket, is_paid_off(self.facts, self.now))


class Numbered(NamedTuple):
    seq: int
    outcome: Outcome


class Applied(NamedTuple):
    loan: Loan | None
    outcomes: tuple[Numbered, ...]
    refusals: tuple[tuple[Event, Rejected], ...]


def reaches_back(event: Event, known_at: datetime) -> bool:
    """Whether an event can contradict what was already told: then the claims must be at hand."""
    return isinstance(event.fact, Reversed) or (
        isinstance(event.fact, Posted)
        and (event.at < known_at or event.fact.value_date is not None)
    )


def apply(
    loan: Loan | None,
    events: Sequence[Event],
    known_at: datetime,
    buckets: tuple[int, ...],
    zone: str = "UTC",
) -> Applied:
    """Apply the events that became known at one instant, in order of their time.

    Time that passed before comes first: buckets entered since the last look are told before the new
    facts are. A refused event changes nothing and does not stop the others.
    """
    told: list[Numbered] = []
    if loan is not None:
        loan = _schedule_crossing(_tell(loan, pass_time(loan, known_at, buckets), told), buckets)
    facts, currency, refusals = _fold(loan, events, zone)
    if facts is None or currency is None:
        return Applied(loan, tuple(told), tuple(refusals))
    if loan is None:
        loan = _entered(events[0].subject, currency, facts, known_at)
    elif facts == loan.facts:
        return Applied(loan, tuple(told), tuple(refusals))
    # what passed time told just now is doubted no sooner than what a tick told before
    doubted = loan.claims if any(reaches_back(event, known_at) for event in events) else ()
    settled = _settle(loan, facts, known_at, buckets, told, doubted)
    return Applied(settled, tuple(told), tuple(refusals))


def pass_time(loan: Loan, until: datetime, buckets: tuple[int, ...]) -> list[Outcome]:
    """Bucket changes due by `until` with no new fact."""
    if loan.next_bucket_at is None or loan.next_bucket_at > until:
        return []
    return list(crossings(loan.facts, loan.announced(), Account(loan.currency, buckets), until))


def crossed(loan: Loan, until: datetime, buckets: tuple[int, ...]) -> Applied:
    """The same as a step of its own, for the tick that lets time pass."""
    told: list[Numbered] = []
    loan = _tell(loan, pass_time(loan, until, buckets), told)
    return Applied(_schedule_crossing(loan, buckets), tuple(told), ())


def move_zone(loan: Loan, zone: str, at: datetime, buckets: tuple[int, ...]) -> Applied:
    """The person moved: days count in the new zone from now on; what the old zone began was told."""
    passed = crossed(loan, at, buckets)
    assert passed.loan is not None
    facts = passed.loan.facts._replace(zone=zone)
    there = passed.loan._replace(facts=facts, anchor_since=at)
    return Applied(_schedule_crossing(there, buckets), passed.outcomes, ())


def told(loan: Loan, outcome: Outcome) -> tuple[Loan, Numbered]:
    """Number one outcome that the ladder itself produced."""
    numbered: list[Numbered] = []
    return _tell(loan, (outcome,), numbered), numbered[0]


def _entered(ref: str, currency: str, facts: LoanFacts, known_at: datetime) -> Loan:
    nothing_known = Position(Status.OPEN, None, 0, 0)
    return Loan(ref, currency, facts, nothing_known, known_at)


def _settle(
    loan: Loan,
    facts: LoanFacts,
    known_at: datetime,
    buckets: tuple[int, ...],
    out: list[Numbered],
    doubted: Sequence[Claim],
) -> Loan:
    account = Account(loan.currency, buckets)
    wrong = untrue(doubted, facts, account)
    now = position(facts)
    moved = now.anchor != loan.now.anchor or now.status is not loan.now.status
    announced = loan.announced()
    if wrong:
        loan = _tell(loan, [retraction(c, known_at, "facts-changed") for c in wrong], out)
        kept = tuple(claim for claim in loan.claims if claim not in wrong)
        announced = announced_by(kept)
        ended = any(claim.type is OutcomeType.CHARGE_OFF for claim in wrong)
        loan = loan._replace(
            claims=kept,
            bucket=announced.bucket,
            contact_ended_at=None if ended else loan.contact_ended_at,
        )
    bucket = current_bucket(facts, now, buckets, announced.bucket, known_at)
    new = outcomes(facts, now, bucket, announced, known_at, account)
    seq, claims = _number(loan, new, out)
    return Loan(
        ref=loan.ref,
        currency=loan.currency,
        facts=facts,
        now=now,
        anchor_since=known_at if moved else loan.anchor_since,
        bucket=bucket,
        next_bucket_at=next_crossing(now, bucket, buckets, facts.zone),
        contact_ended_at=loan.contact_ended_at,
        outcome_seq=seq,
        claims=claims,
    )


def _schedule_crossing(loan: Loan, buckets: tuple[int, ...]) -> Loan:
    at = next_crossing(loan.now, loan.bucket, buckets, loan.facts.zone)
    if at == loan.next_bucket_at:
        return loan
    return loan._replace(next_bucket_at=at)


def _tell(loan: Loan, new: Sequence[Outcome], out: list[Numbered]) -> Loan:
    if not new:
        return loan
    seq, claims = _number(loan, new, out)
    buckets = [outcome.bucket for outcome in new if outcome.bucket is not None]
    return loan._replace(
        claims=claims, outcome_seq=seq, bucket=buckets[-1] if buckets else loan.bucket
    )


def _number(
    loan: Loan, new: Sequence[Outcome], out: list[Numbered]
) -> tuple[int, tuple[Claim, ...]]:
    """The last number given, and all that is claimed then."""
    seq, claims = loan.outcome_seq, loan.claims
    for outcome in new:
        seq += 1
        out.append(Numbered(seq, outcome))
        if outcome.type is not OutcomeType.RETRACTED:
            claims = (*claims, claim_of(seq, outcome))
    return seq, claims


def claim_of(seq: int, outcome: Outcome) -> Claim:
    """What a numbered outcome commits us to."""
    anchor = outcome.data.get("anchor")
    return Claim(
        seq,
        outcome.type,
        outcome.occurred_at,
        outcome.bucket,
        date.fromisoformat(anchor) if anchor else None,
    )


def _fold(
    loan: Loan | None, events: Sequence[Event], zone: str
) -> tuple[LoanFacts | None, str | None, list[tuple[Event, Rejected]]]:
    facts = loan.facts if loan else None
    currency = loan.currency if loan else None
    refusals = []
    for event in events:
        result = _apply_one(facts, currency, event, zone)
        if isinstance(result, Rejected):
            refusals.append((event, result))
        else:
            facts = result
            currency = currency or (
                event.fact.currency if isinstance(event.fact, Opened) else currency
            )
    return facts, currency, refusals


def _apply_one(
    facts: LoanFacts | None, currency: str | None, event: Event, zone: str
) -> LoanFacts | Rejected:
    fact = event.fact
    if isinstance(fact, Opened):
        return Rejected(Reason.LOAN_EXISTS, "subject") if facts else _open(event, fact, zone)
    if facts is None or currency is None:
        return Rejected(Reason.UNKNOWN_LOAN, "subject")
    match fact:
        case Posted():
            return _post(facts, currency, event, fact)
        case Reversed():
            return _reverse(facts, currency, event, fact)
        case Closed():
            return _close(facts, event, fact)
        case Rescheduled():
            return _reschedule(facts, currency, event, fact)
        case Fee():
            return _charge(facts, currency, event, fact)
        case _:
            return Rejected(Reason.UNKNOWN_TYPE, "type")


def _open(event: Event, fact: Opened, home: str) -> LoanFacts:
    """A loan counts its days where its person lives, else where its portfolio is at home."""
    zone = fact.person.zones[0] if fact.person.zones else home
    return LoanFacts(zone, event.at, in_order(map(_instalment, fact.parts)))


def _instalment(part: Part) -> Instalment:
    return Instalment(part.number, Kind.INSTALMENT, part.due_on, part.amount_minor)


def _post(facts: LoanFacts, currency: str, event: Event, fact: Posted) -> LoanFacts | Rejected:
    if fact.currency not in (None, currency):
        return Rejected(Reason.WRONG_CURRENCY, "currency")
    amount = read_amount(fact.amount, currency)
    if isinstance(amount, Rejected):
        return amount
    if any(payment.ref == fact.payment_ref for payment in facts.payments):
        return Rejected(Reason.PAYMENT_EXISTS, "payment_id")
    paid_at = instant(fact.value_date, time(12), facts.zone) if fact.value_date else event.at
    payment = Payment(fact.payment_ref, amount, min(paid_at, event.at), event.at)
    return facts._replace(payments=(*facts.payments, payment))


def _reverse(facts: LoanFacts, currency: str, event: Event, fact: Reversed) -> LoanFacts | Rejected:
    found = next((p for p in facts.payments if p.ref == fact.payment_ref), None)
    if found is None:
        return Rejected(Reason.UNKNOWN_PAYMENT, "payment_id")
    if found.reversed_at is not None:
        return Rejected(Reason.ALREADY_REVERSED, "payment_id")
    if fact.amount is not None and read_amount(fact.amount, currency) != found.amount_minor:
        return Rejected(Reason.REVERSAL_DIFFERS, "amount")
    void = found._replace(reversed_at=event.at)
    return facts._replace(payments=tuple(void if p is found else p for p in facts.payments))


def _close(facts: LoanFacts, event: Event, fact: Closed) -> LoanFacts | Rejected:
    if facts.closed_at is not None and position(facts).status is not Status.OPEN:
        return Rejected(Reason.ALREADY_CLOSED, "subject")
    return facts._replace(closed_at=event.at, close_reason=fact.reason)


def _reschedule(
    facts: LoanFacts, currency: str, event: Event, fact: Rescheduled
) -> LoanFacts | Rejected:
    """The listed instalments replace those from the first listed number on; fees stay.

    One that is older than the schedule in force came late: it is kept and changes nothing.
    """
    parts = read_parts(fact.parts, currency)
    if isinstance(parts, Rejected):
        return parts
    if facts.rescheduled_at is not None and event.at < facts.rescheduled_at:
        return facts
    first = parts[0].number
    kept = [p for p in facts.instalments if p.kind is Kind.FEE or p.number < first]
    return facts._replace(
        instalments=in_order([*kept, *map(_instalment, parts)]),
        worst_dpd_floor=worst_dpd(facts, local_date(event.at, facts.zone)),
        rescheduled_at=event.at,
    )


def _charge(facts: LoanFacts, currency: str, event: Event, fact: Fee) -> LoanFacts | Rejected:
    """A fee falls due with the oldest unpaid instalment unless the ledger dates it."""
    if fact.currency not in (None, currency):
        return Rejected(Reason.WRONG_CURRENCY, "currency")
    amount = read_amount(fact.amount, currency)
    if isinstance(amount, Rejected):
        return amount
    number = 1 + sum(part.kind is Kind.FEE for part in facts.instalments)
    due_on = fact.due_on or position(facts).anchor or local_date(event.at, facts.zone)
    part = Instalment(number, Kind.FEE, due_on, amount)
    return facts._replace(instalments=in_order([*facts.instalments, part]))
