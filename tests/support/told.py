"""What a ledger must have been told of one loan, calculated from its views."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from tests.support.truth import BUCKET_NAMES, BUCKETS, Debt, Step, View, local, wall


@dataclass(frozen=True)
class Told:
    """One outcome. `seq` counts from 1 within the loan."""

    seq: int
    type: str
    at: datetime
    data: dict[str, Any]
    bucket: int | None = None
    anchor: date | None = None


def due_at(debt: Debt, anchor: date, step: Step) -> datetime | None:
    """When a step falls due for an anchor in the zone that holds then; None if it is not owed then."""
    for zone in sorted({view.zone for view in debt.views}):
        at = wall(anchor + timedelta(days=step.offset), step.at, zone)
        view = debt.at(at)
        if view and view.zone == zone and view.state() == "open" and view.anchor() == anchor:
            return at
    return None


class _Story:
    """Goes through the views of a loan and notes what must be told."""

    def __init__(self, debt: Debt, steps: Sequence[Step]) -> None:
        self.debt = debt
        self.last_step = next((step for step in steps if step.action == "outcome"), None)
        self.told: list[Told] = []
        self.standing: list[Told] = []
        self.bucket = 0
        self.ended: datetime | None = None

    def tell(
        self, kind: str, at: datetime, data: dict[str, Any], view: View, bucket: int | None = None
    ) -> None:
        told = Told(len(self.told) + 1, kind, at, data, bucket, view.anchor())
        self.told.append(told)
        if kind != "outcome.retracted":
            self.standing.append(told)
        self.bucket = self.bucket if bucket is None else bucket

    def changed(self, view: View, at: datetime, bucket: int) -> None:
        anchor = view.anchor()
        assert anchor is not None
        today = local(at, view.zone).date()
        data = {
            "from": BUCKET_NAMES[self.bucket],
            "to": BUCKET_NAMES[bucket],
            "dpd": (today - anchor).days,
            "anchor": anchor.isoformat(),
            "amount_due": view.asked(today),
        }
        self.tell("account.bucket_changed", at, data, view, bucket)

    def news(self, view: View, before: View | None) -> None:
        """What a change of facts makes necessary to say, corrections first."""
        at = view.since
        was_paid = before is not None and before.state() == "paid"
        wrong = [t for t in self.standing if not _true(t, view)] if view.looks_back else []
        if wrong:
            for told in wrong:
                self.tell("outcome.retracted", at, {"corrects_sequence": told.seq}, view)
                self.ended = None if told.type.endswith("charge_off_recommended") else self.ended
            self.standing = [told for told in self.standing if told not in wrong]
            self.bucket = next(
                (t.bucket for t in reversed(self.standing) if t.bucket is not None), 0
            )
            was_paid = any(told.type == "account.paid_off" for told in self.standing)
        bucket = self.bucket if view.state() == "closed" else view.bucket(at)
        if bucket != self.bucket and bucket:
            self.changed(view, at, bucket)
        elif bucket != self.bucket:
            data = {"from": BUCKET_NAMES[self.bucket], "to": "current", "worst_dpd": view.worst(at)}
            self.tell("account.cured", at, data, view, 0)
        if view.state() == "paid" and not was_paid:
            self.tell("account.paid_off", at, {"conduct": _conduct(view, at)}, view)

    def pass_time(self, view: View, until: datetime) -> None:
        """Midnights at which a bucket begins, and the day on which the ladder ends."""
        anchor = view.anchor()
        if view.state() != "open" or anchor is None:
            return
        while self.bucket < len(BUCKETS):
            at = wall(anchor + timedelta(days=BUCKETS[self.bucket]), time(0), view.zone)
            if at > until:
                break
            self.changed(view, at, self.bucket + 1)
        self.end(view, anchor, until)

    def end(self, view: View, anchor: date, until: datetime) -> None:
        if self.last_step is None or self.ended is not None:
            return
        at = due_at(self.debt, anchor, self.last_step)
        if at is not None and view.since <= at < until:
            data = {"dpd": self.last_step.offset, "anchor": anchor.isoformat()}
            self.tell("account.charge_off_recommended", at, data, view)
            self.ended = at


def _true(told: Told, view: View) -> bool:
    """Whether what was said of an instant still is so, by what is known in `view`."""
    if view.rescheduled_at and told.at < view.rescheduled_at:
        return True
    match told.type:
        case "account.paid_off":
            return view.state(told.at) == "paid"
        case "account.charge_off_recommended":
            return view.state(told.at) == "open" and view.anchor(told.at) == told.anchor
        case _:
            closed = view.state(told.at) == "closed"
            return closed or view.bucket(told.at, told.at) == told.bucket


def _conduct(view: View, at: datetime) -> dict[str, Any]:
    late = [
        (d - p.due).days if d else None for d, p in zip(view.settled(), view.parts, strict=True)
    ]
    return {"worst_dpd": view.worst(at), "days_late": late}


def _distinct(views: Sequence[View]) -> list[View]:
    """What became known at one instant counts as one: its last view."""
    return [*{view.since: view for view in views}.values()]


def story(debt: Debt, steps: Sequence[Step], end: datetime) -> tuple[list[Told], datetime | None]:
    """Everything that must be told of a loan until `end`, and when contact ended by the ladder."""
    views = _distinct(debt.views)
    tale = _Story(debt, steps)
    before: View | None = None
    for index, view in enumerate(views):
        if view.since >= end:
            break
        following = views[index + 1].since if index + 1 < len(views) else end
        tale.news(view, before)
        tale.pass_time(view, min(following, end))
        before = view
    in_order = [replace(told, seq=number) for number, told in enumerate(tale.told, start=1)]
    return in_order, tale.ended


def moments(
    debt: Debt, steps: Sequence[Step], ended: datetime | None
) -> Iterator[tuple[Step, date, datetime]]:
    """Every step that falls due while its anchor is owed and contact has not ended."""
    for anchor in sorted(debt.anchors()):
        for step in steps:
            at = due_at(debt, anchor, step)
            if at is not None and (ended is None or at <= ended):
                yield step, anchor, at
