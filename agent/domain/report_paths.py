"""Replay report: the paths of loans through the buckets, derived from their outcomes.

A path is the list of (local day, state) at which a loan's state changed; a state is a bucket,
`current` or `paid off`. Outcomes that were retracted never happened on a path.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, zip_longest
from typing import Any

from agent.domain.report_tree import (
    CURRENT,
    PAID_OFF,
    BucketVisits,
    ChargeOffAmount,
    ChargeOffs,
    Lateness,
    NamedCount,
    RollCell,
    RollRow,
    Rolls,
)

Record = Mapping[str, Any]
Path = Sequence[tuple[date, str]]

BUCKET_CHANGED = "account.bucket_changed"
CURED = "account.cured"
PAID = "account.paid_off"
CHARGE_OFF = "account.charge_off_recommended"
RETRACTED = "outcome.retracted"
FEE = "fee"
BANDS = (
    ("early", None, -1),
    ("on the day", 0, 0),
    ("1–3 days", 1, 3),
    ("4–7 days", 4, 7),
    ("8–30 days", 8, 30),
    ("31–60 days", 31, 60),
    ("later", 61, None),
)


@dataclass(frozen=True, slots=True)
class _Fact:
    sequence: int
    id: str
    kind: str
    time: str
    data: Record


class OutcomeTally:
    """Keeps the outcomes of each loan until all are known: a later one may retract an earlier."""

    def __init__(self) -> None:
        self.by_type: Counter[str] = Counter()
        self._facts: defaultdict[str, list[_Fact]] = defaultdict(list)

    def add(self, outcome: Record) -> None:
        """Fold one outcome (CloudEvents 1.0); `KeyError` if it is not one."""
        kind = outcome["type"]
        self.by_type[kind] += 1
        self._facts[outcome["subject"]].append(
            _Fact(
                int(outcome["sequence"]),
                outcome["id"],
                kind,
                outcome["time"],
                outcome.get("data") or {},
            )
        )

    def standing(self) -> dict[str, list[_Fact]]:
        """The outcomes that still hold, by loan, in order."""
        return {loan: _not_retracted(facts) for loan, facts in sorted(self._facts.items())}


def _not_retracted(facts: list[_Fact]) -> list[_Fact]:
    named = {_corrected(fact) for fact in facts if fact.kind == RETRACTED}
    kept = [
        fact
        for fact in facts
        if fact.kind != RETRACTED and fact.sequence not in named and fact.id not in named
    ]
    return sorted(kept, key=lambda fact: fact.sequence)


def _corrected(fact: _Fact) -> object:
    """The id of the outcome that a retraction names, or its number where no id is given."""
    return fact.data.get("corrects", fact.data.get("corrects_sequence"))


def _day(fact: _Fact) -> date:
    """Local day: anchor + DPD where stated, for the instant may be written in another zone."""
    anchor, dpd = fact.data.get("anchor"), fact.data.get("dpd")
    if fact.kind == BUCKET_CHANGED and anchor is not None and dpd is not None:
        return date.fromisoformat(anchor) + timedelta(days=dpd)
    return datetime.fromisoformat(fact.time).date()


def bucket_rank(label: str) -> tuple[int, str]:
    """Order of states from `current` by first DPD to `paid off`, unknown names in between."""
    if label in (CURRENT, PAID_OFF):
        return (-1 if label == CURRENT else 10**9, label)
    digits = label.replace("+", "-").partition("-")[0]
    return (int(digits) if digits.isdecimal() else 10**8, label)


class LoanPaths:
    """Everything the report reads off the outcomes that hold."""

    def __init__(self, facts: Mapping[str, list[_Fact]], opened: Mapping[str, date]) -> None:
        self._facts = facts
        self._opened = opened
        self._paths = {
            loan: _path(facts.get(loan, ()), opened.get(loan))
            for loan in sorted(facts.keys() | opened.keys())
        }
        self.cures = {
            loan: [_day(fact) for fact in held if fact.kind == CURED]
            for loan, held in facts.items()
        }
        self.anchors = {
            loan: max((str(fact.data.get("anchor") or "") for fact in held), default="")
            for loan, held in facts.items()
        }
        self.paid = {loan for loan, path in self._paths.items() if path and path[-1][1] == PAID_OFF}

    def settled(self, loan: str, anchor: str, since: date) -> bool:
        """Whether the debt of `anchor` was met, or moved on, after a message of day `since`.

        An anchor that a reversal moved back to counts as moved on from before.
        """
        if loan in self.paid or self.anchors.get(loan, "") > anchor:
            return True
        return any(day >= since for day in self.cures.get(loan, ()))

    def visits(self) -> tuple[BucketVisits, ...]:
        """How stays in each bucket ended, buckets in order of DPD."""
        ends: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for path in self._paths.values():
            for here, after in zip_longest(path, path[1:]):
                ends[here[1]][_end_of(here[1], after)] += 1
        buckets = sorted(ends.keys() - {CURRENT, PAID_OFF}, key=bucket_rank)
        return tuple(_visits(bucket, ends[bucket]) for bucket in buckets)

    def arrears(self) -> tuple[int, int]:
        """Episodes of arrears that began, and those of them that ended current or paid off."""
        begun = ended = 0
        good = (CURRENT, PAID_OFF)
        for path in self._paths.values():
            for (_, before), (_, after) in zip([(None, CURRENT), *path], path, strict=False):
                begun += before in good and after not in good
                ended += before not in good and after in good
        return begun, ended

    def rolls(self, first: date | None, until: date | None) -> Rolls:
        """Cohorts from month end to month end, over the whole months of [first, until).

        The row `current` needs to know when loans were opened; without it the row is left out.
        """
        ends = _month_ends(first, until)
        counts: Counter[tuple[str, str]] = Counter()
        for path in self._paths.values():
            counts.update(_moves(path, ends))
        if not self._opened:
            counts = Counter({move: n for move, n in counts.items() if move[0] != CURRENT})
        if len(ends) < 2:
            return Rolls(0, None, None, ())
        return Rolls(len(ends) - 1, ends[0], ends[-1], _rows(counts))

    def lateness(self) -> Lateness:
        """Days late of every instalment of the loans that were paid off, in bands."""
        payoffs = {
            loan: fact.data
            for loan, held in self._facts.items()
            for fact in held
            if fact.kind == PAID
        }
        conducts = [data.get("conduct") or {} for data in payoffs.values()]
        days = [
            part["days_late"]
            for conduct in conducts
            for part in conduct.get("instalments") or ()
            if part["days_late"] is not None and part.get("kind") != FEE
        ]
        never = sum(1 for conduct in conducts if conduct.get("worst_dpd") == 0)
        return Lateness(len(conducts), never, len(days), _bands(days))

    def charge_offs(self) -> ChargeOffs:
        """Loans recommended for charge-off, with what was owed on them in each currency."""
        named = {
            loan: fact
            for loan, held in self._facts.items()
            for fact in held
            if fact.kind == CHARGE_OFF
        }
        amounts: defaultdict[str, list[Decimal]] = defaultdict(list)
        for fact in named.values():
            amounts[fact.data["currency"]].append(Decimal(fact.data["balance"]))
        lines = (
            ChargeOffAmount(name, len(due), sum(due, Decimal())) for name, due in amounts.items()
        )
        return ChargeOffs(
            len(named),
            len(self.paid & named.keys()),
            tuple(sorted(lines, key=lambda x: x.currency)),
        )


def _path(facts: Iterable[_Fact], opened: date | None) -> list[tuple[date, str]]:
    """Changes of state; those of one instant collapse into the last (cured and paid off at once).

    Days never run backwards: a fact told late counts from the day on which the one before it did.
    """
    steps: list[tuple[str, date, str]] = [] if opened is None else [("", opened, CURRENT)]
    for fact in facts:
        state = _state(fact)
        if state is None:
            continue
        if steps and steps[-1][0] == fact.time:
            steps.pop()
        if not steps or steps[-1][2] != state:
            day = max(_day(fact), steps[-1][1]) if steps else _day(fact)
            steps.append((fact.time, day, state))
    return [(day, state) for _, day, state in steps]


def _state(fact: _Fact) -> str | None:
    if fact.kind == BUCKET_CHANGED:
        return str(fact.data["to"])
    return {CURED: CURRENT, PAID: PAID_OFF}.get(fact.kind)


def _end_of(bucket: str, after: tuple[date, str] | None) -> str:
    if after is None:
        return "still_there"
    if after[1] in (CURRENT, PAID_OFF):
        return after[1]
    return "deeper" if bucket_rank(after[1]) > bucket_rank(bucket) else "eased"


def _visits(bucket: str, ends: Counter[str]) -> BucketVisits:
    entered = ends.total()
    return BucketVisits(
        bucket=bucket,
        entered=entered,
        to_current=ends[CURRENT],
        paid_off=ends[PAID_OFF],
        eased=ends["eased"],
        deeper=ends["deeper"],
        still_there=ends["still_there"],
        cure_rate=round((ends[CURRENT] + ends[PAID_OFF]) / entered, 4) if entered else None,
    )


def _month_ends(first: date | None, until: date | None) -> list[date]:
    """The last days of months that lie in [first, until)."""
    ends: list[date] = []
    if first is None or until is None:
        return ends
    month = _next_month(first)
    while month <= until:
        ends.append(month - timedelta(days=1))
        month = _next_month(month)
    return ends


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _moves(path: Path, ends: Sequence[date]) -> Iterable[tuple[str, str]]:
    if not path:
        return
    days = [day for day, _ in path]
    for before, after in pairwise(ends):
        if before < days[0]:
            continue
        state = path[_index(days, before)][1]
        if state != PAID_OFF:
            yield state, path[_index(days, after)][1]


def _index(days: Sequence[date], evening: date) -> int:
    return bisect_right(days, evening) - 1


def _rows(counts: Counter[tuple[str, str]]) -> tuple[RollRow, ...]:
    states = sorted({state for move in counts for state in move}, key=bucket_rank)
    rows = []
    for row in states:
        loans = sum(counts[row, column] for column in states)
        if loans:
            cells = (
                RollCell(to, counts[row, to], round(counts[row, to] / loans, 4)) for to in states
            )
            rows.append(RollRow(row, loans, tuple(cells)))
    return tuple(rows)


def _bands(days: Iterable[int]) -> tuple[NamedCount, ...]:
    spread = Counter(_band(late) for late in days)
    return tuple(NamedCount(name, spread[name]) for name, _, _ in BANDS)


def _band(late: int) -> str:
    return next(name for name, _, last in BANDS if last is None or late <= last)
