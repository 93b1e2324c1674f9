"""Compile packs: every string a string, every rule enforceable, or the pack is refused as a whole."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from typing import Any

from agent.domain.calendar import BusinessCalendar, known_zone
from agent.domain.conduct_base import (
    ALL_CHANNELS,
    ALWAYS,
    BOTH_ROLES,
    EVERY_CHANNEL,
    WEEK,
    Calendars,
    ConductRule,
    Head,
    Pack,
    PackProblem,
    Source,
    StateRule,
    When,
    minute_of,
)
from agent.domain.conduct_caps import Cap, ChannelCap, Cooldown, Period, Scope, Span
from agent.domain.conduct_house import ContactWindow, DailyCap, RollingCap
from agent.domain.conduct_params import STATE_PARAMS, wrong_params
from agent.domain.conduct_window import Hours, QuietPreference, WeekWindow
from agent.domain.conduct_words import (
    COMMON,
    out_of_order,
    wrong_file,
    wrong_head,
    wrong_rule,
    wrong_source,
    wrong_words,
)

_HOURS = 'two times as strings, ["08:00", "20:00"]'
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?")


class _Wrong(Exception):
    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


def compile_pack(
    raw: Mapping[str, Any], version: str, calendars: Calendars | None = None
) -> Pack | tuple[PackProblem, ...]:
    """Compile a pack; one rule that cannot be enforced refuses the whole pack."""
    head = raw.get("pack", raw)
    rules: list[ConductRule] = []
    states: list[StateRule] = []
    problems: list[PackProblem] = []
    for item in raw.get("rules", raw.get("rule", ())):
        try:
            rule = _rule(item, calendars or {})
        except _Wrong as wrong:
            problems.append(PackProblem(str(item.get("id", "?")), wrong.what, wrong.fix))
            continue
        if isinstance(rule, StateRule):
            states.append(rule)
        else:
            rules.append(rule)
    try:
        dates = _date(head, "effective_from"), _date(head, "effective_to")
        identity = _text(head, "id")
        if out_of_order(*dates):
            raise _Wrong("it ends before it begins", "swap effective_from and effective_to")
    except _Wrong as wrong:
        problems.append(PackProblem(str(head.get("id", "?")), wrong.what, wrong.fix))
    problems += _twice([*rules, *states])
    if problems:
        return tuple(problems)
    return Pack(
        identity, version, *dates, tuple(rules), tuple(states), _places(head),
        str(head.get("name", "")), str(head.get("level", "")),
    )  # fmt: skip


def head_problems(raw: Mapping[str, Any]) -> Iterator[PackProblem]:
    """What a pack that is shipped or loaded must say of itself; of a readable one (`file_problems`)."""
    head = raw["pack"]
    if not isinstance(head.get("reviewed_by"), str):
        yield PackProblem("pack", "reviewed_by is no string", 'write reviewed_by = "" or who did')
    for key in ("id", "version", "name", "level", "checked_on", "notice"):
        if not isinstance(head.get(key), str) or not head[key]:
            yield PackProblem("pack", f"{key} is no string", f'write {key} = "…"')
    for what, fix in wrong_head(head):
        yield PackProblem("pack", what, fix)
    try:
        _date(head, "checked_on")
    except _Wrong as wrong:
        yield PackProblem("pack", wrong.what, wrong.fix)
    if "not legal advice" not in str(head.get("notice")).lower():
        yield PackProblem("pack", "the notice does not warn", 'say "not legal advice" in it')
    for rule in raw["rule"]:
        yield from _rule_problems(rule)


def file_problems(raw: Mapping[str, Any]) -> tuple[PackProblem, ...]:
    """What keeps a file from being read as a pack at all."""
    return tuple(PackProblem("pack", what, fix) for what, fix in wrong_file(raw))


def _rule_problems(rule: Mapping[str, Any]) -> Iterator[PackProblem]:
    identity, source = str(rule.get("id", "?")), rule.get("source")
    for what, fix in wrong_rule(rule):
        yield PackProblem(identity, what, fix)
    for key in ("clause", "phrase", "mark"):
        said = source.get(key) if isinstance(source, Mapping) else None
        if not isinstance(said, str) or not said:
            fix = f'write {key} = "…" under [rule.source]'
            yield PackProblem(identity, f"its source has no {key}", fix)
    if isinstance(source, Mapping) and (wrong := wrong_source(source)) is not None:
        yield PackProblem(identity, *wrong)


def _twice(rules: list[Any]) -> Iterator[PackProblem]:
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            yield PackProblem(rule.id, "two rules have this id", "rename or remove one")
        seen.add(rule.id)


def _rule(raw: Mapping[str, Any], calendars: Calendars) -> ConductRule | StateRule:
    kind = raw.get("type")
    for what, fix in wrong_words(raw):
        raise _Wrong(what, fix)
    if isinstance(kind, str) and kind in STATE_PARAMS:
        return _state(kind, raw, calendars)
    match kind:
        case "contact_window":
            return _window(raw, calendars)
        case "frequency_cap":
            return _cap(raw)
        case "quiet_preference":
            return QuietPreference(_head(raw))
        case "channel_cap":
            return ChannelCap(
                _head(raw), _count(raw, "max_distinct"), _period(raw), _scope(raw),
                _names(raw, "excludes", None),
            )  # fmt: skip
        case "cooldown":
            return _cooldown(raw)
        case other:
            fix = "use a type of the schema, or upgrade Duly"
            raise _Wrong(f"this version cannot enforce rule type {other!r}", fix)


def _state(kind: str, raw: Mapping[str, Any], calendars: Calendars) -> StateRule:
    params = {key: value for key, value in raw.items() if key not in COMMON or key == "when"}
    for what, fix in wrong_params(kind, params):
        raise _Wrong(what, fix)
    return StateRule(_head(raw), params, calendars.get(str(params.get("calendar"))))


def _head(raw: Mapping[str, Any]) -> Head:
    waiver = raw.get("waivable_by")
    if out_of_order(_date(raw, "effective_from"), _date(raw, "effective_to")):
        raise _Wrong("it ends before it begins", "swap effective_from and effective_to")
    return Head(
        _text(raw, "id"),
        _text(raw, "type"),
        tuple(sorted(_names(raw, "who", BOTH_ROLES) or BOTH_ROLES)),
        _channels(raw),
        _source(raw),
        _when(raw),
        None if waiver is None else _text(raw, "waivable_by"),
        _names(raw, "exempt", None),
        _date(raw, "effective_from"),
        _date(raw, "effective_to"),
    )


def _channels(raw: Mapping[str, Any]) -> tuple[str, ...]:
    if "channels" not in raw:
        return EVERY_CHANNEL if raw.get("type") in STATE_PARAMS else ALL_CHANNELS
    _names(raw, "channels", None)
    return tuple(raw["channels"])


def _source(raw: Mapping[str, Any]) -> Source:
    source = raw.get("source", {})
    if isinstance(source, str):
        return Source(source, "", str(raw.get("verified", "")))
    if not isinstance(source, Mapping):
        raise _Wrong("its source is no table", "write [rule.source] with clause, phrase, mark")
    return Source(
        str(source.get("clause", "")), str(source.get("phrase", "")), str(source.get("mark", ""))
    )


def _when(raw: Mapping[str, Any]) -> When:
    when = raw.get("when")
    if when is None or raw.get("type") in STATE_PARAMS:
        return ALWAYS
    known = {"content_class", "dpd_lte", "dpd_gte"}
    if not isinstance(when, Mapping) or not when or set(when) - known:
        fix = "use content_class, dpd_lte, dpd_gte"
        raise _Wrong(f"condition {when!r} is not known", fix)
    days = [when.get("dpd_lte"), when.get("dpd_gte")]
    if any(type(day) is not int for day in days if day is not None):
        raise _Wrong("days past due are whole numbers", "write when = { dpd_lte = 15 }")
    kind = when.get("content_class")
    return When(None if kind is None else _text(when, "content_class"), *days)


def _window(raw: Mapping[str, Any], calendars: Calendars) -> ConductRule:
    windows = raw.get("windows")
    if not isinstance(windows, Mapping) or not windows:
        raise _Wrong("no hours", f"write windows = {{ all_days = {_HOURS} }}")
    if unknown := set(windows) - {*WEEK, "all_days", "holiday"}:
        raise _Wrong(f"{sorted(unknown)} are no days", "use mon … sun, all_days, holiday")
    if set(windows) == {"all_days"} and not _particular(raw):
        opens, closes = _times(windows["all_days"])
        return ContactWindow(_text(raw, "id"), _channels(raw), _source(raw), opens, closes)
    every = windows.get("all_days")
    missing = [day for day in WEEK if day not in windows] if "all_days" not in windows else []
    if missing:
        raise _Wrong(f"no hours for {', '.join(missing)}", 'give hours, or "closed"')
    week = tuple(_hours(windows.get(day, every)) for day in WEEK)
    holiday = windows.get("holiday", "same")
    same = holiday == "same"
    calendar = _calendar(raw, calendars, needed=not same)
    clock = _clock(raw)
    return WeekWindow(_head(raw), week, None if same else _hours(holiday), same, clock, calendar)


def _particular(raw: Mapping[str, Any]) -> bool:
    """Whether it binds only some people, some days or some contacts."""
    return any(
        key in raw for key in set(COMMON) - {"id", "type", "channels", "source", "verified"}
    ) or (raw.get("clock", "all_candidate_zones") != "all_candidate_zones")


def _calendar(
    raw: Mapping[str, Any], calendars: Calendars, *, needed: bool
) -> BusinessCalendar | None:
    name = raw.get("calendar")
    if name is None:
        if needed:
            raise _Wrong("hours of holidays, and no calendar", 'write calendar = "…"')
        return None
    found = calendars.get(str(name))
    if found is None and needed:
        known = ", ".join(sorted(calendars)) or "none"
        raise _Wrong(f"there is no calendar {name!r}", f"there are: {known}")
    return found


def _clock(raw: Mapping[str, Any]) -> str | None:
    clock = raw.get("clock", "all_candidate_zones")
    if clock == "all_candidate_zones":
        return None
    if not isinstance(clock, str) or not known_zone(clock):
        raise _Wrong(f"{clock!r} is no time zone", "write all_candidate_zones or an IANA zone")
    return clock


def _hours(raw: Any) -> Hours:
    if raw is None or raw == "closed":
        return None
    opens, closes = raw if isinstance(raw, list) and len(raw) == 2 else ("", "")
    if closes == "24:00":
        return minute_of(_times([opens, "23:59"])[0]), 24 * 60
    begins, ends = _times(raw)
    return minute_of(begins), minute_of(ends)


def _times(raw: Any) -> tuple[time, time]:
    if not isinstance(raw, list) or len(raw) != 2 or not all(isinstance(t, str) for t in raw):
        raise _Wrong(f"{raw!r} are no hours", f"write {_HOURS}")
    if not all(re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text) for text in raw):
        raise _Wrong(f"{raw!r} are no hours", f"write {_HOURS}")
    opens, closes = (time.fromisoformat(text) for text in raw)
    if opens >= closes:
        raise _Wrong("the window closes before it opens", "swap the two times")
    return opens, closes


def _cap(raw: Mapping[str, Any]) -> ConductRule:
    count, period, scope = _count(raw, "count"), _period(raw), _scope(raw)
    counts, excludes = _names(raw, "counts", None), _names(raw, "excludes", None)
    if raw.get("unit", "notice") != "notice":
        raise _Wrong(
            f"unit = {raw['unit']!r} is not known", 'write unit = "notice", or leave it out'
        )
    if "unit" in raw or "counts" not in raw:
        return _notice_cap(raw, count, period)
    return Cap(_head(raw), count, period, scope, counts, excludes)


def _notice_cap(raw: Mapping[str, Any], count: int, period: Period) -> ConductRule:
    """Caps of the house count notices: a fallback of one notice is not a second one."""
    about = _text(raw, "id"), _channels(raw), _source(raw)
    match period.span:
        case Span.LOCAL_DATES:
            return DailyCap(*about, count, period.length)
        case Span.ROLLING:
            return RollingCap(*about, count, timedelta(seconds=period.length))
        case Span.ISO_WEEK:
            raise _Wrong("notices are not counted by ISO weeks", "use local_dates or rolling")


def _cooldown(raw: Mapping[str, Any]) -> Cooldown:
    first = raw.get("first_day_counts", True)
    if not isinstance(first, bool):
        raise _Wrong("first_day_counts is true or false", "write it without quotes")
    return Cooldown(
        _head(raw), _text(raw, "after"), _count(raw, "days"), first, _scope(raw),
        _names(raw, "excludes", None),
    )  # fmt: skip


def _period(raw: Mapping[str, Any]) -> Period:
    fix = 'write period = { local_dates = 7 }, { rolling = "PT24H" } or "iso_week"'
    match raw.get("period"):
        case "iso_week":
            return Period(Span.ISO_WEEK)
        case {"local_dates": int(days)} if 0 < days <= 366 and days is not True:
            return Period(Span.LOCAL_DATES, days)
        case {"rolling": str(text)}:
            if (found := _DURATION.fullmatch(text)) and any(found.groups()):
                days, hours, minutes = (int(part or 0) for part in found.groups())
                return Period(Span.ROLLING, days * 86_400 + hours * 3_600 + minutes * 60)
    raise _Wrong("no period", fix)


def _scope(raw: Mapping[str, Any]) -> Scope:
    scope = raw.get("scope", "person")
    try:
        return Scope("debt" if scope == "account" else scope)
    except ValueError:
        raise _Wrong(f"scope {scope!r} is not known", "use person, debt or number") from None


def _count(raw: Mapping[str, Any], key: str) -> int:
    count = raw.get(key)
    if type(count) is not int or count < 1:
        raise _Wrong(f"no {key}", f"write {key} = 1 or more")
    return count


def _names(raw: Mapping[str, Any], key: str, default: tuple[str, ...] | None) -> frozenset[str]:
    """A list of words. TOML keeps words words; a bare N or 22:00 of another format never does."""
    names = raw.get(key, list(default or ()))
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and n for n in names):
        raise _Wrong(f"{key} holds something that is no string", f'write {key} = ["…", "…"]')
    return frozenset(names)


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value:
        raise _Wrong(f"{key} is no string", f'write {key} = "…"')
    return value


def _places(head: Mapping[str, Any]) -> tuple[str, ...]:
    places = head.get("places", [])
    return tuple(places) if isinstance(places, list) else ()


def _date(raw: Mapping[str, Any], key: str) -> date | None:
    value = raw.get(key)
    if value in (None, ""):
        return None
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(_text(raw, key))
    except ValueError:
        raise _Wrong(f"{key} is no date", f'write {key} = "2026-11-21"') from None
