"""Rules of jurisdictions: every pair of rules, every night on which clocks change, every machine."""

import locale
import os
import time as clocks
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.calendar import BusinessCalendar, known_zone, local_time
from agent.domain.conduct import (
    BAD_ZONE,
    CALENDAR_MISSING,
    FACT_MISSING,
    HORIZON,
    NO_COMMON_WINDOW,
    Contact,
    ContactFacts,
    Pack,
    Quiet,
    compile_pack,
    consult,
)
from agent.domain.zonetime import day_start, local_day, seconds_of, stretches
from agent.flows.rules import binding, every_pack, granted_packs, pack, packs_of_place

MINUTE = timedelta(minutes=1)
ZONES = ("America/New_York", "America/Los_Angeles", "Asia/Shanghai", "Asia/Kolkata", "Africa/Cairo",
         "Australia/Lord_Howe", "America/Havana", "Pacific/Chatham")  # fmt: skip
OUTCOMES = ("sent", "conversation", "ring_no_answer", "voicemail", "not_connected", "unknown")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def facts(**change: object) -> ContactFacts:
    plain = ContactFacts(("America/New_York",), (), role="third_party", debt="D1", dpd=5)
    return plain._replace(**change)  # type: ignore[arg-type]


def called(at: datetime, outcome: str = "sent", channel: str = "sms", **more: object) -> Contact:
    return Contact(seconds_of(at), channel, outcome, "D1", **more)  # type: ignore[arg-type]


@st.composite
def situations(draw: st.DrawFn) -> tuple[tuple[Pack, ...], ContactFacts, datetime]:
    """A moment of 2026, when the shipped calendars know their holidays, with a life behind it."""
    now = utc("2026-02-01T00:00") + timedelta(minutes=draw(st.integers(0, 60 * 24 * 300)))
    packs = draw(st.lists(st.sampled_from(every_pack()), unique=True, min_size=1, max_size=5))
    past = st.builds(
        lambda back, outcome, by, debt: Contact(
            seconds_of(now) - back * 1800, by, outcome, debt, "N1"
        ),
        st.integers(0, 48 * 9), st.sampled_from(OUTCOMES), st.sampled_from(("sms", "call", "email")),
        st.sampled_from(("D1", "D2", None)),
    )  # fmt: skip
    quiet = st.builds(
        Quiet,
        st.frozensets(st.integers(0, 6), min_size=1),
        st.integers(0, 1439),
        st.integers(0, 1439),
    )
    told = facts(
        zones=tuple(draw(st.lists(st.sampled_from(ZONES), unique=True, min_size=1, max_size=2))),
        contacts=tuple(draw(st.lists(past, max_size=8))),
        channel=draw(st.sampled_from(("sms", "push", "call", "email"))),
        role=draw(st.sampled_from(("third_party", "first_party", None))),
        dpd=draw(st.sampled_from((0, 15, 16, None))),
        content_class=draw(st.sampled_from(("collection", "solicitation"))),
        quiet=tuple(draw(st.lists(quiet, max_size=2))),
        guard=timedelta(seconds=draw(st.sampled_from((0, 20)))),
    )
    return tuple(packs), told, now


@settings(deadline=None, max_examples=60)
@given(situations())
def test_a_deferral_ends_at_the_first_minute_at_which_every_rule_passes(
    situation: tuple[tuple[Pack, ...], ContactFacts, datetime],
) -> None:
    packs, told, now = situation
    answer = consult(packs, told, now)
    if not answer.rules:
        assert answer.until == now
        return
    if answer.until is None:
        assert answer.stops
        return
    assert now < answer.until <= now + HORIZON
    assert not consult(packs, told, answer.until).rules
    minute, step = now + MINUTE, 1
    while minute < answer.until:
        assert consult(packs, told, minute).rules, minute
        step = 1 if answer.until - minute < timedelta(minutes=90) else 13
        minute += step * MINUTE


@settings(deadline=None, max_examples=150)
@given(situations(), st.sampled_from(every_pack()))
def test_a_rule_added_never_allows_more(
    situation: tuple[tuple[Pack, ...], ContactFacts, datetime], more: Pack
) -> None:
    packs, told, now = situation
    before, after = consult(packs, told, now), consult((*packs, more), told, now)
    assert {rule.id for rule in before.failing} <= {rule.id for rule in after.failing}
    if before.rules:
        assert after.rules
        assert before.until is None or after.until is None or after.until >= before.until
    if before.until is None:
        assert after.until is None


