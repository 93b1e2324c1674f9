"""What the bureau codes of one account are, asked with whatever of its facts is known."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from agent.domain.bureau import (
    ACCOMMODATION_ENDED,
    FIRST_DELINQUENT,
    PAID,
    Delinquency,
    accommodation_in_force,
    days_past_due,
    deferred_status,
    delinquency_after,
    first_delinquency,
    five_class,
    ifrs9_stage,
    metro2_status,
    payment_rating,
    pboc_month,
    profile_after,
)

# Fact of an account's history → what it did to the first delinquency.
_HISTORY = {
    "first_30": "thirty_days", "second_30": "thirty_days", "third_30": "thirty_days",
    "cured": "cured", "charged_off": "charge_off", "sold": "sale",
}  # fmt: skip


def ledger_answer(given: Mapping[str, Any], about: str = "") -> dict[str, Any]:
    """Every code that these facts decide; `about` names the product where the facts do not."""
    answer: dict[str, Any] = {}
    if "due" in given and "as_of" in given:
        answer |= _open(_day(given["due"]), _day(given["as_of"]))
    if "dpd" in given:
        answer |= _classes(given["dpd"], str(given.get("product", about)))
    if "paid" in given:
        answer |= _paid(int(given.get("dpd_before", 0)), given)
    if "previous_profile" in given:
        status, rating = str(given["previous_status"]), given.get("previous_rating")
        answer["profile"] = profile_after(str(given["previous_profile"]), status, rating)
    if any(name in given for name in _HISTORY):
        known = [name for name in _HISTORY if given.get(name)]
        history = [Delinquency(_day(given[name]), _HISTORY[name]) for name in known]
        answer["dofd"] = _iso(delinquency_after(history))
    if "status_before" in given and "deferred_to" in given:
        answer["metro2_status"] = deferred_status(str(given["status_before"]))
    if "date" in given:
        answer["in_force"] = accommodation_in_force(_day(given["date"]))
        answer["covered_period_end"] = ACCOMMODATION_ENDED.isoformat()
    return answer


def _open(due: date, as_of: date) -> dict[str, Any]:
    dpd = days_past_due(due, as_of)
    return {
        "dpd": dpd,
        "metro2_status": metro2_status(dpd),
        "dofd": _iso(first_delinquency(due, as_of)),
        "pboc_month": pboc_month(dpd),
        "ifrs9_stage": ifrs9_stage(dpd),
        "tier": five_class(dpd),
    }


def _classes(dpd: Any, about: str) -> dict[str, Any]:
    card = "credit card" in about.lower().replace("_", " ") or "信用卡" in about
    product = "credit_card" if card else "loan"
    if isinstance(dpd, list):
        return {
            "tier": [five_class(days, product) for days in dpd],
            "metro2_status": [metro2_status(days) for days in dpd],
            "pboc_month": [pboc_month(days) for days in dpd],
            "ifrs9_stage": [ifrs9_stage(days) for days in dpd],
        }
    return {
        "tier": five_class(dpd, product),
        "metro2_status": metro2_status(dpd),
        "pboc_month": pboc_month(dpd),
        "ifrs9_stage": ifrs9_stage(dpd),
    }


def _paid(dpd_before: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Paid in full: 13, how late it was at that time, and the delinquency that this ended late."""
    rating = payment_rating(dpd_before)
    late = dpd_before >= FIRST_DELINQUENT and "due" in given
    known = first_delinquency(_day(given["due"]), _day(given["paid"])) if late else None
    return {"metro2_status": PAID, "payment_rating": rating, "dofd": _iso(known)}


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))
