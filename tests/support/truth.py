"""What must be true of a history, calculated from the raw event file alone.

A second opinion on the production code: it imports nothing of it, keeps every loan as a list of
views (one after each event) and answers questions by looking one up. Slow and simple on purpose.
"""

import gzip
import json
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

BUCKETS = (1, 8, 31, 61, 91)
BUCKET_NAMES = ("current", "1-7", "8-30", "31-60", "61-90", "91+")
# The shipped ladder as the design publishes it: day, local time, grade, what happens.
PUBLISHED = (
    (-3, time(10), "reminder", "message"),
    (-1, time(18), "reminder", "message"),
    (0, time(9), "reminder", "message"),
    *((day, time(10), "friendly", "message") for day in (1, 3, 7)),
    *((day, time(10), "firm", "message") for day in (10, 15, 21, 28)),
    *((day, time(10), "formal", "message") for day in (31, 40, 50)),
    (35, None, None, "case"),
    (61, None, "final", "message"),
    (75, None, "final", "message"),
    (91, None, None, "outcome"),
)
DIGITS = {"JPY": 0, "KRW": 0, "UGX": 0, "XOF": 0, "XAF": 0, "VND": 0, "KWD": 3, "TND": 3, "BHD": 3}


@dataclass(frozen=True)
class Step:
    """One stage of the ladder."""

    id: str
    offset: int
    at: time
    grade: str | None
    action: str
    not_after: timedelta
    catch_up: str


@dataclass(frozen=True)
class Part:
    number: int
    kind: str
    due: date
    amount: Decimal


@dataclass(frozen=True)
class Paid:
    ref: str
    amount: Decimal
    at: datetime
    reversed_at: datetime | None = None


@dataclass(frozen=True)
class View:
    """A loan as it was known at one instant."""

    since: datetime
    zone: str
    parts: tuple[Part, ...]
    paid: tuple[Paid, ...] = ()
    closed_at: datetime | None = None
    close_reason: str | None = None
    floor: int = 0
    rescheduled_at: datetime | None = None
    looks_back: bool = False

    def money(self, upto: datetime | None = None) -> Decimal:
        """Standing payments, all or those value-dated up to an instant."""
        return sum(
            (p.amount for p in self.paid if not p.reversed_at and (upto is None or p.at <= upto)),
            Decimal(0),
        )

    def anchor(self, upto: datetime | None = None) -> date | None:
        """Due date of the oldest part that payments do not cover."""
        left = self.money(upto)
        for part in self.parts:
            left -= part.amount
            if left < 0:
                return part.due
        return None

    def state(self, upto: datetime | None = None) -> str:
        """open, paid (nothing is owed) or closed (the lender ended it unpaid)."""
        if self.anchor(upto) is None:
            return "paid"
        shut = self.closed_at is not None and (upto is None or self.closed_at <= upto)
        if not shut:
            return "open"
        if self.close_reason != "paid_off":
            return "closed"
        undone = any(p.reversed_at and p.reversed_at >= self.closed_at for p in self.paid)  # type: ignore[operator]
        return "open" if undone else "paid"

    def asked(self, today: date) -> Decimal:
        """What may be asked for: unpaid parts due by the anchor or by today."""
        horizon = max(self.anchor() or today, today)
        return sum((p.amount for p in self.parts if p.due <= horizon), Decimal(0)) - self.money()

    def settled(self) -> list[date | None]:
        """For each part, the local day on which payments covered it."""
        standing = sorted((p for p in self.paid if not p.reversed_at), key=lambda p: p.at)
        days: list[date | None] = []
        needed = Decimal(0)
        for part in self.parts:
            needed += part.amount
            got = Decimal(0)
            days.append(None)
            for payment in standing:
                got += payment.amount
                if got >= needed:
                    days[-1] = local(payment.at, self.zone).date()
                    break
        return days

    def worst(self, at: datetime) -> int:
        """The most days past due that any part ever reached."""
        end = local(self.closed_at or at, self.zone).date()
        late = [((d or end) - p.due).days for p, d in zip(self.parts, self.settled(), strict=True)]
        return max(0, self.floor, *late)

    def bucket(self, at: datetime, upto: datetime | None = None) -> int:
        """Index of the delinquency bucket; 0 is current, also for what is not open."""
        anchor = self.anchor(upto)
        if self.state(upto) != "open" or anchor is None:
            return 0
        days = (local(at, self.zone).date() - anchor).days
        return sum(days >= first for first in BUCKETS)


@dataclass
class Debt:
    """One loan with everything that was ever known of it."""

    ref: str
    borrower: str
    currency: str
    views: list[View] = field(default_factory=list)

    def at(self, when: datetime) -> View | None:
        """The view that held at an instant; None before the loan was known."""
        index = bisect_right(self.views, when, key=lambda view: view.since)
        return self.views[index - 1] if index else None

    def anchors(self) -> set[date]:
        """Every due date that could ever have been the anchor."""
        return {part.due for view in self.views for part in view.parts}


