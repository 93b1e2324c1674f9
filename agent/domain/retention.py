"""How long records are kept. Keeping too short is the worse mistake: nothing is deleted early."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

RETENTION_CONFLICT = "ENGINE-RETENTION-CONFLICT"


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
