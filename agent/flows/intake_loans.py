"""Loans: load the facts, apply the events (domain), write back facts, derived columns and outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.domain.account import Applied, Loan, Numbered, apply, move_zone, reaches_back
from agent.domain.event import ABOUT_PEOPLE, Opened
from agent.domain.ladder import FOR_EVER, Plannable
from agent.domain.standing import Payment, Status
from agent.flows.intake_work import People
from agent.flows.passed_over import CalledOff, Passed, call_off, called_off
from agent.flows.portfolios import Portfolio
from agent.flows.routing import PARKED, Item, Places
from agent.store.intake import (
    NewLoan,
    StoredLoan,
    insert_instalments,
    insert_loans,
    insert_outcomes,
    insert_payments,
    instalment_rows,
    load_loans,
    new_ids,
    update_loans,
)
from agent.store.sql import Connection, execute, fetch

Ref = tuple[int, str]


@dataclass(slots=True)
class Work:
    """One loan of a batch."""

    portfolio_id: int
    items: list[Item]
    id: int = 0
    before: StoredLoan | None = None
    loan: Loan | None = None
    told: list[Numbered] = field(default_factory=list)
    # where it changed under a hold, and what that calls off
    passed: list[Passed] = field(default_factory=list)
    called_off: list[CalledOff] = field(default_factory=list)


async def load_works(
    conn: Connection, places: Places, people: People, items: Sequence[Item]
) -> list[Work]:
    """The loans that a batch is about, as stored; those whose owner moved, too."""
    works = _by_loan(items)
    stored = await _load(conn, places, people, works)
    for key, work in works.items():
        work.before = stored.get(key)
        work.loan = work.before.loan if work.before else None
    unknown = [work for work in works.values() if work.before is None]
    ids = await new_ids(conn, "loan_seq", len(unknown))
    for work, identity in zip(unknown, ids, strict=True):
        work.id = identity
    return list(works.values())


def apply_loans(
    works: Sequence[Work], portfolios: dict[int, Portfolio], people: People
) -> list[Work]:
    """Apply each loan's events; returns the loans that stand then, a refusal is noted on its item."""
    for work in works:
        portfolio = portfolios[work.portfolio_id]
        _move(work, people, portfolio.ladder.buckets)
        _apply_all(work, portfolio.ladder.buckets, _home(work, people) or portfolio.zone)
        _come_home(work, people, portfolio.ladder.buckets)
        work.called_off = [row for one in work.passed for row in called_off(one, portfolio)]
    return [work for work in works if work.loan is not None]


def _by_loan(items: Sequence[Item]) -> dict[Ref, Work]:
    works: dict[Ref, Work] = {}
    for item in items:
        if item.refused is not None or isinstance(item.event.fact, ABOUT_PEOPLE):
            continue
        key = (item.portfolio_id, item.event.subject)
        if key not in works:
            works[key] = Work(item.portfolio_id, [])
        works[key].items.append(item)
        item.applies = True
    return works


async def _load(
    conn: Connection, places: Places, people: People, works: dict[Ref, Work]
) -> dict[Ref, StoredLoan]:
    keys = {(ref[0], found[0]): ref for ref in works if (found := places.loan_keys.get(ref))}
    moved = [p for p in people.by_id.values() if p.moved_at is not None and not p.is_new]
    if moved:
        rows = await fetch(
            conn,
            "open_loans_of",
            portfolios=[p.portfolio_id for p in moved],
            ids=[p.id for p in moved],
        )
        for row in rows:
            ref = (row["portfolio_id"], row["ref"])
            keys[row["portfolio_id"], row["id"]] = ref
            works.setdefault(ref, Work(ref[0], []))
    back = {key for key, ref in keys.items() if any(_reaches_back(i) for i in works[ref].items)}
    loans = await load_loans(conn, list(keys), back)
    return {keys[key]: loan for key, loan in loans.items()}


