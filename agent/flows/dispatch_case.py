"""What one notice's decision looks at: the facts read under the locks, as the gate wants them."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple

from agent.domain.alike import Common, Kinds
from agent.domain.calendar import local_date
from agent.domain.conduct import Contact, ContactFacts
from agent.domain.conduct_ways import Way
from agent.domain.delivery import NoticeState
from agent.domain.gate import GUARD, Hold, NoticeFacts
from agent.domain.ladder import Action, Ladder, Stage, superseded_at
from agent.domain.standing import Status
from agent.domain.zonetime import seconds_of
from agent.flows.dispatch_conduct import NOTHING, Conduct, Told, quiet_of, waived_by, ways_of
from agent.flows.dispatch_stopped import mark_stopped
from agent.flows.lane import Lane
from agent.flows.rules import Binding
from agent.store.dispatch import (
    Facts,
    LoanRow,
    NoticeKey,
    NoticeRow,
    PastContact,
    PersonRow,
    PointRow,
)

# to call an enumeration takes as long as to make a named tuple
_STATUSES = {status.value: status for status in Status}


class Case(NamedTuple):
    """One notice with what its decision needs."""

    notice: NoticeRow
    key: NoticeKey
    stage: Stage | None
    loan: LoanRow
    person: PersonRow
    facts: NoticeFacts
    points: tuple[PointRow, ...]
    rules: Binding
    common: Common


def case_of(
    notice: NoticeRow,
    ladder: Ladder | None,
    facts: Facts,
    lane: Lane,
    kinds: Kinds,
    conduct: Conduct = NOTHING,
) -> Case:
    """Put together what the gate asks of one notice, from what was read for its batch."""
    now, key = kinds.now, notice.key
    stage = ladder.stage(notice.stage) if ladder else None
    loan, person = facts.loans[notice.loan_id], facts.people[notice.borrower_id]
    rules = lane.rules_for(person.region)
    # an erased person's addresses cannot be read any more, so there is none
    points = tuple(facts.points.get(person.id, ())) if person.data_key is not None else ()
    if facts.stopped_texts and stage is not None:
        points = mark_stopped(points, facts.stopped_texts, stage, person, lane, conduct)
    overtaken = superseded_at(ladder, notice.stage, notice.anchor, loan.zone) if ladder else None
    gate_facts = NoticeFacts(
        loan=loan.ref,
        stage=notice.stage,
        action=stage.action if stage else Action.MESSAGE,
        anchor=notice.anchor,
        due_at=notice.due_at,
        not_after=notice.not_after,
        route=_still_to_try(notice, stage, now) if stage else (),
        status=_STATUSES[loan.status],
        loan_anchor=loan.anchor,
        contact_ended=loan.contact_ended,
        superseded_at=overtaken,
        holds=_holds(facts, notice) if facts.holds else (),
        pauses=_paused(facts, notice, loan, person) if facts.pauses else (),
        points=tuple([row.point for row in points]),
        contact=_contact_facts(facts, key, loan, person, lane, conduct, now),
        stage_known=stage is not None,
        paused_channels=_paused_channels(facts) if facts.pauses else (),
        missing_packs=rules.missing,
        delivered=key in facts.delivered,
        ways=_ways(facts, notice, stage, loan, person, points, lane, conduct, now)
        if conduct.asked
        else (),
    )
    common = kinds.of(gate_facts, rules.packs)
    return Case(notice, key, stage, loan, person, gate_facts, points, rules, common)


def _still_to_try(notice: NoticeRow, stage: Stage, now: datetime) -> tuple[str, ...]:
    """The channels in order. One that was tried and took nothing by the next one's time comes last."""
    left = stage.channels[notice.route :]
    if notice.fence == 0 or notice.route > 0 or stage.fallback_after is None or len(left) < 2:
        return left
    waiting = notice.state == NoticeState.WAITING
    late = now >= notice.due_at + stage.fallback_after
    return (*left[1:], left[0]) if waiting and late else left


def _ways(
    facts: Facts,
    notice: NoticeRow,
    stage: Stage | None,
    loan: LoanRow,
    person: PersonRow,
    points: tuple[PointRow, ...],
    lane: Lane,
    conduct: Conduct,
    now: datetime,
) -> tuple[Way, ...]:
    if stage is None or not (conduct.evidence or conduct.of_texts or conduct.of_loans):
        return ()
    first = conduct.is_first(facts, notice.loan_id, person.id)
    told = Told(stage, person, loan, first, _holds(facts, notice))
    return ways_of(conduct, points, told, lane, now)


def _paused(facts: Facts, notice: NoticeRow, loan: LoanRow, person: PersonRow) -> tuple[str, ...]:
    """The kill switches that cover a notice whichever way it goes."""
    covering = (
        ("all", ""), ("portfolio", ""), ("stage", notice.stage), ("loan", loan.ref),
        ("person", person.ref),
    )  # fmt: skip
    return tuple(scope for scope, subject in covering if (scope, subject) in facts.pauses)


def _paused_channels(facts: Facts) -> tuple[str, ...]:
    return tuple(sorted(subject for scope, subject in facts.pauses if scope == "channel"))


def _holds(facts: Facts, notice: NoticeRow) -> tuple[Hold, ...]:
    covering = facts.holds.get(notice.borrower_id, ())
    return tuple(hold for loan_id, hold in covering if loan_id in (None, notice.loan_id))


def _contact_facts(
    facts: Facts,
    key: NoticeKey,
    loan: LoanRow,
    person: PersonRow,
    lane: Lane,
    conduct: Conduct,
    now: datetime,
) -> ContactFacts:
    """House caps count notices, and a fallback of this one is not a second; the law counts contacts."""
    told = facts.contacts.get(person.id, ())
    wishes = bool(conduct.wishes)
    return ContactFacts(
        person.zones,
        _history(told, key) if told else (),
        GUARD,
        _earlier(told) if told else (),
        lane.portfolio.role,
        dpd=None if loan.anchor is None else (today_in(loan.zone, now) - loan.anchor).days,
        debt=str(loan.id),
        quiet=quiet_of(conduct, person.id) if wishes else (),
        consents=waived_by(conduct, person.id, lane.portfolio.role) if wishes else frozenset(),
    )


def _earlier(told: Sequence[PastContact]) -> tuple[Contact, ...]:
    return tuple([Contact(seconds_of(at), channel, debt=str(key[0])) for key, at, channel in told])


def _history(told: Sequence[PastContact], notice: NoticeKey) -> tuple[datetime, ...]:
    first: dict[NoticeKey, datetime] = {}
    for key, at, _ in told:
        first.setdefault(key, at)
    first.pop(notice, None)
    return tuple(first.values())


@lru_cache(maxsize=1024)
def today_in(zone: str, now: datetime) -> date:
    """The local date: every notice of a batch asks it at the same instant, in a few zones."""
    return local_date(now, zone)
