"""When a ladder's stages come: for a whole portfolio at once, and for one loan.

A loan is at the last stage, in ladder order, whose moment has come. A stage's moment is its clock
time in the loan's zone on the (business) day `offset_days` after the anchor. Two kinds of notice:

- *regular*: the loan had its anchor when the moment came;
- *late*: it entered (was opened, its anchor moved, a hold was lifted) after the moment. Then it
  gets one message, of the stage it is at, if that stage catches up: when the stage's clock time
  next comes round (on a business day, if the stage keeps to them), provided the loan is still at
  that stage then.

`moments` and `late_moments` say this for all loans, as rows that SQL joins to loans; `notices` says
it for one loan and shares nothing with them but the moment of a stage. A test holds that they agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from agent.domain.calendar import (
    ONE_DAY,
    BusinessCalendar,
    Shift,
    instant,
    local_date,
    shift,
    shifted_from,
)
from agent.domain.ladder_compile import (
    Action,
    CatchUp,
    Grade,
    Ladder,
    Problem,
    Stage,
    compile_ladder,
)

__all__ = [
    "FOR_EVER",
    "LATE_DAYS_MAX",
    "Action",
    "CatchUp",
    "Grade",
    "Ladder",
    "LateMoment",
    "Moment",
    "Plannable",
    "Problem",
    "Stage",
    "bucket_name",
    "bucket_of",
    "compile_ladder",
    "late_moments",
    "moments",
    "notices",
    "passed_over",
    "stage_moment",
    "superseded_at",
]

# Three years: where most limitation periods end, automation does not begin. Older loans get no late
# notice; whoever enters them decides by hand.
LATE_DAYS_MAX = 1096
_INSTANT = timedelta(microseconds=1)
FOR_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """One stage's time for the loans of one anchor."""

    stage: str
    anchor: date
    due_at: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class LateMoment:
    """One stage's time for loans with such an anchor that entered in (since_after, due_at]."""

    stage: str
    anchor_min: date
    anchor_max: date
    since_after: datetime
    due_at: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Plannable:
    """What planning reads of one loan. `open` means open and still contacted automatically."""

    zone: str
    open: bool
    anchor: date
    anchor_since: datetime
    held_until: datetime | None = None


def bucket_of(buckets: tuple[int, ...], dpd: int) -> int:
    """Index of the bucket a DPD falls in; 0 is current."""
    return sum(first <= dpd for first in buckets)


def bucket_name(buckets: tuple[int, ...], index: int) -> str:
    """`current`, `1-7`, …, `91+`."""
    if index == 0:
        return "current"
    if index == len(buckets):
        return f"{buckets[-1]}+"
    first, last = buckets[index - 1], buckets[index] - 1
    return str(first) if first == last else f"{first}-{last}"


def stage_moment(
    stage: Stage, anchor: date, calendar: BusinessCalendar | None, zone: str
) -> datetime:
    """When a stage comes for an anchor."""
    day = anchor + timedelta(days=stage.offset_days)
    if stage.shift is not Shift.NONE:
        day = shift(day, calendar, stage.shift)
    return instant(day, stage.at, zone)


def moments(ladder: Ladder, zone: str, after: datetime, until: datetime) -> list[Moment]:
    """Every (stage, anchor) whose moment lies in (after, until], by local day and ladder order."""
    return [
        moment
        for day in _days(zone, after, until)
        for moment in _moments_of(ladder, zone, day)
        if after < moment.due_at <= until
    ]


def late_moments(ladder: Ladder, zone: str, after: datetime, until: datetime) -> list[LateMoment]:
    """The same for loans that enter too late for the regular moment of the stage they are at."""
    return [
        moment
        for day in _days(zone, after, until)
        for moment in _late_moments_of(ladder, zone, day)
        if after < moment.due_at <= until
    ]


