"""Bureau codes: both sides of every bucket, and what a cure or a deferral does to them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.bureau import (
    Delinquency,
    accommodation_in_force,
    delinquency_after,
    first_delinquency,
    five_class,
    ifrs9_stage,
    metro2_status,
    paid_status,
    payment_rating,
    pboc_mark,
    pboc_month,
    profile_after,
)
from agent.domain.conduct_ledger import ledger_answer
from agent.domain.retention import Keeping, months_after

DUE = date(2026, 1, 15)


@pytest.mark.parametrize(
    ("dpd", "metro2", "rating", "pboc", "stage"),
    [
        (0, "11", "0", "N", 1), (1, "11", "0", "1", 1), (29, "11", "0", "1", 1),
        (30, "71", "1", "1", 1), (31, "71", "1", "2", 2), (59, "71", "1", "2", 2),
        (60, "78", "2", "2", 2), (61, "78", "2", "3", 2), (89, "78", "2", "3", 2),
        (90, "80", "3", "3", 2), (91, "80", "3", "4", 3), (119, "80", "3", "4", 3),
        (120, "82", "4", "4", 3), (121, "82", "4", "5", 3), (150, "83", "5", "5", 3),
        (151, "83", "5", "6", 3), (180, "84", "6", "6", 3), (181, "84", "6", "7", 3),
    ],
)  # fmt: skip
def test_one_count_of_days_and_many_codes(
    dpd: int, metro2: str, rating: str, pboc: str, stage: int
) -> None:
    codes = (metro2_status(dpd), payment_rating(dpd), pboc_month(dpd), ifrs9_stage(dpd))
    assert codes == (metro2, rating, pboc, stage)


def test_first_delinquency_is_the_thirty_day_point_and_nothing_before() -> None:
    assert first_delinquency(DUE, DUE + timedelta(days=29)) is None
    assert first_delinquency(DUE, DUE + timedelta(days=300)) == DUE + timedelta(days=30)


def test_a_cure_resets_the_first_delinquency_and_a_sale_does_not() -> None:
    first, second = date(2026, 2, 14), date(2026, 6, 14)
    story = [Delinquency(first, "thirty_days"), Delinquency(date(2026, 4, 1), "sale"),
             Delinquency(date(2026, 5, 1), "charge_off")]  # fmt: skip
    assert delinquency_after(story) == first
    cured = [Delinquency(first, "thirty_days"), Delinquency(date(2026, 3, 1), "cured")]
    assert delinquency_after(cured) is None
    assert delinquency_after([*cured, Delinquency(second, "thirty_days")]) == second


def test_the_profile_keeps_24_months_newest_first() -> None:
    assert profile_after("", "11") == "0" + "B" * 23
    assert profile_after("0" * 24, "97") == "L" + "0" * 23
    assert profile_after("0" * 24, "13", "2") == "2" + "0" * 23


def test_classes_of_products_differ() -> None:
    assert (five_class(121, "credit_card"), five_class(121, "loan")) == ("可疑", "次级")


def test_the_accommodation_is_over() -> None:
    assert accommodation_in_force(date(2023, 8, 8))
    assert not accommodation_in_force(date(2023, 8, 9))


def test_records_are_kept_to_the_day_after_a_day_that_is_missing() -> None:
    assert months_after(date(2028, 2, 29), 36) == date(2031, 3, 1)
    assert months_after(date(2026, 8, 31), 6) == date(2027, 3, 1)
    assert months_after(date(2026, 1, 15), 36) == date(2029, 1, 15)


def test_nothing_is_deleted_early() -> None:
    day = date(2030, 1, 1)
    assert not Keeping(keep_through=day).may_delete(day)
    assert Keeping(keep_through=day).may_delete(day + timedelta(days=1))
    assert Keeping(delete_by=day).must_delete(day)
    assert not Keeping(delete_by=day, legal_hold=True).must_delete(day)
    collision = Keeping(keep_through=date(2031, 1, 1), delete_by=day)
    assert collision.conflict
    assert not collision.must_delete(date(2040, 1, 1))


# ---- the same codes worked out another way, from the words of the formats


@given(st.integers(0, 1000))
def test_buckets_of_every_day(dpd: int) -> None:
    told = {range(30): "11", range(30, 60): "71", range(60, 90): "78", range(90, 120): "80",
            range(120, 150): "82", range(150, 180): "83", range(180, 1001): "84"}  # fmt: skip
    assert metro2_status(dpd) == next(code for days, code in told.items() if dpd in days)
    # PBOC's buckets close where Metro 2's open: "1: 1-30 days, 2: 31-60, …, 7: over 180"
    months = -(-dpd // 30)
    assert pboc_month(dpd) == ("N" if dpd == 0 else str(min(months, 7)))
    assert payment_rating(dpd) == str(min(dpd // 30, 6))
    stage = 3 if dpd > 90 else 2 if dpd > 30 else 1
    assert ifrs9_stage(dpd) == stage
    tiers = ["正常", "关注", "次级", "可疑", "损失"]
    assert five_class(dpd, "loan") == tiers[(dpd > 0) + (dpd > 90) + (dpd > 270) + (dpd > 360)]
    assert (
        five_class(dpd, "credit_card") == tiers[(dpd > 0) + (dpd > 90) + (dpd > 120) + (dpd > 180)]
    )


EPISODES = st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 250), st.booleans()), min_size=1, max_size=6
)


@given(EPISODES)
def test_first_delinquency_through_cures_and_new_delinquencies(
    episodes: list[tuple[int, int, bool]],
) -> None:
    """Each episode: days until an instalment falls due, days it stays unpaid, a charge-off within."""
    day, story, known = date(2026, 1, 1), [], None
    for number, (wait, late, lost) in enumerate(episodes):
        due = day + timedelta(days=wait)
        day, is_last = due + timedelta(days=late), number == len(episodes) - 1
        reached = late >= 30
        if reached:
            story.append(Delinquency(due + timedelta(days=30), "thirty_days"))
        if reached and lost:
            story.append(Delinquency(day, "charge_off"))
        if not is_last:
            story.append(Delinquency(day, "cured"))
        known = due + timedelta(days=30) if reached and is_last else None
    assert delinquency_after(story) == known
    assert delinquency_after(reversed(story)) == known or any(
        one.on == other.on and one is not other for one in story for other in story
    )


STATUSES = st.lists(st.sampled_from([None, "11", "71", "78", "80", "82", "83", "84", "93", "97"]),
                    max_size=40)  # fmt: skip


@given(STATUSES)
def test_profile_is_the_grid_of_what_was_reported(statuses: list[str | None]) -> None:
    profile = ""
    for status in statuses:
        profile = profile_after(profile, status)
    letters = {"11": "0", "71": "1", "78": "2", "80": "3", "82": "4", "83": "5", "84": "6",
               "93": "G", "97": "L", None: "D"}  # fmt: skip
    first = next((at for at, status in enumerate(statuses) if status), len(statuses))
    grid = "".join(letters[status] for status in reversed(statuses[first:]))
    if statuses:
        assert profile == grid.ljust(24, "B")[:24]
    assert "B" not in profile.rstrip("B")


def test_deletion_leaves_no_hole_of_no_history() -> None:
    assert profile_after("1" + "0" * 23, "DA") == "D1" + "0" * 22
    assert profile_after("0" * 24, "96") == "K" + "0" * 23


@pytest.mark.parametrize(
    ("before", "after"), [(None, "13"), ("71", "13"), ("93", "62"), ("97", "64"), ("95", "61"), ("96", "63")]
)  # fmt: skip
def test_what_was_lost_stays_visible_when_it_is_paid(before: str | None, after: str) -> None:
    assert paid_status(before) == after
    told = ledger_answer({"paid": "2026-02-20", "dpd_before": 36, "status_before": before})
    assert told["metro2_status"] == after
    assert told["payment_rating"] == ("1" if after == "13" else "")


@pytest.mark.parametrize(
    ("facts", "mark"),
    [
        ({"dpd": 0}, "N"), ({"dpd": 0, "nothing_due": True}, "*"), ({"dpd": 31, "nothing_due": True}, "2"),
        ({"unknown": True}, "#"), ({"arrears_repaid": True, "dpd": 12}, "M"), ({"ended": "settled"}, "C"),
        ({"ended": "otherwise"}, "G"), ({"ended": "guarantor", "dpd": 40}, "D"), ({"ended": "asset"}, "Z"),
        ({"ended": "dead", "dpd": 400}, "B"),
    ],
)  # fmt: skip
def test_month_marks_of_the_pboc(facts: dict[str, object], mark: str) -> None:
    assert ledger_answer(facts)["pboc_month"] == mark


def test_mark_of_a_month_that_is_only_late_is_the_count_of_days() -> None:
    assert [pboc_mark(dpd) for dpd in (0, 1, 30, 31, 181)] == ["N", "1", "1", "2", "7"]


def test_several_cures_are_all_heard() -> None:
    told = ledger_answer({"first_30": "2026-02-14", "cured": ["2026-03-01", "2026-07-01"],
                          "second_30": "2026-06-14"})  # fmt: skip
    assert told["dofd"] is None
    assert ledger_answer({"first_30": "2026-02-14", "placed": "2026-05-01"})["dofd"] == "2026-02-14"
    deferred = ledger_answer({"dpd": 12, "deferred_to": "2026-03-15", "as_of": "2026-02-14"})
    assert (deferred["dpd"], deferred["metro2_status"], deferred["pboc_month"]) == (0, "11", "N")
