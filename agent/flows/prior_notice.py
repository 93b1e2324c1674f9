"""Adverse outcomes wait for the notice that the law wants before them, and for its days.

Looked at whenever one is about to leave, by post or by pull, in the transaction that lets it go: until
then a notice that bounced, or a new pack, is seen. What was taken back while it waited is never told: the
ledger gets its number, so that the loan's others can follow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from agent.domain.adverse import (
    ADVERSE,
    Given,
    HeldBack,
    both,
    given_by,
    held_back,
    lacking_consent,
    objected,
)
from agent.domain.bureau import CHARGE_OFF, metro2_status
from agent.domain.conduct import PACK_MISSING
from agent.domain.feed import Told
from agent.domain.ladder_compile import BUREAU_REPORT
from agent.domain.money import decimal_text
from agent.domain.outcome import OutcomeType
from agent.flows.calendars import take_over
from agent.flows.portfolios import ladder_of
from agent.flows.rules import binding, installed
from agent.store import outcomes, prior_notice
from agent.store.outcomes import PutOff, Run
from agent.store.prior_notice import Ref, Standing
from agent.store.sql import Connection

CASE = "prior-notice"
CASE_DUE = timedelta(hours=24)
# How often to look again for what no date ends: somebody has to give the notice first.
LOOK_AGAIN = timedelta(hours=6)

Waits = Mapping[Ref, HeldBack]
_Course = tuple[int, date]


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of adverse outcomes: which wait, and which are never told."""

    waits: Waits
    withheld: frozenset[Ref]


_NOTHING = Judged({}, frozenset())


async def hold_back(
    conn: Connection, portfolio_id: int, runs: Sequence[Run], now: datetime
) -> list[Run]:
    """The runs as far as they may leave now; a loan that has to wait holds up no other."""
    adverse = [
        (run.loan_id, told.seq) for run in runs for told in run.outcomes if _is_adverse(told)
    ]
    judged = await judge(conn, portfolio_id, adverse, now)
    cut = [_cut(run, judged) for run in runs]
    waiting = [
        PutOff(
            run.loan_id, run.outcomes[0].seq, run.lease, failed=False, at=_again(run, judged, now)
        )
        for run, short in zip(runs, cut, strict=True)
        if not short.outcomes
    ]
    if waiting:
        await outcomes.put_off(conn, portfolio_id, waiting)
    return [run for run in cut if run.outcomes]


def _is_adverse(told: Told) -> bool:
    return told.type in ADVERSE and not told.withheld


def _cut(run: Run, judged: Judged) -> Run:
    """Up to the first outcome that waits; what is withheld goes as a bare number."""
    free: list[Told] = []
    for told in run.outcomes:
        ref = (run.loan_id, told.seq)
        if ref in judged.waits:
            break
        free.append(replace(told, withheld=True) if ref in judged.withheld else told)
    return replace(run, outcomes=tuple(free))


def _again(run: Run, judged: Judged, now: datetime) -> datetime:
    until = judged.waits[run.loan_id, run.outcomes[0].seq].until
    return max(until, now) if until is not None else now + LOOK_AGAIN


async def judge(conn: Connection, portfolio_id: int, refs: Sequence[Ref], now: datetime) -> Judged:
    """Which of these outcomes have to wait; written on their rows, with a case where people must act."""
    found = await prior_notice.standings(conn, portfolio_id, refs, now) if refs else []
    if not found:
        return _NOTHING
    await take_over(conn)
    given = await _given(conn, portfolio_id, found)
    held = {one.ref: why for one in found if (why := _held(one, given, now)) is not None}
    gone = frozenset(
        one.ref for one in found if one.ref in held and (one.taken_back or held[one.ref].never)
    )
    judged = Judged({ref: why for ref, why in held.items() if ref not in gone}, gone)
    await _write(conn, portfolio_id, found, judged, now)
    never = [(ref, held[ref].rules) for ref in gone if held[ref].never]
    await prior_notice.mark(conn, portfolio_id, sorted(never))
    return judged


