"""From a line of input to an event with its personal part set apart, or to the reason why it is none."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from agent.domain.event import Event, Reason, Rejected
from agent.domain.event_reading import REF_MAX, parse_event

# What may lie readable in the database: the fields that a type of event is read from. Anything else
# that a ledger sends may be about a person.
_PARTS = ("installments", "instalments")
_WHERE = ("id", "locale", "region", "timezone", "timezones")
_NAMED: dict[str, tuple[str, ...]] = {
    "loan.opened": ("product", "currency", "principal", *_PARTS, "borrower"),
    "loan.rescheduled": _PARTS,
    "loan.closed": ("reason",),
    "payment.posted": ("payment_id", "amount", "currency", "value_date"),
    "payment.reversed": ("payment_id", "amount"),
    "fee.assessed": ("amount", "currency", "due_on"),
    "borrower.updated": (*_WHERE, "borrower"),
    "borrower.flagged": ("flag", "reason", "until", "active", "borrower"),
}
_PUBLIC = {kind: frozenset(("portfolio", *named)) for kind, named in _NAMED.items()}
# Read only when the loan is known, so they may hold anything: what is no such value stays hidden.
_AMOUNT = re.compile(r"[0-9.,eE-]{1,40}")
_DAY = re.compile(r"[0-9-]{8,10}")
LINE_MAX = 1_000_000


class Read(NamedTuple):
    """An event as it will be stored: the public part readable, the personal part to be encrypted."""

    event: Event
    line: int
    sha256: bytes
    public: Mapping[str, Any]
    personal: bytes | None


@dataclass(frozen=True, slots=True)
class Unread:
    """A line that is no event; its body may hold anything."""

    reason: Reason
    detail: str
    line: int
    sha256: bytes
    body: bytes
    event_id: str | None = None


class Pending(NamedTuple):
    """A piece of input that was found but not read yet; `group` keeps what belongs together in order."""

    group: bytes
    line: int
    body: bytes
    raw: object = None
    refused: Rejected | None = None


def read_pending(pending: Iterable[Pending]) -> tuple[list[Read], list[Unread]]:
    """Read pieces of input: lines, or what a CSV row was made into."""
    reads: list[Read] = []
    unreads: list[Unread] = []
    for piece in pending:
        read = _read_piece(piece)
        if isinstance(read, Read):
            reads.append(read)
        else:
            unreads.append(read)
    return reads, unreads


def _read_piece(piece: Pending) -> Read | Unread:
    if piece.refused is not None:
        digest = hashlib.sha256(piece.body).digest()
        return Unread(piece.refused.reason, piece.refused.detail, piece.line, digest, piece.body)
    if piece.raw is None:
        return _read(piece.line, piece.body)
    return read_mapping(piece.line, piece.raw, piece.body)


def read_lines(lines: Iterable[tuple[int, bytes]]) -> tuple[list[Read], list[Unread]]:
    """Read numbered lines; blank ones are skipped, bad ones never stop the others."""
    reads: list[Read] = []
    unreads: list[Unread] = []
    for number, body in lines:
        if not body or body.isspace():
            continue
        read = _read(number, body)
        if isinstance(read, Read):
            reads.append(read)
        else:
            unreads.append(read)
    return reads, unreads


def _read(number: int, body: bytes) -> Read | Unread:
    raw: object = None
    # PostgreSQL keeps no U+0000 in text, and no honest ledger sends one
    if len(body) <= LINE_MAX and b"\\u0000" not in body:
        try:
            raw = orjson.loads(body)
        except orjson.JSONDecodeError:
            raw = None
    return read_mapping(number, raw, body)


def read_mapping(number: int, raw: object, body: bytes) -> Read | Unread:
    """The same for input that was not JSON, such as a CSV row that became a mapping."""
    found = parse_event(raw)
    if isinstance(found, Rejected):
        digest = hashlib.sha256(body).digest()
        return Unread(found.reason, found.detail, number, digest, body, _id_of(raw))
    assert isinstance(raw, dict)
    # the same event in another order of keys is the same event
    digest = hashlib.sha256(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)).digest()
    public, personal = _split(found.type, raw["data"])
    sealed = orjson.dumps(personal) if personal else None
    return Read(found, number, digest, public, sealed)


def _id_of(raw: object) -> str | None:
    """What the ledger calls an event that cannot be used, so that its sender finds it again."""
    named = raw.get("id") if isinstance(raw, dict) else None
    return named if isinstance(named, str) and 0 < len(named) <= REF_MAX else None


def _split(kind: str, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    named = _PUBLIC[kind]
    public = {key: value for key, value in data.items() if key in named}
    personal: dict[str, Any] = {}
    if len(public) < len(data):
        personal = {key: value for key, value in data.items() if key not in named}
    if "amount" in public and not _is_amount(public["amount"]):
        personal["amount"] = public.pop("amount")
    for key in _PARTS:
        if key in public and not _are_parts(public[key]):
            personal[key] = public[key]
            public[key] = _bare(public[key])
    person = public.get("borrower")
    if isinstance(person, dict):
        public["borrower"] = {k: v for k, v in person.items() if k in _WHERE}
        hidden = {k: v for k, v in person.items() if k not in _WHERE}
        if hidden:
            personal["borrower"] = hidden
    elif "borrower" in public:
        personal["borrower"] = public.pop("borrower")
    return public, personal


def _is_amount(value: object) -> bool:
    if isinstance(value, str):
        return _AMOUNT.fullmatch(value) is not None
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_part_field(key: str, value: object) -> bool:
    match key:
        case "number":
            return isinstance(value, int)
        case "due_on":
            return isinstance(value, str) and _DAY.fullmatch(value) is not None
        case _:
            return key == "amount" and _is_amount(value)


def _are_parts(raw: object) -> bool:
    if not isinstance(raw, list):
        return False
    for part in raw:
        if not isinstance(part, dict):
            return False
        for key, value in part.items():
            if not _is_part_field(key, value):
                return False
    return True


def _bare(raw: object) -> list[dict[str, Any]]:
    """Instalments without anything that is none of their fields."""
    return [
        {key: value for key, value in part.items() if _is_part_field(key, value)}
        for part in (raw if isinstance(raw, list) else ())
        if isinstance(part, dict)
    ]


def whole(public: Mapping[str, Any], personal: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an event as it came, from its two parts."""
    together = {**public, **personal}
    if isinstance(public.get("borrower"), dict) and isinstance(personal.get("borrower"), dict):
        together["borrower"] = {**public["borrower"], **personal["borrower"]}
    return together