@dataclass
class Truth:
    debts: dict[str, Debt] = field(default_factory=dict)
    zones: dict[str, set[str]] = field(default_factory=dict)
    holds: dict[str, list[tuple[datetime, datetime | None]]] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def local(at: datetime, zone: str) -> datetime:
    """Wall clock in a zone."""
    return at.astimezone(_zone(zone))


def wall(day: date, clock: time, zone: str) -> datetime:
    """The instant of a wall clock; one that the clock skips is the first instant after the gap."""
    naive = datetime.combine(day, clock)
    at = naive.replace(tzinfo=_zone(zone)).astimezone(UTC)
    if local(at, zone).replace(tzinfo=None) > naive:  # read with the offset before the gap
        while local(at - timedelta(minutes=1), zone).replace(tzinfo=None) >= naive:
            at -= timedelta(minutes=1)
    return at


def read_ladder(path: Path) -> tuple[Step, ...]:
    """Stages of a ladder file, in order of their day."""
    raw = tomllib.loads(path.read_text("utf-8"))
    steps = [
        Step(
            id=stage["id"],
            offset=stage["offset_days"],
            at=stage["at"],
            grade=stage.get("grade"),
            action=stage.get("action", "message"),
            not_after=timedelta(hours=stage.get("not_after_hours", 24)),
            catch_up=stage.get("catch_up", "skip"),
        )
        for stage in raw["stage"]
    ]
    return tuple(sorted(steps, key=lambda step: (step.offset, step.at)))


def as_published(steps: Iterable[Step]) -> list[str]:
    """Where a ladder differs from the published one."""
    has = {(step.offset, step.action): step for step in steps}
    wrong = [
        f"stage on day {day} ({what}) is missing"
        for day, _, _, what in PUBLISHED
        if (day, what) not in has
    ]
    for day, at, grade, what in PUBLISHED:
        step = has.pop((day, what), None)
        if step and ((at and step.at != at) or (grade and step.grade != grade)):
            wrong.append(f"stage {step.id} is {step.at} {step.grade}, published {at} {grade}")
    return wrong + [f"stage {step.id} is not published" for step in has.values()]


