"""Rules that the state of things decides, asked in the words of forms and in their own."""

from datetime import date
from typing import Any

import pytest

from agent.domain.bureau import amount_past_due, in_default, profile_after, risk_increased
from agent.domain.conduct_ledger import ledger_answer
from agent.domain.conduct_situation import situation
from agent.domain.conduct_state import judge
from agent.flows.conduct_vectors import shipped_shelf

SHELF = shipped_shelf()


def asked(pack: str | None = None, /, **given: Any) -> tuple[str, tuple[str, ...], Any]:
    facts = situation(given)
    found = judge(SHELF.states(pack, given.get("country")), facts, SHELF.calendars)
    return found.ruling.word, found.rules, dict(found.detail)


@pytest.mark.parametrize(
    ("demand", "decision"), [("150.00", "allow"), ("149.99", "allow"), ("150.01", "deny")]
)
def test_of_a_debt_in_part_in_dispute_the_rest_may_be_asked_for(demand: str, decision: str) -> None:
    found = asked(role="third_party", disputed_amount="50.00", total="200.00", demand=demand)
    assert found[:2] == (decision, ("REGF-38D2-DISPUTE",))


@pytest.mark.parametrize(
    ("given", "decision"),
    [(30, "allow"), (31, "allow"), (29, "defer"), (0, "defer")],
)
def test_days_of_notice_that_lack_are_counted(given: int, decision: str) -> None:
    found, rules, detail = asked("ke-dcp", amount="2000", currency="KES", notice_days=given)
    assert (found, rules) == (decision, ("KE-DCP-30D",))
    assert detail.get("needs_days") == (30 - given if given < 30 else None)


@pytest.mark.parametrize(
    ("amount", "currency", "decision"),
    [("1000.00", "KES", "deny"), ("1000.01", "KES", "allow"), ("900", "UGX", "allow")],
)
def test_small_debts_are_not_listed(amount: str, currency: str, decision: str) -> None:
    assert asked("ke-dcp", amount=amount, currency=currency, notice_days=30)[0] == decision


@pytest.mark.parametrize(
    ("today", "sent", "decision"),
    [
        (None, None, "deadline"), ("2026-11-07", None, "deadline"), ("2026-11-08", None, "deny"),
        ("2026-11-08", "2026-11-05", "deadline"),
    ],
)  # fmt: skip
def test_past_a_deadline_the_next_step_is_off_until_the_duty_is_done(
    today: str | None, sent: str | None, decision: str
) -> None:
    given = {"initial_communication": "2026-11-02", "notice_sent": sent}
    found, rules, detail = asked(None, **given, **({"today": today} if today else {}))
    assert (found, rules) == (decision, ("REGF-34A-5D",))
    assert detail["deadline"] == date(2026, 11, 7)


@pytest.mark.parametrize(
    ("code", "decision"), [("", "deny"), ("XB", "allow"), ("XC", "allow"), (None, "deny")]
)
def test_a_disputed_account_is_reported_as_such(code: str | None, decision: str) -> None:
    found = asked(dispute_open=True, compliance_condition_code=code)
    assert found[0] == decision
    assert found[1] == (("FCRA-623A3", "REGF-18C2") if decision == "deny" else ())


@pytest.mark.parametrize(("hours", "decision"), [(24, "deny"), (720, "deny"), (721, "allow")])
def test_a_demand_that_ends_in_the_validation_period_overshadows_it(
    hours: int, decision: str
) -> None:
    assert asked(validation_period_open=True, deadline_hours=hours)[0] == decision
    assert asked(validation_period_open=False, deadline_hours=hours)[0] == "allow"


@pytest.mark.parametrize(
    ("step", "is_open", "decision"),
    [
        ("assign_to_agent", True, "deny"),
        ("assign_to_agent", False, "allow"),
        ("remind", True, "allow"),
    ],
)
def test_no_agent_while_a_grievance_is_open(step: str, is_open: bool, decision: str) -> None:
    assert asked("in-rbi", grievance_open=is_open, step=step)[0] == decision


@pytest.mark.parametrize(("template", "decision"), [(None, "deny"), ("", "deny"), ("T1", "allow")])
def test_a_template_has_to_be_registered(template: str | None, decision: str) -> None:
    assert asked("in-trai", template_id=template)[0] == decision


def test_the_same_word_delivered_again_gives_one_confirmation() -> None:
    decision, rules, detail = asked(event="opt_out", duplicates=3)
    assert (decision, rules, detail["confirmations"]) == ("allow", ("TCPA-A12-CONFIRM",), 1)
    assert asked(event="opt_out", duplicates=3, confirmations_sent=1)[0] == "deny"


def test_what_is_given_is_never_changed_by_what_follows_from_it() -> None:
    given = {"two_way": True, "one_way_sender": True, "action_number": "N1", "number": "N2"}
    assert {k: situation(given)[k] for k in given} == given


@pytest.mark.parametrize(
    ("profile", "status", "after"),
    [
        ("BBBBBBBBBBBBBBBBBBBBBBBB", None, "BBBBBBBBBBBBBBBBBBBBBBBB"),
        ("0BBBBBBBBBBBBBBBBBBBBBBB", None, "D0BBBBBBBBBBBBBBBBBBBBBB"),
        ("D0BBBBBBBBBBBBBBBBBBBBBB", "71", "1D0BBBBBBBBBBBBBBBBBBBBB"),
    ],
)
def test_a_month_without_a_report_is_embedded_but_never_comes_first(
    profile: str, status: str | None, after: str
) -> None:
    assert profile_after(profile, status) == after


def test_amounts_past_due_and_presumptions() -> None:
    assert ledger_answer({"due": "2026-01-15", "as_of": "2026-02-13"})["amount_past_due"] == "0"
    late = {"due": "2026-01-15", "as_of": "2026-02-14", "past_due": "120.99"}
    assert ledger_answer(late)["amount_past_due"] == "120"
    assert amount_past_due(30, None) is None
    assert [risk_increased(d) for d in (30, 31)] == [False, True]
    assert [in_default(d) for d in (90, 91)] == [False, True]


def test_a_deferral_counts_anew_and_holds_what_was_reported() -> None:
    new = {"deferred_to": "2026-03-15", "as_of": "2026-02-14"}
    assert {k: ledger_answer({"dpd": 12, **new})[k] for k in ("dpd", "metro2_status")} == {
        "dpd": 0, "metro2_status": "11",
    }  # fmt: skip
    assert ledger_answer({"dpd": 45, **new})["metro2_status"] == "71"
    charged = ledger_answer({"dpd": 185, "charged_off": True})
    assert (charged["metro2_status"], charged["dofd"]) == ("97", "unchanged")
    with_history = {"first_30": "2026-02-14", "charged_off": "2026-08-01"}
    assert ledger_answer(with_history)["dofd"] == "2026-02-14"
