"""A mapping file is checked as a whole: every problem at once, each with what to write instead."""

import re
from collections.abc import Mapping as Raw
from datetime import UTC, datetime
from typing import Any

from agent.domain.calendar import known_zone
from agent.domain.event_reading import KINDS
from agent.domain.mapping import (
    CONTACT_FIELDS,
    FIELDS,
    PART_FIELDS,
    Cell,
    EventMap,
    Mapping,
    Problem,
    Style,
    When,
    placeholders,
)

_TOP = frozenset(
    ["name", "source", "delimiter", "quote", "encoding", "group_by", "style", "constants", "event"]
)
_STYLE = frozenset(["timezone", "date_format", "time_format", "decimal", "thousands", "amounts"])
_EVENT = frozenset(["type", "id", "when", "fields", "contact", "instalment"])
_CELL = frozenset(["column", "constant", "values", "default"])
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PARTS = "instalment"
_NEEDS: Raw[str, tuple[str, ...]] = {
    "loan.opened": ("subject", "time", "currency", "borrower", _PARTS),
    "loan.rescheduled": ("subject", "time", _PARTS),
    "loan.closed": ("subject", "time"),
    "payment.posted": ("subject", "time", "payment_id", "amount"),
    "payment.reversed": ("subject", "time", "payment_id"),
    "fee.assessed": ("subject", "time", "amount"),
    "borrower.updated": ("borrower", "time"),
    "borrower.flagged": ("borrower", "time", "flag"),
}


