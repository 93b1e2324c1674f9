"""Packs as data: what compiles, what is refused, when a rule is in force and what it answers."""

import tomllib
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

import schedules
from agent.domain.calendar import instant
from agent.domain.conduct import (
    HORIZON,
    ContactFacts,
    ContactWindow,
    DailyCap,
    Pack,
    PackProblem,
    RollingCap,
    Source,
    ask,
    compile_pack,
    rules_in_force,
)

SAID = Source("clause", "phrase", "mark")
BOTH = ("sms", "push")
LAGOS = "Africa/Lagos"
NEW_YORK = "America/New_York"


def raw(*rules: dict[str, Any], **head: Any) -> dict[str, Any]:
    return {"pack": {"id": "test"} | head, "rule": list(rules)}


def hours(opens: str = "08:00", closes: str = "20:00") -> dict[str, Any]:
    return {"id": "HOURS", "type": "contact_window", "windows": {"all_days": [opens, closes]}}


def cap(count: Any = 1, **period: Any) -> dict[str, Any]:
    return {"id": "CAP", "type": "frequency_cap", "count": count, "period": period}


def test_the_shipped_pack_is_the_house_rules() -> None:
    pack = compile_pack(tomllib.loads(schedules.conduct_text("house")), "v")
    assert isinstance(pack, Pack)
    assert (pack.id, pack.version) == ("house", "v")
    window, day, week = pack.rules
    assert isinstance(window, ContactWindow)
    assert (window.opens, window.closes) == (time(8), time(20))
    assert isinstance(day, DailyCap)
    assert isinstance(week, DailyCap)
    assert ((day.count, day.days), (week.count, week.days)) == ((1, 1), (5, 7))
    assert all(rule.source.clause and rule.channels == BOTH for rule in pack.rules)


def test_each_kind_of_rule_compiles() -> None:
    pack = compile_pack(
        raw(
            hours(),
            cap(2, local_dates=7),
            cap(3, rolling="PT24H") | {"id": "MORE", "channels": ["sms"]},
        ),
        "1",
    )
    assert isinstance(pack, Pack)
    assert [type(rule) for rule in pack.rules] == [ContactWindow, DailyCap, RollingCap]
    rolling = pack.rules[2]
    assert isinstance(rolling, RollingCap)
    assert (rolling.period, rolling.channels) == (timedelta(hours=24), ("sms",))


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ({"id": "X", "type": "telepathy"}, "cannot enforce rule type 'telepathy'"),
        ({"id": "X"}, "cannot enforce rule type None"),
        (hours("20:00", "08:00"), "closes before it opens"),
        (hours("08:00", "08:00"), "closes before it opens"),
        ({"id": "X", "type": "contact_window"}, "no hours"),
        (cap(0, local_dates=1), "no count"),
        (cap("one", local_dates=1), "no count"),
        (cap(1, weeks=1), "no period"),
        (cap(1, rolling="P1M"), "no period"),
        (hours() | {"waivable_by": 7}, "is no string"),
        (hours() | {"channels": ["sms", 5]}, "is no string"),
        (
            hours() | {"windows": {"all_days": [1320, 480]}},
            "are no hours",
        ),  # what YAML 1.1 makes of 22:00,
        ({"id": "X", "type": "frequency_cap", "count": 1}, "no period"),
    ],
)
def test_one_rule_that_cannot_be_enforced_refuses_the_whole_pack(
    rule: dict[str, Any], what: str
) -> None:
    found = compile_pack(raw(hours(), rule), "1")
    assert isinstance(found, tuple)
    (problem,) = found
    assert isinstance(problem, PackProblem)
    assert what in problem.what
    assert problem.fix


def test_a_pack_is_in_force_between_its_dates_both_included() -> None:
    pack = compile_pack(raw(hours(), effective_from="2026-03-01", effective_to="2026-03-31"), "1")
    assert isinstance(pack, Pack)
    days = [date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 31), date(2026, 4, 1)]
    assert [pack.in_force(day) for day in days] == [False, True, True, False]
    assert [len(rules_in_force([pack], day, "sms")) for day in days] == [0, 1, 1, 0]


def test_a_rule_binds_only_its_channels() -> None:
    pack = compile_pack(raw(hours() | {"channels": ["sms"]}, cap(1, local_dates=1)), "1")
    assert isinstance(pack, Pack)
    day = date(2026, 3, 1)
    assert [rule.id for rule in rules_in_force([pack], day, "sms")] == ["HOURS", "CAP"]
    assert [rule.id for rule in rules_in_force([pack], day, "push")] == ["CAP"]


def at(clock: str, day: date, zone: str = LAGOS) -> datetime:
    return instant(day, time.fromisoformat(clock), zone)


DAY = date(2026, 3, 6)


