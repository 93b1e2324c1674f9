"""Standing from first principles: oldest debt first, reversals never counted, lateness by the day."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.standing import (
    Instalment,
    Kind,
    LoanFacts,
    Payment,
    Status,
    amount_due,
    in_order,
    position,
    settled_on,
    worst_dpd,
)

OPENED = datetime(2024, 1, 1, tzinfo=UTC)


def at(day: int, month: int = 1) -> datetime:
    return datetime(2024, month, day, 12, tzinfo=UTC)


def pay(amount: int, when: datetime, back: datetime | None = None) -> Payment:
    return Payment(f"{amount}@{when}", amount, when, when, back)


def facts(*payments: Payment, **change: object) -> LoanFacts:
    parts = in_order(
        [
            Instalment(2, Kind.INSTALMENT, date(2024, 3, 1), 100),
            Instalment(1, Kind.INSTALMENT, date(2024, 2, 1), 100),
            Instalment(1, Kind.FEE, date(2024, 2, 1), 10),
        ]
    )
    return LoanFacts("UTC", OPENED, parts, payments, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("paid", "anchor", "status", "balance"),
    [
        (0, date(2024, 2, 1), Status.OPEN, 210),
        (99, date(2024, 2, 1), Status.OPEN, 111),
        (100, date(2024, 2, 1), Status.OPEN, 110),  # the fee of that day is still unpaid
        (109, date(2024, 2, 1), Status.OPEN, 101),
        (110, date(2024, 3, 1), Status.OPEN, 100),
        (209, date(2024, 3, 1), Status.OPEN, 1),
        (210, None, Status.PAID, 0),
        (211, None, Status.PAID, -1),
    ],
)
def test_payments_settle_the_oldest_part_first(
    paid: int, anchor: date | None, status: Status, balance: int
) -> None:
    now = position(facts(*([pay(paid, at(5))] if paid else [])))
    assert (now.anchor, now.status, now.balance_minor, now.paid_minor) == (
        anchor,
        status,
        balance,
        paid,
    )


def test_a_reversed_payment_never_counted() -> None:
    now = position(facts(pay(210, at(5), at(9))))
    assert (now.status, now.paid_minor) == (Status.OPEN, 0)
    assert position(facts(pay(210, at(5), at(9))), at(6)).paid_minor == 0


@pytest.mark.parametrize(
    ("reason", "payment", "status"),
    [
        ("sold", pay(10, at(5)), Status.CLOSED),
        ("paid_off", pay(10, at(5)), Status.CLOSED),
        ("sold", pay(210, at(5)), Status.PAID),
        ("paid_off", pay(210, at(5), at(20)), Status.OPEN),  # what it declared settled is back
        ("paid_off", pay(210, at(5), at(6)), Status.CLOSED),  # it was declared after the reversal
        ("sold", pay(210, at(5), at(20)), Status.CLOSED),
    ],
)
def test_closing(reason: str, payment: Payment, status: Status) -> None:
    assert position(facts(payment, closed_at=at(10), close_reason=reason)).status is status


def test_nothing_is_closed_before_its_closing() -> None:
    closed = facts(closed_at=at(10), close_reason="sold")
    assert position(closed, at(9)).status is Status.OPEN


@pytest.mark.parametrize(
    ("paid", "today", "due"),
    [
        (0, date(2024, 1, 15), 110),  # before the due date: what falls due on it
        (0, date(2024, 2, 29), 110),
        (0, date(2024, 3, 1), 210),
        (60, date(2024, 2, 1), 50),
        (110, date(2024, 2, 1), 100),
        (210, date(2024, 3, 9), 0),
    ],
)
def test_amount_due(paid: int, today: date, due: int) -> None:
    assert amount_due(facts(*([pay(paid, at(5))] if paid else [])), today) == due


def test_worst_lateness_is_that_of_any_part_ever() -> None:
    late = facts(pay(110, at(11, 2)), pay(100, at(4, 3)))
    assert settled_on(late) == (date(2024, 2, 11), date(2024, 2, 11), date(2024, 3, 4))
    assert worst_dpd(late, date(2024, 9, 1)) == 10
    assert worst_dpd(facts(), date(2024, 2, 6)) == 5
    assert worst_dpd(facts(), date(2024, 1, 6)) == 0
    assert worst_dpd(facts(worst_dpd_floor=30), date(2024, 2, 6)) == 30
    gone = facts(closed_at=at(8, 2), close_reason="sold")
    assert worst_dpd(gone, date(2024, 9, 1)) == 7  # days after the closing are nobody's lateness


@given(st.lists(st.integers(1, 120), max_size=6), st.randoms())
def test_the_order_of_payments_does_not_matter(amounts: list[int], lot: object) -> None:
    runs = [pay(amount, at(1) + timedelta(days=index)) for index, amount in enumerate(amounts)]
    mixed = list(runs)
    lot.shuffle(mixed)  # type: ignore[attr-defined]
    assert position(facts(*runs)) == position(facts(*mixed))
    assert settled_on(facts(*runs)) == settled_on(facts(*mixed))
    total = sum(amounts)
    now = position(facts(*runs))
    assert now.balance_minor + now.paid_minor == 210
    assert (now.status is Status.PAID) == (total >= 210)
