"""What the facts say of a loan: anchor, status, amounts, lateness. Never advanced, always re-derived.

Payments settle instalments oldest first (FIFO by due date). A reversed payment never counted, also
in hindsight. All amounts are minor units of the loan's currency; all dates are local to its zone.
The values are named tuples: intake makes several for every event.
"""

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from agent.domain.calendar import local_date

PAID_OFF = "paid_off"


class Status(StrEnum):
    OPEN = "open"
    PAID = "paid"
    CLOSED = "closed"


class Kind(StrEnum):
    INSTALMENT = "instalment"
    FEE = "fee"


class Instalment(NamedTuple):
    """One dated part of the debt, a fee included."""

    number: int
    kind: Kind
    due_on: date
    amount_minor: int


class Payment(NamedTuple):
    ref: str
    amount_minor: int
    paid_at: datetime
    known_at: datetime
    reversed_at: datetime | None = None


class LoanFacts(NamedTuple):
    """Everything a loan's standing is derived from. `instalments` are sorted by due date."""

    zone: str
    opened_at: datetime
    instalments: tuple[Instalment, ...]
    payments: tuple[Payment, ...] = ()
    closed_at: datetime | None = None
    close_reason: str | None = None
    worst_dpd_floor: int = 0
    rescheduled_at: datetime | None = None


class Position(NamedTuple):
    """The derived columns of a loan."""

    status: Status
    anchor: date | None
    balance_minor: int
    paid_minor: int


def in_order(instalments: Iterable[Instalment]) -> tuple[Instalment, ...]:
    """The order in which payments settle them."""
    return tuple(sorted(instalments, key=_turn))


def _turn(part: Instalment) -> tuple[date, bool, int]:
    return part.due_on, part.kind is Kind.FEE, part.number


def position(facts: LoanFacts, at: datetime | None = None, *, before: bool = False) -> Position:
    """Derive the columns from all facts, or from those value-dated up to `at` (`before`: not at it)."""
    paid = total = 0
    for payment in _standing_payments(facts, at, before=before):
        paid += payment.amount_minor
    anchor: date | None = None
    for part in facts.instalments:
        total += part.amount_minor
        if anchor is None and total > paid:
            anchor = part.due_on
    status = Status.PAID if anchor is None else Status.OPEN
    if status is Status.OPEN and _is_closed(facts, at):
        status = Status.CLOSED
    return Position(status, anchor, total - paid, paid)


def _standing_payments(
    facts: LoanFacts, at: datetime | None, *, before: bool = False
) -> list[Payment]:
    valid = [payment for payment in facts.payments if payment.reversed_at is None]
    if at is None:
        return valid
    if before:
        return [payment for payment in valid if payment.paid_at < at]
    return [payment for payment in valid if payment.paid_at <= at]


def _is_closed(facts: LoanFacts, at: datetime | None) -> bool:
    """A closing as paid off falls with a later reversal: the debt it declared settled is back."""
    closed_at = facts.closed_at
    if closed_at is None or (at is not None and closed_at > at):
        return False
    if facts.close_reason != PAID_OFF:
        return True
    return not any(
        payment.reversed_at is not None and payment.reversed_at >= closed_at
        for payment in facts.payments
    )


def amount_due(facts: LoanFacts, today: date) -> int:
    """What is asked for today: the unpaid part of all instalments due by the anchor or by today."""
    return asked_for(facts, position(facts), today)


def asked_for(facts: LoanFacts, now: Position, today: date) -> int:
    """The same where the position is known already."""
    if now.anchor is None:
        return 0
    horizon = max(now.anchor, today)
    asked = sum(part.amount_minor for part in facts.instalments if part.due_on <= horizon)
    return max(0, asked - now.paid_minor)


def settled_on(facts: LoanFacts) -> tuple[date | None, ...]:
    """For each instalment, the local date on which payments came to cover it."""
    runs = sorted(_standing_payments(facts, None), key=lambda payment: payment.paid_at)
    settled: list[date | None] = []
    paid = covered = 0
    upcoming = iter(runs)
    last: datetime | None = None
    for part in facts.instalments:
        covered += part.amount_minor
        while paid < covered:
            payment = next(upcoming, None)
            if payment is None:
                break
            paid, last = paid + payment.amount_minor, payment.paid_at
        done = paid >= covered and last is not None
        settled.append(local_date(last, facts.zone) if done and last is not None else None)
    return tuple(settled)


def worst_dpd(facts: LoanFacts, today: date, settled: tuple[date | None, ...] | None = None) -> int:
    """The highest DPD the loan ever had, seen with today's knowledge; 0 if it was never late.

    `settled` is what `settled_on` says, where it is known already.
    """
    settled = settled_on(facts) if settled is None else settled
    end = local_date(facts.closed_at, facts.zone) if facts.closed_at else today
    lates = (
        ((paid_on or end) - part.due_on).days
        for part, paid_on in zip(facts.instalments, settled, strict=True)
    )
    return max(facts.worst_dpd_floor, 0, *lates)


def dpd(anchor: date, today: date) -> int:
    """Days past due; negative while the anchor lies ahead."""
    return (today - anchor).days
