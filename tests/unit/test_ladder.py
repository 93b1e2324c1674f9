"""The ladder: what a file may say, and that planning by set and by loan agree."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schedules
from agent.domain.calendar import BusinessCalendar, Shift, instant, local_date
from agent.domain.ladder import (
    LATE_DAYS_MAX,
    Action,
    CatchUp,
    Grade,
    Ladder,
    Moment,
    Plannable,
    Problem,
    Stage,
    bucket_name,
    bucket_of,
    compile_ladder,
    late_moments,
    moments,
    notices,
    stage_moment,
    superseded_at,
)

BUCKETS = (1, 8, 31, 61, 91)
LAGOS = "Africa/Lagos"


def compiled(raw: Mapping[str, Any]) -> Ladder:
    ladder = compile_ladder(raw)
    assert isinstance(ladder, Ladder), ladder
    return ladder


@pytest.fixture(scope="module")
def shipped() -> Ladder:
    return compiled(tomllib.loads(schedules.ladder_text("consumer-instalment")))


def raw_stage(**changes: Any) -> dict[str, Any]:
    stage = {
        "id": "due-soon",
        "grade": "reminder",
        "offset_days": -3,
        "at": time(10),
        "channels": ["push", "sms"],
        "fallback_after_minutes": 120,
        "message": "due-soon",
        "catch_up": "skip",
        "not_after_hours": 24,
    }
    return {key: value for key, value in (stage | changes).items() if value is not None}


def raw_ladder(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"name": "test", "buckets": [1, 8], "stage": list(stages or [raw_stage()])} | changes


def problems(raw: Mapping[str, Any]) -> dict[str, str]:
    found = compile_ladder(raw)
    assert isinstance(found, tuple)
    assert all(problem.what and problem.fix for problem in found)
    return {problem.where: problem.what for problem in found}


# ---- what a file may say


def test_example_stage_compiles() -> None:
    ladder = compiled(raw_ladder())
    assert ladder.stages == (
        Stage(
            "due-soon",
            Grade.REMINDER,
            -3,
            time(10),
            Action.MESSAGE,
            ("push", "sms"),
            timedelta(hours=2),
            "due-soon",
            CatchUp.SKIP,
            timedelta(hours=24),
        ),
    )


def test_repeat_expands_to_the_last_day_that_it_names() -> None:
    first = raw_stage(id="chase", offset_days=10, repeat={"every_days": 7, "until_offset_days": 31})
    ladder = compiled(raw_ladder(first))
    assert [(stage.id, stage.offset_days) for stage in ladder.stages] == [
        ("chase", 10),
        ("chase+7", 17),
        ("chase+14", 24),
        ("chase+21", 31),
    ]


def test_stages_stand_in_order_of_day_time_and_place() -> None:
    case = {"action": "case", "case": "call"} | dict.fromkeys(
        ("channels", "message", "fallback_after_minutes")
    )
    ladder = compiled(
        raw_ladder(
            raw_stage(id="c", offset_days=2),
            raw_stage(id="b", offset_days=1, at=time(18)),
            raw_stage(id="a", offset_days=1),
            raw_stage(id="b2", offset_days=1, at=time(18), **case),
        )
    )
    assert [stage.id for stage in ladder.stages] == ["a", "b", "b2", "c"]


def test_every_problem_is_named_at_once() -> None:
    bad = raw_stage(id="No", grade="rude", offset_days=1.5, at="10:00", colour="red")
    found = problems({"name": "x", "buckets": [8, 1], "stage": [bad], "extra": 1})
    assert set(found) == {
        "extra",
        "buckets",
        "stage 1: colour",
        "stage 1: id",
        "stage 1: grade",
        "stage 1: offset_days",
        "stage 1: at",
    }


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"channels": None}, "channels"),
        ({"channels": []}, "channels"),
        ({"channels": ["push", "push"]}, "channels"),
        ({"channels": ["pigeon"]}, "channels"),
        ({"message": None}, "message"),
        ({"message": "../en/due"}, "message"),
        ({"fallback_after_minutes": None}, "fallback_after_minutes"),
        ({"fallback_after_minutes": 1440}, "fallback_after_minutes"),
        ({"channels": ["sms"]}, "fallback_after_minutes"),
        ({"not_after_hours": 0}, "not_after_hours"),
        ({"not_after_hours": True}, "not_after_hours"),
        ({"offset_days": 5000}, "offset_days"),
        ({"at": time(10, tzinfo=UTC)}, "at"),
        ({"ends_contact": True}, "ends_contact"),
        ({"ends_contact": 1}, "ends_contact"),
        ({"case": "call"}, "case"),
        ({"shift": "next"}, "shift"),
        ({"action": "case"}, "case"),
        ({"action": "outcome", "outcome": "account.paid_off"}, "outcome"),
        ({"repeat": {"every_days": 0, "until_offset_days": 9}}, "repeat.every_days"),
        ({"repeat": {"every_days": 7, "until_offset_days": 3}}, "repeat.until_offset_days"),
        ({"repeat": {"every_days": 7}}, "repeat.until_offset_days"),
        ({"repeat": []}, "repeat"),
    ],
)
def test_bad_stage_is_refused(changes: dict[str, Any], where: str) -> None:
    assert f"stage due-soon: {where}" in problems(raw_ladder(raw_stage(**changes)))


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({}, "stage"),
        (raw_ladder(stage=[]), "stage"),
        (raw_ladder(stage={"id": "x"}), "stage"),
        (raw_ladder(buckets=[]), "buckets"),
        (raw_ladder(buckets=[0, 8]), "buckets"),
        (raw_ladder(buckets=[1, 1]), "buckets"),
        (raw_ladder(buckets=[True, 8]), "buckets"),
        (raw_ladder(name=""), "name"),
        (raw_ladder(calendar="nowhere"), "calendar"),
        (raw_ladder(raw_stage(), raw_stage(offset_days=4)), "stage due-soon: id"),
        (raw_ladder(raw_stage(), raw_stage(id="other")), "stage other: at"),
        (
            raw_ladder(raw_stage(repeat={"every_days": 1, "until_offset_days": 900})),
            "stage",
        ),
    ],
)
def test_bad_ladder_is_refused(raw: dict[str, Any], where: str) -> None:
    assert where in problems(raw)


def test_nothing_may_follow_the_end_of_contact() -> None:
    end = {
        "id": "end",
        "grade": "final",
        "offset_days": 5,
        "at": time(10),
        "action": "outcome",
        "outcome": "account.charge_off_recommended",
        "ends_contact": True,
        "catch_up": "latest",
        "not_after_hours": 24,
    }
    assert isinstance(compile_ladder(raw_ladder(raw_stage(), end)), Ladder)
    assert "stage end: ends_contact" in problems(raw_ladder(end, raw_stage(offset_days=6)))


WORDS = st.text("az-+./é", max_size=8)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["name", "buckets", "stage", "calendar", "x"]), JUNK),
    st.dictionaries(st.sampled_from([*raw_stage(), "repeat", "case", "shift", "action"]), JUNK),
)
def test_any_content_compiles_or_is_refused(head: dict[str, Any], changes: dict[str, Any]) -> None:
    for raw in (head, raw_ladder(raw_stage() | changes)):
        result = compile_ladder(raw)
        assert isinstance(result, Ladder) or (result and isinstance(result[0], Problem))


# ---- buckets


def test_buckets_have_names_without_gaps() -> None:
    names = [bucket_name(BUCKETS, index) for index in range(6)]
    assert names == ["current", "1-7", "8-30", "31-60", "61-90", "91+"]
    edges = [-400, 0, 1, 7, 8, 30, 31, 60, 61, 90, 91, 4000]
    assert [bucket_of(BUCKETS, dpd) for dpd in edges] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert bucket_name((1, 2), 1) == "1"


# ---- planning by hand


def at(day: int, hour: int, month: int = 3) -> datetime:
    """An instant on a Lagos clock (UTC+1)."""
    return datetime(2026, month, day, hour - 1, tzinfo=UTC)


def in_lagos(anchor: date, since: datetime) -> Plannable:
    return Plannable(LAGOS, open=True, anchor=anchor, anchor_since=since)


def planned(loan: Plannable, ladder: Ladder, days: int = 200) -> list[tuple[str, datetime]]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = notices(loan, ladder, start, start + timedelta(days=days))
    return [(moment.stage, moment.due_at) for moment in found]


def test_loan_known_in_time_walks_the_whole_ladder(shipped: Ladder) -> None:
    loan = in_lagos(date(2026, 3, 10), at(1, 9))
    found = planned(loan, shipped)
    assert [stage for stage, _ in found] == [stage.id for stage in shipped.stages]
    assert found[0] == ("due-in-3-days", at(7, 10))
    assert found[1] == ("due-tomorrow", at(9, 18))


def test_late_entry_gets_one_message_of_its_true_stage(shipped: Ladder) -> None:
    # entered 12 days past due, in the afternoon: overdue-10 next morning, then overdue-15 as usual
    loan = in_lagos(date(2026, 3, 1), at(13, 15))
    assert planned(loan, shipped)[:2] == [("overdue-10", at(14, 10)), ("overdue-15", at(16, 10))]


def test_late_entry_just_before_the_next_stage_waits_for_that(shipped: Ladder) -> None:
    # entered on day 14 after ten: the next ten o'clock is that of overdue-15
    loan = in_lagos(date(2026, 3, 1), at(15, 11))
    assert planned(loan, shipped)[0] == ("overdue-15", at(16, 10))


def test_late_reminder_is_skipped(shipped: Ladder) -> None:
    loan = in_lagos(date(2026, 3, 10), at(8, 9))
    assert planned(loan, shipped)[0] == ("due-tomorrow", at(9, 18))


def test_late_entry_at_the_end_of_the_ladder_still_ends(shipped: Ladder) -> None:
    old = in_lagos(date(2024, 3, 1), at(13, 15))
    assert planned(old, shipped) == [("end-91", at(14, 10))]
    older = in_lagos(date(2022, 3, 1), at(13, 15))
    assert planned(older, shipped) == []


def test_closed_loan_and_held_loan_get_nothing(shipped: Ladder) -> None:
    anchor = date(2026, 3, 10)
    assert planned(replace(in_lagos(anchor, at(1, 9)), open=False), shipped) == []
    held = replace(in_lagos(anchor, at(1, 9)), held_until=at(11, 10))
    assert planned(held, shipped)[0] == ("overdue-1", at(11, 10))


def test_message_is_overtaken_by_the_next_message_only(shipped: Ladder) -> None:
    anchor = date(2026, 3, 1)

    def when(stage: str) -> datetime | None:
        return superseded_at(shipped, stage, anchor, LAGOS)

    assert when("overdue-1") == at(4, 10)
    assert when("overdue-31") == at(10, 10, month=4)  # +40, past the call at +35
    assert when("final-75") == at(31, 10, month=5)  # the end of contact
    assert when("call-35") is None
    assert when("end-91") is None
    assert when("no-such-stage") is None


def test_no_shipped_message_may_arrive_after_the_next_moment(shipped: Ladder) -> None:
    for anchor in (date(2026, 3, 1), date(2026, 3, 28), date(2026, 10, 30)):
        for stage, following in pairwise(shipped.stages):
            if stage.action is Action.MESSAGE:
                end = stage_moment(stage, anchor, None, "Europe/London") + stage.not_after
                assert end <= stage_moment(following, anchor, None, "Europe/London")


# ---- planning by set and by loan agree

ZONES = (
    "Africa/Lagos",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "America/St_Johns",
    "Asia/Shanghai",
    "Africa/Casablanca",
)
STARTS = (
    date(2026, 3, 5),  # spring forward in New York
    date(2026, 10, 28),  # fall back in New York
    date(2026, 4, 2),  # fall back on Lord Howe, by half an hour
    date(2018, 11, 1),  # midnight skipped in São Paulo
    date(2018, 2, 15),  # midnight twice in São Paulo
    date(2011, 12, 27),  # a whole day skipped in Apia
    date(2006, 10, 26),  # one minute past midnight set back in St. John's
    date(2026, 2, 12),  # the long Chinese holiday
)
CALENDAR = BusinessCalendar(
    "test",
    frozenset({6, 7}),
    frozenset(date(2026, 2, 15) + timedelta(days=n) for n in range(9))
    | {date(2026, 3, 6), date(2011, 12, 30), date(2018, 11, 2)},
    frozenset({date(2026, 2, 28), date(2026, 4, 4)}),
    (date(2006, 1, 1), date(2026, 12, 31)),
)
CLOCKS = st.sampled_from(
    [time(0), time(0, 30), time(2, 15), time(9), time(10), time(18), time(23, 45)]
)


@st.composite
def ladders(draw: st.DrawFn) -> Ladder:
    count = draw(st.integers(1, 7))
    shifts = draw(st.sampled_from([[Shift.NONE], [Shift.NEXT], list(Shift)]))
    stages = [
        Stage(
            f"s{index}",
            Grade.FIRM,
            draw(st.integers(-4, 9)),
            draw(CLOCKS),
            Action.MESSAGE,
            ("sms",),
            None,
            "m",
            draw(st.sampled_from([CatchUp.LATEST, CatchUp.LATEST, CatchUp.SKIP])),
            timedelta(hours=48),
            draw(st.sampled_from(shifts)),
        )
        for index in range(count)
    ]
    stages.sort(key=lambda stage: (stage.offset_days, stage.at))
    return Ladder("random", BUCKETS, tuple(stages), CALENDAR)


@st.composite
def portfolios(draw: st.DrawFn) -> tuple[Ladder, date, list[Plannable]]:
    ladder = draw(ladders())
    start = draw(st.sampled_from(STARTS))
    midnight = datetime.combine(start, time(0), UTC)
    minutes = st.integers(-4 * 24 * 60, 8 * 24 * 60).map(lambda n: timedelta(minutes=n))
    loans = []
    for _ in range(draw(st.integers(1, 8))):
        zone = draw(st.sampled_from(ZONES))
        age = draw(st.integers(-12, 14) | st.integers(LATE_DAYS_MAX - 6, LATE_DAYS_MAX + 6))
        since = midnight + draw(minutes)
        if draw(st.booleans()):  # right at some stage's clock time, a second around it
            clock = draw(st.sampled_from(ladder.stages)).at
            since = instant(local_date(since, zone), clock, zone)
            since += timedelta(seconds=draw(st.integers(-1, 1)))
        held = draw(st.none() | minutes.map(lambda delta: midnight + delta))
        open_ = draw(st.integers(0, 9)) > 0
        loans.append(Plannable(zone, open_, start - timedelta(days=age), since, held))
    return ladder, start, loans


def joined(
    loan: Plannable, ladder: Ladder, after: datetime, until: datetime
) -> list[tuple[Moment, bool]]:
    """What the statement in planning.sql does, for one loan."""
    if not loan.open:
        return []
    found = [
        (moment, False)
        for moment in moments(ladder, loan.zone, after, until)
        if moment.anchor == loan.anchor and loan.anchor_since <= moment.due_at
    ]
    found += [
        (Moment(late.stage, loan.anchor, late.due_at, late.not_after), True)
        for late in late_moments(ladder, loan.zone, after, until)
        if late.anchor_min <= loan.anchor <= late.anchor_max
        and late.since_after < loan.anchor_since <= late.due_at
    ]
    return [
        (moment, late)
        for moment, late in found
        if loan.held_until is None or loan.held_until <= moment.due_at
    ]


@settings(max_examples=400, deadline=None)
@given(portfolios())
def test_planning_by_set_and_by_loan_agree(portfolio: tuple[Ladder, date, list[Plannable]]) -> None:
    ladder, start, loans = portfolio
    after = datetime.combine(start, time(0), UTC) - timedelta(days=3)
    until = after + timedelta(days=11)
    for loan in loans:
        by_set = joined(loan, ladder, after, until)
        by_loan = notices(loan, ladder, after, until)
        assert {moment for moment, _ in by_set} == set(by_loan)
        stages = [moment.stage for moment, _ in by_set]
        assert len(stages) == len(set(stages)), "a stage twice"
        assert sum(late for _, late in by_set) <= 1, "more than one late notice"
        assert list(by_loan) == sorted(by_loan, key=lambda moment: moment.due_at)
        assert not [moment for moment in by_loan if _disturbs(ladder, moment, loan.zone)]


def _disturbs(ladder: Ladder, moment: Moment, zone: str) -> bool:
    """A stage that keeps to business days on another day, late or not."""
    stage = ladder.stage(moment.stage)
    assert stage is not None
    if stage.shift is Shift.NONE or ladder.calendar is None or zone == "Pacific/Apia":
        # Apia once skipped a whole day: what was due on it comes with the next one
        return False
    return not ladder.calendar.is_business_day(local_date(moment.due_at, zone))


@settings(max_examples=150, deadline=None)
@given(portfolios(), st.lists(st.integers(1, 11 * 24 * 60), max_size=4))
def test_cutting_a_window_changes_nothing(
    portfolio: tuple[Ladder, date, list[Plannable]], cuts: list[int]
) -> None:
    ladder, start, loans = portfolio
    after = datetime.combine(start, time(0), UTC) - timedelta(days=3)
    until = after + timedelta(days=11)
    edges = [after, *(after + timedelta(minutes=cut) for cut in sorted(cuts)), until]
    for zone in {loan.zone for loan in loans}:
        for whole in (moments, late_moments):
            pieces = [
                moment for low, high in pairwise(edges) for moment in whole(ladder, zone, low, high)
            ]
            assert len(pieces) == len(set(pieces))
            assert set(pieces) == set(whole(ladder, zone, after, until))


# ---- and by hand where chance seldom goes


def step(name: str, offset: int, clock: time, how: Shift = Shift.NONE) -> Stage:
    return Stage(
        id=name,
        grade=Grade.FIRM,
        offset_days=offset,
        at=clock,
        action=Action.MESSAGE,
        channels=("sms",),
        fallback_after=None,
        message="m",
        catch_up=CatchUp.LATEST,
        not_after=timedelta(hours=48),
        shift=how,
    )


def both_ways(loan: Plannable, *steps: Stage, days: int = 6) -> list[tuple[str, str]]:
    ladder = Ladder("by-hand", BUCKETS, steps, CALENDAR)
    after = loan.anchor_since - timedelta(days=1)
    until = after + timedelta(days=days)
    by_loan = notices(loan, ladder, after, until)
    by_set = [moment for moment, _ in joined(loan, ladder, after, until)]
    key = attrgetter("due_at", "stage")
    assert sorted(by_set, key=key) == sorted(by_loan, key=key)
    return [(moment.stage, moment.due_at.isoformat(" ", "minutes")[:16]) for moment in by_loan]


FRIDAY = date(2026, 3, 13)


def test_two_steps_moved_to_monday_come_by_their_clocks() -> None:
    steps = (
        step("first", 0, time(12)),
        step("evening", 1, time(18), Shift.NEXT),
        step("morning", 2, time(10), Shift.NEXT),
    )
    # entered on Sunday after noon: on Monday noon the loan is past `morning` already
    sunday = datetime(2026, 3, 15, 13, tzinfo=UTC)
    assert both_ways(Plannable("UTC", open=True, anchor=FRIDAY, anchor_since=sunday), *steps) == [
        ("morning", "2026-03-16 10:00"),
        ("evening", "2026-03-16 18:00"),
    ]


def test_step_moved_back_overtakes_one_moved_on() -> None:
    steps = (
        step("first", 0, time(12)),
        step("on", 1, time(10), Shift.NEXT),
        step("back", 2, time(10), Shift.PREVIOUS),
    )
    saturday = datetime(2026, 3, 14, 9, tzinfo=UTC)
    assert both_ways(Plannable("UTC", open=True, anchor=FRIDAY, anchor_since=saturday), *steps) == [
        # on Monday at ten both; the one that comes before is overtaken, and the gate says so
        ("on", "2026-03-16 10:00"),
        ("back", "2026-03-16 10:00"),
    ]
    ladder = Ladder("by-hand", BUCKETS, steps, CALENDAR)
    monday = datetime(2026, 3, 16, 10, tzinfo=UTC)
    assert (overtaken := superseded_at(ladder, "on", FRIDAY, "UTC")) is not None
    assert overtaken < monday
    assert superseded_at(ladder, "back", FRIDAY, "UTC") is None


def test_late_notice_comes_once_over_a_day_of_23_hours() -> None:
    steps = (step("first", 0, time(10)), step("last", 9, time(10)))
    # 09:30 in New York on the day before its clocks go forward
    since = datetime(2026, 3, 7, 14, 30, tzinfo=UTC)
    loan = Plannable("America/New_York", open=True, anchor=date(2026, 3, 2), anchor_since=since)
    assert both_ways(loan, *steps, days=4) == [("first", "2026-03-07 15:00")]


def test_late_notice_is_not_lost_over_a_day_of_25_hours() -> None:
    steps = (step("first", 0, time(10)), step("last", 9, time(10)))
    # 10:30 on the day before clocks go back: the next ten o'clock is 24 and a half hours away
    since = datetime(2026, 10, 31, 14, 30, tzinfo=UTC)
    loan = Plannable("America/New_York", open=True, anchor=date(2026, 10, 26), anchor_since=since)
    assert both_ways(loan, *steps, days=4) == [("first", "2026-11-01 15:00")]


def test_moment_survives_a_clock_set_back_over_midnight() -> None:
    ladder = Ladder("by-hand", BUCKETS, (step("midnight", 0, time(0)),), None)
    zone, midnight = "America/St_Johns", datetime(2006, 10, 29, 2, 30, tzinfo=UTC)
    # one minute later it was 23:01 of the day before; a window that ends then still has the moment
    end = midnight + timedelta(minutes=5)
    assert local_date(end, zone) == date(2006, 10, 28)
    found = moments(ladder, zone, midnight - timedelta(hours=1), end)
    assert [(m.anchor, m.due_at) for m in found] == [(date(2006, 10, 29), midnight)]