class _Findings:
    """Collects what is wrong; a wrong part is left out so that the rest is still checked."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, where: str, what: str, fix: str) -> None:
        self.problems.append(Problem(where, what, fix))

    def only(self, raw: Raw[str, Any], known: frozenset[str], where: str) -> None:
        for key in raw:
            if key not in known:
                self.add(f"{where}{key}", "is not a key here", f"use one of {_listed(known)}")

    def table(self, raw: Raw[str, Any], key: str, where: str) -> Raw[str, Any]:
        found = raw.get(key, {})
        if isinstance(found, dict):
            return found
        self.add(f"{where}{key}", "is not a table", f"write [{where}{key}] and keys below it")
        return {}

    def tables(self, raw: Raw[str, Any], key: str, where: str) -> list[Raw[str, Any]]:
        found = raw.get(key, [])
        if isinstance(found, list) and all(isinstance(item, dict) for item in found):
            return found
        self.add(f"{where}{key}", "is not a list of tables", f"write [[{where}{key}]]")
        return []

    def text(self, raw: Raw[str, Any], key: str, where: str, fallback: str | None) -> str | None:
        found = raw.get(key, fallback)
        if isinstance(found, str) and found:
            return found
        if key in raw or fallback is not None:
            self.add(f"{where}{key}", "is not a text", f'write {key} = "…"')
        return fallback


def _listed(names: frozenset[str] | tuple[str, ...]) -> str:
    return ", ".join(sorted(names))


def compile_mapping(raw: Raw[str, Any]) -> Mapping | tuple[Problem, ...]:
    """A mapping from its file, or everything that is wrong with it."""
    found = _Findings()
    found.only(raw, _TOP, "")
    name = found.text(raw, "name", "", "") or ""
    if name and not _NAME.fullmatch(name):
        found.add("name", "is no name", "use small letters, digits and single hyphens")
    delimiter, quote, encoding = _dialect(raw, found)
    style = _style(found.table(raw, "style", ""), found)
    constants = _constants(found.table(raw, "constants", ""), found)
    events = [
        _event(event, f"event {number}: ", constants, found)
        for number, event in enumerate(found.tables(raw, "event", ""), start=1)
    ]
    if not events:
        found.add("event", "there is none", "write [[event]] with type, id and [event.fields]")
    group_by = found.text(raw, "group_by", "", None)
    if group_by and not any(event.parts for event in events):
        found.add("group_by", "no event has instalments", "leave it out")
    if found.problems:
        return tuple(found.problems)
    source = found.text(raw, "source", "", name) or name
    return Mapping(name, source, delimiter, quote, encoding, group_by, style, tuple(events))


def _dialect(raw: Raw[str, Any], found: _Findings) -> tuple[str, str, str]:
    delimiter = found.text(raw, "delimiter", "", ",") or ","
    quote = found.text(raw, "quote", "", '"') or '"'
    for key, value in (("delimiter", delimiter), ("quote", quote)):
        if len(value) != 1 or value in "\r\n":
            found.add(
                key,
                "is not one character",
                "write one sign, such as ';'",
            )
    if delimiter == quote:
        found.add("quote", "is the delimiter, too", "choose another one")
    encoding = found.text(raw, "encoding", "", "utf-8") or "utf-8"
    try:
        plain = "\n".encode(encoding) == b"\n"
    except (LookupError, UnicodeError):
        plain = False
    if not plain:
        found.add("encoding", "is none that we can read line by line", 'write "utf-8" or "cp1252"')
    return delimiter, quote, encoding


def _style(raw: Raw[str, Any], found: _Findings) -> Style:
    found.only(raw, _STYLE, "style.")
    zone = found.text(raw, "timezone", "style.", None)
    if zone and not known_zone(zone):
        found.add("style.timezone", "is no time zone", 'write a name such as "Africa/Lagos"')
    decimal = found.text(raw, "decimal", "style.", ".") or "."
    thousands = found.text(raw, "thousands", "style.", None)
    if decimal not in {".", ","}:
        found.add("style.decimal", "is no decimal sign", 'write "." or ","')
    if thousands and (thousands == decimal or not re.fullmatch(r"[.,' \u00a0\u202f]", thousands)):
        found.add(
            "style.thousands", "cannot group digits here", "a sign other than the decimal one"
        )
    amounts = found.text(raw, "amounts", "style.", "major")
    if amounts not in {"major", "minor"}:
        found.add("style.amounts", "is neither major nor minor", '"minor" means 650000 is 6500.00')
    date_format = _format(raw, "date_format", "%Y%m%d", found)
    time_format = _format(raw, "time_format", "%Y%m%d", found)
    return Style(zone, date_format, time_format, decimal, thousands, amounts == "minor")


def _format(raw: Raw[str, Any], key: str, needs: str, found: _Findings) -> str | None:
    form = found.text(raw, key, "style.", None)
    if form is None or form == "iso":
        return None
    sample = datetime(2033, 12, 31, tzinfo=UTC)
    try:
        read = datetime.strptime(sample.strftime(form), form).replace(tzinfo=UTC)
        whole = read.strftime(needs) == sample.strftime(needs)
    except (ValueError, re.error):
        whole = False
    if not whole:
        found.add(
            f"style.{key}",
            "does not give a whole date",
            'write "iso", or day, month and year: "%d/%m/%Y"',
        )
    return form


def _constants(raw: Raw[str, Any], found: _Findings) -> dict[str, Cell]:
    cells = {}
    for key, value in raw.items():
        if key not in FIELDS:
            found.add(f"constants.{key}", "is no field", f"use one of {_listed(tuple(FIELDS))}")
        elif not isinstance(value, str) or not value:
            found.add(f"constants.{key}", "is not a text", f'write {key} = "…"')
        else:
            cells[key] = Cell(constant=value)
    return cells


def _event(raw: Raw[str, Any], where: str, constants: Raw[str, Cell], found: _Findings) -> EventMap:
    found.only(raw, _EVENT, where)
    kind = found.text(raw, "type", where, None) or ""
    if kind not in KINDS:
        found.add(f"{where}type", "is no event type", f"use one of {_listed(KINDS)}")
    identity = found.text(raw, "id", where, None) or ""
    if not placeholders(identity):
        found.add(
            f"{where}id",
            "names no column",
            'write what tells events apart, such as id = "{Loan No}:opened"',
        )
    own = _cells(found.table(raw, "fields", where), tuple(FIELDS), f"{where}fields.", found)
    fields = {**constants, **own}
    contacts = [
        _contact(contact, f"{where}contact {number}: ", found)
        for number, contact in enumerate(found.tables(raw, "contact", where), start=1)
    ]
    parts = [
        _part(part, f"{where}instalment {number}: ", found)
        for number, part in enumerate(found.tables(raw, "instalment", where), start=1)
    ]
    _need(kind, fields, parts, where, found)
    return EventMap(kind, identity, fields, tuple(contacts), tuple(parts), _when(raw, where, found))


def _need(
    kind: str,
    fields: Raw[str, Cell],
    parts: list[dict[str, Cell]],
    where: str,
    found: _Findings,
) -> None:
    for name in _NEEDS.get(kind, ()):
        if name == _PARTS:
            if not parts:
                found.add(
                    f"{where}instalment",
                    "is missing",
                    "write [[event.instalment]] with due_on, amount",
                )
        elif name not in fields:
            found.add(f"{where}fields.{name}", "is missing", f'{kind} needs {name} = "a column"')
    if parts and _PARTS not in _NEEDS.get(kind, (_PARTS,)):
        found.add(f"{where}instalment", f"means nothing for {kind}", "leave it out")


def _cells(
    raw: Raw[str, Any], known: tuple[str, ...], where: str, found: _Findings
) -> dict[str, Cell]:
    cells = {}
    for key, value in raw.items():
        if key not in known:
            found.add(f"{where}{key}", "is no field", f"use one of {_listed(known)}")
        elif (cell := _cell(value, f"{where}{key}", found)) is not None:
            cells[key] = cell
    return cells


def _cell(raw: object, where: str, found: _Findings) -> Cell | None:
    """A column's name, or a table that says more."""
    if isinstance(raw, str) and raw:
        return Cell(column=raw)
    if not isinstance(raw, dict):
        found.add(
            where, "is neither a column nor a table", 'write "a column" or { constant = "…" }'
        )
        return None
    found.only(raw, _CELL, f"{where}.")
    values = raw.get("values")
    texts = [raw.get(key) for key in ("column", "constant", "default") if key in raw]
    texts += list(values.values()) if isinstance(values, dict) else []
    if ("column" in raw) is ("constant" in raw) or not all(isinstance(t, str) and t for t in texts):
        found.add(
            where, "names no column", 'write { column = "…" } or { constant = "…" }, all texts'
        )
        return None
    if values is not None and not isinstance(values, dict):
        found.add(
            f"{where}.values", "is not a table", 'write values = { "their word" = "our word" }'
        )
        return None
    return Cell(raw.get("column"), raw.get("constant"), values, raw.get("default"))


