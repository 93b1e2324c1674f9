"""The replay report against histories small enough to count by hand."""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from agent.domain.report import Report, ReportBuilder, report_json

RUN: Mapping[str, Any] = {"from": "2016-01-01", "until": "2016-05-01"}


def message(loan: str = "L1", at: str = "2016-02-15T09:00:00+01:00", **more: Any) -> dict[str, Any]:
    return {
        "loan": loan,
        "borrower": "B1",
        "stage": "due-today",
        "grade": "reminder",
        "channel": "sms",
        "sent_at": at,
        "anchor": "2016-02-15",
        "dpd": 0,
        "amount": "6500.00",
        "currency": "NGN",
        "text": "…",
        **more,
    }


def decision(verdict: str = "send", rules: Iterable[str] = (), **more: Any) -> dict[str, Any]:
    return {
        "loan": "L1",
        "stage": "due-today",
        "anchor": "2016-02-15",
        "due_at": "2016-02-15T09:00:00+01:00",
        "decided_at": "2016-02-15T09:00:00+01:00",
        "decision": verdict,
        "rules": list(rules),
        **more,
    }


class History:
    """Outcomes of one loan, numbered as the ledger gets them."""

    def __init__(self, loan: str = "L1") -> None:
        self.loan = loan
        self.lines: list[dict[str, Any]] = []
        self._numbers = count(1)

    def add(self, kind: str, day: str, **data: Any) -> "History":
        number = next(self._numbers)
        self.lines.append(
            {
                "specversion": "1.0",
                "id": f"{self.loan}:{number}",
                "source": "duly",
                "type": kind,
                "subject": self.loan,
                "time": f"{day}T00:00:00+01:00",
                "sequence": number,
                "data": data,
            }
        )
        return self

    def enter(self, bucket: str, day: str) -> "History":
        return self.add("account.bucket_changed", day, to=bucket)

    def cure(self, day: str) -> "History":
        return self.add("account.cured", day, anchor="2016-09-01")

    def pay_off(self, day: str, *late: int | None) -> "History":
        worst = max([days for days in late if days is not None], default=0)
        parts = [{"kind": "instalment", "days_late": days} for days in late]
        conduct = {"worst_dpd": max(worst, 0), "instalments": parts}
        return self.add("account.paid_off", day, conduct=conduct)

    def charge_off(self, day: str, balance: str = "6500.00", currency: str = "NGN") -> "History":
        kind = "account.charge_off_recommended"
        return self.add(kind, day, anchor="2016-02-15", balance=balance, currency=currency)

    def retract(self, number: int, day: str) -> "History":
        data = {"corrects": f"{self.loan}:{number}", "corrects_sequence": number}
        return self.add("outcome.retracted", day, **data)


def report(
    *histories: History,
    messages: Iterable[Mapping[str, Any]] = (),
    decisions: Iterable[Mapping[str, Any]] = (),
    opened: Mapping[str, str] | None = None,
    run: Mapping[str, Any] = RUN,
) -> Report:
    builder = ReportBuilder()
    for loan, day in (opened or {}).items():
        builder.add_opening(loan, date.fromisoformat(day))
    for line in messages:
        builder.add_message(line)
    for line in decisions:
        builder.add_decision(line)
    for history in histories:
        for line in history.lines:
            builder.add_outcome(line)
    return builder.build(run)


def named(counts: Iterable[Any]) -> dict[str, int]:
    return {line.name: line.count for line in counts if line.count}


def ends(found: Report) -> dict[str, tuple[int, ...]]:
    return {
        line.bucket: (
            line.entered,
            line.to_current,
            line.paid_off,
            line.eased,
            line.deeper,
            line.still_there,
        )
        for line in found.visits
    }


def rolls(found: Report) -> dict[tuple[str, str], tuple[int, float]]:
    return {
        (row.bucket, cell.bucket): (cell.loans, cell.rate)
        for row in found.rolls.rows
        for cell in row.to
        if cell.loans
    }


def test_an_empty_run_says_nothing_but_zeros() -> None:
    found = report(run={})
    assert found.headline.messages == found.headline.payoffs == found.headline.notices_decided == 0
    assert found.headline.messages_per_loan_contacted is None
    assert (found.stages, found.weeks, found.hours, found.visits, found.currencies) == ((),) * 5
    assert found.peaks.local_day == found.peaks.seven_local_days == 0
    assert found.rolls.months == 0
    assert found.rolls.first is None
    assert found.speed.events_per_second is None
    assert report_json(found)["headline"]["messages"] == 0


