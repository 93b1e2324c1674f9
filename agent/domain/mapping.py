"""CSV rows become ledger events: a mapping file says which column is which field.

`compile_mapping` checks the whole file at once; `Mapping.events` turns one row, or the rows of one
loan, into CloudEvents mappings, or says which column cannot be read and why.
"""

import re
from collections.abc import Mapping as Raw
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import lru_cache
from typing import Any

from agent.domain.calendar import instant
from agent.domain.event import Reason, Rejected
from agent.domain.event_reading import EARLIEST_YEAR, LATEST_YEAR
from agent.domain.money import decimal_text, example_amount, minor_units

NOON = time(12)
# How a field of the event is written: what kind of text its column holds, and where it goes.
TEXT, AMOUNT, DAY, INSTANT, NUMBER = "text", "amount", "date", "time", "number"
FIELDS: Raw[str, tuple[str, tuple[str, ...]]] = {
    "subject": (TEXT, ("subject",)),
    "time": (INSTANT, ("time",)),
    "portfolio": (TEXT, ("data", "portfolio")),
    "product": (TEXT, ("data", "product")),
    "currency": (TEXT, ("data", "currency")),
    "principal": (AMOUNT, ("data", "principal")),
    "borrower": (TEXT, ("data", "borrower", "id")),
    "name": (TEXT, ("data", "borrower", "name")),
    "locale": (TEXT, ("data", "borrower", "locale")),
    "region": (TEXT, ("data", "borrower", "region")),
    "country": (TEXT, ("data", "borrower", "country")),
    "postal_code": (TEXT, ("data", "borrower", "postal_code")),
    "timezone": (TEXT, ("data", "borrower", "timezone")),
    "device_timezone": (TEXT, ("data", "borrower", "device_timezone")),
    "stated_timezone": (TEXT, ("data", "borrower", "stated_timezone")),
    "payment_id": (TEXT, ("data", "payment_id")),
    "amount": (AMOUNT, ("data", "amount")),
    "value_date": (DAY, ("data", "value_date")),
    "due_on": (DAY, ("data", "due_on")),
    "reason": (TEXT, ("data", "reason")),
    "flag": (TEXT, ("data", "flag")),
    "until": (INSTANT, ("data", "until")),
}
CONTACT_FIELDS = {"address": TEXT, "provider": TEXT, "consent_source": TEXT, "consent_at": INSTANT}
PART_FIELDS = {"number": NUMBER, "due_on": DAY, "amount": AMOUNT}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a mapping file, where, and what to write instead."""

    where: str
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a value comes from: a column, translated if `values` says so, or a constant."""

    column: str | None = None
    constant: str | None = None
    values: Raw[str, str] | None = None
    default: str | None = None

    def read(self, row: Raw[str, str]) -> str | None:
        """The text, without outer blanks; None if there is none. Raises `BadCell`."""
        if self.column is None:
            return self.constant
        text = row[self.column].strip()
        if self.values is not None and text:
            if text not in self.values and self.default is None:
                raise BadCell(Reason.BAD_CELL, self.column)
            text = self.values.get(text, self.default or "")
        return text or self.default


@dataclass(frozen=True, slots=True)
class When:
    """Which rows make an event of this kind."""

    column: str
    values: frozenset[str] | None

    def holds(self, row: Raw[str, str]) -> bool:
        text = row[self.column].strip()
        return bool(text) if self.values is None else text in self.values


@dataclass(frozen=True, slots=True)
class EventMap:
    """How rows become events of one type."""

    type: str
    id: str
    fields: Raw[str, Cell]
    contacts: tuple[Raw[str, Cell], ...]
    parts: tuple[Raw[str, Cell], ...]
    when: When | None


@dataclass(frozen=True, slots=True)
class Style:
    """How a lender's program writes numbers and dates."""

    zone: str | None
    date_format: str | None
    time_format: str | None
    decimal: str
    thousands: str | None
    minor: bool


