"""Outcomes: what the credit ledger is told when the facts of a loan change, and what is taken back.

An outcome claims something about one instant. A fact that reaches back in time (a reversal, a late
payment) can make an earlier claim untrue; then a retraction names it, and what is true instead is
claimed anew. Sequence numbers are given by the caller, gapless per loan.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from agent.domain.calendar import instant, local_date
from agent.domain.ladder import bucket_name, bucket_of
from agent.domain.money import decimal_text
from agent.domain.standing import (
    PAID_OFF,
    LoanFacts,
    Position,
    Status,
    asked_for,
    dpd,
    position,
    settled_on,
    worst_dpd,
)

CURRENT = 0


class OutcomeType(StrEnum):
    BUCKET_CHANGED = "account.bucket_changed"
    CURED = "account.cured"
    PAID_OFF = "account.paid_off"
    CHARGE_OFF = "account.charge_off_recommended"
    DELINQUENT = "account.delinquent"
    RETRACTED = "outcome.retracted"


class Outcome(NamedTuple):
    type: OutcomeType
    occurred_at: datetime
    data: Mapping[str, Any]
    bucket: int | None = None
    corrects: int | None = None


class Claim(NamedTuple):
    """An outcome already numbered and not retracted."""

    seq: int
    type: OutcomeType
    occurred_at: datetime
    bucket: int | None
    anchor: date | None


class Announced(NamedTuple):
    """What the ledger believes by what it was told so far."""

    bucket: int = CURRENT
    paid_off: bool = False


class Account(NamedTuple):
    """The frame in which outcomes of one loan are worded."""

    currency: str
    buckets: tuple[int, ...]


def next_crossing(
    now: Position, bucket: int, buckets: tuple[int, ...], zone: str
) -> datetime | None:
    """Local midnight at which an open loan enters the bucket after `bucket`; None if none is left."""
    if now.status is not Status.OPEN or now.anchor is None or bucket >= len(buckets):
        return None
    return instant(now.anchor + timedelta(days=buckets[bucket]), time(0), zone)


def crossings(
    facts: LoanFacts, announced: Announced, account: Account, until: datetime
) -> Iterator[Outcome]:
    """Buckets that time alone made the loan enter, up to and including `until`."""
    now = position(facts)
    bucket = announced.bucket
    while (at := next_crossing(now, bucket, account.buckets, facts.zone)) and at <= until:
        yield _bucket_changed(facts, now, bucket, bucket + 1, at, account)
        bucket += 1


def outcomes(
    facts: LoanFacts,
    now: Position,
    bucket: int,
    announced: Announced,
    at: datetime,
    account: Account,
) -> list[Outcome]:
    """What must be told at `at` so that the ledger's belief equals the facts, their position and bucket.

    One outcome for each transition: entering a delinquent bucket, leaving delinquency, owing nothing.
    """
    found = []
    if bucket not in (announced.bucket, CURRENT):
        found.append(_bucket_changed(facts, now, announced.bucket, bucket, at, account))
    elif bucket != announced.bucket:
        found.append(_cured(facts, now, announced.bucket, at, account))
    if is_paid_off(facts, now) and not announced.paid_off:
        found.append(_paid_off(facts, now, at, account))
    return found


def current_bucket(
    facts: LoanFacts, now: Position, buckets: tuple[int, ...], announced: int, at: datetime
) -> int:
    """The bucket the facts put the loan in; a loan closed unpaid keeps the one it was in."""
    if now.status is Status.OPEN and now.anchor is not None:
        return bucket_of(buckets, dpd(now.anchor, local_date(at, facts.zone)))
    return CURRENT if is_paid_off(facts, now) else announced


def is_paid_off(facts: LoanFacts, now: Position) -> bool:
    """Nothing is owed: covered by payments, or the ledger closed the loan as paid off."""
    closed_as_paid = now.status is Status.CLOSED and facts.close_reason == PAID_OFF
    return now.status is Status.PAID or closed_as_paid


def announced_by(claims: Sequence[Claim]) -> Announced:
    """The ledger's belief after the given claims, in order of their numbers."""
    bucket, paid_off = CURRENT, False
    for claim in claims:
        if claim.type is OutcomeType.BUCKET_CHANGED and claim.bucket is not None:
            bucket = claim.bucket
        elif claim.type is OutcomeType.CURED:
            bucket = CURRENT
        elif claim.type is OutcomeType.PAID_OFF:
            paid_off = True
    return Announced(bucket, paid_off)


def untrue(claims: Sequence[Claim], facts: LoanFacts, account: Account) -> list[Claim]:
    """Claims that the facts, as they are known now, contradict for the instant they speak of.

    A moved schedule is not retroactive: claims made before it stand.
    """
    return [claim for claim in claims if not _holds(claim, facts, account)] if claims else []


def retraction(claim: Claim, at: datetime, cause: str) -> Outcome:
    """Takes back one outcome by its number; the claim is wrong, not merely outdated."""
    return Outcome(
        OutcomeType.RETRACTED,
        at,
        {"corrects_sequence": claim.seq, "corrects_type": claim.type.value, "cause": cause},
        corrects=claim.seq,
    )


