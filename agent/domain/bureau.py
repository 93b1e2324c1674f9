"""One count of days past due, many codes of it: Metro 2, PBOC, the five classes, IFRS 9.

Metro 2 starts at 30 days and its buckets begin on 30, 60, 90; PBOC starts at day 1 and its buckets
end on 30, 60, 90. Nothing here decides a date of its own: it maps what the ledger says.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

CURRENT, PAID, COLLECTION, CHARGE_OFF = "11", "13", "93", "97"
FIRST_DELINQUENT = 30
PROFILE_LENGTH = 24

_METRO2_FROM = (30, 60, 90, 120, 150, 180)
_METRO2 = (CURRENT, "71", "78", "80", "82", "83", "84")
_PROFILE = {
    CURRENT: "0", "71": "1", "78": "2", "80": "3", "82": "4", "83": "5", "84": "6",
    "05": "0", PAID: "0", "61": "0", "62": "0", "63": "0", "64": "0", "65": "0",
    "88": "0", "89": "0", "94": "H", "95": "J", "96": "K",
    COLLECTION: "G", CHARGE_OFF: "L",
}  # fmt: skip
_RATED = (PAID, "05", "65", "88", "89", "94", "95")
# What a status becomes when the account is paid in full: the way it was lost stays visible.
_PAID_AFTER = {"95": "61", COLLECTION: "62", "96": "63", CHARGE_OFF: "64"}
_NO_HISTORY, _NOT_REPORTED = "B", "D"

_PBOC_UP_TO = (0, 30, 60, 90, 120, 150, 180)
_PBOC = ("N", "1", "2", "3", "4", "5", "6", "7")
_PBOC_ENDED = {"settled": "C", "otherwise": "G", "guarantor": "D", "asset": "Z", "dead": "B"}

_CLASSES = ("正常", "关注", "次级", "可疑", "损失")
# The last day of each class but the worst.
_CLASS_UP_TO = {"credit_card": (0, 90, 120, 180), "loan": (0, 90, 270, 360)}

# The public-health accommodation ended 120 days after the emergency did, on 10 April 2023.
ACCOMMODATION_ENDED = date(2023, 4, 10) + timedelta(days=120)
ACCOMMODATION_BEGAN = date(2020, 1, 31)


def days_past_due(due: date, as_of: date) -> int:
    """Whole days since the due date of the oldest unpaid instalment; never negative."""
    return max(0, (as_of - due).days)


def metro2_status(dpd: int) -> str:
    """The account status of an open account: 11 below 30 days, 84 from 180."""
    return _METRO2[bisect_right(_METRO2_FROM, dpd)]


def payment_rating(dpd: int) -> str:
    """How late an account was when it was paid or closed: 0 below 30 days, 6 from 180."""
    return str(bisect_right(_METRO2_FROM, dpd))


def paid_status(before: str | None) -> str:
    """Paid in full: 13 with a rating, or 61 to 64 without one where the account had been lost before."""
    return _PAID_AFTER.get(before or "", PAID)


def first_delinquency(due: date, as_of: date) -> date | None:
    """The 30-day point of the delinquency that runs now; none while nothing is 30 days late."""
    if days_past_due(due, as_of) < FIRST_DELINQUENT:
        return None
    return due + timedelta(days=FIRST_DELINQUENT)


@dataclass(frozen=True, slots=True)
class Delinquency:
    """A 30-day point, a cure, a charge-off or a sale, on its day."""

    on: date
    kind: str


def delinquency_after(events: Iterable[Delinquency]) -> date | None:
    """The first delinquency after a history: a cure clears it; charge-off and sale change nothing."""
    known: date | None = None
    for event in sorted(events, key=lambda one: one.on):
        match event.kind:
            case "thirty_days" if known is None:
                known = event.on
            case "cured":
                known = None
            case _:
                pass
    return known


def amount_past_due(dpd: int, past_due: Decimal | None) -> str | None:
    """In whole dollars, and nothing below 30 days; None where the amount is not known."""
    if dpd < FIRST_DELINQUENT:
        return "0"
    return None if past_due is None else str(int(past_due))


def profile_after(profile: str, previous_status: str | None, rating: str | None = None) -> str:
    """The payment history one period on: the status reported last comes first, 24 in all.

    A month of which nothing was reported, or a deletion, is D; before the first report there is no
    history, B, which only ever trails.
    """
    nothing = _NO_HISTORY if not profile.strip(_NO_HISTORY) else _NOT_REPORTED
    mark = _PROFILE.get(previous_status or "", nothing)
    if rating is not None and previous_status in _RATED:
        mark = rating
    return (mark + profile).ljust(PROFILE_LENGTH, _NO_HISTORY)[:PROFILE_LENGTH]


def deferred_status(status_before: str) -> str:
    """A deferral holds the status that it found: neither worse nor erased."""
    return status_before


def accommodation_in_force(day: date) -> bool:
    """Whether a deferral of that day fell under the federal accommodation of 2020 to 2023."""
    return ACCOMMODATION_BEGAN <= day <= ACCOMMODATION_ENDED


def pboc_month(dpd: int) -> str:
    """The monthly mark: N while nothing is late, 1 from day 1, 7 from day 181."""
    return _PBOC[sum(dpd > last for last in _PBOC_UP_TO)]


def pboc_mark(
    dpd: int | None, *, ended: str | None = None, nothing_due: bool = False, repaid: bool = False
) -> str:
    """The mark of a whole month: how the account ended in it, else how late it was.

    `*` where nothing was due, `#` where nobody knows, M where all arrears were repaid, but late.
    `ended`: settled, otherwise, by a guarantor, by an asset for the debt, or as a dead account.
    """
    if ended is not None:
        return _PBOC_ENDED[ended]
    if dpd is None:
        return "#"
    if repaid:
        return "M"
    return "*" if nothing_due and dpd == 0 else pboc_month(dpd)


def five_class(dpd: int, product: str = "loan") -> str:
    """The class that days past due alone give: a floor, judgement may put it lower."""
    return _CLASSES[sum(dpd > last for last in _CLASS_UP_TO[product])]


def risk_increased(dpd: int) -> bool:
    """IFRS 9 5.5.11: presumed more than 30 days past due, rebuttable."""
    return dpd > 30


def in_default(dpd: int) -> bool:
    """IFRS 9 B5.5.37 and Basel: presumed more than 90 days past due."""
    return dpd > 90


def ifrs9_stage(dpd: int) -> int:
    """1, 2 from more than 30 days, 3 from more than 90: the presumptions, rebuttable."""
    return 1 + risk_increased(dpd) + in_default(dpd)
