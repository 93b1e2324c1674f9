"""How long records are kept. Keeping too short is the worse mistake: nothing is deleted early."""

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from agent.domain.conduct_base import Pack, StateRule

RETENTION_CONFLICT = "ENGINE-RETENTION-CONFLICT"
KEEP_AT_LEAST, DELETE_AFTER = "keep_at_least", "delete_after"


def months_after(day: date, months: int) -> date:
    """The same day of a later month; a day that the month lacks becomes the first of the next."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    if day.day <= monthrange(year, month)[1]:
        return day.replace(year=year, month=month)
    return date(year, month, monthrange(year, month)[1]) + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the rules say of one record: keep it through a day, delete it by a day."""

    keep_through: date | None = None
    delete_by: date | None = None
    legal_hold: bool = False

    @property
    def conflict(self) -> bool:
        """A minimum that ends after the maximum: a person decides."""
        both = self.keep_through is not None and self.delete_by is not None
        return both and self.keep_through > self.delete_by  # type: ignore[operator]

    def may_delete(self, today: date) -> bool:
        """Only after the minimum, never under a legal hold or in a conflict."""
        if self.legal_hold or self.conflict:
            return False
        return self.keep_through is None or today > self.keep_through

    def must_delete(self, today: date) -> bool:
        """The maximum has come, and nothing stands against it."""
        due = self.delete_by is not None and today >= self.delete_by
        return due and self.may_delete(today)


class Kept(StrEnum):
    """Why a person's data is kept. Staff see these words."""

    NO_RULE = "no-rule"
    PACK_MISSING = "pack-missing"
    DUTY = "duty"
    HELD = "held"
    OPEN_CASE = "open-case"
    UNFINISHED = "unfinished"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What the rules say of a person whose loans have all ended; `kept` is None when it is over."""

    keeping: Keeping
    rules: tuple[str, ...]
    kept: Kept | None


def retention_rules(packs: Iterable[Pack], role: str | None) -> tuple[StateRule, ...]:
    """The rules about keeping, dated or not: a duty that began outlives the pack that made it."""
    return tuple(
        rule
        for pack in packs
        for rule in pack.states
        if rule.head.type == "retention" and (role is None or role in rule.head.who)
    )


def keeping_of(
    rules: Sequence[StateRule], anchors: Mapping[str, date | None], *, legal_hold: bool
) -> tuple[Keeping, tuple[str, ...]]:
    """The longest duty to keep and the shortest limit, from the events that each rule counts from."""
    bound = [(rule, day) for rule in rules if (day := anchors.get(rule.params["anchor"]))]
    ends = [(rule, months_after(day, int(rule.params["months"]))) for rule, day in bound]
    least = [end for rule, end in ends if rule.params["mode"] == KEEP_AT_LEAST]
    most = [end for rule, end in ends if rule.params["mode"] == DELETE_AFTER]
    keeping = Keeping(max(least, default=None), min(most, default=None), legal_hold)
    return keeping, tuple(rule.id for rule, _ in bound)


def upkeep(
    rules: Sequence[StateRule],
    anchors: Mapping[str, date | None],
    today: date,
    standing: Kept | None,
) -> Upkeep:
    """Whether a person's data has outlived its longest duty.

    `standing` is what stands against it whatever the rules say: a hold, an open case, unfinished work.
    Without a duty to keep it is over when the limit comes; without any rule nobody said how long.
    """
    keeping, named = keeping_of(rules, anchors, legal_hold=standing is Kept.HELD)
    if keeping.conflict:
        return Upkeep(keeping, (RETENTION_CONFLICT, *named), Kept.CONFLICT)
    if not named:
        return Upkeep(keeping, named, Kept.NO_RULE)
    over = keeping.may_delete(today) if keeping.keep_through else keeping.must_delete(today)
    if standing is not None:
        return Upkeep(keeping, named, standing)
    return Upkeep(keeping, named, None if over else Kept.DUTY)
