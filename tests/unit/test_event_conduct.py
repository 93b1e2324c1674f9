"""Consents, checked numbers, quiet hours and waivers of an event: exactly one of their forms, or refused."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from agent.domain.conduct_base import Quiet
from agent.domain.event import (
    Event,
    Evidence,
    GivenTo,
    Reason,
    Rejected,
    Scope,
    Stated,
    Updated,
    Waiver,
)
from agent.domain.event_reading import parse_event

AT = "2026-03-01T10:00:00+00:00"
THEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


def read(**borrower: Any) -> Updated | Rejected:
    data = {"borrower": {"id": "ann", **borrower}}
    found = parse_event(
        {"id": "1", "type": "borrower.updated", "subject": "ann", "time": AT, "data": data}
    )
    if isinstance(found, Event):
        assert isinstance(found.fact, Updated)
        return found.fact
    return found


def contact(**more: Any) -> list[dict[str, Any]]:
    return [{"channel": "sms", "address": "+2347010000001", **more}]


def test_quiet_hours_are_days_and_minutes() -> None:
    hours = [
        {"days": ["mon", "sun"], "from": "15:00", "to": "17:30"},
        {"from": "22:00", "to": "06:00"},
    ]
    found = read(quiet_hours=hours)
    assert isinstance(found, Updated)
    assert found.person.quiet == (
        Quiet(frozenset({0, 6}), 900, 1050),
        Quiet(frozenset(range(7)), 1320, 360),
    )
    silent, cleared = read(), read(quiet_hours=[])
    assert isinstance(silent, Updated)
    assert isinstance(cleared, Updated)
    assert (silent.person.quiet, cleared.person.quiet) == (None, ())


@pytest.mark.parametrize(
    "hours",
    [
        "15:00-17:00", [{"from": "15:00"}], [{"from": "15", "to": "17:00"}],
        [{"from": "24:00", "to": "17:00"}], [{"from": 900, "to": 1050}],
        [{"days": [], "from": "15:00", "to": "17:00"}], ["15:00"],
        [{"days": ["monday"], "from": "15:00", "to": "17:00"}],
        [{"days": [["mon"]], "from": "01:00", "to": "02:00"}],
        [{"from": "15:00", "to": "17:00", "channel": "sms"}], [{"from": "15:00", "to": "17:00"}] * 51,
    ],
)  # fmt: skip
def test_quiet_hours_that_cannot_be_read_refuse_the_event(hours: Any) -> None:
    assert read(quiet_hours=hours) == Rejected(Reason.BAD_QUIET, "borrower.quiet_hours")


def test_a_waiver_names_what_is_waived_to_whom_and_when() -> None:
    found = read(waivers=[{"waives": "consent_time", "given_to": "collector", "at": AT}])
    assert isinstance(found, Updated)
    assert found.person.waivers == (Waiver("consent_time", GivenTo.COLLECTOR, THEN),)


@pytest.mark.parametrize(
    "waivers",
    [
        {}, ["consent_time"], [{"waives": "consent_time", "given_to": "collector"}],
        [{"waives": "everything", "given_to": "collector", "at": AT}],
        [{"waives": ["consent_time"], "given_to": "collector", "at": AT}],
        [{"waives": "consent_time", "given_to": "us", "at": AT}],
        [{"waives": "consent_time", "given_to": None, "at": AT}],
    ],
)  # fmt: skip
def test_a_waiver_that_does_not_say_so_waives_nothing(waivers: Any) -> None:
    assert read(waivers=waivers) == Rejected(Reason.BAD_WAIVER, "borrower.waivers")


def test_evidence_is_what_goes_beyond_a_source() -> None:
    plain = read(contacts=contact(consent={"source": "form", "at": AT}))
    assert isinstance(plain, Updated)
    assert plain.person.contacts[0].evidence is None
    said = {
        "source": "form",
        "at": AT,
        "given_to": "lender",
        "scope": ["service", "commercial"],
        "revoked_at": AT,
    }
    full = read(contacts=contact(consent=said, number_checked_at=AT))
    assert isinstance(full, Updated)
    assert full.person.contacts[0].evidence == Evidence(
        GivenTo.LENDER, (Scope.COMMERCIAL, Scope.SERVICE), THEN, THEN
    )
    checked = read(contacts=contact(number_checked_at=AT))
    assert isinstance(checked, Updated)
    assert checked.person.contacts[0].evidence == Evidence(None, (), None, THEN)


@pytest.mark.parametrize(
    ("consent", "reason", "field"),
    [
        (True, Reason.BAD_CONSENT, "consent"), ({"given_to": "lender"}, Reason.BAD_CONSENT, "consent"),
        ({"source": "form", "given_to": "bank"}, Reason.BAD_CONSENT, "consent"),
        ({"source": "form", "revoked": AT}, Reason.BAD_CONSENT, "consent"),
        ({"source": "form", "scope": "commercial"}, Reason.BAD_CONSENT, "consent.scope"),
        ({"source": "form", "scope": [["commercial"]]}, Reason.BAD_CONSENT, "consent.scope"),
        ({"source": "form", "scope": ["all"]}, Reason.BAD_CONSENT, "consent.scope"),
        ({"source": "form", "revoked_at": "yesterday"}, Reason.BAD_TIME, "consent.revoked_at"),
    ],
)  # fmt: skip
def test_a_consent_that_cannot_be_read_refuses_the_event(
    consent: Any, reason: Reason, field: str
) -> None:
    assert read(contacts=contact(consent=consent)) == Rejected(reason, f"borrower.contacts.{field}")


def test_stated_facts_are_true_false_a_count_or_a_date_of_a_person_or_a_loan() -> None:
    said = {"attorney_consents": True, "attorney_unresponsive": None}
    found = read(facts=said, loan_facts={"A1": {"validation_sent": "2026-03-02", "strikes": 2}})
    assert isinstance(found, Updated)
    assert found.person.stated == (
        Stated("", "attorney_consents", True),
        Stated("", "attorney_unresponsive", None),
        Stated("A1", "validation_sent", date(2026, 3, 2)),
        Stated("A1", "strikes", 2),
    )


@pytest.mark.parametrize(
    "facts",
    [
        [], {"time_barred": "no"}, {"time_barred": "2026-02-30"}, {"time_barred": 1.5}, {"time_barred": []},
        {"Time Barred": True}, {"strikes": -1}, {"": True},
        # what Duly knows by itself is not for the ledger to state
        {"content_class": True}, {"role": 1}, {"sms_consent": True},
    ],
)  # fmt: skip
def test_a_fact_that_is_none_refuses_the_event(facts: Any) -> None:
    for where in ({"facts": facts}, {"loan_facts": {"A1": facts}}):
        assert read(**where) == Rejected(Reason.BAD_FACT, "borrower.facts")
    assert read(loan_facts=[]) == Rejected(Reason.BAD_FACT, "borrower.loan_facts")


def test_an_address_of_somebody_else_is_told_apart() -> None:
    found = read(
        contacts=[*contact(relation="employer"), *contact(relation="borrower"), *contact()]
    )
    assert isinstance(found, Updated)
    assert [one.of_other for one in found.person.contacts] == [True, False, False]