def _contact(raw: Raw[str, Any], where: str, found: _Findings) -> dict[str, Cell]:
    channel = raw.get("channel")
    if channel not in {"sms", "push"}:
        found.add(f"{where}channel", "is no channel", 'write channel = "sms" or "push"')
    rest = {key: value for key, value in raw.items() if key != "channel"}
    cells = _cells(rest, tuple(CONTACT_FIELDS), where, found)
    if "address" not in cells:
        found.add(f"{where}address", "is missing", 'write address = "the column of the number"')
    return {**cells, "channel": Cell(constant=str(channel))}


def _part(raw: Raw[str, Any], where: str, found: _Findings) -> dict[str, Cell]:
    cells = _cells(raw, tuple(PART_FIELDS), where, found)
    for name in ("due_on", "amount"):
        if name not in cells:
            found.add(f"{where}{name}", "is missing", f'write {name} = "a column"')
    return cells


def _when(raw: Raw[str, Any], where: str, found: _Findings) -> When | None:
    if "when" not in raw:
        return None
    when = found.table(raw, "when", where)
    found.only(when, frozenset({"column", "is", "filled"}), f"{where}when.")
    column, values = when.get("column"), when.get("is")
    listed = isinstance(values, list) and values and all(isinstance(v, str) for v in values)
    if not isinstance(column, str) or not column or listed is (when.get("filled") is True):
        found.add(
            f"{where}when",
            "does not say when",
            'write { column = "Kind", is = ["DISB"] } or { …, filled = true }',
        )
        return None
    return When(column, frozenset(values) if listed and isinstance(values, list) else None)
