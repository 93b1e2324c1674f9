"""Bureau codes: both sides of every bucket, and what a cure or a deferral does to them."""

from datetime import date, timedelta

import pytest

from agent.domain.bureau import (
    Delinquency,
    accommodation_in_force,
    delinquency_after,
    first_delinquency,
    five_class,
    ifrs9_stage,
    metro2_status,
    payment_rating,
    pboc_month,
    profile_after,
)
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