def _held(
    one: Standing, given: Mapping[_Course, Sequence[Given]], now: datetime
) -> HeldBack | None:
    bound = binding(installed(one.packs), one.packs, one.region)
    if bound.missing:
        return HeldBack((PACK_MISSING,))
    notices = given.get((one.loan_id, one.anchor), ()) if one.anchor is not None else ()
    waits = held_back(bound.packs, notices, one.zones, now, one.role)
    lacking = lacking_consent(bound.packs, one.stated, one.zones, now, one.role)
    # no date brings a consent: somebody has to get it
    waits = both(waits, HeldBack(lacking) if lacking else None)
    return both(waits, objected(bound.packs, _facts(one), one.zones, now, one.role))


def _facts(one: Standing) -> dict[str, Any]:
    """What would be reported of the account as it stands now, and what the ledger states of it."""
    charged_off = one.type == OutcomeType.CHARGE_OFF
    own: dict[str, Any] = {
        "amount": decimal_text(max(0, one.overdue_minor), one.currency),
        "balance": decimal_text(max(0, one.balance_minor), one.currency),
        "currency": one.currency,
        "dpd": one.dpd,
        "status": CHARGE_OFF if charged_off else metro2_status(one.dpd),
        "dispute_open": bool(_DISPUTED.intersection(one.holds)),
    }
    if one.role is not None:
        own["role"] = one.role
    return {"disputed": own["dispute_open"], **one.stated, **own}


# Holds under which a debt is disputed.
_DISPUTED = frozenset({"dispute", "dispute_open"})


async def _given(
    conn: Connection, portfolio_id: int, found: Sequence[Standing]
) -> dict[_Course, list[Given]]:
    """The notices of these loans, by the due date that they were about."""
    zones = {one.loan_id: one.zones for one in found}
    given: dict[_Course, list[Given]] = {}
    rows = await prior_notice.attempts(conn, portfolio_id, list(zones))
    versions = {row["schedule_version"] for row in rows}
    sources = await prior_notice.schedules(conn, portfolio_id, versions)
    for row in rows:
        stage = ladder_of(sources[row["schedule_version"]]).stage(row["stage"])
        if stage is None or stage.notice_before != BUREAU_REPORT:
            continue
        notice = given_by(row["state"], row["begun_at"], zones[row["loan_id"]])
        if notice is not None:
            given.setdefault((row["loan_id"], row["anchor"]), []).append(notice)
    for row in await prior_notice.by_hand(conn, portfolio_id, list(zones), BUREAU_REPORT):
        given.setdefault((row["loan_id"], row["anchor"]), []).append(Given(row["given_on"]))
    return given


async def _write(
    conn: Connection, portfolio_id: int, found: Sequence[Standing], judged: Judged, now: datetime
) -> None:
    waits = judged.waits
    free = [one.ref for one in found if one.ref not in waits and one.ref not in judged.withheld]
    anew = [one.ref for one in found if one.ref in waits and waits[one.ref].rules != one.held_by]
    await prior_notice.let_go(conn, portfolio_id, free, now)
    await prior_notice.withhold(conn, portfolio_id, sorted(judged.withheld), now)
    await prior_notice.mark(conn, portfolio_id, [(ref, waits[ref].rules) for ref in anew])
    stuck = [one for one in found if one.ref in waits and waits[one.ref].until is None]
    cases = [_case(one, waits[one.ref]) for one in stuck]
    if cases:
        await outcomes.open_cases(conn, portfolio_id, CASE, cases, now, now + CASE_DUE)
    for one in found:
        if one.held_by and one not in stuck:
            await outcomes.close_case(conn, portfolio_id, CASE, one.loan, "duly", now)


def _case(one: Standing, why: HeldBack) -> outcomes.Case:
    """No day brings the end: the notice was not given or bounced, or a pack is missing."""
    return outcomes.Case(one.loan_id, "", {"sequence": one.seq, "rules": list(why.rules)})
