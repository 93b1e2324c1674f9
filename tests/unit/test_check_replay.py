"""The replay checker itself: a right output passes, and each planted error is found."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.check_replay import SHIPPED, check, in_text
from tests.support.truth import as_published, read_ladder, read_truth

LADDER = """
name = "tiny"
buckets = [1, 8, 31, 61, 91]
[[stage]]
id = "early"
grade = "reminder"
offset_days = -3
at = 10:00:00
[[stage]]
id = "today"
grade = "reminder"
offset_days = 0
at = 09:00:00
[[stage]]
id = "late"
grade = "friendly"
offset_days = 1
at = 10:00:00
catch_up = "latest"
not_after_hours = 48
[[stage]]
id = "end"
offset_days = 91
at = 10:00:00
action = "outcome"
"""

Rows = list[dict[str, Any]]
World = dict[str, Rows]


def opened(loan: str, person: str, due: str, at: str) -> dict[str, Any]:
    borrower = {"id": person, "timezone": "Africa/Lagos", "contacts": []}
    parts = [{"number": 1, "due_on": due, "amount": "6500.00"}]
    data = {"currency": "NGN", "borrower": borrower, "installments": parts}
    return {
        "id": f"{loan}:opened",
        "type": "loan.opened",
        "subject": loan,
        "time": at,
        "data": data,
    }


def paid(loan: str, at: str, amount: str = "6500.00", **more: str) -> dict[str, Any]:
    data = {"payment_id": f"{loan}-1", "amount": amount, **more}
    return {
        "id": f"{loan}:paid",
        "type": "payment.posted",
        "subject": loan,
        "time": at,
        "data": data,
    }


EVENTS = [
    opened("L1", "ann", "2016-03-15", "2016-02-15T09:00:00+01:00"),
    opened("L2", "bob", "2016-03-15", "2016-02-15T09:00:00+01:00"),
    paid("L1", "2016-03-15T12:00:00+01:00"),
]


def message(
    loan: str, person: str, stage: str, grade: str, at: str, dpd: int, channel: str = "sms"
) -> dict[str, Any]:
    return {
        "loan": loan, "borrower": person, "stage": stage, "grade": grade, "channel": channel,
        "sent_at": at, "anchor": "2016-03-15", "dpd": dpd, "amount": "6500.00", "currency": "NGN",
        "text": "Please pay NGN 6,500.00 soon.",
    }  # fmt: skip


def decision(
    loan: str,
    stage: str,
    at: str,
    verdict: str = "send",
    rules: tuple[str, ...] = (),
    due: str = "",
) -> dict[str, Any]:
    return {
        "loan": loan, "stage": stage, "anchor": "2016-03-15", "due_at": due or at, "decided_at": at,
        "decision": verdict, "rules": list(rules),
    }  # fmt: skip


def outcome(loan: str, sequence: int, kind: str, at: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "subject": loan,
        "sequence": sequence,
        "type": f"account.{kind}",
        "time": at,
        "data": data,
    }


def bucket(sequence: int, old: str, new: str, at: str, dpd: int) -> dict[str, Any]:
    data = {"from": old, "to": new, "dpd": dpd, "anchor": "2016-03-15", "amount_due": "6500.00"}
    return outcome("L2", sequence, "bucket_changed", at, data)


def world() -> World:
    moments = [
        ("L1", "ann", "early", "reminder", "2016-03-12T10:00:00+01:00", -3),
        ("L1", "ann", "today", "reminder", "2016-03-15T09:00:00+01:00", 0),
        ("L2", "bob", "early", "reminder", "2016-03-12T10:00:00+01:00", -3),
        ("L2", "bob", "today", "reminder", "2016-03-15T09:00:00+01:00", 0),
    ]
    end = "2016-06-14T10:00:00+01:00"
    conduct = {"worst_dpd": 0, "instalments": [{"number": 1, "days_late": 0}]}
    return {
        "messages": [message(*moment) for moment in moments],
        "decisions": [
            *(decision(loan, stage, at) for loan, _, stage, _, at, _ in moments),
            decision("L2", "late", "2016-03-16T10:00:00+01:00", "cancel", ("opted-out",)),
            decision("L2", "end", end),
        ],
        "outcomes": [
            outcome("L1", 1, "paid_off", "2016-03-15T12:00:00+01:00", {"conduct": conduct}),
            bucket(1, "current", "1-7", "2016-03-16T00:00:00+01:00", 1),
            bucket(2, "1-7", "8-30", "2016-03-23T00:00:00+01:00", 8),
            bucket(3, "8-30", "31-60", "2016-04-15T00:00:00+01:00", 31),
            bucket(4, "31-60", "61-90", "2016-05-15T00:00:00+01:00", 61),
            bucket(5, "61-90", "91+", "2016-06-14T00:00:00+01:00", 91),
            outcome("L2", 6, "charge_off_recommended", end, {"dpd": 91, "anchor": "2016-03-15"}),
        ],
    }  # fmt: skip


def run(folder: Path, rows: World, events: Rows | None = None) -> dict[str, list[str]]:
    """Write the outputs and return what the checker finds."""
    ladder, source = folder / "tiny.toml", folder / "events.ndjson"
    ladder.write_text(LADDER)
    source.write_text(
        "\n".join(json.dumps(event) for event in (EVENTS if events is None else events))
    )
    for name, items in rows.items():
        (folder / f"{name}.ndjson").write_text("".join(json.dumps(item) + "\n" for item in items))
    (folder / "report.json").write_text("{}")
    (folder / "report.html").write_text("<html></html>")
    return dict(check(source, folder, ladder).problems)


def test_a_right_output_passes(tmp_path: Path) -> None:
    assert run(tmp_path, world()) == {}


Spoil = Callable[[World], object]


def _edit(kind: str, index: int, **change: Any) -> Spoil:
    return lambda rows: rows[kind][index].update(change)


def _double_at(hour: str, channel: str) -> Spoil:
    return lambda rows: rows["messages"].append(
        {**rows["messages"][3], "sent_at": f"2016-03-15T{hour}:00+01:00", "channel": channel}
    )


PLANTED: dict[str, tuple[Spoil, str]] = {
    "after payment": (
        _edit("messages", 1, sent_at="2016-03-15T13:00:00+01:00"),
        "after the end of the loan",
    ),
    "at night": (
        _edit("messages", 0, sent_at="2016-03-12T21:00:00+01:00"),
        "outside contact hours",
    ),
    "too early": (
        _edit("messages", 0, sent_at="2016-03-12T09:00:00+01:00"),
        "too early or too late",
    ),
    "wrong anchor": (_edit("messages", 0, anchor="2016-03-16"), "wrong anchor"),
    "wrong amount": (_edit("messages", 0, amount="650.00"), "amount"),
    "amount only in the row": (
        _edit("messages", 0, text="Pay NGN 650.00"),
        "amount not in the text",
    ),
    "wrong offset": (_edit("messages", 0, sent_at="2016-03-12T09:00:00+00:00"), "offset"),
    "wrong dpd": (_edit("messages", 0, dpd=3), "dpd"),
    "wrong grade": (_edit("messages", 0, grade="firm"), "borrower or grade"),
    "unknown loan": (_edit("messages", 0, loan="L9"), "unknown loan or stage"),
    "the same notice twice": (_double_at("09:30", "sms"), "sent twice"),
    "sms before push": (_double_at("09:30", "push"), "fallback order"),
    "forgotten": (
        lambda rows: rows["messages"].pop(0) and rows["decisions"].pop(0),
        "neither message nor decision",
    ),
    "no reason": (_edit("decisions", 4, rules=[]), "refusal without a rule"),
    "decided too early": (
        _edit("decisions", 4, decided_at="2016-03-16T09:00:00+01:00"),
        "decided before it was due",
    ),
    "due at another time": (
        _edit("decisions", 4, due_at="2016-03-16T09:00:00+01:00"),
        "due at another time",
    ),
    "decision missing": (lambda rows: rows["decisions"].pop(0), "message without its decision"),
    "decision without message": (
        lambda rows: rows["messages"].pop(0),
        "send decision without a message",
    ),
    "ladder not finished": (lambda rows: rows["outcomes"].pop(), "outcomes differ"),
    "stage not decided": (lambda rows: rows["decisions"].pop(), "stage without a decision"),
    "gap": (_edit("outcomes", 6, sequence=7), "outcomes out of order or with a gap"),
    "late crossing": (_edit("outcomes", 1, time="2016-03-16T00:10:00+01:00"), "outcome time"),
    "wrong bucket": (lambda rows: rows["outcomes"][2]["data"].update(to="31-60"), "outcome to"),
    "wrong worst dpd": (
        lambda rows: rows["outcomes"][0]["data"]["conduct"].update(worst_dpd=2),
        "outcome worst dpd",
    ),
    "wrong lateness": (
        lambda rows: rows["outcomes"][0]["data"]["conduct"].update(instalments=[]),
        "outcome days late",
    ),
    "unknown outcome": (_edit("outcomes", 0, subject="L9"), "outcome of an unknown loan"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_error_is_found(tmp_path: Path, name: str) -> None:
    spoil, expected = PLANTED[name]
    rows = world()
    spoil(rows)
    assert expected in run(tmp_path, rows)


def test_a_file_that_does_not_parse_is_reported(tmp_path: Path) -> None:
    run(tmp_path, world())
    (tmp_path / "messages.ndjson").write_text('{"loan": ')
    assert "outputs" in check(tmp_path / "events.ndjson", tmp_path, tmp_path / "tiny.toml").problems


def test_one_person_twice_on_a_day_over_two_loans(tmp_path: Path) -> None:
    events = [
        opened(loan, "ann", "2016-03-15", "2016-02-15T09:00:00+01:00") for loan in ("L1", "L2")
    ]
    rows = world()
    for row in rows["messages"]:
        row["borrower"] = "ann"
    assert "twice on a local day" in run(tmp_path, rows, events)


def test_a_reversal_needs_a_retraction(tmp_path: Path) -> None:
    back = {
        "id": "L1:back", "type": "payment.reversed", "subject": "L1",
        "time": "2016-03-15T13:00:00+01:00", "data": {"payment_id": "L1-1"},
    }  # fmt: skip
    found = run(tmp_path, world(), [*EVENTS, back])
    assert "outcome.retracted" in found["outcomes differ"][0]


def test_the_same_event_twice_and_broken_lines_change_nothing(tmp_path: Path) -> None:
    source = tmp_path / "events.ndjson"
    again = json.dumps({**EVENTS[2], "data": {"payment_id": "other", "amount": "1.00"}})
    source.write_text("\n".join(['{"id": 1,', "[]", "7", *map(json.dumps, EVENTS), again]))
    truth = read_truth(source)
    assert len(truth.debts["L1"].views) == 2
    assert truth.debts["L1"].views[-1].state() == "paid"


def test_a_payment_that_comes_before_its_loan_waits_for_it(tmp_path: Path) -> None:
    source = tmp_path / "events.ndjson"
    early = paid("L1", "2016-01-15T12:00:00+01:00")
    source.write_text("\n".join(map(json.dumps, [early, EVENTS[0]])))
    assert read_truth(source).debts["L1"].views[-1].state() == "paid"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("NGN 6,500.00 is due", True),
        ("₦6,500 is due.", True),
        ("6 500.00", True),
        ("6500", True),
        ("16,500.00", False),
        ("6,500.50", False),
        ("65000", False),
    ],
)
def test_amounts_are_found_however_they_are_written(text: str, *, named: bool) -> None:
    assert in_text(Decimal("6500.00"), text) is named


@pytest.mark.skipif(not SHIPPED.exists(), reason="no shipped ladder in this tree")
def test_the_shipped_ladder_is_the_published_one() -> None:
    assert as_published(read_ladder(SHIPPED)) == []