def test_stays_in_buckets_end_in_one_of_five_ways() -> None:
    found = report(
        History("cured").enter("1-7", "2016-02-16").cure("2016-02-18"),
        History("rolled").enter("1-7", "2016-02-16").enter("8-30", "2016-02-23").cure("2016-03-01"),
        History("paid").enter("1-7", "2016-02-16").pay_off("2016-02-17", 2),
        History("eased").enter("8-30", "2016-02-23").enter("1-7", "2016-02-24"),
    )
    assert ends(found) == {"1-7": (4, 1, 1, 0, 1, 1), "8-30": (2, 1, 0, 1, 0, 0)}
    assert [line.cure_rate for line in found.visits] == [0.5, 0.5]
    assert (found.headline.arrears_begun, found.headline.arrears_ended) == (4, 3)


def test_cured_and_paid_off_at_one_instant_is_one_payoff() -> None:
    history = History().enter("1-7", "2016-02-16").cure("2016-02-18").pay_off("2016-02-18", 3)
    assert ends(report(history)) == {"1-7": (1, 0, 1, 0, 0, 0)}


def test_a_reversal_takes_the_cure_and_the_payoff_back() -> None:
    history = History().enter("1-7", "2016-02-16").cure("2016-02-18").pay_off("2016-02-18", 3)
    history.retract(2, "2016-02-20").retract(3, "2016-02-20").enter("8-30", "2016-02-23")
    found = report(history)
    assert ends(found) == {"1-7": (1, 0, 0, 0, 1, 0), "8-30": (1, 0, 0, 0, 0, 1)}
    assert found.headline.payoffs == found.lateness.instalments == 0
    assert (found.headline.arrears_begun, found.headline.arrears_ended) == (1, 0)
    assert named(found.outcomes)["account.paid_off"] == 1, "what was told still counts as told"
    assert named(found.outcomes)["outcome.retracted"] == 2


def test_a_retraction_may_name_the_number_alone() -> None:
    history = (
        History()
        .pay_off("2016-02-18", 0)
        .add("outcome.retracted", "2016-02-20", corrects_sequence=1)
    )
    assert report(history).headline.payoffs == 0


def test_outcomes_may_come_in_any_order_of_lines() -> None:
    history = History().enter("1-7", "2016-02-16").enter("8-30", "2016-02-23").cure("2016-02-25")
    mixed = History()
    mixed.lines = history.lines[::-1]
    assert report(mixed) == report(history)


def test_charge_offs_add_up_per_currency_and_never_across() -> None:
    found = report(
        History("A").charge_off("2016-05-16", "6500.00").pay_off("2016-06-01", 106),
        History("B").charge_off("2016-05-16", "500.50"),
        History("C").charge_off("2016-05-16", "120", "JPY"),
        History("D").charge_off("2016-05-16", "900.00").retract(1, "2016-05-17"),
    )
    assert (found.charge_offs.loans, found.charge_offs.paid_off_later) == (3, 1)
    lines = [(line.currency, line.loans, line.balance) for line in found.charge_offs.amounts]
    assert lines == [("JPY", 1, Decimal(120)), ("NGN", 2, Decimal("7000.50"))]


def test_roll_rates_follow_cohorts_from_month_end_to_month_end() -> None:
    found = report(
        History("A").enter("1-7", "2016-01-30").enter("8-30", "2016-02-06").cure("2016-03-31"),
        History("B").enter("1-7", "2016-01-31").pay_off("2016-02-02", 2),
        opened={"A": "2016-01-05", "B": "2016-01-05", "C": "2016-02-10"},
    )
    assert (found.rolls.months, found.rolls.first, found.rolls.last) == (
        3,
        date(2016, 1, 31),
        date(2016, 4, 30),
    )
    # January: A and B in 1-7. February: A in 8-30, C current. March and April: A and C current.
    assert rolls(found) == {
        ("1-7", "8-30"): (1, 0.5),
        ("1-7", "paid off"): (1, 0.5),
        ("8-30", "current"): (1, 1.0),
        ("current", "current"): (3, 1.0),
    }


def test_roll_rates_leave_current_out_when_openings_are_unknown() -> None:
    found = report(History("A").enter("1-7", "2016-01-30").cure("2016-02-10"))
    assert rolls(found) == {("1-7", "current"): (1, 1.0)}


