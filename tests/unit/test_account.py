"""One loan from first principles: what is told at each threshold, what is taken back, and why."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from agent.domain.account import Applied, Loan, apply, crossed, told
from agent.domain.event import Event, Reason
from agent.domain.event_reading import parse_event
from agent.domain.outcome import Account, OutcomeType, told_by_stage

BUCKETS = (1, 8, 31, 61, 91)
DUE = date(2024, 2, 1)


def day(number: int, hour: int = 12) -> datetime:
    """So many days after the due date."""
    return datetime(DUE.year, DUE.month, DUE.day, hour, tzinfo=UTC) + timedelta(days=number)


def event(kind: str, when: datetime, **data: Any) -> Event:
    read = parse_event(
        {
            "id": f"{kind}{when}",
            "type": kind,
            "subject": "L",
            "time": when.isoformat(),
            "data": data,
        }
    )
    assert isinstance(read, Event), read
    return read


OPENING = event(
    "loan.opened",
    day(-30),
    currency="NGN",
    borrower={"id": "ann", "timezone": "UTC"},
    installments=[
        {"number": 1, "due_on": "2024-02-01", "amount": "5.00"},
        {"number": 2, "due_on": "2024-03-01", "amount": "5.00"},
    ],
)


def pay(ref: str, amount: str, when: datetime) -> Event:
    return event("payment.posted", when, payment_id=ref, amount=amount)


class Course:
    """A loan through time; remembers what was told."""

    def __init__(self, now: datetime = OPENING.at) -> None:
        self.said: list[str] = []
        self.refused: list[str] = []
        self.loan: Loan | None = None
        self.take(OPENING, now)

    def take(self, one: Event, now: datetime) -> "Course":
        return self._keep(apply(self.loan, [one], now, BUCKETS))

    def wait(self, now: datetime) -> "Course":
        assert self.loan is not None
        return self._keep(crossed(self.loan, now, BUCKETS))

    def end(self, now: datetime) -> "Course":
        assert self.loan is not None
        account = Account("NGN", BUCKETS)
        word = told_by_stage(OutcomeType.CHARGE_OFF, self.loan.facts, now, account, "charge-off")
        self.loan, one = told(self.loan, word)
        return self._keep(Applied(self.loan, (one,), ()))

    def _keep(self, done: Applied) -> "Course":
        self.loan = done.loan
        self.refused += [why.reason for _, why in done.refusals]
        for one in done.outcomes:
            data, kind = one.outcome.data, one.outcome.type
            if kind is OutcomeType.RETRACTED:
                self.said.append(f"-{one.outcome.corrects}")
            elif kind is OutcomeType.BUCKET_CHANGED:
                self.said.append(str(data["to"]))
            else:
                self.said.append(kind.partition(".")[2])
        return self


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0, []),
        (1, ["1-7"]),
        (7, ["1-7"]),
        (8, ["1-7", "8-30"]),
        (30, ["1-7", "8-30"]),
        (31, ["1-7", "8-30", "31-60"]),
        (60, ["1-7", "8-30", "31-60"]),
        (61, ["1-7", "8-30", "31-60", "61-90"]),
        (90, ["1-7", "8-30", "31-60", "61-90"]),
        (91, ["1-7", "8-30", "31-60", "61-90", "91+"]),
        (900, ["1-7", "8-30", "31-60", "61-90", "91+"]),
    ],
)
def test_each_bucket_is_told_on_its_first_day(days: int, said: list[str]) -> None:
    assert Course().wait(day(days, 0)).said == said
    step_by_step = Course()
    for number in range(-1, days + 1):
        step_by_step.wait(day(number, 0)).wait(day(number, 23))
    assert step_by_step.said == said


def test_the_eve_of_a_bucket_is_not_in_it() -> None:
    assert Course().wait(day(1, 0) - timedelta(microseconds=1)).said == []


def test_a_loan_that_is_learned_late_is_told_where_it_is() -> None:
    assert Course(day(40)).said == ["31-60"]


def test_cure_payoff_and_silence() -> None:
    course = Course().wait(day(9)).take(pay("a", "5.00", day(9)), day(9))
    assert course.said == ["1-7", "8-30", "cured"]
    course.take(pay("b", "5.00", day(10)), day(10))
    assert course.said[3:] == ["paid_off"]
    assert course.wait(day(500)).said[4:] == []


def test_a_part_payment_cures_nothing() -> None:
    assert Course().wait(day(2)).take(pay("a", "4.99", day(2)), day(2)).said == ["1-7"]


def test_one_payment_may_move_to_a_milder_bucket() -> None:
    course = Course().wait(day(40)).take(pay("a", "5.00", day(40)), day(40))
    assert course.said == ["1-7", "8-30", "31-60", "8-30"]  # the second part is eleven days late


def test_a_payment_learned_late_takes_back_what_it_disproves() -> None:
    course = Course().wait(day(9)).take(pay("a", "5.00", day(-1)), day(9))
    assert course.said == ["1-7", "8-30", "-1", "-2"]
    course = Course().wait(day(9)).take(pay("a", "5.00", day(3)), day(9))
    assert course.said == [
        "1-7",
        "8-30",
        "-2",
        "cured",
    ]  # the first claim was true when it was made


def test_a_reversal_takes_back_payoff_and_cure() -> None:
    course = Course().wait(day(2)).take(pay("a", "10.00", day(2)), day(2))
    assert course.said == ["1-7", "cured", "paid_off"]
    course.take(event("payment.reversed", day(9), payment_id="a"), day(9))
    assert course.said[3:] == ["-2", "-3", "8-30"]


def test_a_reversal_takes_back_the_cure_of_a_loan_that_was_written_off() -> None:
    course = Course().wait(day(2))
    course.take(event("loan.closed", day(3), reason="written_off"), day(3))
    course.take(pay("a", "10.00", day(5)), day(5))
    assert course.said == ["1-7", "cured", "paid_off"]
    course.take(event("payment.reversed", day(9), payment_id="a"), day(9))
    assert course.said[3:] == ["-2", "-3"]


def test_a_charge_off_is_taken_back_and_contact_begins_again() -> None:
    course = Course().wait(day(91)).end(day(91))
    assert course.said[-1] == "charge_off_recommended"
    course.take(pay("a", "5.00", day(-1)), day(92))
    assert "-6" in course.said
    assert course.loan is not None
    assert course.loan.contact_ended_at is None


def test_a_reschedule_is_not_retroactive() -> None:
    course = Course().wait(day(9))
    parts = [{"number": 1, "due_on": "2024-06-01", "amount": "10.00"}]
    course.take(event("loan.rescheduled", day(9), installments=parts), day(9))
    assert course.said == ["1-7", "8-30", "cured"]
    assert course.loan is not None
    assert course.loan.facts.worst_dpd_floor == 9


@pytest.mark.parametrize("ticked", [True, False])
def test_a_fee_is_not_retroactive_whenever_time_was_looked_at(ticked: bool) -> None:
    course = Course().take(pay("a", "5.00", day(-1)), day(-1))
    if ticked:
        course.wait(day(30))
    fee = event("fee.assessed", day(30), amount="1.00", due_on="2024-02-21")
    course.take(fee, day(30))
    assert course.said == ["1-7", "8-30"]


def test_numbers_have_no_gap() -> None:
    course = Course().wait(day(40)).take(pay("a", "10.00", day(40)), day(40))
    assert course.loan is not None
    assert course.loan.outcome_seq == len(course.said)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (OPENING, Reason.LOAN_EXISTS),
        (pay("known", "1.00", day(2)), Reason.PAYMENT_EXISTS),
        (event("payment.reversed", day(2), payment_id="x"), Reason.UNKNOWN_PAYMENT),
        (
            event("payment.reversed", day(2), payment_id="known", amount="2.00"),
            Reason.REVERSAL_DIFFERS,
        ),
        (event("payment.reversed", day(2), payment_id="back"), Reason.ALREADY_REVERSED),
        (pay("x", "0", day(2)), Reason.NOT_POSITIVE),
        (event("fee.assessed", day(2), amount="1", currency="USD"), Reason.WRONG_CURRENCY),
        (event("loan.rescheduled", day(2), installments=[{"amount": "1"}]), Reason.MISSING_FIELD),
    ],
)
def test_a_refused_event_changes_nothing(one: Event, reason: Reason) -> None:
    course = Course().take(pay("known", "1.00", day(-5)), day(-5))
    course.take(pay("back", "1.00", day(-4)), day(-4))
    course.take(event("payment.reversed", day(-3), payment_id="back"), day(-3))
    before = course.loan
    course.take(one, day(-2))
    assert course.refused == [reason]
    assert course.loan == before


def test_events_without_a_loan_wait() -> None:
    done = apply(None, [pay("a", "1.00", day(2))], day(2), BUCKETS)
    assert (done.loan, done.refusals[0][1].reason) == (None, Reason.UNKNOWN_LOAN)