@settings(deadline=None, max_examples=100)
@given(situations(), st.sampled_from(ZONES))
def test_a_place_more_never_allows_more(
    situation: tuple[tuple[Pack, ...], ContactFacts, datetime], zone: str
) -> None:
    packs, told, now = situation
    wider = told._replace(zones=tuple(dict.fromkeys((*told.zones, zone))))
    if any(p.effective_from or p.effective_to for p in packs):
        return
    assert not consult(packs, told, now).rules or consult(packs, wider, now).rules


def changes(zone: str, year: int) -> Iterator[int]:
    """The seconds of a year at which a zone's clocks are changed."""
    first = seconds_of(datetime(year, 1, 1, tzinfo=UTC)) // 86_400
    for day in range(first, first + 366):
        for begun, _, _ in stretches(zone, day)[1:]:
            yield begun


CLOCK_CHANGERS = sorted(
    zone for zone in available_timezones() if known_zone(zone) and any(changes(zone, 2026))
)


@pytest.mark.parametrize("zone", CLOCK_CHANGERS)
def test_on_the_night_of_a_clock_change_hours_are_those_of_the_wall_clock(zone: str) -> None:
    told = facts(zones=(zone,), role="first_party", channel="push")
    florida = (pack("us-fl"),)  # 08:00 to 21:00
    for change in changes(zone, 2026):
        evening = datetime.fromtimestamp(change, UTC) - timedelta(hours=12)
        for hour in range(36):
            at = evening + timedelta(hours=hour, minutes=7)
            wall = local_time(at, zone)
            shut = not (8, 1) <= (wall.hour, wall.minute) < (21, 0)
            answer = consult(florida, told, at)
            assert bool(answer.rules) is shut, (zone, at)
            if shut:
                assert answer.until is not None
                assert local_time(answer.until, zone).strftime("%H:%M") == "08:01"
                assert answer.until - at < timedelta(hours=14)


def test_a_day_begins_where_the_calendar_first_shows_it() -> None:
    for zone in CLOCK_CHANGERS:
        for change in changes(zone, 2026):
            day = local_day(change, zone)
            start = day_start(day, zone)
            assert local_day(start, zone) == day
            assert local_day(start - 1, zone) < day


def test_quiet_hours_over_midnight_belong_to_the_evening_they_begin_on() -> None:
    friday = Quiet(frozenset({4}), 22 * 60, 9 * 60)
    told = facts(quiet=(friday,), channel="email")
    regf = (pack("us-fed-regf"),)
    saturday = utc("2026-11-28T13:30")  # 08:30 in New York
    answer = consult(regf, told, saturday)
    assert answer.rules == ("REGF-6B1-INCONVENIENT",)
    assert answer.until == utc("2026-11-28T14:01")
    assert consult(regf, told, saturday + timedelta(days=1)).rules == ()


def test_an_unknown_outcome_counts_and_a_wrong_number_does_not() -> None:
    now = utc("2026-11-24T18:00")
    two = (pack("us-ma"),)
    lost = called(now - timedelta(days=1), "unknown")
    told = facts(contacts=(called(now - timedelta(days=2)), lost))
    assert consult(two, told, now).rules == ("MA-7.04-1F",)
    dc = (pack("us-dc"),)
    wrong = called(now - timedelta(days=1), flags=frozenset({"wrong_number"}))
    assert consult(dc, facts(contacts=(wrong,) * 5), now).rules == ()
    assert consult(dc, facts(contacts=(lost,) * 5), now).rules == ("DC-3814-D4B-III",)


def test_a_pack_ends_on_its_last_local_date_and_the_next_begins() -> None:
    both = (pack("us-nyc-pre2027"), pack("us-nyc-shield"))
    new_year = utc("2027-01-01T05:00")  # midnight in New York
    told = facts(contacts=tuple(called(new_year - timedelta(days=d)) for d in (1, 2)))
    assert consult(both, told, new_year - MINUTE).rules == ("NYC-5-77-B1-IV",)
    assert consult(both, told, new_year - MINUTE).until == new_year
    assert consult(both, told, new_year).rules == ()
    three = facts(contacts=tuple(called(new_year - timedelta(days=d)) for d in (1, 2, 3)))
    assert consult(both, three, new_year).rules == ("NYC-SHIELD-B1-III",)


