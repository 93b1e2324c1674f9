"""Ledger events as typed facts, and the reasons why something is none.

What every event is made of are named tuples: a bulk import makes ten for each.
"""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from agent.domain.conduct_base import Quiet


class Reason(StrEnum):
    """Why an event was kept but not applied. Staff see these words."""

    NOT_AN_EVENT = "not-an-event"
    MISSING_FIELD = "missing-field"
    UNKNOWN_TYPE = "unknown-type"
    BAD_TIME = "bad-time"
    BAD_DATE = "bad-date"
    BAD_ZONE = "unknown-zone"
    BAD_AMOUNT = "bad-amount"
    NOT_POSITIVE = "amount-not-positive"
    UNKNOWN_CURRENCY = "unknown-currency"
    WRONG_CURRENCY = "wrong-currency"
    NO_INSTALMENTS = "no-instalments"
    UNKNOWN_LOAN = "unknown-loan"
    AMBIGUOUS_LOAN = "ambiguous-loan"
    UNKNOWN_PAYMENT = "unknown-payment"
    UNKNOWN_BORROWER = "unknown-borrower"
    LOAN_EXISTS = "loan-exists"
    PAYMENT_EXISTS = "payment-exists"
    ALREADY_REVERSED = "already-reversed"
    REVERSAL_DIFFERS = "reversal-amount-differs"
    ALREADY_CLOSED = "already-closed"
    ID_REUSED = "id-reused"
    BAD_PORTFOLIO = "bad-portfolio"
    BAD_ROW = "bad-row"
    BAD_CELL = "bad-cell"
    BAD_CONSENT = "bad-consent"
    BAD_QUIET = "bad-quiet-hours"
    BAD_WAIVER = "bad-waiver"
    BAD_FACT = "bad-fact"


class GivenTo(StrEnum):
    """Whom a person gave a consent: it binds nobody else."""

    LENDER = "lender"
    COLLECTOR = "collector"


class Scope(StrEnum):
    """What a consent is for: word about the loan, or advertising."""

    SERVICE = "service"
    COMMERCIAL = "commercial"


class Evidence(NamedTuple):
    """More than the source of a consent, and when the number was last made sure of."""

    given_to: GivenTo | None
    scopes: tuple[Scope, ...]
    revoked_at: datetime | None
    checked_at: datetime | None


class Stated(NamedTuple):
    """A fact that only the ledger can know, of a person or of one of their loans; None takes it back."""

    loan: str
    name: str
    value: bool | int | date | None


class Waiver(NamedTuple):
    """A rule that a person gave up, and to whom."""

    waives: str
    given_to: GivenTo
    at: datetime


class Contact(NamedTuple):
    channel: str
    provider: str | None
    address: str
    consent_source: str | None
    consent_at: datetime | None
    evidence: Evidence | None = None
    # of somebody else than the borrower: never a way to write to them
    of_other: bool = False


class Whereabouts(NamedTuple):
    """What else an event says of where a person may be; None: nothing was said of it."""

    country: str | None = None
    region: str | None = None
    postal_code: str | None = None
    device_zone: str | None = None
    stated_zone: str | None = None


NOWHERE = Whereabouts()


class Person(NamedTuple):
    ref: str
    name: str | None
    locale: str | None
    region: str | None
    zones: tuple[str, ...]
    contacts: tuple[Contact, ...]
    # None: nothing was said of it
    quiet: tuple[Quiet, ...] | None = None
    waivers: tuple[Waiver, ...] | None = None
    stated: tuple[Stated, ...] = ()
    whereabouts: Whereabouts = NOWHERE


class Part(NamedTuple):
    """One dated part of a debt as the ledger states it."""

    number: int
    due_on: date
    amount_minor: int


class Opened(NamedTuple):
    product: str | None
    currency: str
    principal_minor: int | None
    person: Person
    parts: tuple[Part, ...]


class Rescheduled(NamedTuple):
    """Raw parts: their amounts are read in the loan's own currency."""

    parts: tuple[Mapping[str, Any], ...]


class Closed(NamedTuple):
    reason: str


class Posted(NamedTuple):
    payment_ref: str
    amount: object
    currency: str | None
    value_date: date | None


class Reversed(NamedTuple):
    payment_ref: str
    amount: object | None


class Fee(NamedTuple):
    amount: object
    currency: str | None
    due_on: date | None


class Updated(NamedTuple):
    person: Person


class Flagged(NamedTuple):
    person_ref: str
    flag: str
    until: datetime | None
    active: bool = True


Fact = Opened | Rescheduled | Closed | Posted | Reversed | Fee | Updated | Flagged


# What is not about a loan, and what says something of a person; tuples, because a union that stands
# in the call is built anew for every event.
ABOUT_PEOPLE = (Updated, Flagged)
ABOUT_THEM = (Opened, Updated)


class Event(NamedTuple):
    id: str
    source: str
    type: str
    subject: str
    portfolio: str | None
    at: datetime
    fact: Fact


class Rejected(NamedTuple):
    """An event that cannot be a fact; `detail` names the field, never its content."""

    reason: Reason
    detail: str