# What a stage of the ladder tells, and nothing else does.
BY_STAGE = frozenset({OutcomeType.CHARGE_OFF, OutcomeType.DELINQUENT})


def told_by_stage(
    kind: OutcomeType, facts: LoanFacts, at: datetime, account: Account, stage: str
) -> Outcome:
    """What a stage tells of a loan that is still unpaid: that it is delinquent, or to charge it off."""
    now = position(facts)
    anchor = now.anchor
    return Outcome(
        kind,
        at,
        {
            "anchor": anchor.isoformat() if anchor else None,
            "dpd": dpd(anchor, local_date(at, facts.zone)) if anchor else 0,
            "stage": stage,
            "balance": decimal_text(now.balance_minor, account.currency),
            "currency": account.currency,
        },
    )


def _holds(claim: Claim, facts: LoanFacts, account: Account) -> bool:
    if facts.rescheduled_at is not None and claim.occurred_at < facts.rescheduled_at:
        return True
    then = position(facts, claim.occurred_at)
    match claim.type:
        case OutcomeType.PAID_OFF:
            return is_paid_off(facts, then)
        case OutcomeType.CHARGE_OFF | OutcomeType.DELINQUENT:
            return then.status is Status.OPEN and then.anchor == claim.anchor
        case OutcomeType.BUCKET_CHANGED | OutcomeType.CURED:
            expected = CURRENT if claim.type is OutcomeType.CURED else claim.bucket
            if claim.type is OutcomeType.BUCKET_CHANGED and _closed_unpaid(facts, then):
                return True
            # midnight told of a bucket before the payment of that very instant took it back
            sides = (then, position(facts, claim.occurred_at, before=True))
            return any(_bucket_at(facts, side, account, claim) == expected for side in sides)
        case OutcomeType.RETRACTED:
            return True


def _bucket_at(facts: LoanFacts, then: Position, account: Account, claim: Claim) -> int:
    """The bucket at the instant of a claim. Payments alone cure a loan that was closed unpaid."""
    if _closed_unpaid(facts, then):
        then = then._replace(status=Status.OPEN)
    return current_bucket(facts, then, account.buckets, CURRENT, claim.occurred_at)


def _closed_unpaid(facts: LoanFacts, then: Position) -> bool:
    return then.status is Status.CLOSED and not is_paid_off(facts, then)


def _bucket_changed(
    facts: LoanFacts, now: Position, old: int, new: int, at: datetime, account: Account
) -> Outcome:
    assert now.anchor is not None
    today = local_date(at, facts.zone)
    return Outcome(
        OutcomeType.BUCKET_CHANGED,
        at,
        {
            "from": bucket_name(account.buckets, old),
            "to": bucket_name(account.buckets, new),
            "dpd": dpd(now.anchor, today),
            "anchor": now.anchor.isoformat(),
            "amount_due": decimal_text(asked_for(facts, now, today), account.currency),
            "currency": account.currency,
        },
        bucket=new,
    )


def _cured(facts: LoanFacts, now: Position, old: int, at: datetime, account: Account) -> Outcome:
    return Outcome(
        OutcomeType.CURED,
        at,
        {
            "from": bucket_name(account.buckets, old),
            "to": bucket_name(account.buckets, CURRENT),
            "anchor": now.anchor.isoformat()
            if now.anchor and not is_paid_off(facts, now)
            else None,
            "worst_dpd": worst_dpd(facts, local_date(at, facts.zone)),
            "balance": decimal_text(now.balance_minor, account.currency),
            "currency": account.currency,
        },
        bucket=CURRENT,
    )


def _paid_off(facts: LoanFacts, now: Position, at: datetime, account: Account) -> Outcome:
    today, settled = local_date(at, facts.zone), settled_on(facts)
    return Outcome(
        OutcomeType.PAID_OFF,
        at,
        {
            "paid": decimal_text(now.paid_minor, account.currency),
            "balance": decimal_text(now.balance_minor, account.currency),
            "currency": account.currency,
            "conduct": {
                "worst_dpd": worst_dpd(facts, today, settled),
                "instalments": _lateness(facts, settled),
                "rescheduled": facts.rescheduled_at is not None,
                "reversals": sum(p.reversed_at is not None for p in facts.payments),
                "deferrals": 0,
                "promises": {"made": 0, "kept": 0, "broken": 0},
            },
        },
    )


def _lateness(facts: LoanFacts, settled: Sequence[date | None]) -> list[dict[str, Any]]:
    """Days late of each instalment; negative is early, None is unsettled at closing."""
    return [
        {
            "number": part.number,
            "kind": part.kind.value,
            "due_on": part.due_on.isoformat(),
            "paid_on": paid_on.isoformat() if paid_on else None,
            "days_late": (paid_on - part.due_on).days if paid_on else None,
        }
        for part, paid_on in zip(facts.instalments, settled, strict=True)
    ]