def lines(path: Path) -> Iterator[str]:
    """Lines of a file that may be gzip and may end in the middle."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as file:
        try:
            yield from file
        except EOFError:
            return


def read_truth(path: Path) -> Truth:
    """Everything the file says, each event once, in order of time."""
    events: dict[str, tuple[datetime, int, dict[str, Any]]] = {}
    for number, line in enumerate(lines(path)):
        try:
            event = json.loads(line)
            at = datetime.fromisoformat(event["time"])
            events.setdefault(str(event["id"]), (at, number, event))
            if at.tzinfo is None:
                events.pop(str(event["id"]))
        except (ValueError, KeyError, TypeError):
            continue
    truth = Truth()
    waiting: dict[str, list[dict[str, Any]]] = {}
    for at, _, event in sorted(events.values(), key=lambda item: item[:2]):
        _take(truth, waiting, at, event)
    truth.refused += [(e["id"], "unknown-loan") for parked in waiting.values() for e in parked]
    return truth


def _take(
    truth: Truth, waiting: dict[str, list[dict[str, Any]]], at: datetime, event: dict[str, Any]
) -> None:
    ref, kind, data = str(event.get("subject") or ""), event.get("type"), event.get("data")
    if not isinstance(data, dict):
        truth.refused.append((event["id"], "no-data"))
    elif kind == "loan.opened":
        _open(truth, ref, at, event, data)
        for parked in sorted(waiting.pop(ref, []), key=lambda e: datetime.fromisoformat(e["time"])):
            _fact(truth, at, parked)
    elif kind == "borrower.updated":
        _move(truth, str(data.get("borrower", {}).get("id", ref)), at, data)
    elif kind == "borrower.flagged":
        until = data.get("until")
        person = str((data.get("borrower") or {}).get("id") or ref)
        end = datetime.fromisoformat(until) if until else None
        truth.holds.setdefault(person, []).append((at, end))
    elif ref not in truth.debts:
        waiting.setdefault(ref, []).append(event)
    else:
        _fact(truth, at, event)


def _money(value: Any, currency: str) -> Decimal | None:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    if isinstance(value, float | bool) or not amount.is_finite() or amount <= 0:
        return None
    exponent = amount.as_tuple().exponent
    too_fine = isinstance(exponent, int) and -exponent > DIGITS.get(currency, 2)
    return None if too_fine or amount > 2**53 else amount


def _parts(raw: Any, currency: str) -> list[Part] | None:
    parts = []
    for index, item in enumerate(raw or [], start=1):
        amount = _money(item.get("amount"), currency)
        if amount is None:
            return None
        due = date.fromisoformat(item["due_on"])
        parts.append(Part(item.get("number", index), "instalment", due, amount))
    return parts or None


def _ordered(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda p: (p.due, p.kind == "fee", p.number)))


def _open(
    truth: Truth, ref: str, at: datetime, event: dict[str, Any], data: dict[str, Any]
) -> None:
    person, currency = data["borrower"], data["currency"]
    zones = person.get("timezones") or [person.get("timezone") or "UTC"]
    parts = _parts(data.get("installments", data.get("instalments")), currency)
    if ref in truth.debts or parts is None:
        truth.refused.append((event["id"], "loan-exists-or-bad"))
        return
    debt = truth.debts[ref] = Debt(ref, person["id"], currency)
    debt.views.append(View(at, zones[0], _ordered(parts)))
    truth.zones.setdefault(person["id"], set()).update(zones)


def _move(truth: Truth, person: str, at: datetime, data: dict[str, Any]) -> None:
    body = data.get("borrower", data)
    zones = body.get("timezones") or ([body["timezone"]] if body.get("timezone") else [])
    truth.zones.setdefault(person, set()).update(zones)
    for debt in truth.debts.values():
        if zones and debt.borrower == person and debt.views[-1].state() == "open":
            debt.views.append(replace(debt.views[-1], since=at, zone=zones[0], looks_back=False))


def _fact(truth: Truth, known: datetime, event: dict[str, Any]) -> None:
    """Apply one event to its loan; `known` is later than its time only if the loan came later."""
    debt = truth.debts[event["subject"]]
    at, data, view = datetime.fromisoformat(event["time"]), event["data"], debt.views[-1]
    after = _applied(debt, view, event["type"], at, data)
    if after is None:
        truth.refused.append((event["id"], "does-not-fit"))
    else:
        back = event["type"] == "payment.reversed" or "value_date" in event["data"] or at < known
        since = max(known, view.since)
        back = back or (view.looks_back and view.since == since)
        debt.views.append(replace(after, since=since, looks_back=back))


def _applied(debt: Debt, view: View, kind: str, at: datetime, data: dict[str, Any]) -> View | None:
    match kind:
        case "payment.posted":
            return _posted(debt, view, at, data)
        case "payment.reversed":
            return _reversed(debt, view, at, data)
        case "loan.closed":
            if view.closed_at is not None and view.state() != "open":
                return None
            return replace(view, closed_at=at, close_reason=data.get("reason", "closed"))
        case "loan.rescheduled":
            return _rescheduled(debt, view, at, data)
        case "fee.assessed":
            return _charged(debt, view, at, data)
        case _:
            return None


def _own_money(debt: Debt, data: dict[str, Any]) -> Decimal | None:
    same = data.get("currency", debt.currency) == debt.currency
    return _money(data.get("amount"), debt.currency) if same else None


def _posted(debt: Debt, view: View, at: datetime, data: dict[str, Any]) -> View | None:
    amount = _own_money(debt, data)
    if amount is None or any(p.ref == data["payment_id"] for p in view.paid):
        return None
    valued = data.get("value_date")
    when = min(wall(date.fromisoformat(valued), time(12), view.zone), at) if valued else at
    return replace(view, paid=(*view.paid, Paid(data["payment_id"], amount, when)))


def _reversed(debt: Debt, view: View, at: datetime, data: dict[str, Any]) -> View | None:
    found = [p for p in view.paid if p.ref == data["payment_id"] and not p.reversed_at]
    wrong = "amount" in data and found and _money(data["amount"], debt.currency) != found[0].amount
    if not found or wrong:
        return None
    void = replace(found[0], reversed_at=at)
    return replace(view, paid=tuple(void if p is found[0] else p for p in view.paid))


def _charged(debt: Debt, view: View, at: datetime, data: dict[str, Any]) -> View | None:
    amount = _own_money(debt, data)
    if amount is None:
        return None
    number = 1 + sum(p.kind == "fee" for p in view.parts)
    named = data.get("due_on")
    due = date.fromisoformat(named) if named else view.anchor() or local(at, view.zone).date()
    return replace(view, parts=_ordered([*view.parts, Part(number, "fee", due, amount)]))


def _rescheduled(debt: Debt, view: View, at: datetime, data: dict[str, Any]) -> View | None:
    parts = _parts(data.get("installments", data.get("instalments")), debt.currency)
    if parts is None:
        return None
    if view.rescheduled_at and at < view.rescheduled_at:
        return view
    first = min(part.number for part in parts)
    kept = [p for p in view.parts if p.kind == "fee" or p.number < first]
    return replace(view, parts=_ordered([*kept, *parts]), floor=view.worst(at), rescheduled_at=at)
