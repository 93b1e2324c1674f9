"""One loan re-derived from its stored events by the pure domain code, to compare with what was stored.

The only thing taken from the rows instead of the events is when the ladder ended: that is a fact of
ours, not of the ledger's. What the charge-off recommendation says is derived again like the rest.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from agent.domain.account import Applied, Loan, Numbered, apply, crossed, reaches_back, told
from agent.domain.calendar import local_date
from agent.domain.event import Event, Reason, Rejected, parse_event
from agent.domain.outcome import Account, Outcome, OutcomeType, charge_off, next_crossing
from agent.domain.standing import Status, amount_due
from agent.store.invariants import History

Buckets = Callable[[datetime], tuple[int, ...]]
_LATER = frozenset({Reason.UNKNOWN_LOAN, Reason.UNKNOWN_PAYMENT})


@dataclass(slots=True)
class Derived:
    """A loan's course: what was told, and the loan after each instant at which it changed."""

    loan: Loan | None
    told: list[Numbered]
    instants: list[datetime]
    states: list[Loan]
    refused: list[str]


class _Course:
    """Walks the history once; an instant of the walk is a step of intake or the end of the ladder."""

    def __init__(self, history: History, buckets: Buckets) -> None:
        self.history = history
        self.buckets = buckets
        self.loan: Loan | None = None
        self.out = Derived(None, [], [], [], [])
        self.ends = [row for row in history.outcomes if row["type"] == OutcomeType.CHARGE_OFF]

    def walk(self) -> Derived:
        """Steps of intake in their order; ends of the ladder and moves of zone in between."""
        moves = list(self.history.moves)
        for step, rows in groupby(self.history.events, key=itemgetter("step")):
            items = [(row, _event(row)) for row in rows]
            while moves and moves[0]["step"] <= step:
                self._move(moves.pop(0))
            self._take(items)
        for move in moves:
            self._move(move)
        self._end_before(None)
        self.out.loan = self.loan
        return self.out

    def _take(self, items: Sequence[tuple[Any, Event]]) -> None:
        """One transaction of intake, as intake does it: what lacked another event tries again after it."""
        back = any(reaches_back(event, row["received_at"]) for row, event in items)
        waiting = list(items)
        while waiting:
            again = self._apply(waiting, back=back)
            if len(again) == len(waiting):
                self.out.refused += [f"{event.id}: {why.reason}" for _, event, why in again]
                break
            waiting = [(row, event) for row, event, _ in again]

    def _apply(
        self, items: Sequence[tuple[Any, Event]], *, back: bool
    ) -> list[tuple[Any, Event, Rejected]]:
        again: list[tuple[Any, Event, Rejected]] = []
        latest: datetime | None = None
        for at, group in groupby(items, key=lambda item: item[0]["received_at"]):
            step = list(group)
            latest = at if latest is None else max(latest, at)
            self._end_before(latest)
            events = [event for _, event in step]
            done = self._fold(events, latest, back=back)
            refused = {id(event): why for event, why in done.refusals}
            for row, event in step:
                why = refused.get(id(event))
                if why is not None and why.reason in _LATER:
                    again.append((row, event, why))
                elif why is not None:
                    self.out.refused.append(f"{event.id}: {why.reason}")
            self._note(done.loan, done.outcomes, latest)
        return again

    def _fold(self, events: Sequence[Event], at: datetime, *, back: bool) -> Applied:
        """Intake has the earlier claims at hand only when an event reaches back in time."""
        buckets, home = self.buckets(at), self.history.row["home"]
        if self.loan is None or back:
            return apply(self.loan, events, at, buckets, home)
        done = apply(replace(self.loan, claims=()), events, at, buckets, home)
        loan = _known(done.loan)
        return replace(done, loan=replace(loan, claims=(*self.loan.claims, *loan.claims)))

    def _note(self, loan: Loan | None, outcomes: Sequence[Numbered], at: datetime) -> None:
        self.loan = loan
        self.out.told += outcomes
        if loan is not None:
            self.out.instants.append(at)
            self.out.states.append(loan)

    def _end_before(self, at: datetime | None) -> None:
        """Ends of the ladder that came before the facts of `at`; at the same instant the number tells."""
        while self.ends and self.loan is not None:
            end = self.ends[0]
            if at is not None and end["occurred_at"] > at:
                return
            if end["occurred_at"] == at and end["seq"] != self._next_seq(end["occurred_at"]):
                return
            self._end(self.ends.pop(0))

    def _next_seq(self, at: datetime) -> int:
        assert self.loan is not None
        return _known(crossed(self.loan, at, self.buckets(at)).loan).outcome_seq + 1

    def _end(self, row: Any) -> None:
        at = row["occurred_at"]
        passed = crossed(_known(self.loan), at, self.buckets(at))
        loan = _known(passed.loan)
        account = Account(loan.currency, self.buckets(at))
        said = charge_off(loan.facts, at, account, str(row["data"].get("stage")))
        after, numbered = told(loan, said)
        after = replace(after, contact_ended_at=at)
        self._note(after, [*passed.outcomes, numbered], at)

    def _move(self, row: Any) -> None:
        """A person moved: days count in the new zone from then on; what the old zone began was told."""
        loan, zone, at = self.loan, row["zone"], row["received_at"]
        if loan is None or loan.now.status is not Status.OPEN or zone == loan.facts.zone:
            return
        self._end_before(at)
        passed = crossed(_known(self.loan), at, self.buckets(at))
        moved = _known(passed.loan)
        facts = replace(moved.facts, zone=zone)
        next_at = next_crossing(moved.now, moved.bucket, self.buckets(at), zone)
        moved = replace(moved, facts=facts, next_bucket_at=next_at, anchor_since=at)
        self._note(moved, passed.outcomes, at)


