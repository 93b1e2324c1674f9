"""Which state rules bind a message, and which facts they ask for.

Worked out once for some packs, a channel and a side; what is asked for decides what is read at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain

from agent.domain.conduct_base import Pack, StateRule
from agent.domain.conduct_ruling import AGENT_CONTACT, ELECTRONIC_CONTACT, MESSAGE, facts_named
from agent.domain.conduct_window import QuietPreference
from agent.domain.zonetime import day_of, local_day, seconds_of


@dataclass(frozen=True, slots=True, eq=False)
class _Dated:
    rule: StateRule
    starts: int | None
    ends: int | None


@lru_cache(maxsize=4096)
def _dates(zones: tuple[str, ...], at: int) -> tuple[int, int]:
    """The first and the last date that these zones show: a batch is decided at one instant."""
    days = [local_day(at, zone) for zone in zones]
    return min(days), max(days)


class Group:
    """Rules of one kind; which of them are in force is worked out once a day."""

    __slots__ = ("_always", "_days", "_rules")

    def __init__(self, rules: Sequence[_Dated]) -> None:
        self._rules = rules
        self._always: tuple[StateRule, ...] | None = None
        if all(one.starts is None and one.ends is None for one in rules):
            self._always = tuple(one.rule for one in rules)
        self._days: dict[tuple[int, int], tuple[StateRule, ...]] = {}

    def __bool__(self) -> bool:
        return len(self._rules) > 0

    def on(self, zones: Sequence[str], now: datetime) -> tuple[StateRule, ...]:
        """A rule binds while any of the person's calendars shows one of its dates; with none, always."""
        if self._always is not None:
            return self._always
        if not zones:
            return tuple(one.rule for one in self._rules)
        first, last = _dates(tuple(zones), seconds_of(now))
        found = self._days.get((first, last))
        if found is None:
            found = self._days[first, last] = tuple(
                one.rule
                for one in self._rules
                if (one.starts is None or last >= one.starts)
                and (one.ends is None or first <= one.ends)
            )
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """The state rules that bind messages by one channel, by what they look at."""

    evidence: Group
    said: Group
    holds: Group
    deadlines: Group
    # the facts with which deadlines begin to run
    starts: frozenset[str]
    # what an opt-out is by the law of the place
    opt_outs: Group
    # of what a person must be told before anybody writes
    notices: Group


# Asked of each way with all that is known of person and loan; the others of texts, which are much alike.
EVIDENCE = frozenset({"consent_required", "revalidate"})
_NOTICE = "prior_notice"
_OF_ONE_FACT = frozenset({"prior_notice", "consent_required"})
TEXT_RULES = frozenset({"required_content", "forbidden_content"})
_OF_DEBT = frozenset({"accuracy", "amount_limit", "attempt_limit"})
_SAID = TEXT_RULES | {"deliverability", "step_gate", "third_party_contact"} | _OF_DEBT
_CONDITIONAL = _SAID | {"consent_required"}
_HOLD = "hold"
_DEADLINE = "deadline"
_OPT_OUT = "opt_out_effect"
# Of the loan, the debt and what was tried; read where a rule names one of them.
LOAN_FACTS = frozenset({"amount", "balance", "currency", "dispute_open", "dpd", "tries"})
# What Duly knows by itself; the ledger states the rest of what rules name, or nobody does.
OWN_FACTS = frozenset(
    ("body", "channel", "role", "route", "stage", "grade", "target", "sender_type", "one_way_sender",
     "gateway_bans", "first_communication", "initial_communication", "content_class", "threatens_suit",
     "threatens_action", "overshadows", "deadline_hours", "lockscreen_shows_debt",
     "discloses_debt_to_others", "sms_consent", "express_consent", "days_since_consent",
     "days_since_consumer_text", "reassigned_number_check_days", "quiet", "waivers",
     "template_id", "amount_agrees")
) | LOAN_FACTS  # fmt: skip


