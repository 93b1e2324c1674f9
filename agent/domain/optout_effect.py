"""What an opt-out closes, and whether it is answered: by the rules of every place behind the number.

The house closes the number for any debt, in every portfolio, whatever a rule says: rules close more, never
less. An answer is the exception that a rule must allow: without one there is none, and never a second.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from agent.domain.conduct_base import Pack, StateRule
from agent.domain.conduct_ruling import Ruling
from agent.domain.conduct_state import finding

EVENT = "opt_out"
# What a rule's scope means as a hold; the address itself is closed without one.
_CLOSES = {"channel": "channel", "debt": "loan", "all": "person"}
# Why there is no answer although no rule of a pack forbids it.
NO_RULE = "no-rule-allows-an-answer"
ANSWERED = "answered-already"
GATEWAY = "gateway-answers-itself"


def scopes_closed(packs: Iterable[Pack], role: str | None, channel: str, day: date) -> set[str]:
    """The holds that an opt-out on this channel places beyond its number."""
    rules = _in_force(packs, "opt_out_effect", role, channel, day)
    return {_CLOSES[rule.params["scope"]] for rule in rules if rule.params["scope"] in _CLOSES}


def answer_allowed(
    packs: Sequence[Pack], role: str | None, channel: str, day: date, facts: Mapping[str, Any]
) -> tuple[bool, tuple[str, ...]]:
    """Whether these rules let an opt-out be answered so now, with the rules that say it."""
    rules = list(_in_force(packs, "single_reply", role, channel, day))
    found = [one for rule in rules if (one := finding(rule, facts, {})) is not None]
    denied = tuple(one.rule for one in found if one.ruling is Ruling.DENY)
    if denied:
        return False, denied
    allowed = tuple(one.rule for one in found if one.ruling is Ruling.ALLOW)
    return bool(allowed), allowed or (NO_RULE,)


def _in_force(
    packs: Iterable[Pack], kind: str, role: str | None, channel: str, day: date
) -> Iterable[StateRule]:
    for pack in packs:
        for rule in pack.states if pack.in_force(day) else ():
            head = rule.head
            if head.type != kind or channel not in head.channels:
                continue
            # not knowing whose debt it is, the rules of both sides bind
            if role is not None and role not in head.who:
                continue
            starts, ends = head.effective_from, head.effective_to
            if (starts is None or starts <= day) and (ends is None or day <= ends):
                yield rule
