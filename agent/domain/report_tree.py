"""What a replay report says, as frozen values, and how they become JSON.

Counts are whole numbers of records; rates are fractions of one, rounded to four places, `None`
where nothing could be counted. Everything that depends on the machine lies in `Speed` and nowhere
else, so two reports of the same history compare equal apart from it.
"""

from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from decimal import Decimal
from typing import Any

PAID_OFF = "paid off"
CURRENT = "current"


@dataclass(frozen=True, slots=True)
class NamedCount:
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What was replayed. `from_` and `until` are ISO 8601 as the replay stated them."""

    file: str
    version: str
    schedule: str
    packs: tuple[str, ...]
    portfolios: tuple[str, ...]
    from_: str
    until: str
    virtual_days: float
    loans: int
    borrowers: int
    events: int
    events_applied: int
    events_duplicate: int


@dataclass(frozen=True, slots=True)
class Headline:
    messages: int
    loans_contacted: int
    borrowers_contacted: int
    messages_per_loan_contacted: float | None
    notices_decided: int
    notices_cancelled: int
    arrears_begun: int
    arrears_ended: int
    payoffs: int
    charge_offs: int
    invariants_violated: int


@dataclass(frozen=True, slots=True)
class StageLine:
    """One stage in ladder order; `sent`, `paid_next`, `followed` and `open` count notices.

    `acted` are those of a stage that sends nothing: cases opened, or outcomes told.
    """

    stage: str
    grade: str
    offset_days: int | None
    messages: int
    by_channel: tuple[NamedCount, ...]
    decided: int
    cancelled: int
    sent: int
    paid_next: int
    followed: int
    open: int
    action: str
    acted: int


@dataclass(frozen=True, slots=True)
class WeekLine:
    monday: date
    until_due: int
    past_due: int


@dataclass(frozen=True, slots=True)
class PersonWeeks:
    messages: int
    weeks: int


@dataclass(frozen=True, slots=True)
class Peaks:
    """The most notices that one person got, over all loans and channels: what house caps limit."""

    local_day: int
    seven_local_days: int


@dataclass(frozen=True, slots=True)
class HourLine:
    """Messages that left within one local hour; seven counts, Monday first."""

    hour: int
    by_weekday: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CurrencyLine:
    currency: str
    messages: int
    loans: int
    median_amount: Decimal
    largest_amount: Decimal


@dataclass(frozen=True, slots=True)
class RuleLine:
    """How often one rule failed; `pack` is empty for what the gate itself asks."""

    rule: str
    meaning: str
    snoozed: int
    cancelled: int
    pack: str = ""


@dataclass(frozen=True, slots=True)
class Decisions:
    total: int
    by_verdict: tuple[NamedCount, ...]
    notices_by_last_verdict: tuple[NamedCount, ...]
    rules: tuple[RuleLine, ...]


@dataclass(frozen=True, slots=True)
class BucketVisits:
    """How stays in one bucket ended; the five ends add up to `entered`."""

    bucket: str
    entered: int
    to_current: int
    paid_off: int
    eased: int
    deeper: int
    still_there: int
    cure_rate: float | None


@dataclass(frozen=True, slots=True)
class RollCell:
    bucket: str
    loans: int
    rate: float


@dataclass(frozen=True, slots=True)
class RollRow:
    bucket: str
    loans: int
    to: tuple[RollCell, ...]


@dataclass(frozen=True, slots=True)
class Rolls:
    """Moves between the month ends `first` and `last`, `months` steps apart."""

    months: int
    first: date | None
    last: date | None
    rows: tuple[RollRow, ...]


@dataclass(frozen=True, slots=True)
class Lateness:
    payoffs: int
    never_late: int
    instalments: int
    bands: tuple[NamedCount, ...]


@dataclass(frozen=True, slots=True)
class ChargeOffAmount:
    currency: str
    loans: int
    balance: Decimal


@dataclass(frozen=True, slots=True)
class ChargeOffs:
    loans: int
    paid_off_later: int
    amounts: tuple[ChargeOffAmount, ...]


@dataclass(frozen=True, slots=True)
class InvariantLine:
    id: str
    title: str
    violations: int


@dataclass(frozen=True, slots=True)
class PhaseLine:
    phase: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Speed:
    """The only part that differs between two replays of the same history."""

    wall_seconds: float
    events_per_second: float | None
    messages_per_second: float | None
    virtual_days_per_second: float | None
    phases: tuple[PhaseLine, ...]


@dataclass(frozen=True, slots=True)
class Report:
    run: RunFacts
    headline: Headline
    channels: tuple[str, ...]
    stages: tuple[StageLine, ...]
    weeks: tuple[WeekLine, ...]
    person_weeks: tuple[PersonWeeks, ...]
    peaks: Peaks
    hours: tuple[HourLine, ...]
    currencies: tuple[CurrencyLine, ...]
    decisions: Decisions
    visits: tuple[BucketVisits, ...]
    rolls: Rolls
    lateness: Lateness
    charge_offs: ChargeOffs
    outcomes: tuple[NamedCount, ...]
    rejected: tuple[NamedCount, ...]
    invariants: tuple[InvariantLine, ...]
    definitions: tuple[tuple[str, str], ...]
    speed: Speed


def report_json(report: Report) -> dict[str, Any]:
    """The report as plain JSON values in a stable order; wall-clock figures only under `speed`."""
    plain = _plain(report)
    plain["definitions"] = dict(report.definitions)
    return dict(plain)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {part.name.rstrip("_"): _plain(getattr(value, part.name)) for part in fields(value)}
    match value:
        case tuple():
            return [_plain(item) for item in value]
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case _:
            return value
