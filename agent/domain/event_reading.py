"""From a CloudEvents mapping to a typed fact, or to the reason why it is none.

Only shape is checked here. Whether a fact fits the loan it names is decided by `agent.domain.account`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from operator import attrgetter
from typing import Any, TypeVar

from agent.domain.calendar import known_zone
from agent.domain.conduct_ways import BORROWER
from agent.domain.event import (
    NOWHERE,
    Closed,
    Contact,
    Event,
    Fact,
    Fee,
    Flagged,
    Opened,
    Part,
    Person,
    Posted,
    Reason,
    Rejected,
    Rescheduled,
    Reversed,
    Stated,
    Updated,
    Whereabouts,
)
from agent.domain.event_conduct import read_evidence, read_facts, read_quiet, read_waivers
from agent.domain.money import AmountProblem, advised, minor_units, parse_amount

EARLIEST_YEAR = 1970
LATEST_YEAR = 2200
REF_MAX = 200
# a browser's push subscription is its address: a long URL and two keys
ADDRESS_MAX = 4_000
INSTALMENTS_MAX = 1000
_T = TypeVar("_T")
_PORTFOLIO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class _Bad(Exception):
    """Leaves a nested reader; turned into `Rejected` by `parse_event`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.rejected = Rejected(reason, detail)


def parse_event(raw: object) -> Event | Rejected:
    """Read one CloudEvents 1.0 mapping (DESIGN §6.1).

    Returns `Rejected` with a reason for anything that is not a well-formed fact; never raises.
    """
    try:
        return _event(raw)
    except _Bad as bad:
        return bad.rejected


def _event(raw: object) -> Event:
    if not isinstance(raw, dict):
        raise _Bad(Reason.NOT_AN_EVENT, "line")
    identity = _text(raw, "id")
    kind = _text(raw, "type")
    data = raw.get("data")
    if not isinstance(data, dict):
        raise _Bad(Reason.MISSING_FIELD, "data")
    reader = _READERS.get(kind)
    if reader is None:
        raise _Bad(Reason.UNKNOWN_TYPE, "type")
    at = parse_instant(raw.get("time"), "time")
    subject = _subject(raw, data)
    return Event(
        id=identity,
        source=_text(raw, "source") if raw.get("source") else "",
        type=kind,
        subject=subject,
        portfolio=_portfolio(data.get("portfolio")),
        at=at,
        fact=reader(data, subject),
    )


def is_portfolio_name(name: str) -> bool:
    """Names stand in addresses, metrics and file names, so they are plain."""
    return _PORTFOLIO.fullmatch(name) is not None


def _portfolio(named: object) -> str | None:
    if named is None or named == "":
        return None
    if not isinstance(named, str) or not is_portfolio_name(named):
        raise _Bad(Reason.BAD_PORTFOLIO, "portfolio")
    return named