@dataclass(frozen=True, slots=True)
class Mapping:
    """A compiled mapping file."""

    name: str
    source: str
    delimiter: str
    quote: str
    encoding: str
    group_by: str | None
    style: Style
    events: tuple[EventMap, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it reads, in order."""
        named = [self.group_by] if self.group_by else []
        for event in self.events:
            cells = [*event.fields.values()]
            for group in (*event.contacts, *event.parts):
                cells += group.values()
            named += [cell.column for cell in cells if cell.column is not None]
            named += placeholders(event.id)
            named += [event.when.column] if event.when else []
        return tuple(dict.fromkeys(named))


class BadCell(Exception):
    """A cell that cannot be read; the detail names its column, never its content."""

    def __init__(self, reason: Reason, column: str) -> None:
        super().__init__(reason, column)
        self.rejected = Rejected(reason, column)


_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def placeholders(template: str) -> list[str]:
    """The columns that an id is made of."""
    return _PLACEHOLDER.findall(template)


@dataclass(frozen=True, slots=True)
class Made:
    """What some rows of a group became; `rows` are their places in it."""

    rows: tuple[int, ...]
    event: dict[str, Any] | Rejected


def events_of(mapping: Mapping, rows: Sequence[Raw[str, str]]) -> list[Made]:
    """The events that one row makes, or several rows of one loan together.

    With `group_by`, an event that lists instalments is made once, from all rows that it fits.
    """
    made: list[Made] = []
    for event in mapping.events:
        fitting = [n for n, row in enumerate(rows) if event.when is None or event.when.holds(row)]
        together = mapping.group_by is not None and event.parts
        for places in [fitting] if together and fitting else [[n] for n in fitting]:
            try:
                found: dict[str, Any] | Rejected = _event(mapping, event, [rows[n] for n in places])
            except BadCell as bad:
                found = bad.rejected
            made.append(Made(tuple(places), found))
    return made


def _event(mapping: Mapping, event: EventMap, rows: Sequence[Raw[str, str]]) -> dict[str, Any]:
    row, style = rows[0], mapping.style
    made: dict[str, Any] = {
        "specversion": "1.0",
        "id": _identity(event.id, row),
        "source": mapping.source,
        "type": event.type,
        "data": {},
    }
    currency = _text(event.fields.get("currency"), row) or ""
    for name, cell in event.fields.items():
        kind, path = FIELDS[name]
        value = _value(kind, cell, row, style, currency)
        if value is not None:
            place = made
            for step in path[:-1]:
                place = place.setdefault(step, {})
            place[path[-1]] = value
    if contacts := _contacts(event, row, style):
        made["data"].setdefault("borrower", {})["contacts"] = contacts
    if event.parts:
        made["data"]["installments"] = _parts(event, rows, style, currency)
    return made


def _identity(template: str, row: Raw[str, str]) -> str:
    for column in placeholders(template):
        if not row[column].strip():
            raise BadCell(Reason.MISSING_FIELD, column)
    return _PLACEHOLDER.sub(lambda found: row[found[1]].strip(), template)


def _text(cell: Cell | None, row: Raw[str, str]) -> str | None:
    return cell.read(row) if cell else None


def _contacts(event: EventMap, row: Raw[str, str], style: Style) -> list[dict[str, Any]]:
    found = []
    for contact in event.contacts:
        address = contact["address"].read(row)
        if address is None:
            continue
        made: dict[str, Any] = {"channel": contact["channel"].constant, "address": address}
        if provider := _text(contact.get("provider"), row):
            made["provider"] = provider
        consent = {
            key: value
            for key in ("source", "at")
            if (cell := contact.get(f"consent_{key}")) is not None
            and (value := _value(CONTACT_FIELDS[f"consent_{key}"], cell, row, style, ""))
        }
        found.append(made | ({"consent": consent} if consent else {}))
    return found


def _parts(
    event: EventMap, rows: Sequence[Raw[str, str]], style: Style, currency: str
) -> list[dict[str, Any]]:
    parts = []
    for row in rows:
        for part in event.parts:
            if _text(part["due_on"], row) is None and _text(part["amount"], row) is None:
                continue  # an instalment that this loan does not have
            parts.append(
                {
                    name: value
                    for name, cell in part.items()
                    if (value := _value(PART_FIELDS[name], cell, row, style, currency)) is not None
                }
            )
    if parts and not any("number" in part for part in parts):
        parts.sort(key=lambda part: str(part.get("due_on")))
    return parts


def _value(kind: str, cell: Cell, row: Raw[str, str], style: Style, currency: str) -> Any:
    text = cell.read(row)
    if text is None:
        return None
    column = cell.column or "a constant"
    match kind:
        case "amount":
            return _amount(text, column, style, currency)
        case "date":
            return _moment(text, column, style, style.date_format).date().isoformat()
        case "time":
            return _instant(text, column, style)
        case "number":
            if not re.fullmatch(r"[0-9]{1,9}", text):
                raise BadCell(Reason.BAD_CELL, column)
            return int(text)
        case _:
            return text


@lru_cache(maxsize=16)
def _shape(decimal: str, thousands: str | None) -> re.Pattern[str]:
    point = re.escape(decimal)
    plain = rf"-?[0-9]+({point}[0-9]+)?"
    if not thousands:
        return re.compile(plain)
    # groups of two are how India writes a lakh
    comma = re.escape(thousands)
    return re.compile(
        rf"{plain}|-?[0-9]{{1,3}}({comma}[0-9]{{2,3}})*{comma}[0-9]{{3}}({point}[0-9]+)?"
    )


def _amount(text: str, column: str, style: Style, currency: str) -> str:
    """As ledgers write it; grouping that does not fit is refused, for it may be a decimal sign."""
    if not _shape(style.decimal, style.thousands).fullmatch(text):
        raise BadCell(Reason.BAD_AMOUNT, _amount_wanted(column, style, currency))
    if style.thousands:
        text = text.replace(style.thousands, "")
    text = text.replace(style.decimal, ".")
    if not style.minor:
        return text
    if "." in text or minor_units(currency) is None or len(text) > 17:
        raise BadCell(Reason.BAD_AMOUNT, _amount_wanted(column, style, currency))
    return decimal_text(int(text), currency)


def _amount_wanted(column: str, style: Style, currency: str) -> str:
    """The column, and what this mapping takes for an amount: an example of ours, never the cell."""
    right = example_amount(currency)
    if style.minor:
        return (
            f'{column}: right is a whole number of minor units such as "{right.replace(".", "")}"'
        )
    return f'{column}: by this mapping right is "{right.replace(".", style.decimal)}"'


def _moment(text: str, column: str, style: Style, form: str | None) -> datetime:
    found = _parsed(text, form)
    if found is None and style.date_format is not None:
        found = _parsed(text, style.date_format)
    if found is None:
        raise BadCell(Reason.BAD_DATE, column)
    return found


@lru_cache(maxsize=65536)
def _parsed(text: str, form: str | None) -> datetime | None:
    try:
        if form is None:
            return datetime.fromisoformat(text)
        return datetime.strptime(text, form)  # noqa: DTZ007 - the zone comes with the mapping
    except ValueError:
        return None


def _instant(text: str, column: str, style: Style) -> str:
    """With an offset as written, else in the mapping's zone; a date alone means noon there."""
    try:
        at = _moment(text, column, style, style.time_format)
    except BadCell:
        raise BadCell(Reason.BAD_TIME, column) from None
    if not EARLIEST_YEAR < at.year < LATEST_YEAR:
        raise BadCell(Reason.BAD_TIME, column)
    if at.tzinfo is not None:
        return at.isoformat()
    if style.zone is None:
        raise BadCell(Reason.BAD_TIME, column)
    clock = NOON if _is_date_only(text, style) else at.time()
    return instant(at.date(), clock, style.zone).astimezone(UTC).isoformat()


def _is_date_only(text: str, style: Style) -> bool:
    form = style.time_format
    if form is None:
        return len(text) <= 10
    return _parsed(text, form) is None or not re.search(r"%[HIMSfTXRc]", form)