def test_the_next_opening_is_a_minute_after_the_hour() -> None:
    window = ContactWindow("W", BOTH, SAID, time(8), time(20))
    facts = ContactFacts((LAGOS,), ())
    assert window.first_allowed(facts, at("03:00", DAY)) == at("08:01", DAY)
    assert window.first_allowed(facts, at("08:00:59", DAY)) == at("08:01", DAY)
    assert window.first_allowed(facts, at("19:59:59", DAY)) == at("19:59:59", DAY)
    assert window.first_allowed(facts, at("20:00", DAY)) == at("08:01", DAY + timedelta(days=1))


def test_a_guard_shuts_the_window_earlier() -> None:
    window = ContactWindow("W", BOTH, SAID, time(8), time(20))
    facts = ContactFacts((LAGOS,), (), timedelta(seconds=20))
    assert window.first_allowed(facts, at("19:59:39", DAY)) == at("19:59:39", DAY)
    assert window.first_allowed(facts, at("19:59:40", DAY)) == at("08:01", DAY + timedelta(days=1))


def test_a_window_whose_opening_the_clocks_skip_opens_after_the_gap() -> None:
    spring = date(2026, 3, 8)  # 02:00 to 03:00 does not exist in New York
    early = ContactWindow("W", BOTH, SAID, time(2), time(6))
    facts = ContactFacts((NEW_YORK,), ())
    assert early.first_allowed(facts, at("01:30", spring, NEW_YORK)) == at(
        "03:00", spring, NEW_YORK
    )
    gone = ContactWindow("W", BOTH, SAID, time(2), time(2, 30))
    tomorrow = spring + timedelta(days=1)
    assert gone.first_allowed(facts, at("01:30", spring, NEW_YORK)) == at(
        "02:01", tomorrow, NEW_YORK
    )


def test_a_day_that_a_place_skips_is_no_day_of_rest() -> None:
    apia = "Pacific/Apia"
    window = ContactWindow("W", BOTH, SAID, time(8), time(20))
    one = DailyCap("D", BOTH, SAID, 1, 1)
    evening = at("19:00", date(2011, 12, 29), apia)
    facts = ContactFacts((apia,), (evening,))
    answer = ask([window, one], facts, evening + timedelta(minutes=10))
    assert [rule.id for rule in answer.failing] == ["D"]
    assert answer.until == at("08:01", date(2011, 12, 31), apia)
    # of that day's 24 hours nothing is left: thirteen hours lie between the two
    assert answer.until - evening == timedelta(hours=13, minutes=1)


def test_daily_caps_count_local_dates() -> None:
    two = DailyCap("D", BOTH, SAID, 2, 3)
    told = (at("23:59", DAY - timedelta(2)), at("00:00", DAY - timedelta(1)))
    assert two.first_allowed(ContactFacts((LAGOS,), told), at("10:00", DAY)) == at(
        "00:00", DAY + timedelta(1)
    )
    older = (at("23:59", DAY - timedelta(3)), told[1])
    assert two.first_allowed(ContactFacts((LAGOS,), older), at("10:00", DAY)) == at("10:00", DAY)


def test_daily_caps_free_a_person_when_every_zone_has_moved_on() -> None:
    one = DailyCap("D", BOTH, SAID, 1, 1)
    zones = ("Asia/Shanghai", NEW_YORK)
    told = at("09:00", DAY, NEW_YORK)
    # midnight comes to Shanghai first and to New York twelve or thirteen hours later
    assert one.first_allowed(ContactFacts(zones, (told,)), told) == at(
        "00:00", DAY + timedelta(1), NEW_YORK
    )


def test_rolling_caps_free_a_person_to_the_second() -> None:
    rule = RollingCap("R", BOTH, SAID, 2, timedelta(hours=24))
    now = at("12:00", DAY)
    told = (now - timedelta(hours=23), now - timedelta(hours=1), now - timedelta(hours=25))
    assert rule.first_allowed(ContactFacts((LAGOS,), told), now) == now + timedelta(hours=1)


def test_rules_that_wait_for_each_other_are_asked_until_all_agree() -> None:
    morning = ContactWindow("A", BOTH, SAID, time(8), time(12))
    rest = RollingCap("B", BOTH, SAID, 1, timedelta(hours=6))
    told = at("07:30", DAY)
    answer = ask([morning, rest], ContactFacts((LAGOS,), (told,)), at("09:00", DAY))
    assert [rule.id for rule in answer.failing] == ["B"]
    # free at 13:30, but then the morning is over
    assert answer.until == at("08:01", DAY + timedelta(1))


def test_rules_that_never_agree_have_no_answer() -> None:
    early = ContactWindow("A", BOTH, SAID, time(8), time(12))
    late = ContactWindow("B", BOTH, SAID, time(13), time(20))
    now = datetime(2026, 3, 6, 9, tzinfo=UTC)
    answer = ask([early, late], ContactFacts((LAGOS,), ()), now)
    assert ([rule.id for rule in answer.failing], answer.until) == (["B"], None)
    assert timedelta(days=14) < HORIZON
