"""Geometry of the charts on the replay report. Numbers in, coordinates out; templates draw them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from agent.domain.report_tree import WeekLine

BAR_WIDTH = 1000
GAP = 3
HEAT_STEPS = 6
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a horizontal bar; `tone` counts from 1."""

    x: float
    width: float
    tone: int


def bar(parts: Sequence[int], whole: int) -> tuple[Segment, ...]:
    """Parts of a bar on which `whole` fills the width; a part that is not nothing can be seen."""
    segments: list[Segment] = []
    x = 0.0
    for tone, part in enumerate(parts, start=1):
        width = BAR_WIDTH * part / whole if whole else 0.0
        if part:
            segments.append(Segment(round(x, 1), round(max(width - GAP, 4), 1), tone))
        x += width
    return tuple(segments)


def heat(part: float, whole: float) -> int:
    """The shade of a cell: 0 for nothing, then 1 to 6 in equal steps up to `whole`."""
    if not part or not whole:
        return 0
    return min(HEAT_STEPS, 1 + int(HEAT_STEPS * part / whole))


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Column:
    """A week: `lower` stands on the base line, `upper` stands on it."""

    x: float
    lower_y: float
    lower_height: float
    upper_y: float
    upper_height: float
    title: str


@dataclass(frozen=True, slots=True)
class WeekChart:
    width: int
    height: int
    left: int
    base: int
    column_width: float
    columns: tuple[Column, ...]
    levels: tuple[Tick, ...]
    months: tuple[Tick, ...]


WIDTH, HEIGHT, LEFT, TOP, BASE = 760, 250, 46, 12, 222
RIGHT = 16
MONTH_LABEL = 58


def week_chart(weeks: Sequence[WeekLine]) -> WeekChart:
    """Stacked columns, a level line at every round number, the months written below."""
    most = max((week.until_due + week.past_due for week in weeks), default=0)
    step = round_step(most)
    top = step * -(-most // step) or 1
    pitch = (WIDTH - LEFT - RIGHT) / max(len(weeks), 1)
    return WeekChart(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        base=BASE,
        column_width=round(min(pitch * 0.78, 48), 2),
        columns=tuple(_column(week, LEFT + pitch * n, top) for n, week in enumerate(weeks)),
        levels=tuple(Tick(_y(level, top), f"{level:,}") for level in range(0, top + 1, step)),
        months=_months([week.monday for week in weeks], pitch),
    )


def round_step(most: int) -> int:
    """The distance of level lines: 1, 2 or 5 times a power of ten, giving at most five of them."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if step * factor * 5 >= most:
                return step * factor
        step *= 10


def _y(value: int, top: int) -> float:
    return round(BASE - (BASE - TOP) * value / top, 2)


def _column(week: WeekLine, x: float, top: int) -> Column:
    middle, upper = _y(week.until_due, top), _y(week.until_due + week.past_due, top)
    return Column(
        x=round(x, 2),
        lower_y=middle,
        lower_height=round(BASE - middle, 2),
        upper_y=upper,
        upper_height=round(middle - upper, 2),
        title=f"Week of {day(week.monday)}: {week.until_due:,} until due,"
        f" {week.past_due:,} past due",
    )


def _months(mondays: Sequence[date], pitch: float) -> tuple[Tick, ...]:
    """Labels at the first Monday of a month, of a quarter or of a year, where there is room."""
    every = 1 if len(mondays) <= 52 else 3 if len(mondays) <= 157 else 12
    return tuple(
        Tick(round(LEFT + pitch * n, 2), f"{MONTHS[monday.month - 1]} {monday.year}")
        for n, monday in enumerate(mondays)
        if monday.day <= 7
        and (monday.month - 1) % every == 0
        and LEFT + pitch * n + MONTH_LABEL <= WIDTH
    )


def day(value: date) -> str:
    """A date as people write it, whatever the locale of the process: `5 Feb 2016`."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"