@lru_cache(maxsize=4096)
def binding_of(packs: tuple[Pack, ...], channel: str, role: str | None) -> Binding | None:
    """The rules of these packs that bind a message by this channel; None if there are none."""
    bound = [
        _dated(pack, rule)
        for pack in packs
        for rule in pack.states
        if channel in rule.channels and (role is None or role in rule.head.who)
    ]
    messages = [one for one in bound if _of_message(one.rule, role)]
    evidence = [one for one in messages if _is_of_person(one.rule)]
    said = [one for one in messages if one.rule.head.type in _SAID and not _is_of_person(one.rule)]
    holds, deadlines, opt_outs, notices = (
        [one for one in messages if one.rule.head.type == kind]
        for kind in (_HOLD, _DEADLINE, _OPT_OUT, _NOTICE)
    )
    if not (evidence or said or holds or deadlines or opt_outs or notices):
        return None
    starts = frozenset(one.rule.params["from"] for one in deadlines)
    return Binding(
        Group(evidence), Group(said), Group(holds), Group(deadlines), starts, Group(opt_outs),
        Group(notices),
    )  # fmt: skip


def _is_of_person(rule: StateRule) -> bool:
    """Whether a rule looks at one person or loan, so that its answer is good for no other."""
    if rule.head.type in EVIDENCE or "counts" in rule.params:
        return True
    said = (rule.params.get(key, {}) for key in ("when", "allows", "unless", "deny_if"))
    named = chain.from_iterable(map(facts_named, said))
    return rule.head.type in _SAID and not LOAN_FACTS.isdisjoint(named)


def _of_message(rule: StateRule, role: str | None) -> bool:
    """Whether what a rule is asked before is a message: to whoever may collect for others, an agent's too."""
    before = rule.params.get("before", MESSAGE)
    if before == AGENT_CONTACT:
        return role != "first_party"
    return before in (MESSAGE, ELECTRONIC_CONTACT)


def _dated(pack: Pack, rule: StateRule) -> _Dated:
    firsts = [day for day in (pack.effective_from, rule.head.effective_from) if day is not None]
    lasts = [day for day in (pack.effective_to, rule.head.effective_to) if day is not None]
    starts, ends = max(firsts, default=None), min(lasts, default=None)
    return _Dated(
        rule, None if starts is None else day_of(starts), None if ends is None else day_of(ends)
    )


@lru_cache(maxsize=1024)
def facts_asked(packs: tuple[Pack, ...], role: str | None) -> frozenset[str]:
    """The names of the facts that rules of these packs may ask for at dispatch."""
    names: set[str] = set()
    for pack in packs:
        for rule in pack.states:
            if role is None or role in rule.head.who:
                names.update(_asked_by(rule, role))
        for clock in pack.rules:
            head = getattr(clock, "head", None)
            if head is not None and head.when.content_class is not None:
                names.add("body")
            if isinstance(clock, QuietPreference):
                names.add("quiet")
            if head is not None and head.waivable_by is not None:
                names.add("waivers")
    return frozenset(names)


def _asked_by(rule: StateRule, role: str | None) -> Iterator[str]:
    params, kind = rule.params, rule.head.type
    if not _of_message(rule, role):
        return
    yield from params.get("evidence_days", ())
    if kind in _OF_ONE_FACT:
        yield params["fact"]
    if kind == _HOLD:
        yield from params.get("lifted_by", ())
    if kind == _DEADLINE:
        yield from (params["from"], done_fact(rule))
        yield from facts_named(params.get("when", {}))
    if "counts" in params:
        yield "tries"
    if kind in _CONDITIONAL:
        yield from _in_conditions(rule)


def _in_conditions(rule: StateRule) -> Iterator[str]:
    for conditions in ("when", "allows", "deny_if", "unless"):
        yield from facts_named(rule.params.get(conditions, {}))
    if "words_from" in rule.params:
        yield rule.params["words_from"]
    if rule.head.type in TEXT_RULES or "words_from" in rule.params:
        yield "body"


def done_fact(rule: StateRule) -> str:
    """The fact that says that a duty was done."""
    return str(rule.params.get("done", "duty_done"))
