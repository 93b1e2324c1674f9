"""The bars of the design, and how a measured value stands to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median


class Size(StrEnum):
    """How much is measured with. Ratios hold at `small`; `full` is what the bars are worded for."""

    TINY = "tiny"
    SMALL = "small"
    FULL = "full"


class Met(StrEnum):
    """Which column of the table a value reaches."""

    EXTREME = "extreme"
    FIRST = "first"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the table: what is measured, and the two values to reach."""

    name: str
    measure: str
    unit: str
    first: float
    extreme: float
    higher: bool = False

    def met(self, value: float) -> Met:
        """The best column that a value reaches."""
        for met, bound in ((Met.EXTREME, self.extreme), (Met.FIRST, self.first)):
            if (value >= bound) if self.higher else (value <= bound):
                return met
        return Met.NO

    def words(self, bound: float) -> str:
        """A bound as the table prints it."""
        return f"{'≥' if self.higher else '≤'} {bound:g} {self.unit}".rstrip()


BARS = {
    bar.name: bar
    for bar in (
        Bar("B1", "planning a day, every rule ÷ bare INSERT … SELECT of the same rows", "", 3.0, 2.0),
        Bar("B2", "planning the same day again ÷ bare", "", 1.5, 0.5),
        Bar("B3", "a day on which nothing is due", "ms", 20.0, 2.0),
        Bar("B4", "intake of events ÷ COPY of the same rows", "", 0.25, 0.6, higher=True),
        Bar("B5", "dispatch end to end ÷ one arq job a message", "", 5.0, 9.0, higher=True),
        Bar("B6", "dispatch ÷ the limit", "", 0.5, 0.9, higher=True),
        Bar("B7", "gain of a second worker", "", 1.5, 1.8, higher=True),
        Bar("B8", "gate, all packs on, CPU a decision", "µs", 100.0, 30.0),
        Bar("B9", "signed webhook, durable before its answer ÷ empty handler", "", 0.25, 0.45, higher=True),
        Bar("B10", "receipts applied ÷ one UPDATE a transaction", "", 20.0, 35.0, higher=True),
        Bar("B11", "an urgent message: commit → POST, p99", "ms", 50.0, 12.0),
        Bar("B12", "replay of the real loans", "s", 120.0, 20.0),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """What one measure came to. Without a value, `note` says why it was not measured."""

    bar: str
    value: float | None
    note: str
    rounds: Sequence[Mapping[str, float]] = ()
    also: Mapping[str, float] = field(default_factory=dict)

    @property
    def met(self) -> Met | None:
        return None if self.value is None else BARS[self.bar].met(self.value)


def middle(rounds: Sequence[Mapping[str, float]], name: str) -> float:
    """The median of one figure over the rounds."""
    return median(each[name] for each in rounds)


def middle_ratio(rounds: Sequence[Mapping[str, float]], over: str, under: str) -> float:
    """The median of the rounds' own ratios: what a round's two sides meet alike drops out of its ratio.

    A machine that is slower in one round than in another changes no ratio, and one round that a
    neighbour spoils is not the middle one.
    """
    return median(each[over] / each[under] for each in rounds)


def middles(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of every figure."""
    return {name: middle(rounds, name) for name in rounds[0]} if rounds else {}
