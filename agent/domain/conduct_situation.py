"""What follows from the facts of a situation, in the words that rules use.

The same fact has several names: a form says that a dispute is open and leaves its code empty, a rule asks
whether something disputed is marked as such. Nothing here decides; it only says the same in other words.
"""

from collections.abc import Iterator, Mapping
from typing import Any

# The validation period of Regulation F is thirty days: a demand that ends within it overshadows it.
VALIDATION_HOURS = 30 * 24
_PUBLIC = frozenset({"social_public", "social_post"})
# Facts that are holds where they are true.
_HOLDS = ("grievance_open",)

Facts = Mapping[str, Any]


def situation(given: Facts) -> dict[str, Any]:
    """The facts with what follows from them; what was given itself is never changed."""
    return {**dict(_follows(given)), **given}


def _follows(given: Facts) -> Iterator[tuple[str, Any]]:
    yield from _renamed(given)
    yield from _of_text(given)
    if given.get("sender") == "ALPHA":
        yield "sender_type", "alphanumeric"
    if "two_way" in given:
        yield "one_way_sender", not given["two_way"]
    if "compliance_condition_code" in given:
        yield "dispute_marked", bool(given["compliance_condition_code"])
    held = [{"type": name} for name in _HOLDS if given.get(name)]
    if held and "holds" not in given:
        yield "holds", held


_NAMES = {
    "action_number": "number",
    "validation_period_open": "in_validation_period",
    "has_other_opt_out": "other_optout_route",
    "dispute_open": "disputed",
    "step": "message_type",
}


def _renamed(given: Facts) -> Iterator[tuple[str, Any]]:
    for name, other in _NAMES.items():
        if name in given:
            yield other, given[name]
    if "initial_communication" in given and "notice_sent" in given:
        yield "validation_sent", given["notice_sent"]


def _of_text(given: Facts) -> Iterator[tuple[str, Any]]:
    """What a text or its place amounts to."""
    hours = given.get("deadline_hours")
    if hours is not None:
        yield "overshadows", hours <= VALIDATION_HOURS
    if "lockscreen_shows_debt" in given:
        yield "discloses_debt_to_others", given["lockscreen_shows_debt"]
    if given.get("channel") in _PUBLIC:
        yield "publicly_visible", True
