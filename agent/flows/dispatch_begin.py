"""Begin: claim due notices, lock, read, ask the gate, write down what is about to be sent.

One transaction. What it commits is the only thing that may leave; "after a payment" and "before a
STOP" are comparisons of the `rev` that it raises, never of clocks.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from agent.clock import new_token
from agent.domain.alike import Kinds
from agent.domain.delivery import DISPATCH_WINDOW, AttemptState, NoticeState
from agent.domain.frame import Role
from agent.domain.gate import Decision, Point, Verdict, good_for
from agent.domain.ladder import Action, Problem
from agent.domain.message import Composed, Wording, compose, text_name
from agent.flows.carriers import Traffic, Traffics, note_probes, note_turns, read_traffic
from agent.flows.dispatch_acts import Act, open_failure_cases, open_text_cases, store_acts
from agent.flows.dispatch_case import Case, case_of, today_in
from agent.flows.dispatch_conduct import Conduct, address_of, read_conduct
from agent.flows.dispatch_texts import setting_of
from agent.flows.lane import Lane, ladder_for
from agent.flows.own_texts import with_own_texts
from agent.store.begun import NewAttempt, NewDecision, begin_attempts, insert_decisions
from agent.store.connect import LOST
from agent.store.dispatch import (
    Facts,
    Move,
    NoticeKey,
    PointRow,
    claim_due,
    move_notices,
    read_facts,
)
from agent.store.keyring import body_place, seal
from agent.store.sql import Connection, fetch
from channels.base import Message
from channels.crash_points import CrashPoint, reached

BUSY_FIRST = timedelta(seconds=30)
BUSY_MAX = timedelta(minutes=10)


class Outgoing(NamedTuple):
    """An attempt that is written down and may now be sent, once, before its deadline."""

    message: Message
    key: NoticeKey
    fence: int
    route: int
    routes: int
    fallback_after: timedelta | None
    point_id: int
    address_key: bytes
    borrower_id: int


@dataclass(frozen=True, slots=True)
class Begun:
    claimed: int = 0
    sent_off: tuple[Outgoing, ...] = ()
    snoozed: int = 0
    cancelled: int = 0
    acted: int = 0
    # a sender's line is full: what is due next has to wait too
    waiting: bool = False


@dataclass(slots=True)
class _Batch:
    """What the decisions of one begin add up to, before it is written."""

    portfolio: int
    now: datetime
    kinds: Kinds
    deadline_at: datetime
    deadline: float
    portfolio_rev: int = 0
    decisions: list[tuple[Case, Decision]] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    attempts: list[NewAttempt] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    taken_numbers: set[tuple[str, bytes]] = field(default_factory=set)
    traffic: Traffics = field(default_factory=Traffics)
    conduct: Conduct = field(default_factory=Conduct)
    # texts that kept notices from going out, and the rules that they break
    broken: dict[str, dict[str, None]] = field(default_factory=dict)


async def begin(lane: Lane, most: int | None = None) -> Begun:
    """Begin up to one batch, or up to `most` notices. After a lost COMMIT attempts are read back by token.

    The deadline counts from before the commit was asked for, on the monotonic clock.
    """
    now = lane.clock.now()
    deadline = lane.clock.monotonic() + DISPATCH_WINDOW.total_seconds()
    batch = _Batch(lane.portfolio.id, now, Kinds(now), now + DISPATCH_WINDOW, deadline)
    try:
        async with lane.pool.acquire() as conn, conn.transaction():
            claimed = await _begin(conn, lane, batch, most or lane.limits.batch)
            reached(CrashPoint.BEGIN_WRITTEN)
    except LOST:
        # at COMMIT that leaves it open whether it happened
        if not await _committed(lane, batch):
            raise
        claimed = len(batch.decisions)
    reached(CrashPoint.BEGIN_COMMITTED)
    return _begun(batch, claimed)


async def _begin(conn: Connection, lane: Lane, batch: _Batch, most: int) -> int:
    notices = await claim_due(conn, lane.portfolio.id, batch.now, most)
    if not notices:
        return 0
    facts = await read_facts(conn, lane.portfolio.id, notices, batch.now)
    batch.portfolio_rev = facts.rev
    lane = await with_own_texts(conn, lane, facts.texts)
    reached(CrashPoint.BEGIN_CLAIMED)
    batch.traffic = await read_traffic(conn, lane, facts, batch.now)
    batch.conduct = await read_conduct(conn, lane, facts)
    ladders = {
        version: await ladder_for(conn, lane.portfolio, version)
        for version in {notice.version for notice in notices}
    }
    for notice in notices:
        case = case_of(notice, ladders[notice.version], facts, lane, batch.kinds, batch.conduct)
        decision = _decide(case, batch)
        batch.decisions.append((case, decision))
        for text, rule in decision.texts:
            batch.broken.setdefault(text, {})[rule] = None
        _follow(case, decision, facts, lane, batch)
    await _write(conn, lane, batch)
    await note_probes(conn, lane, batch.traffic, batch.outgoing)
    await note_turns(conn, lane, batch.traffic, batch.now)
    return len(notices)


async def _committed(lane: Lane, batch: _Batch) -> bool:
    tokens = [outgoing.message.token for outgoing in batch.outgoing]
    if not tokens:
        return False
    async with lane.pool.acquire() as conn:
        rows = await fetch(conn, "begun_tokens", portfolio=lane.portfolio.id, tokens=tokens)
    return len(rows) == len(tokens)


def _begun(batch: _Batch, claimed: int) -> Begun:
    verdicts = [decision.verdict for _, decision in batch.decisions]
    return Begun(
        claimed,
        tuple(batch.outgoing),
        verdicts.count(Verdict.SNOOZE),
        verdicts.count(Verdict.CANCEL),
        len(batch.acts),
        batch.traffic.waiting,
    )


def _decide(case: Case, batch: _Batch) -> Decision:
    decision = case.common.decide(case.facts)
    point = decision.point
    if decision.verdict is not Verdict.SEND or point is None:
        return decision
    row = _row_of(case, point)
    taken = (point.channel, row.address_key) in batch.taken_numbers
    if taken or row.busy_since is not None:
        # one unsettled attempt a number: a provider's list could not tell two apart
        since = batch.now if row.busy_since is None else row.busy_since
        return Decision(Verdict.SNOOZE, ("number-busy",), batch.now + busy_for(batch.now - since))
    if (traffic := batch.traffic.of(point.id)) is not None:
        waits = traffic.wait(point.id, batch.now)
        if waits is not None:
            return Decision(Verdict.SNOOZE, (waits[0],), waits[1])
    batch.taken_numbers.add((point.channel, row.address_key))
    return decision


def busy_for(age: timedelta) -> timedelta:
    """How long to leave a number alone whose attempt is that old: most settle within seconds."""
    return min(max(age, BUSY_FIRST), BUSY_MAX)


def _row_of(case: Case, point: Point) -> PointRow:
    for row in case.points:
        if row.point is point:
            return row
    raise AssertionError("the gate names one of the points it was shown")


def _follow(case: Case, decision: Decision, facts: Facts, lane: Lane, batch: _Batch) -> None:
    match decision.verdict:
        case Verdict.SNOOZE:
            batch.moves.append(_move(case, case.notice.state, next_at=decision.until))
        case Verdict.CANCEL if case.facts.delivered or (
            case.notice.state == NoticeState.AWAITING_RECEIPT
        ):
            # an earlier channel did accept it: only the next one is off
            batch.moves.append(_move(case, NoticeState.SENT))
        case Verdict.CANCEL:
            reason = decision.rules[0]
            batch.moves.append(_move(case, NoticeState.CANCELLED, reason=reason))
        case Verdict.SEND if case.stage is not None and case.stage.action is not Action.MESSAGE:
            batch.acts.append(Act(case.notice, case.stage, case.loan.ref))
            batch.moves.append(_move(case, NoticeState.DONE))
        case Verdict.SEND:
            _send_off(case, decision, facts, lane, batch)


def _move(
    case: Case,
    state: str,
    *,
    next_at: datetime | None = None,
    reason: str | None = None,
) -> Move:
    notice = case.notice
    return Move(case.key, notice.fence, state, next_at, notice.route, reason)


def _send_off(case: Case, decision: Decision, facts: Facts, lane: Lane, batch: _Batch) -> None:
    assert decision.point is not None
    assert case.stage is not None
    assert case.stage.message is not None
    row = _row_of(case, decision.point)
    today = today_in(case.loan.zone, batch.now)
    amount = case.loan.amount_due(today)
    wording = Wording(
        lane.portfolio.lender, case.loan.ref, amount, case.loan.currency, case.notice.anchor, today
    )
    opened = address_of(batch.conduct, row, case.person, lane)
    if opened is None:
        # one damaged row must not stop the others
        batch.moves.append(_move(case, NoticeState.FAILED, reason="unreadable-address"))
        return
    key, address = opened
    third = lane.portfolio.role is Role.THIRD_PARTY
    first = third and batch.conduct.is_first(facts, case.notice.loan_id, case.person.id)
    region = case.person.region
    setting = setting_of(case.stage, row.point.channel, address, lane, region, first=first)
    composed = compose(
        lane.texts, case.stage.message, row.point.channel, case.person.locale, wording, setting
    )
    if isinstance(composed, Problem):
        batch.moves.append(_move(case, NoticeState.FAILED, reason="no-text"))
        return
    if (traffic := batch.traffic.of(row.point.id)) is not None:
        if (problem := _text_refused(row, composed, traffic)) is not None:
            batch.moves.append(_move(case, NoticeState.FAILED, reason=problem))
            return
        traffic.charge(composed.body)
    outgoing = _outgoing(case, row, composed, address, lane, batch)
    batch.outgoing.append(outgoing)
    sealed = seal(key, composed.body.encode(), body_place(outgoing.message.token))
    template = text_name(composed.locale, case.stage.message, composed.version)
    batch.attempts.append(_attempt(case, row, outgoing, amount, template, sealed, batch))
    facts.contacts.setdefault(case.person.id, []).append((case.key, batch.now, row.point.channel))


def _text_refused(row: PointRow, composed: Composed, traffic: Traffic) -> str | None:
    country = traffic.countries.get(row.point.id, "")
    refused = traffic.carrier.text_refused(country, composed.body)
    return None if refused is None else f"text-{refused}"


def _outgoing(
    case: Case, row: PointRow, composed: Composed, address: str, lane: Lane, batch: _Batch
) -> Outgoing:
    assert case.stage is not None
    token, channel, channels = new_token(batch.now), row.point.channel, case.stage.channels
    message = Message(
        token, channel, row.provider, address, composed.title, composed.body, batch.deadline,
        f"{lane.status_url}/{token}" if lane.status_url else None,
        _good_for(case, row.point, lane, batch), row.told_at,
        *(_names(case, lane) if channel in lane.kept else _NAMELESS),
    )  # fmt: skip
    return Outgoing(
        message, case.key, case.notice.fence + 1, channels.index(channel), len(channels),
        case.stage.fallback_after, row.point.id, row.address_key, case.person.id,
    )  # fmt: skip


_NAMELESS = (None, None)


def _names(case: Case, lane: Lane) -> tuple[str, str]:
    """Opaque names of the notice and of the loan, by which a phone knows a double."""
    portfolio, notice = lane.portfolio.id, case.notice
    loan = f"{portfolio}/{notice.loan_id}"
    return (
        lane.keyring.blind("notice", f"{loan}/{notice.anchor}/{notice.stage}").hex(),
        lane.keyring.blind("loan", loan).hex(),
    )


def _good_for(case: Case, point: Point, lane: Lane, batch: _Batch) -> int | None:
    """Seconds that the provider may keep a message: its contact window ends what it may do with it."""
    if point.channel not in lane.carriers and point.channel not in lane.kept:
        return None
    packs = case.rules.packs
    longest = good_for(case.facts, packs, batch.now, point.channel)
    traffic = batch.traffic.of(point.id)
    if traffic is not None and point.id in traffic.closes:
        longest = min(longest, traffic.closes[point.id] - batch.now)
    return int(longest.total_seconds())


def _attempt(
    case: Case,
    row: PointRow,
    outgoing: Outgoing,
    amount: int,
    template: str,
    sealed: bytes,
    batch: _Batch,
) -> NewAttempt:
    return NewAttempt(
        batch.portfolio, outgoing.message.token, *outgoing.key, case.person.id, row.point.id,
        row.point.channel, row.address_key, outgoing.fence, AttemptState.BEGUN, batch.now,
        batch.deadline_at, batch.deadline_at, case.person.rev, row.rev, batch.portfolio_rev, amount,
        case.loan.currency, template, sealed,
    )  # fmt: skip


async def _write(conn: Connection, lane: Lane, batch: _Batch) -> None:
    await insert_decisions(conn, [_stored(*made, batch) for made in batch.decisions])
    await begin_attempts(conn, batch.attempts, [one.route for one in batch.outgoing])
    await store_acts(conn, lane, batch.acts, batch.now)
    await move_notices(conn, lane.portfolio.id, batch.moves, batch.now)
    failed = [move for move in batch.moves if move.state == NoticeState.FAILED]
    await open_failure_cases(conn, lane, failed, batch.now)
    await open_text_cases(conn, lane, batch.broken, batch.now)


def _stored(case: Case, decision: Decision, batch: _Batch) -> NewDecision:
    return NewDecision(
        batch.portfolio, *case.key, batch.now, decision.verdict, decision.until, decision.rules,
        case.common.fingerprint(case.facts), case.rules.versions, case.loan.zone, case.person.rev,
    )  # fmt: skip
