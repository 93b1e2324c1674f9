"""Local time: zones that skip and repeat hours, hostile zone names, business days."""

import tomllib
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schedules
from agent.domain.calendar import (
    BusinessCalendar,
    Shift,
    compile_calendar,
    instant,
    known_zone,
    local_date,
    local_time,
    shift,
    shifted_from,
)


@pytest.mark.parametrize(
    ("zone", "day", "clock", "expected"),
    [
        ("Africa/Lagos", date(2026, 3, 1), time(10), "2026-03-01T09:00:00+00:00"),
        # the clock jumps from 02:00 to 03:00: half past two is three
        ("America/New_York", date(2026, 3, 8), time(2, 30), "2026-03-08T07:00:00+00:00"),
        # from 02:00 to 02:30 on Lord Howe
        ("Australia/Lord_Howe", date(2026, 10, 4), time(2, 15), "2026-10-03T15:30:00+00:00"),
        # midnight itself skipped
        ("America/Sao_Paulo", date(2018, 11, 4), time(0), "2018-11-04T03:00:00+00:00"),
        # a whole day skipped
        ("Pacific/Apia", date(2011, 12, 30), time(10), "2011-12-30T10:00:00+00:00"),
        # an hour twice: the first
        ("America/New_York", date(2026, 11, 1), time(1, 30), "2026-11-01T05:30:00+00:00"),
        ("Europe/London", date(2026, 10, 25), time(1, 30), "2026-10-25T00:30:00+00:00"),
    ],
)
def test_instant_of_a_local_clock(zone: str, day: date, clock: time, expected: str) -> None:
    assert instant(day, clock, zone).isoformat() == expected


ZONES = st.sampled_from(
    [
        "Africa/Lagos",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Pacific/Apia",
        "America/St_Johns",
        "Africa/Casablanca",
        "Asia/Tehran",
        "Antarctica/Troll",
        "UTC",
    ]
)
DAYS = st.dates(date(2000, 1, 1), date(2037, 12, 31))


@settings(deadline=None)
@given(ZONES, DAYS, st.times())
def test_instant_is_the_first_at_which_the_clock_shows_it_or_more(
    zone: str, day: date, clock: time
) -> None:
    at = instant(day, clock, zone)
    wall = datetime.combine(local_date(at, zone), local_time(at, zone))
    wanted = datetime.combine(day, clock)
    assert wall >= wanted
    if wall != wanted:  # skipped: one second earlier the clock was still before it
        second_before = at - timedelta(seconds=1)
        earlier = datetime.combine(local_date(second_before, zone), local_time(second_before, zone))
        assert earlier < wanted
    assert at.tzinfo is UTC


@settings(deadline=None)
@given(ZONES, st.integers(0, 37 * 366 * 86400))
def test_local_date_and_time_are_those_of_the_zone(zone: str, second: int) -> None:
    at = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    local = at.astimezone(ZoneInfo(zone))
    assert (local_date(at, zone), local_time(at, zone)) == (local.date(), local.time())


@pytest.mark.parametrize("name", ["Africa/Lagos", "UTC", "Etc/GMT+5", "America/Argentina/Ushuaia"])
def test_real_zone_is_known(name: str) -> None:
    assert known_zone(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../etc/passwd",
        "/etc/localtime",
        "Africa",
        "Africa/",
        "Africa//Lagos",
        "Europe/../Africa/Lagos",
        "Africa/Lagos\x00",
        "Africa/Lagos\n",
        "localtime",
        "posixrules",
        "right/UTC",
        "posix/UTC",
        "tzdata.zi",
        "zone.tab",
        "Mars/Olympus",
        "+01:00",
        "WAT-1",
        "a" * 5000,
        "Ａfrica/Lagos",
    ],
)
def test_hostile_zone_is_unknown(name: str) -> None:
    assert not known_zone(name)


@given(st.text(max_size=80))
def test_any_text_may_be_asked_for(name: str) -> None:
    if known_zone(name):
        assert local_date(datetime(2026, 1, 1, 12, tzinfo=UTC), name).year in (2025, 2026)


CHINA = compile_calendar(tomllib.loads(schedules.calendar_text("cn-state-council")))


def test_business_day_knows_holidays_and_made_up_workdays() -> None:
    assert isinstance(CHINA, BusinessCalendar)
    spring = date(2026, 2, 15)  # a Sunday, first of nine days off
    assert shift(spring, CHINA, Shift.NEXT) == date(2026, 2, 24)
    assert shift(spring, CHINA, Shift.PREVIOUS) == date(2026, 2, 14)  # a Saturday worked
    assert shift(spring, CHINA, Shift.NONE) == spring
    assert shift(spring, None, Shift.NEXT) == spring
    assert CHINA.is_covered(spring)
    assert not CHINA.is_covered(date(2027, 1, 1))


@given(st.dates(date(2025, 12, 1), date(2027, 1, 31)), st.sampled_from(Shift))
def test_shifted_from_turns_shift_around(day: date, how: Shift) -> None:
    assert isinstance(CHINA, BusinessCalendar)
    around = [day + timedelta(days=n) for n in range(-20, 21)]
    assert set(shifted_from(day, CHINA, how)) == {d for d in around if shift(d, CHINA, how) == day}


@pytest.mark.parametrize(
    "changes",
    [
        {"weekend": ["sat", "someday"]},
        {"weekend": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]},
        {"covers": [date(2026, 1, 1)]},
        {"covers": [date(2026, 12, 31), date(2026, 1, 1)]},
        {"off": ["2026-01-01"]},
        {"off": [datetime(2026, 1, 1, tzinfo=UTC)]},
        {"name": 7},
        {"off": None},
    ],
)
def test_bad_calendar_says_why(changes: dict[str, object]) -> None:
    raw = tomllib.loads(schedules.calendar_text("us-federal"))
    assert isinstance(compile_calendar(raw), BusinessCalendar)
    assert isinstance(compile_calendar(raw | changes), str)


def test_a_seeded_or_unconfirmed_year_is_listed_and_not_relied_on() -> None:
    raw = {
        "name": "x", "weekend": ["sun"], "covers": [date(2026, 1, 1), date(2028, 12, 31)],
        "off": [], "confirmed": True, "seeded": [2028],
    }  # fmt: skip
    found = compile_calendar(raw)
    assert isinstance(found, BusinessCalendar)
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2027, 12, 31), date(2028, 1, 1)]
    assert [found.is_covered(day) for day in days] == [False, True, True, True]
    assert [found.is_known(day) for day in days] == [False, True, True, False]
    granted = found.granted()
    assert [granted.is_known(day) for day in days] == [False, True, True, False]
    for change in ({"confirmed": False}, {"confirmed": None}):
        doubted = compile_calendar(raw | change)
        assert isinstance(doubted, str) or not any(map(doubted.is_known, days))


@pytest.mark.parametrize("change", [{"seeded": [2026]}, {"seeded": [2029]}, {"seeded": ["2028"]}])
def test_seeded_years_are_later_years_of_the_list(change: dict[str, object]) -> None:
    raw = {
        "name": "x", "weekend": ["sun"], "covers": [date(2026, 1, 1), date(2028, 12, 31)], "off": [],
    }  # fmt: skip
    assert isinstance(compile_calendar(raw | change), str)