def test_what_cannot_be_known_is_a_stop() -> None:
    night = utc("2026-11-23T14:30")  # 22:30 in Manila
    manila = facts(zones=("Asia/Manila",), dpd=None)
    assert consult((pack("ph-sec"),), manila, night).stops == (FACT_MISSING,)
    assert consult((pack("ph-sec"),), manila, night - timedelta(hours=6)).rules == ()
    later = facts(zones=("Asia/Shanghai",))
    assert consult((pack("cn-policy-holiday"),), later, utc("2027-03-01T02:00")).rules == (
        CALENDAR_MISSING,
    )
    last_night = consult((pack("cn-policy-holiday"),), later, utc("2026-12-31T15:00"))
    assert last_night.rules == (CALENDAR_MISSING, "CN-POL-HOLIDAY")
    assert last_night.until is None
    assert consult((pack("us-fl"),), facts(zones=()), night).rules == (BAD_ZONE,)
    far = facts(zones=("America/New_York", "America/Los_Angeles", "Asia/Kolkata"))
    assert consult((pack("in-rbi"),), far, night).stops == (NO_COMMON_WINDOW,)


def test_a_holiday_that_keeps_its_hours_needs_no_calendar() -> None:
    hours = {"all_days": ["08:00", "20:00"], "holiday": "same"}
    rule = {"id": "A", "type": "contact_window", "who": ["first_party"], "windows": hours}
    known = BusinessCalendar("x", frozenset(), frozenset(), frozenset(), (date.min, date.max))
    assert isinstance(compile_pack({"pack": {"id": "p"}, "rule": [rule]}, "1"), Pack)
    closed = rule | {"windows": hours | {"holiday": "closed"}}
    assert isinstance(compile_pack({"pack": {"id": "p"}, "rule": [closed]}, "1"), tuple)
    closed |= {"calendar": "x"}
    assert isinstance(
        compile_pack({"pack": {"id": "p"}, "rule": [closed]}, "1", {"x": known}), Pack
    )


def test_places_select_packs_and_a_place_without_one_is_missing() -> None:
    assert {p.id for p in packs_of_place("US-NY-NYC")} >= {"us-fed-regf", "us-nyc-shield"}
    assert "us-nyc-shield" not in {p.id for p in packs_of_place("US-NY")}
    house = (pack("house"),)
    assert binding(house, ("house",), "NG").missing == ()
    assert binding(house, ("house", "by-place"), "NG").missing == ("NG",)
    assert binding(house, ("house", "by-place"), None).missing == ("place-unknown",)
    assert binding(house, ("house", "atlantis"), "NG").missing == ("atlantis",)
    placed = binding(house, ("house", "by-place"), "US-MA")
    assert "us-ma" in {p.id for p in placed.packs}
    assert "us-ma@" in placed.versions
    assert "tzdata@" in placed.versions


@pytest.fixture(params=["Pacific/Kiritimati", "America/Adak"])
def machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Another machine: its own zone, and a locale whose words and commas are not ours."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    clocks.tzset()
    named = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")
    yield
    locale.setlocale(locale.LC_ALL, named)
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    clocks.tzset()


@pytest.mark.usefixtures("machine")
def test_no_answer_depends_on_the_machine() -> None:
    at = utc("2026-11-24T02:30")
    answer = consult((pack("us-dc"),), facts(zones=("America/Los_Angeles",)), at)
    assert (answer.rules, answer.until) == (("DC-3814-K",), utc("2026-11-24T16:01"))


@pytest.mark.parametrize("name", ["id-ojk", "co-ley2300", "th-dca"])
@pytest.mark.parametrize("day", ["2026-03-10", "2027-03-10", "2029-03-13"])
def test_hours_that_need_a_calendar_nobody_confirmed_hold(name: str, day: str) -> None:
    """A list that was sampled or computed may lack the holiday that today is."""
    at = datetime.fromisoformat(f"{day}T05:00:00+00:00")
    facts = ContactFacts(("Asia/Jakarta",), (), role="first_party")
    answer = consult((pack(name),), facts, at)
    assert (answer.until, answer.stops) == (None, ("ENGINE-CALENDAR-MISSING",))
    granted = next(one for one in granted_packs() if one.id == name)
    known = consult((granted,), facts, at)
    assert (known.stops == ()) == (day < "2027")
