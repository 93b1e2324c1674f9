"""Consents, checked numbers, quiet hours and waivers of an event: exactly one of their forms, or refused."""

from datetime import UTC, datetime
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
