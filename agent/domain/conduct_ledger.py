"""What the bureau codes of one account are, asked with whatever of its facts is known."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from agent.domain.bureau import (
    ACCOMMODATION_ENDED,
    CHARGE_OFF,
    FIRST_DELINQUENT,
    PAID,
    Delinquency,
    accommodation_in_force,
    amount_past_due,
    days_past_due,
    deferred_status,
    delinquency_after,
    first_delinquency,
    five_class,
    ifrs9_stage,
    in_default,
    metro2_status,
    paid_status,
    payment_rating,
    pboc_mark,
    pboc_month,
    profile_after,
    risk_increased,
)

UNCHANGED = "unchanged"
_UNMOVED = ("charged_off", "sold", "placed")
# Facts of an account's history → what they did to the first delinquency; there may be several of each.
_HISTORY = {
    "first_30": "thirty_days", "second_30": "thirty_days", "third_30": "thirty_days",
    "cured": "cured", "cured_again": "cured",
    "charged_off": "charge_off", "sold": "sale", "placed": "placement",
}  # fmt: skip
_MONTH = ("ended", "nothing_due", "arrears_repaid", "unknown")


def ledger_answer(given: Mapping[str, Any], about: str = "") -> dict[str, Any]:
    """Every code that these facts decide; `about` names the product where the facts do not."""
    answer: dict[str, Any] = {}
    kind = _kind(str(given.get("product", about)))
    if "due" in given and "as_of" in given:
        answer |= _each(given["as_of"], lambda day: _open(_day(day), given, kind))
    if given.get("dpd") is not None:
        answer |= _each(given["dpd"], lambda dpd: _classes(int(dpd), kind))
    if any(key in given for key in _MONTH):
        answer["pboc_month"] = _month(given)
    if "paid" in given:
        answer |= _paid(int(given.get("dpd_before", 0)), given)
    if "previous_profile" in given:
        status, rating = given["previous_status"], given.get("previous_rating")
        answer["profile"] = profile_after(str(given["previous_profile"]), status, rating)
    answer |= _history(given)
    if "deferred_to" in given:
        answer |= _deferred(given, kind)
    if "date" in given:
        answer["in_force"] = accommodation_in_force(_day(given["date"]))
        answer["covered_period_end"] = ACCOMMODATION_ENDED.isoformat()
    return answer


def _each(values: Any, codes: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The codes of one value, or of several as lists."""
    if not isinstance(values, list):
        return codes(values)
    rows = [codes(value) for value in values]
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _open(as_of: date, given: Mapping[str, Any], kind: str) -> dict[str, Any]:
    due, known = _day(given["due"]), given.get("past_due")
    dpd = days_past_due(due, as_of)
    return {
        **_classes(dpd, kind),
        "dpd": dpd,
        "dofd": _iso(first_delinquency(due, as_of)),
        "amount_past_due": amount_past_due(dpd, None if known is None else Decimal(str(known))),
    }


def _kind(about: str) -> str:
    card = "credit card" in about.lower().replace("_", " ") or "信用卡" in about
    return "credit_card" if card else "loan"


def _classes(dpd: int, product: str) -> dict[str, Any]:
    return {
        "tier": five_class(dpd, product),
        "metro2_status": metro2_status(dpd),
        "pboc_month": pboc_month(dpd),
        "ifrs9_stage": ifrs9_stage(dpd),
        "ifrs9_sicr_presumed": risk_increased(dpd),
        "default_presumed": in_default(dpd),
    }


def _month(given: Mapping[str, Any]) -> str:
    known = given.get("dpd", 0)
    return pboc_mark(
        None if given.get("unknown") or known is None else int(known),
        ended=given.get("ended"),
        nothing_due=bool(given.get("nothing_due")),
        repaid=bool(given.get("arrears_repaid")),
    )


def _paid(dpd_before: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Paid in full: 13, how late it was at that time, and the delinquency that this ended late.

    An account that was charged off or placed before keeps that, and has no rating.
    """
    paid = _day(given["paid"])
    due = _day(given["due"]) if "due" in given else paid - timedelta(days=dpd_before)
    late = dpd_before >= FIRST_DELINQUENT
    before = CHARGE_OFF if given.get("charged_off") else given.get("status_before")
    status = paid_status(before)
    return {
        "metro2_status": status,
        "payment_rating": payment_rating(dpd_before) if status == PAID else "",
        "dofd": _iso(first_delinquency(due, paid)) if late else None,
        "date_of_account_information": paid.isoformat(),
    }


def _history(given: Mapping[str, Any]) -> dict[str, Any]:
    """The first delinquency after what is known to have happened; a charge-off never moves it."""
    lost = given.get("charged_off") and "paid" not in given
    answer: dict[str, Any] = {"metro2_status": CHARGE_OFF} if lost else {}
    history = [
        Delinquency(_day(day), kind)
        for name, kind in _HISTORY.items()
        for day in _days(given.get(name))
    ]
    if history:
        answer["dofd"] = _iso(delinquency_after(history))
    elif any(given.get(name) is True for name in _UNMOVED):
        answer["dofd"] = UNCHANGED
    return answer


def _days(told: Any) -> list[Any]:
    """The days of one fact; that it is so, without a day, is none."""
    if told in (None, False, True):
        return []
    return told if isinstance(told, list) else [told]


def _deferred(given: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Days count from the new due date; a status that was already reported is held as it was."""
    if "status_before" in given:
        return {"metro2_status": deferred_status(str(given["status_before"]))}
    before = int(given.get("dpd", 0))
    dpd = days_past_due(_day(given["deferred_to"]), _day(given["as_of"]))
    if before < FIRST_DELINQUENT:
        return {"dpd": dpd, **_classes(dpd, kind)}
    return {"dpd": dpd, "metro2_status": deferred_status(metro2_status(before))}


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))
