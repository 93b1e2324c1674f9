"""Rules that the state of things decides: consent, holds, replies, content, routes, notices, duties.

One situation (named facts) is put to every rule of the packs that apply. A rule answers for itself:
not concerned, allowed because of it, or not allowed, and how strictly. The strictest answer wins and
names every rule that gave it; deny > hold > defer > allow.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from agent.domain.calendar import ONE_DAY, instant, local_date
from agent.domain.conduct_base import Calendars, StateRule
from agent.domain.conduct_notice import deadline, prior_notice
from agent.domain.conduct_ruling import (
    Facts,
    Finding,
    Judgement,
    Ruling,
    date_of,
    instant_of,
    meets,
)
from agent.domain.content import MARKS, confirmation_parts, speaks_of


def judge(rules: Iterable[StateRule], facts: Facts, calendars: Calendars) -> Judgement:
    """Ask every rule; the strictest wins with all that agree, and with what they say besides."""
    found = [one for rule in rules if (one := finding(rule, facts, calendars)) is not None]
    if not found:
        return Judgement(Ruling.ALLOW, ())
    strictest = max(one.ruling for one in found)
    said = [one for one in found if one.ruling is strictest]
    detail: dict[str, Any] = {}
    for one in said:
        detail |= {key: _later(detail.get(key), value) for key, value in one.detail.items()}
    return Judgement(strictest, tuple(dict.fromkeys(one.rule for one in said)), detail)


def _later(known: Any, new: Any) -> Any:
    return new if known is None or type(known) is not type(new) else max(known, new)


def finding(rule: StateRule, facts: Facts, calendars: Calendars) -> Finding | None:
    """What one rule says; None if the situation does not concern it."""
    role = facts.get("role")
    if role is not None and role not in rule.head.who:
        return None
    ask = _ASK.get(rule.head.type, _conditional)
    return ask(rule, facts, calendars)


# ---- conditions as data


def _conditional(rule: StateRule, facts: Facts, _calendars: Calendars) -> Finding | None:
    """Fails where `when` holds; says yes where `allows` holds; else it is not concerned."""
    allows = rule.params.get("allows")
    if allows is not None and meets(allows, facts):
        return Finding(rule.id, Ruling.ALLOW)
    when = rule.params.get("when")
    if when is None or not meets(when, facts):
        return None
    if "words_from" in rule.params and not _said(rule, facts):
        return None
    return Finding(rule.id, _effect(rule))


def _said(rule: StateRule, facts: Facts) -> bool:
    return speaks_of_any(facts.get(rule.params["words_from"]) or (), str(facts.get("body", "")))


def speaks_of_any(subjects: Iterable[Any], body: str) -> bool:
    """Whether a text is about one of the subjects that a fact lists."""
    return any(speaks_of(str(word), body) for word in subjects)


def _effect(rule: StateRule, default: Ruling = Ruling.DENY) -> Ruling:
    return Ruling[str(rule.params.get("effect", default.name)).upper()]


# ---- holds


def _hold(rule: StateRule, facts: Facts, _calendars: Calendars) -> Finding | None:
    """A hold stops what its rule names until what lifts it has happened."""
    held = next((h for h in _holds(facts) if h["type"] in rule.params["reasons"]), None)
    if held is None:
        lifted = any(facts.get(name) for name in rule.params.get("lifted_by", ()))
        return Finding(rule.id, Ruling.ALLOW) if lifted else _partly(rule, facts)
    kind = facts.get("message_type")
    if kind in rule.params.get("open", ()):
        return None
    steps = rule.params.get("steps")
    if steps is not None and kind is not None and kind not in steps:
        return None
    if any(facts.get(name) for name in rule.params.get("lifted_by", ())):
        return Finding(rule.id, Ruling.ALLOW)
    return _until_lifted(rule, held, facts)


def _partly(rule: StateRule, facts: Facts) -> Finding | None:
    """Where a part is in dispute, what is asked for may not reach into it."""
    names = rule.params.get("partly", ())
    if not names or not all(name in facts for name in names):
        return None
    disputed, total, demand = (Decimal(str(facts[name])) for name in names)
    return Finding(rule.id, Ruling.ALLOW if demand <= total - disputed else _effect(rule))


def _holds(facts: Facts) -> list[Mapping[str, Any]]:
    held = facts.get("holds", ())
    return [hold if isinstance(hold, Mapping) else {"type": hold} for hold in held]


def _until_lifted(rule: StateRule, held: Mapping[str, Any], facts: Facts) -> Finding:
    """A hold that ends by the calendar defers to the first opening after its last day."""
    last = _last_day(rule, held)
    if last is None:
        return Finding(rule.id, _effect(rule))
    zones = facts.get("zones") or (str(rule.params.get("zone", "UTC")),)
    opens = time.fromisoformat(str(rule.params.get("opens", "08:00")))
    minute_after = (datetime.combine(date.min, opens) + timedelta(minutes=1)).time()
    at = instant_of(facts.get("at"))
    if at is not None and all(local_date(at, zone) > last for zone in zones):
        return Finding(rule.id, Ruling.ALLOW)
    until = max(instant(last + ONE_DAY, minute_after, zone) for zone in zones)
    return Finding(rule.id, Ruling.DEFER, {"until": until})


def _last_day(rule: StateRule, held: Mapping[str, Any]) -> date | None:
    if "until" in held:
        return date_of(held["until"])
    tail = held.get("tail_days", rule.params.get("tail_days"))
    if tail is not None:
        end = date_of(held.get("treatment_end"))
        return None if end is None else end + timedelta(days=int(tail))
    start, days = date_of(held.get("from")), held.get("days", rule.params.get("days"))
    if start is None or days is None:
        return None
    # the day that it starts on is not counted: protected one day longer rather than shorter
    return start + timedelta(days=int(days))


# ---- replies and opt-outs


def _single_reply(rule: StateRule, facts: Facts, _calendars: Calendars) -> Finding | None:
    """One answer to what the person did, of the kind and in the time that the rule names."""
    if not _answers(rule, facts):
        return None
    most = rule.params.get("max")
    if most is None and "within_seconds" not in rule.params and not facts.get("message"):
        # it is only about what the answer says
        return None
    sent = facts.get("confirmations_sent", facts.get("replies_sent", facts.get("notices_sent", 0)))
    if most is not None and int(sent or 0) >= most:
        return Finding(rule.id, Ruling.DENY)
    within = rule.params.get("within_seconds")
    if within is not None and (facts.get("seconds_since") or 0) > within:
        return Finding(rule.id, Ruling.DENY)
    only = rule.params.get("only")
    if only and facts.get("message") and not confirmation_parts(facts["message"]) <= set(only):
        return Finding(rule.id, Ruling.DENY)
    detail = {} if most is None else {"max_messages": most}
    if most is not None and "duplicates" in facts:
        # the same word delivered again is one word: one change of state, one answer
        detail["confirmations"] = most
    return Finding(rule.id, Ruling.ALLOW, detail)


def _answers(rule: StateRule, facts: Facts) -> bool:
    events = rule.params["on"]
    if facts.get("event") in events:
        return True
    kinds = rule.params.get("message_types")
    held = any(hold["type"] in events for hold in _holds(facts))
    return held and kinds is not None and facts.get("message_type") in kinds


def _opt_out(rule: StateRule, facts: Facts, _calendars: Calendars) -> Finding | None:
    """An opt-out closes that address for any debt, from the instant that it is stored."""
    stopped, leaves = instant_of(facts.get("stop_at")), instant_of(facts.get("dispatch_at"))
    if stopped is not None and leaves is not None:
        return Finding(rule.id, Ruling.DENY if stopped <= leaves else Ruling.ALLOW)
    number = facts.get("suppressed_number")
    if number is None or not ("channel" in facts or "number" in facts):
        return None
    other = facts.get("number") not in (None, number)
    if facts.get("channel") == "push" and facts.get("number") is None:
        other = bool(facts.get("push_consent"))
    return Finding(rule.id, Ruling.ALLOW if other else Ruling.DENY)


def _consent(rule: StateRule, facts: Facts, _calendars: Calendars) -> Finding | None:
    """No contact of this kind without the consent that the rule names."""
    if facts.get("event") in rule.params.get("given_by", ()):
        return Finding(rule.id, Ruling.ALLOW)
    fact = rule.params["fact"]
    if fact not in facts or meets(rule.params.get("when", {}), facts) is not True:
        return None
    return Finding(rule.id, Ruling.ALLOW if facts[fact] else Ruling.DENY)


def _revalidate(rule: StateRule, facts: Facts, _calendars: Calendars) -> Finding | None:
    """A number is trusted for so many days after the newest evidence; then it is checked again."""
    asked = [name for name in rule.params["evidence_days"] if name in facts]
    if not asked:
        return None
    ages = [facts[name] for name in asked if facts[name] is not None]
    if ages and min(ages) <= rule.params["max_age_days"]:
        return Finding(rule.id, Ruling.ALLOW)
    return Finding(rule.id, Ruling.DEFER, {"needs": rule.params["needs"]})


# ---- content


def _required(rule: StateRule, facts: Facts, _calendars: Calendars) -> Finding | None:
    """What a text must say. A fact that says whether it does comes before reading the text.

    A disclosure that only collectors for others owe is asked of those who are known to be one.
    """
    if facts.get("role") is None and len(rule.head.who) == 1:
        return None
    if meets(rule.params.get("when", {}), facts) is not True:
        return None
    if facts.get("channel") is not None and facts["channel"] not in rule.channels:
        return None
    fact = rule.params.get("fact")
    if fact is not None and fact in facts:
        says = bool(facts[fact])
    elif facts.get("body") is not None:
        says = MARKS[rule.params["element"]](str(facts["body"]))
    else:
        return None
    return None if says else Finding(rule.id, Ruling.DENY)


# ---- third parties, notices, deadlines


def _third_party(rule: StateRule, facts: Facts, _calendars: Calendars) -> Finding | None:
    """Somebody else may be asked only for what, and as often as, the rule allows."""
    target = facts.get("target")
    if target in (None, "borrower", "consumer", "debtor") or target in rule.params.get(
        "not_for", ()
    ):
        return None
    if meets(rule.params.get("unless", {"never": True}), facts):
        return Finding(rule.id, Ruling.ALLOW)
    for name, value in rule.params.get("deny_if", {}).items():
        if meets({name: value}, facts):
            return Finding(rule.id, Ruling.DENY)
    concerned = any(name in facts for name in rule.params.get("about", ()))
    return Finding(rule.id, Ruling.ALLOW) if concerned else None


_ASK = {
    "hold": _hold,
    "single_reply": _single_reply,
    "opt_out_effect": _opt_out,
    "consent_required": _consent,
    "revalidate": _revalidate,
    "required_content": _required,
    "third_party_contact": _third_party,
    "prior_notice": prior_notice,
    "deadline": deadline,
}