def _known(loan: Loan | None) -> Loan:
    assert loan is not None
    return loan


def _event(row: Any) -> Event:
    read = parse_event(
        {
            "id": row["id"],
            "source": row["source"],
            "type": row["type"],
            "subject": row["subject"],
            "time": row["at"].isoformat(),
            "data": row["data"],
        }
    )
    assert isinstance(read, Event), f"a stored event no longer reads: {row['id']}"
    return read


def derive(history: History, buckets: Buckets) -> Derived:
    """Everything that follows from a loan's stored events."""
    return _Course(history, buckets).walk()


def with_time(
    found: Derived, until: datetime, buckets: Buckets
) -> tuple[Loan | None, list[Numbered]]:
    """The course with the buckets that time alone brought by `until`."""
    if found.loan is None:
        return None, found.told
    passed = crossed(found.loan, until, buckets(until))
    return passed.loan, [*found.told, *passed.outcomes]


def wrong_outcomes(rows: Sequence[Any], numbered: Sequence[Numbered]) -> str | None:
    """The first difference between the outcomes told and those derived; None if they are equal."""
    for row, item in zip(rows, numbered, strict=False):
        outcome = item.outcome
        if not _same(row, item.seq, outcome):
            return (
                f"number {row['seq']} is {row['type']} of {row['occurred_at']} {row['data']}, "
                f"derived {outcome.type} of {outcome.occurred_at} {dict(outcome.data)}"
            )
    if len(rows) != len(numbered):
        return f"{len(rows)} outcomes were told, {len(numbered)} derived"
    return None


def _same(row: Any, seq: int, outcome: Outcome) -> bool:
    return bool(
        row["seq"] == seq
        and row["type"] == outcome.type
        and row["occurred_at"] == outcome.occurred_at
        and row["corrects"] == outcome.corrects
        and row["data"] == outcome.data
    )


def wrong_columns(row: Any, loan: Loan) -> str | None:
    """Derived columns of the loan's row that do not follow from its events."""
    derived = {
        "status": loan.now.status.value,
        "anchor": loan.now.anchor,
        "balance_minor": loan.now.balance_minor,
        "paid_minor": loan.now.paid_minor,
        "bucket": loan.bucket,
        "zone": loan.facts.zone,
        "contact_ended_at": loan.contact_ended_at,
    }
    wrong = [
        f"{name} is {row[name]}, derived {value}"
        for name, value in derived.items()
        if row[name] != value
    ]
    return ", ".join(wrong) or None


def states_at(found: Derived, at: datetime) -> Iterator[Loan]:
    """The loan at an instant; twice where it changed at that very instant, for either order is right."""
    before, upto = bisect_left(found.instants, at), bisect_right(found.instants, at)
    for index in {before, upto}:
        if index:
            yield found.states[index - 1]


def wrong_attempt(row: Any, found: Derived) -> str | None:
    """Why this attempt should not have begun by what was known then; None if it should."""
    why = "the loan was not known"
    for loan in states_at(found, row["begun_at"]):
        if loan.now.status is not Status.OPEN:
            why = f"the loan was {loan.now.status}"
        elif loan.now.anchor != row["anchor"]:
            why = f"the anchor was {loan.now.anchor}"
        elif loan.contact_ended_at is not None and loan.contact_ended_at < row["begun_at"]:
            why = f"contact had ended at {loan.contact_ended_at}"
        else:
            return None
    return f"{row['stage']} {row['anchor']} at {row['begun_at']}: {why}"


def wrong_amount(row: Any, found: Derived) -> str | None:
    """The amount of an attempt where it was not what was due then; None if it was."""
    due = set()
    for loan in states_at(found, row["begun_at"]):
        amount = amount_due(loan.facts, local_date(row["begun_at"], loan.facts.zone))
        if amount == row["amount_minor"] and loan.currency == row["currency"]:
            return None
        due.add(f"{amount} {loan.currency}")
    asked = f"{row['amount_minor']} {row['currency']}"
    return f"{row['stage']} {row['anchor']} at {row['begun_at']}: asked {asked}, due {' or '.join(due)}"
