"""Rules about time given: notice before an adverse act, and by when a duty must be done."""

from datetime import date, timedelta

from agent.domain.calendar import ONE_DAY, BusinessCalendar
from agent.domain.conduct_base import Calendars, StateRule
from agent.domain.conduct_ruling import Facts, Finding, Ruling, date_of, meets
from agent.domain.conduct_window import CALENDAR_MISSING


def prior_notice(rule: StateRule, facts: Facts, _calendars: Calendars) -> Finding | None:
    """Nothing adverse leaves before the person was told, and had the days that the rule gives."""
    told, act = (
        rule.params["fact"],
        date_of(facts.get(str(rule.params.get("act_on", "furnish_on")))),
    )
    days = rule.params.get("min_days")
    if days is not None and "notice_days" in facts:
        lacking = days - int(facts["notice_days"])
        short = {"needs_days": lacking}
        return (
            Finding(rule.id, Ruling.DEFER, short) if lacking > 0 else Finding(rule.id, Ruling.ALLOW)
        )
    if told not in facts:
        return None
    if days is None:
        return Finding(rule.id, Ruling.ALLOW if facts[told] else Ruling.DENY)
    sent = date_of(facts[told])
    if sent is None:
        return Finding(rule.id, Ruling.DENY)
    if facts.get("bounced"):
        # a bounced message told nobody: the days begin with the next one
        return Finding(rule.id, Ruling.DEFER, {"needs": "resend"})
    free = sent + timedelta(days=days)
    if act is not None and act >= free:
        return Finding(rule.id, Ruling.ALLOW)
    return Finding(rule.id, Ruling.DEFER, {"until_date": free})


def deadline(rule: StateRule, facts: Facts, calendars: Calendars) -> Finding | None:
    """By when something must be done, in calendar days or in business days of a calendar."""
    start = date_of(facts.get(rule.params["from"]))
    if start is None or meets(rule.params.get("when", {}), facts) is False:
        return None
    days = int(rule.params["days"])
    if not rule.params.get("business", False):
        return _by(rule, start + timedelta(days=days), facts)
    name = str(facts.get("business_calendar", rule.params.get("calendar")))
    due = business_days_after(start, days, calendars.get(name))
    if due is None:
        return Finding(CALENDAR_MISSING, Ruling.HOLD)
    return _by(rule, due, facts)


def _by(rule: StateRule, due: date, facts: Facts) -> Finding:
    """Until when something is due; once that day is over and it was not done, the next step is off."""
    today = date_of(facts.get("today"))
    done = facts.get(str(rule.params.get("done", "duty_done")))
    over = today is not None and today > due and not done
    return Finding(rule.id, Ruling.DENY if over else Ruling.DEADLINE, {"deadline": due})


def business_days_after(start: date, days: int, calendar: BusinessCalendar | None) -> date | None:
    """The date `days` business days after `start`; None where the calendar does not reach."""
    day = start
    while days > 0:
        day += ONE_DAY
        if calendar is None or not calendar.is_known(day):
            return None
        days -= calendar.is_business_day(day)
    return day