def _days(zone: str, after: datetime, until: datetime) -> Iterator[date]:
    """Local days on which the window may fall; one more, as a clock set back repeats a date."""
    day, last = local_date(after, zone), local_date(until, zone) + ONE_DAY
    while day <= last:
        yield day
        day += ONE_DAY


@lru_cache(maxsize=4096)
def _moments_of(ladder: Ladder, zone: str, day: date) -> tuple[Moment, ...]:
    found = []
    for stage in ladder.stages:
        due_at = instant(day, stage.at, zone)
        not_after = due_at + stage.not_after
        for shifted in shifted_from(day, ladder.calendar, stage.shift):
            anchor = shifted - timedelta(days=stage.offset_days)
            found.append(Moment(stage.id, anchor, due_at, not_after))
    return tuple(found)


@lru_cache(maxsize=4096)
def _late_moments_of(ladder: Ladder, zone: str, day: date) -> tuple[LateMoment, ...]:
    found = []
    for index, stage in enumerate(ladder.stages):
        if stage.catch_up is CatchUp.SKIP:
            continue
        if not _keeps(stage, ladder.calendar, day):
            continue
        due_at = instant(day, stage.at, zone)
        since_after = instant(_day_before(stage, ladder.calendar, day), stage.at, zone)
        last = _last_anchor_before(stage, ladder.calendar, zone, day, due_at)
        first = day - timedelta(days=LATE_DAYS_MAX)
        for rival in _rivals(ladder)[index]:
            first = max(first, _first_anchor_after(rival, ladder.calendar, zone, day, due_at))
        if first <= last and since_after < due_at:
            not_after = due_at + stage.not_after
            found.append(LateMoment(stage.id, first, last, since_after, due_at, not_after))
    return tuple(found)


def _keeps(stage: Stage, calendar: BusinessCalendar | None, day: date) -> bool:
    """Whether a stage may come on that day."""
    return stage.shift is Shift.NONE or calendar is None or calendar.is_business_day(day)


def _day_before(stage: Stage, calendar: BusinessCalendar | None, day: date) -> date:
    """The last day before on which the stage may come."""
    day -= ONE_DAY
    while not _keeps(stage, calendar, day):
        day -= ONE_DAY
    return day


@lru_cache(maxsize=64)
def _rivals(ladder: Ladder) -> tuple[tuple[Stage, ...], ...]:
    """For each stage the later ones of which any may come first.

    Without shifts that is the next stage; with them a later stage may come earlier.
    """
    found = []
    for index in range(len(ladder.stages)):
        rivals: list[Stage] = []
        for later in ladder.stages[index + 1 :]:
            if not any(_always_first(rival, later) for rival in rivals):
                rivals.append(later)
        found.append(tuple(rivals))
    return tuple(found)


_SHIFTS = {Shift.PREVIOUS: -1, Shift.NONE: 0, Shift.NEXT: 1}


def _always_first(one: Stage, later: Stage) -> bool:
    """Whether `one`, which stands before `later` in the ladder, never comes after it.

    Two stages moved to the same business day come in the order of their clock times.
    """
    if _SHIFTS[one.shift] != _SHIFTS[later.shift]:
        return _SHIFTS[one.shift] < _SHIFTS[later.shift]
    return one.shift is Shift.NONE or one.at <= later.at


def _last_anchor_before(
    stage: Stage, calendar: BusinessCalendar | None, zone: str, day: date, at: datetime
) -> date:
    """The latest anchor whose moment of `stage` lies before `at`, an instant of `day`."""
    anchor = day - timedelta(days=stage.offset_days)
    while stage_moment(stage, anchor, calendar, zone) >= at:
        anchor -= ONE_DAY
    while stage_moment(stage, anchor + ONE_DAY, calendar, zone) < at:
        anchor += ONE_DAY
    return anchor