def test_a_month_counts_only_when_it_is_over() -> None:
    short = report(History(), run={"from": "2016-01-15", "until": "2016-03-30T00:00:00+01:00"})
    assert (short.rolls.months, short.rolls.last) == (1, date(2016, 2, 29))
    assert report(run={"from": "2016-01-15", "until": "2016-02-10"}).rolls.months == 0


def test_lateness_counts_instalments_of_paid_loans_and_no_fees() -> None:
    fee = {"kind": "fee", "days_late": 40}
    history = History("A").pay_off("2016-05-01", -3, 0, 1, 3, 4, 7, 8, 30, 31, 60, 61, None)
    history.lines[-1]["data"]["conduct"]["instalments"].append(fee)
    found = report(history, History("B").pay_off("2016-05-01", -1, 0)).lateness
    assert (found.payoffs, found.never_late, found.instalments) == (2, 1, 13)
    assert named(found.bands) == {
        "early": 2,
        "on the day": 2,
        "1–3 days": 2,
        "4–7 days": 2,
        "8–30 days": 2,
        "31–60 days": 2,
        "later": 1,
    }


def test_the_last_message_before_a_payment_gets_it() -> None:
    later = {"stage": "late-1", "grade": "friendly", "dpd": 1}
    found = report(
        History("L1").enter("1-7", "2016-02-16").cure("2016-02-17"),
        History("L2").enter("1-7", "2016-02-16"),
        History("L3").pay_off("2016-02-15", 0),
        messages=[
            message("L1"),
            message("L1", "2016-02-16T10:00:00+01:00", **later),
            message("L2"),
            message("L2", "2016-02-16T10:00:00+01:00", **later),
            message("L3"),
        ],
    )
    lines = {s.stage: (s.sent, s.paid_next, s.followed, s.open) for s in found.stages}
    assert lines == {"due-today": (3, 1, 2, 0), "late-1": (2, 1, 0, 1)}


def test_an_anchor_that_moved_on_was_met() -> None:
    found = report(
        messages=[message("L1"), message("L2"), message("L1", anchor="2016-03-16", dpd=0)],
        decisions=[decision("cancel", ["paid"], loan="L2", anchor="2016-03-16")],
    )
    assert [(s.sent, s.paid_next, s.open) for s in found.stages] == [(3, 2, 1)]


def test_a_fallback_is_a_second_message_of_one_notice() -> None:
    found = report(
        messages=[
            message(channel="push"),
            message(at="2016-02-15T11:00:00+01:00", channel="sms"),
        ]
    )
    stage = found.stages[0]
    assert (stage.messages, stage.sent, named(stage.by_channel)) == (2, 1, {"push": 1, "sms": 1})
    assert found.peaks.local_day == 1, "house caps count notices"
    assert [(w.messages, w.weeks) for w in found.person_weeks] == [(2, 1)]


def test_peaks_look_at_every_run_of_seven_local_days() -> None:
    days = ("11", "13", "15", "17", "18")
    found = report(
        messages=[
            message(f"L{day}", f"2016-02-{day}T10:00:00+01:00", anchor="2016-02-10") for day in days
        ]
        + [message("X", "2016-02-18T19:00:00+01:00", borrower="B2")]
    )
    # 11 to 17 February holds four of them, 12 to 18 February four as well; the calendar week 15–21
    # holds three.
    assert (found.peaks.local_day, found.peaks.seven_local_days) == (1, 4)
    assert [(w.messages, w.weeks) for w in found.person_weeks] == [(1, 1), (2, 1), (3, 1)]


def test_weeks_and_hours_are_local_and_without_gaps() -> None:
    found = report(
        messages=[
            message(
                at="2016-02-14T23:30:00+01:00"
            ),  # a Sunday there, whatever the day is elsewhere
            message(at="2016-02-29T21:10:00+01:00", dpd=14),
        ]
    )
    weeks = [(w.monday.isoformat(), w.until_due, w.past_due) for w in found.weeks]
    assert weeks == [
        ("2016-02-08", 1, 0),
        ("2016-02-15", 0, 0),
        ("2016-02-22", 0, 0),
        ("2016-02-29", 0, 1),
    ]
    assert [(h.hour, h.by_weekday.index(max(h.by_weekday))) for h in found.hours] == [
        (21, 0),
        (22, 0),
        (23, 6),
    ]
    assert sum(sum(h.by_weekday) for h in found.hours) == 2