def _move(work: Work, people: People, buckets: tuple[int, ...]) -> None:
    """An open loan of a person who moved counts its days in the new zone from then on."""
    if work.before is None or work.loan is None or work.loan.now.status is not Status.OPEN:
        return
    owner = people.by_id[work.portfolio_id, work.before.borrower_id]
    if owner.moved_at is None or owner.zones[0] == work.loan.facts.zone:
        return
    zone = owner.zones[0]
    moved = move_zone(work.loan, zone, owner.moved_at, buckets)
    _note_passed(work, work.loan, moved.loan, owner.moved_at)
    work.loan = moved.loan
    work.told += moved.outcomes


def _home(work: Work, people: People) -> str | None:
    """Where a loan's owner lives in the ledger's words; a later loan need not say it again."""
    if work.before is not None:
        return None
    refs = (
        item.event.fact.person.ref for item in work.items if isinstance(item.event.fact, Opened)
    )
    owners = (people.by_ref.get((work.portfolio_id, ref)) for ref in refs)
    return next((owner.zones[0] for owner in owners if owner is not None and owner.zones), None)


def _come_home(work: Work, people: People, buckets: tuple[int, ...]) -> None:
    """A loan that is open now and was not before counts its days where its owner lives by then."""
    if work.before is not None and work.before.loan.now.status is Status.OPEN:
        return
    if work.loan is None or work.loan.now.status is not Status.OPEN:
        return
    zones = people.by_id[work.portfolio_id, _now_stored(work, people).borrower_id].zones
    if zones and zones[0] != work.loan.facts.zone:
        moved = move_zone(work.loan, zones[0], work.loan.anchor_since, buckets)
        work.loan = moved.loan
        work.told += moved.outcomes


def _reaches_back(item: Item) -> bool:
    return reaches_back(item.event, item.known_at)


def _apply_all(work: Work, buckets: tuple[int, ...], zone: str) -> None:
    """In order; what became known at one instant is applied as one step.

    An event that only lacked another of the same batch gets a second chance after it.
    """
    waiting = work.items
    while True:
        refused = _apply_once(work, waiting, buckets, zone)
        again = [item for item in refused if item.refused and item.refused.reason in PARKED]
        if not again or len(again) == len(waiting):
            return
        for item in again:
            item.refused = None
        waiting = again


def _apply_once(
    work: Work, items: Sequence[Item], buckets: tuple[int, ...], zone: str
) -> list[Item]:
    latest: datetime | None = None
    step: list[Item] = []
    for item in items:
        known_at = item.known_at if latest is None else max(latest, item.known_at)
        if step and latest is not None and known_at != latest:
            _step(work, step, latest, buckets, zone)
            step = []
        latest = known_at
        step.append(item)
    if latest is not None:
        _step(work, step, latest, buckets, zone)
    return [item for item in items if item.refused is not None]


def _step(
    work: Work, items: Sequence[Item], known_at: datetime, buckets: tuple[int, ...], zone: str
) -> None:
    applied: Applied = apply(work.loan, [item.event for item in items], known_at, buckets, zone)
    if applied.refusals:
        refusals = {id(event): why for event, why in applied.refusals}
        for item in items:
            item.refused = refusals.get(id(item.event))
    _note_passed(work, work.loan, applied.loan, known_at)
    work.loan = applied.loan
    work.told += applied.outcomes


def _note_passed(work: Work, before: Loan | None, after: Loan | None, at: datetime) -> None:
    """A held loan that counts anew: what came to it until now must not be forgotten with its anchor."""
    if work.before is None or not work.before.held or before is None or after is None:
        return
    if after.anchor_since != before.anchor_since and (then := _held(before)) is not None:
        stored = work.before
        passed = Passed(stored.portfolio_id, stored.id, stored.borrower_id, then, _held(after), at)
        work.passed.append(passed)


def _held(loan: Loan) -> Plannable | None:
    """A held loan as planning sees it; None if it would not be contacted anyway."""
    if loan.now.status is not Status.OPEN or loan.contact_ended_at is not None:
        return None
    assert loan.now.anchor is not None
    return Plannable(
        loan.facts.zone, open=True, anchor=loan.now.anchor, anchor_since=loan.anchor_since,
        held_until=FOR_EVER,
    )  # fmt: skip