def _subject(raw: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    named = raw.get("subject")
    if named is None or named == "":
        return _text({"subject": _borrower_ref(data)}, "subject")
    return _text(raw, "subject")


def _borrower_ref(data: Mapping[str, Any]) -> object:
    borrower = data.get("borrower")
    return borrower.get("id") if isinstance(borrower, dict) else None


def _text(raw: Mapping[str, Any], key: str, longest: int = REF_MAX) -> str:
    value = raw.get(key)
    if type(value) is str and 0 < len(value) <= REF_MAX and "\x00" not in value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= longest or "\x00" in value:
        raise _Bad(Reason.MISSING_FIELD, key)
    return value


def _optional(raw: Mapping[str, Any], key: str) -> str | None:
    value = raw.get(key)
    if value is None or (type(value) is str and 0 < len(value) <= REF_MAX and "\x00" not in value):
        return value
    return _text(raw, key)


def parse_instant(value: object, key: str) -> datetime:
    """An RFC 3339 instant with its offset, within the years that a loan can live in; read as UTC."""
    if not isinstance(value, str):
        raise _Bad(Reason.MISSING_FIELD if value is None else Reason.BAD_TIME, key)
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise _Bad(Reason.BAD_TIME, key) from None
    if at.tzinfo is None or not EARLIEST_YEAR < at.year < LATEST_YEAR:
        raise _Bad(Reason.BAD_TIME, key)
    # instants of one zone are compared and stored without asking either for its offset
    return at.astimezone(UTC)


def _day(value: object, key: str) -> date:
    if not isinstance(value, str):
        raise _Bad(Reason.MISSING_FIELD if value is None else Reason.BAD_DATE, key)
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise _Bad(Reason.BAD_DATE, key) from None
    if not EARLIEST_YEAR < day.year < LATEST_YEAR:
        raise _Bad(Reason.BAD_DATE, key)
    return day


def positive_amount(value: object, currency: str, key: str = "amount") -> int:
    """Minor units above zero; raises the internal refusal that `parse_event` turns into a reason."""
    amount = parse_amount(value, currency)
    if isinstance(amount, AmountProblem):
        raise _Bad(Reason.BAD_AMOUNT, f"{key}: {advised(amount, currency)}")
    if amount <= 0:
        raise _Bad(Reason.NOT_POSITIVE, key)
    return amount


def read_amount(value: object, currency: str) -> int | Rejected:
    """The same as a value, for amounts whose currency is only known once the loan is."""
    try:
        return positive_amount(value, currency)
    except _Bad as bad:
        return bad.rejected


def read_parts(parts: object, currency: str) -> tuple[Part, ...] | Rejected:
    """Instalments of a schedule in the loan's currency, sorted by number, numbers unique."""
    try:
        return _parts(parts, currency)
    except _Bad as bad:
        return bad.rejected


def _parts(raw: object, currency: str) -> tuple[Part, ...]:
    if not isinstance(raw, list | tuple) or not raw or len(raw) > INSTALMENTS_MAX:
        raise _Bad(Reason.NO_INSTALMENTS, "installments")
    parts = []
    for index, item in enumerate(raw, start=1):
        if not isinstance(item, dict):
            raise _Bad(Reason.NO_INSTALMENTS, "installments")
        number = item.get("number", index)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
            raise _Bad(Reason.MISSING_FIELD, "installments.number")
        amount = positive_amount(item.get("amount"), currency, "installments.amount")
        parts.append(Part(number, _day(item.get("due_on"), "installments.due_on"), amount))
    if len({part.number for part in parts}) != len(parts):
        raise _Bad(Reason.NO_INSTALMENTS, "installments.number")
    return tuple(sorted(parts, key=attrgetter("number")))


def _contact(raw: object) -> Contact:
    if not isinstance(raw, dict):
        raise _Bad(Reason.MISSING_FIELD, "borrower.contacts")
    consent = raw.get("consent")
    if not isinstance(consent, dict | None):
        raise _Bad(Reason.BAD_CONSENT, "borrower.contacts.consent")
    consent = consent or {}
    given = consent.get("at")
    return Contact(
        channel=_text(raw, "channel"),
        provider=_optional(raw, "provider"),
        address=_text(raw, "address", ADDRESS_MAX),
        consent_source=_optional(consent, "source"),
        consent_at=None if given is None else parse_instant(given, "borrower.contacts.consent.at"),
        evidence=_good(read_evidence(raw, consent, parse_instant)),
        of_other=raw.get("relation", BORROWER) != BORROWER,
    )


def _good(found: _T | Rejected) -> _T:
    if isinstance(found, Rejected):
        raise _Bad(found.reason, found.detail)
    return found


def _zones(raw: Mapping[str, Any]) -> tuple[str, ...]:
    named = raw.get("timezones") or ([raw["timezone"]] if raw.get("timezone") else [])
    if not isinstance(named, list) or len(named) > 40:
        raise _Bad(Reason.BAD_ZONE, "borrower.timezone")
    for zone in named:
        if not isinstance(zone, str) or not known_zone(zone):
            raise _Bad(Reason.BAD_ZONE, "borrower.timezone")
    return tuple(dict.fromkeys(named))


_COUNTRY = re.compile(r"[A-Za-z]{2}")
_REGION = re.compile(r"[A-Za-z]{2}(?:-[A-Za-z0-9]{1,3}){0,2}")
_WHEREABOUTS = ("country", "postal_code", "address", "device_timezone", "stated_timezone")


def _whereabouts(raw: Mapping[str, Any]) -> Whereabouts:
    """What tells of a place. A country or code in words of its own tells nothing; a zone must be one."""
    if not any(key in raw for key in _WHEREABOUTS):
        return NOWHERE
    address = raw.get("address")
    address = address if isinstance(address, dict) else {}
    country = _word(raw.get("country", address.get("country")))
    return Whereabouts(
        country.upper() if country and _COUNTRY.fullmatch(country) else None,
        _region(_word(address.get("region"))),
        _word(raw.get("postal_code", address.get("postal_code"))),
        _zone(raw, "device_timezone"),
        _zone(raw, "stated_timezone"),
    )


def _region(named: str | None) -> str | None:
    """`us-ny` is US-NY; any other words stay as they are and select no pack."""
    return named.upper() if named is not None and _REGION.fullmatch(named) else named


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= REF_MAX else None


def _zone(raw: Mapping[str, Any], key: str) -> str | None:
    zone = raw.get(key)
    if zone is not None and not (isinstance(zone, str) and known_zone(zone)):
        raise _Bad(Reason.BAD_ZONE, f"borrower.{key}")
    return zone


def _person(data: Mapping[str, Any], subject: str | None) -> Person:
    raw = data.get("borrower", data if subject is not None else None)
    if not isinstance(raw, dict):
        raise _Bad(Reason.MISSING_FIELD, "borrower")
    contacts = raw.get("contacts") or []
    if not isinstance(contacts, list):
        raise _Bad(Reason.MISSING_FIELD, "borrower.contacts")
    return Person(
        ref=_text(raw, "id") if "id" in raw or subject is None else subject,
        name=_optional(raw, "name"),
        locale=_optional(raw, "locale"),
        region=_region(_optional(raw, "region")),
        zones=_zones(raw),
        contacts=tuple(_contact(contact) for contact in contacts),
        quiet=_good(read_quiet(raw["quiet_hours"])) if "quiet_hours" in raw else None,
        waivers=_good(read_waivers(raw["waivers"], parse_instant)) if "waivers" in raw else None,
        stated=_stated(raw) if "facts" in raw or "loan_facts" in raw else (),
        whereabouts=_whereabouts(raw),
    )


def _stated(raw: Mapping[str, Any]) -> tuple[Stated, ...]:
    return _good(read_facts(raw.get("facts"), raw.get("loan_facts")))


def _currency(data: Mapping[str, Any]) -> str:
    currency = _text(data, "currency")
    if minor_units(currency) is None:
        raise _Bad(Reason.UNKNOWN_CURRENCY, "currency")
    return currency


def _opened(data: Mapping[str, Any], _subject: str) -> Fact:
    currency = _currency(data)
    principal = data.get("principal")
    parts = data.get("installments", data.get("instalments"))
    return Opened(
        product=_optional(data, "product"),
        currency=currency,
        principal_minor=None
        if principal is None
        else positive_amount(principal, currency, "principal"),
        person=_person(data, None),
        parts=_parts(parts, currency),
    )


def _rescheduled(data: Mapping[str, Any], _subject: str) -> Fact:
    parts = data.get("installments", data.get("instalments"))
    if not isinstance(parts, list) or not parts:
        raise _Bad(Reason.NO_INSTALMENTS, "installments")
    return Rescheduled(tuple(parts))


def _closed(data: Mapping[str, Any], _subject: str) -> Fact:
    return Closed(_optional(data, "reason") or "closed")


def _posted(data: Mapping[str, Any], _subject: str) -> Fact:
    value_date = data.get("value_date")
    return Posted(
        payment_ref=_text(data, "payment_id"),
        amount=data.get("amount"),
        currency=_optional(data, "currency"),
        value_date=None if value_date is None else _day(value_date, "value_date"),
    )


def _reversed(data: Mapping[str, Any], _subject: str) -> Fact:
    return Reversed(_text(data, "payment_id"), data.get("amount"))


def _fee(data: Mapping[str, Any], _subject: str) -> Fact:
    due_on = data.get("due_on")
    return Fee(
        amount=data.get("amount"),
        currency=_optional(data, "currency"),
        due_on=None if due_on is None else _day(due_on, "due_on"),
    )


def _updated(data: Mapping[str, Any], subject: str) -> Fact:
    return Updated(_person(data, subject))


def _flagged(data: Mapping[str, Any], subject: str) -> Fact:
    until = data.get("until")
    borrower = _borrower_ref(data)
    return Flagged(
        person_ref=borrower if isinstance(borrower, str) and borrower else subject,
        flag=_text(data, "flag") if "flag" in data else _text(data, "reason"),
        until=None if until is None else parse_instant(until, "until"),
        active=_yes_or_no(data, "active"),
    )


def _yes_or_no(data: Mapping[str, Any], key: str) -> bool:
    value = data.get(key, True)
    if not isinstance(value, bool):
        raise _Bad(Reason.MISSING_FIELD, key)
    return value


_READERS = {
    "loan.opened": _opened,
    "loan.rescheduled": _rescheduled,
    "loan.closed": _closed,
    "payment.posted": _posted,
    "payment.reversed": _reversed,
    "fee.assessed": _fee,
    "borrower.updated": _updated,
    "borrower.flagged": _flagged,
}
KINDS = tuple(_READERS)
