"""One loan re-derived from its stored events by the pure domain code, to compare with what was stored.

The only thing taken from the notices instead of the events is when a stage acted on the loan: that is
a fact of ours, not of the ledger's. What it told the ledger is derived again like the rest.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from agent.domain.account import (
    Applied,
    Loan,
    Numbered,
    apply,
    crossed,
    move_zone,
    reaches_back,
    told,
)
from agent.domain.calendar import local_date
from agent.domain.event import Event, Reason, Rejected
from agent.domain.event_reading import parse_event
from agent.domain.ladder import Action, Ladder, Stage
from agent.domain.outcome import BY_STAGE, Account, Outcome, OutcomeType, told_by_stage
from agent.domain.standing import Status, amount_due
from agent.store.invariants import History

_LATER = frozenset({Reason.UNKNOWN_LOAN, Reason.UNKNOWN_PAYMENT})


@dataclass(frozen=True, slots=True)
class Schedule:
    """A portfolio's ladders by version, and the buckets in force at an instant."""

    ladders: Mapping[int, Ladder]
    starts: Sequence[tuple[datetime, int]]

    def buckets(self, at: datetime) -> tuple[int, ...]:
        """Of the newest version that was active; before the first, of the first."""
        active = [version for start, version in self.starts if start <= at]
        return self.ladders[active[-1] if active else self.starts[0][1]].buckets

    def stage(self, row: Any) -> Stage | None:
        """The stage of an act, if the version it was planned by still has it."""
        ladder = self.ladders.get(row["schedule_version"])
        return ladder.stage(row["stage"]) if ladder else None


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

    def __init__(self, history: History, schedule: Schedule) -> None:
        self.history = history
        self.schedule = schedule
        self.buckets = schedule.buckets
        self.loan: Loan | None = None
        self.lives: str | None = None
        self.out = Derived(None, [], [], [], [])
        self.acts = [
            (row["at"], stage) for row in history.acts if (stage := _last_word(schedule, row))
        ]
        self.numbers = {
            row["occurred_at"]: row["seq"] for row in history.outcomes if row["type"] in BY_STAGE
        }

    def walk(self) -> Derived:
        """Steps of intake in their order; ends of the ladder and moves of zone in between."""
        moves = list(self.history.moves)
        for step, rows in groupby(self.history.events, key=itemgetter("step")):
            items = [(row, _event(row)) for row in rows]
            while moves and moves[0]["step"] <= step:
                self._move(moves.pop(0))
            was_open = self._is_open()
            self._take(items)
            if not was_open:
                self._come_home()
        for move in moves:
            self._move(move)
        self._act_before(None)
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
            events = [event for _, event in step]
            self._act_before(latest, events, back=back)
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
        buckets, home = self.buckets(at), self.lives or self.history.row["home"]
        if self.loan is None or back or not self.loan.claims:
            return apply(self.loan, events, at, buckets, home)
        done = apply(self.loan._replace(claims=()), events, at, buckets, home)
        loan = _known(done.loan)
        return done._replace(loan=loan._replace(claims=(*self.loan.claims, *loan.claims)))

    def _note(self, loan: Loan | None, outcomes: Sequence[Numbered], at: datetime) -> None:
        self.loan = loan
        self.out.told += outcomes
        if loan is not None:
            self.out.instants.append(at)
            self.out.states.append(loan)

    def _act_before(
        self, at: datetime | None, events: Sequence[Event] = (), *, back: bool = False
    ) -> None:
        """Acts that came before the facts of `at`.

        At one instant facts come first, unless the act's outcome has the number before theirs.
        """
        while self.acts and self.loan is not None:
            acted_at, stage = self.acts[0]
            if at is not None and acted_at > at:
                return
            if at == acted_at and not self._acted_first(at, events, back=back):
                return
            self.acts.pop(0)
            self._act(acted_at, stage)

    def _acted_first(self, at: datetime, events: Sequence[Event], *, back: bool) -> bool:
        passed = _known(crossed(_known(self.loan), at, self.buckets(at)).loan)
        facts = self._fold(events, at, back=back).loan
        told_by_facts = _known(facts).outcome_seq > passed.outcome_seq
        return told_by_facts and self.numbers.get(at) == passed.outcome_seq + 1

    def _act(self, at: datetime, stage: Stage) -> None:
        """What dispatch does for the ladder's last word: tell the time that passed, then the word."""
        passed = crossed(_known(self.loan), at, self.buckets(at))
        loan, numbered = _known(passed.loan), list(passed.outcomes)
        if stage.action is Action.OUTCOME:
            account = Account(loan.currency, self.buckets(at))
            kind = OutcomeType(stage.outcome or "")
            loan, one = told(loan, told_by_stage(kind, loan.facts, at, account, stage.id))
            numbered.append(one)
        self._note(loan._replace(contact_ended_at=at) if stage.ends_contact else loan, numbered, at)

    def _move(self, row: Any) -> None:
        """A person moved: days count in the new zone from then on; what the old zone began was told."""
        self.lives, at = str(row["zone"]), row["received_at"]
        if self._is_open() and self.lives != _known(self.loan).facts.zone:
            self._act_before(at)
            self._go(self.lives, at)

    def _come_home(self) -> None:
        """A loan that is open again counts its days where its owner lives now."""
        if self._is_open() and self.lives not in {None, _known(self.loan).facts.zone}:
            self._go(self.lives or "", _known(self.loan).anchor_since)

    def _go(self, zone: str, at: datetime) -> None:
        moved = move_zone(_known(self.loan), zone, at, self.buckets(at))
        self._note(moved.loan, moved.outcomes, at)

    def _is_open(self) -> bool:
        return self.loan is not None and self.loan.now.status is Status.OPEN


def _last_word(schedule: Schedule, row: Any) -> Stage | None:
    stage = schedule.stage(row)
    speaks = stage is not None and (stage.action is Action.OUTCOME or stage.ends_contact)
    return stage if speaks else None


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


def derive(history: History, schedule: Schedule) -> Derived:
    """Everything that follows from a loan's stored events."""
    return _Course(history, schedule).walk()


def with_time(
    found: Derived, until: datetime, schedule: Schedule
) -> tuple[Loan | None, list[Numbered]]:
    """The course with the buckets that time alone brought by `until`."""
    if found.loan is None:
        return None, found.told
    passed = crossed(found.loan, until, schedule.buckets(until))
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