def _first_anchor_after(
    stage: Stage, calendar: BusinessCalendar | None, zone: str, day: date, at: datetime
) -> date:
    """The earliest anchor whose moment of `stage` lies after `at`, an instant of `day`."""
    anchor = day - timedelta(days=stage.offset_days)
    while stage_moment(stage, anchor, calendar, zone) <= at:
        anchor += ONE_DAY
    while stage_moment(stage, anchor - ONE_DAY, calendar, zone) > at:
        anchor -= ONE_DAY
    return anchor


def notices(
    loan: Plannable, ladder: Ladder, after: datetime, until: datetime
) -> tuple[Moment, ...]:
    """The notices of one loan in (after, until], in order of time.

    Skips what falls under a hold; planning looks again when the hold is lifted.
    """
    if not loan.open:
        return ()
    walked = [
        (stage, stage_moment(stage, loan.anchor, ladder.calendar, loan.zone))
        for stage in ladder.stages
    ]
    found = [(stage, at) for stage, at in walked if loan.anchor_since <= at]
    found += _late(loan, walked, ladder.calendar)
    return tuple(
        Moment(stage.id, loan.anchor, at, at + stage.not_after)
        for stage, at in sorted(found, key=lambda item: item[1])
        if after < at <= until and (loan.held_until is None or loan.held_until <= at)
    )


def _late(
    loan: Plannable, walked: list[tuple[Stage, datetime]], calendar: BusinessCalendar | None
) -> list[tuple[Stage, datetime]]:
    """At most one: stages are asked for the loan's place at the next time of their own clock."""
    found = []
    for stage, came_at in walked:
        day = local_date(loan.anchor_since, loan.zone) - ONE_DAY
        while instant(day, stage.at, loan.zone) < loan.anchor_since:
            day += ONE_DAY
        if stage.shift is not Shift.NONE:
            day = shift(day, calendar, Shift.NEXT)
        at = instant(day, stage.at, loan.zone)
        come = [other for other, moment in walked if moment <= at]
        missed = came_at < loan.anchor_since
        young = (day - loan.anchor).days <= LATE_DAYS_MAX
        if missed and young and come[-1] is stage and stage.catch_up is CatchUp.LATEST:
            found.append((stage, at))
    return found


def passed_over(
    before: Plannable, after: Plannable | None, ladder: Ladder, at: datetime
) -> tuple[Moment, ...]:
    """What a hold kept from being planned until `at`, and what will not come any more.

    `before` is the loan as it stood until then, `after` as it stands from then on: what planning still
    makes of that for the same anchor is left to it, in its time or, unless the hold goes on, late.
    Which stages passed within a hold is not asked here.
    """
    since = before.anchor_since - _INSTANT
    came = notices(replace(before, held_until=None), ladder, since, at - _INSTANT)
    if not came or after is None or after.anchor != before.anchor:
        return came
    free = replace(after, held_until=None)
    still = {
        moment.stage
        for moment in notices(free, ladder, at - _INSTANT, FOR_EVER)
        if after.held_until is None or moment.due_at == _own(ladder, moment, after.zone)
    }
    return tuple(moment for moment in came if moment.stage not in still)


def _own(ladder: Ladder, moment: Moment, zone: str) -> datetime | None:
    """When a notice's stage comes in its time: a late one is due at another."""
    stage = ladder.stage(moment.stage)
    return None if stage is None else stage_moment(stage, moment.anchor, ladder.calendar, zone)


@lru_cache(maxsize=65536)
def superseded_at(ladder: Ladder, stage_id: str, anchor: date, zone: str) -> datetime | None:
    """When a message is overtaken: by the next message, or by the end of contact.

    A case between two messages overtakes nothing, and nothing overtakes a case or an outcome: they
    are work and facts, not words. None as well for a stage that this ladder does not have.
    """
    stage = ladder.stage(stage_id)
    if stage is None or stage.action is not Action.MESSAGE:
        return None
    later = ladder.stages[ladder.stages.index(stage) + 1 :]
    return min(
        (
            stage_moment(other, anchor, ladder.calendar, zone)
            for other in later
            if other.action is Action.MESSAGE or other.ends_contact
        ),
        default=None,
    )