def test_amounts_are_told_per_currency() -> None:
    found = report(
        messages=[
            message("A", amount="100.00"),
            message("B", amount="300.00"),
            message("C", amount="70", currency="JPY"),
        ]
    )
    lines = [(c.currency, c.loans, c.median_amount, c.largest_amount) for c in found.currencies]
    assert lines == [
        ("JPY", 1, Decimal(70), Decimal(70)),
        ("NGN", 2, Decimal("100.00"), Decimal("300.00")),
    ]


def test_rules_of_packs_name_their_pack() -> None:
    made = [decision("snooze", ["MA-7.04-1F", "paid"])]
    told = report(decisions=made, run={"packs_of_rules": {"MA-7.04-1F": "us-ma"}}).decisions.rules
    assert {(line.rule, line.pack) for line in told} == {("MA-7.04-1F", "us-ma"), ("paid", "")}


def test_decisions_count_by_rule_and_by_last_word() -> None:
    found = report(
        decisions=[
            decision("snooze", ["house-day-cap", "house-window"]),
            decision("snooze", ["house-window"]),
            decision("cancel", ["house-window", "not-after"]),
            decision("send", [], loan="L2"),
        ],
        run={"rules": {"house-window": "Outside 08:00–20:00"}},
    ).decisions
    assert found.total == 4
    assert named(found.by_verdict) == {"send": 1, "snooze": 2, "cancel": 1}
    assert named(found.notices_by_last_verdict) == {"send": 1, "cancel": 1}
    assert [(r.rule, r.snoozed, r.cancelled) for r in found.rules] == [
        ("house-window", 2, 1),
        ("house-day-cap", 1, 0),
        ("not-after", 0, 1),
    ]
    assert found.rules[0].meaning == "Outside 08:00–20:00"
    assert found.rules[2].meaning.startswith("It could no longer go out")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("paid", "The loan had been paid off"),
        ("hold:dispute", "On hold: dispute"),
        ("paused:channel", "Sending was paused: channel"),
        ("REGF-14B2-7IN7", "The person had been contacted often enough within a week"),
        ("house-day-cap", "The person had been contacted often enough that day"),
        ("IN-RBI-HOURS", "Outside the hours in which contact is allowed"),
        ("X-1", "A rule of the conduct packs"),
    ],
)
def test_every_rule_has_plain_words(rule: str, words: str) -> None:
    found = report(decisions=[decision("snooze", [rule])])
    assert found.decisions.rules[0].meaning == words


def test_stages_follow_the_ladder_then_what_it_does_not_name() -> None:
    stages = [
        {"id": "late-1", "grade": "friendly", "offset_days": 1},
        {"id": "due-today", "grade": "reminder", "offset_days": 0},
        {"id": "never-used", "grade": "final", "offset_days": 61},
    ]
    stages.append({"id": "call", "grade": "formal", "offset_days": 35, "action": "case"})
    sent = [message(stage=name, dpd=dpd) for name, dpd in (("old", 9), ("due-today", 0))]
    decided = [decision("cancel", ["paid"], stage="late-1"), decision("send", [], stage="call")]
    found = report(messages=sent, decisions=decided, run={"stages": stages})
    assert [(s.stage, s.grade, s.offset_days) for s in found.stages] == [
        ("late-1", "friendly", 1),
        ("due-today", "reminder", 0),
        ("call", "formal", 35),
        ("old", "reminder", 9),
    ]
    assert [(s.action, s.acted) for s in found.stages[1:3]] == [("message", 0), ("case", 1)]
    assert (found.stages[0].decided, found.stages[0].cancelled) == (1, 1)


def test_the_same_records_give_the_same_json_but_for_speed() -> None:
    def once(seconds: float) -> dict[str, Any]:
        facts = {**RUN, "events": 10, "wall_seconds": seconds, "phases": {"intake": seconds}}
        facts["invariants"] = [{"id": "1", "title": "one notice", "violations": 0}]
        history = History().enter("1-7", "2016-02-16").cure("2016-02-18")
        return report_json(report(history, messages=[message()], decisions=[decision()], run=facts))

    first, second = once(2.0), once(4.0)
    assert first.pop("speed") != second.pop("speed")
    assert first == second
    assert list(first)[:2] == ["run", "headline"]
    assert first["run"]["from"] == "2016-01-01"


@pytest.mark.parametrize("missing", ["loan", "sent_at", "currency", "amount"])
def test_a_line_that_is_no_message_is_an_error(missing: str) -> None:
    line = message()
    del line[missing]
    with pytest.raises(KeyError):
        ReportBuilder().add_message(line)