@dataclass(slots=True)
class LoanRows:
    """What became of loans, as rows: made while PostgreSQL is still busy with those before them."""

    new: list[NewLoan] = field(default_factory=list)
    changed: list[StoredLoan] = field(default_factory=list)
    # loans whose schedule is written anew, and its parts
    scheduled: list[StoredLoan] = field(default_factory=list)
    parts: list[tuple[Any, ...]] = field(default_factory=list)
    payments: list[tuple[Any, ...]] = field(default_factory=list)
    reversed: list[tuple[int, int, Payment]] = field(default_factory=list)
    outcomes: list[tuple[Any, ...]] = field(default_factory=list)
    called_off: list[CalledOff] = field(default_factory=list)

    def add(self, work: Work, people: People) -> None:
        """One loan: facts, derived columns, outcomes."""
        at = _now_stored(work, people)
        if work.before is None:
            self.new.append(_new_loan(work, at))
        else:
            self.changed.append(at)
            self._add_parts(work.before, at)
        self._add_payments(work.before, at)
        for told in work.told:
            self.outcomes.append(_outcome(at, told))
        self.called_off += work.called_off

    def _add_parts(self, before: StoredLoan, at: StoredLoan) -> None:
        """A changed schedule is written whole; a fee alone adds its row."""
        if before.loan.facts.instalments != at.loan.facts.instalments:
            self.scheduled.append(at)
            self.parts += instalment_rows(at)

    def _add_payments(self, before: StoredLoan | None, at: StoredLoan) -> None:
        known = {p.ref: p for p in before.loan.facts.payments} if before else {}
        for p in at.loan.facts.payments:
            if p.ref not in known:
                self.payments.append(
                    (at.portfolio_id, at.id, p.ref, p.amount_minor, p.paid_at, p.known_at,
                     p.reversed_at)
                )  # fmt: skip
            elif p is not known[p.ref] and p.reversed_at != known[p.ref].reversed_at:
                self.reversed.append((at.portfolio_id, at.id, p))


async def write_loans(conn: Connection, rows: LoanRows) -> None:
    """Write what became of the loans."""
    await insert_loans(conn, rows.new)
    await update_loans(conn, rows.changed)
    if rows.scheduled:
        await execute(
            conn,
            "drop_instalments",
            portfolios=[at.portfolio_id for at in rows.scheduled],
            loans=[at.id for at in rows.scheduled],
        )
    await insert_instalments(conn, rows.parts)
    await insert_payments(conn, rows.payments)
    if rows.reversed:
        await execute(
            conn,
            "reverse_payments",
            portfolios=[pid for pid, _, _ in rows.reversed],
            loans=[loan for _, loan, _ in rows.reversed],
            refs=[payment.ref for _, _, payment in rows.reversed],
            ats=[payment.reversed_at for _, _, payment in rows.reversed],
        )
    await insert_outcomes(conn, rows.outcomes)
    await call_off(conn, rows.called_off)


def _now_stored(work: Work, people: People) -> StoredLoan:
    assert work.loan is not None
    if work.before is not None:
        return work.before._replace(loan=work.loan)
    opened = _opening(work)
    owner = people.by_ref[work.portfolio_id, opened.person.ref]
    return StoredLoan(work.portfolio_id, work.id, owner.id, work.loan)


def _opening(work: Work) -> Opened:
    return next(
        item.event.fact
        for item in work.items
        if isinstance(item.event.fact, Opened) and item.refused is None
    )


def _new_loan(work: Work, at: StoredLoan) -> NewLoan:
    opened = _opening(work)
    return NewLoan(at, opened.product, opened.principal_minor)


def _outcome(at: StoredLoan, told: Numbered) -> tuple[Any, ...]:
    return outcome_row(at.portfolio_id, at.id, told, told.outcome.occurred_at)


def outcome_row(
    portfolio_id: int, loan_id: int, told: Numbered, recorded_at: datetime
) -> tuple[Any, ...]:
    """One numbered outcome as a row, ready to be fed."""
    outcome = told.outcome
    return (
        portfolio_id, loan_id, told.seq, outcome.type, outcome.occurred_at, recorded_at,
        outcome.data, outcome.corrects, recorded_at, outcome.bucket,
    )  # fmt: skip
