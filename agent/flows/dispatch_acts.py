"""What a stage does that is no message: a case for a person, an outcome, the end of contact."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from agent.domain.account import Loan, Numbered, crossed, told
from agent.domain.ladder import Action, Stage
from agent.domain.outcome import Account, OutcomeType, told_by_stage
from agent.flows.intake_loans import outcome_row
from agent.flows.lane import Lane
from agent.store.dispatch import Move, NoticeRow
from agent.store.intake import StoredLoan, insert_outcomes, load_loans, update_loans
from agent.store.sql import Connection, execute


@dataclass(frozen=True, slots=True)
class Act:
    """A notice whose stage acts instead of speaking; the gate has let it pass."""

    notice: NoticeRow
    stage: Stage
    loan_ref: str


async def store_acts(conn: Connection, lane: Lane, acts: Sequence[Act], now: datetime) -> None:
    """Do what the stages say, in the transaction that decided it."""
    if not acts:
        return
    await _open_cases(conn, lane, [act for act in acts if act.stage.action is Action.CASE], now)
    last_words = [
        act for act in acts if act.stage.action is Action.OUTCOME or act.stage.ends_contact
    ]
    if last_words:
        await _tell(conn, lane, last_words, now)


async def _open_cases(conn: Connection, lane: Lane, acts: Sequence[Act], now: datetime) -> None:
    if not acts:
        return
    await execute(
        conn,
        "open_cases",
        portfolio=lane.portfolio.id,
        now=now,
        kinds=[act.stage.case or "call" for act in acts],
        subjects=[f"loan {act.loan_ref}" for act in acts],
        loans=[act.notice.loan_id for act in acts],
        borrowers=[act.notice.borrower_id for act in acts],
        details=[_detail(act) for act in acts],
    )


def _detail(act: Act) -> str:
    detail = {"stage": act.notice.stage, "anchor": act.notice.anchor}
    return orjson.dumps(detail).decode()


async def _tell(conn: Connection, lane: Lane, acts: Sequence[Act], now: datetime) -> None:
    portfolio_id = lane.portfolio.id
    keys = [(portfolio_id, act.notice.loan_id) for act in acts]
    loans = await load_loans(conn, keys, frozenset())
    outcomes: list[tuple[StoredLoan, Numbered]] = []
    for act, key in zip(acts, keys, strict=True):
        # one loan may have two words in a batch: the second is numbered after the first
        at = loans[key]
        loan, numbered = _last_words(at.loan, act.stage, lane.portfolio.ladder.buckets, now)
        loans[key] = at._replace(loan=loan)
        outcomes += [(at, one) for one in numbered]
    await update_loans(conn, list(loans.values()))
    rows = [outcome_row(at.portfolio_id, at.id, one, now) for at, one in outcomes]
    await insert_outcomes(conn, rows)


def _last_words(
    loan: Loan, stage: Stage, buckets: tuple[int, ...], now: datetime
) -> tuple[Loan, list[Numbered]]:
    """Time that has passed is told first, so that the recommendation follows its bucket."""
    caught_up = crossed(loan, now, buckets)
    assert caught_up.loan is not None
    loan, numbered = caught_up.loan, list(caught_up.outcomes)
    if stage.action is Action.OUTCOME:
        account = Account(loan.currency, buckets)
        outcome = told_by_stage(
            OutcomeType(stage.outcome or ""), loan.facts, now, account, stage.id
        )
        loan, one = told(loan, outcome)
        numbered.append(one)
    return loan._replace(contact_ended_at=now) if stage.ends_contact else loan, numbered


async def open_failure_cases(
    conn: Connection, lane: Lane, failed: Sequence[Move], now: datetime
) -> None:
    """A notice that no channel took is work for a person."""
    if failed:
        await execute(
            conn,
            "open_cases",
            portfolio=lane.portfolio.id,
            now=now,
            kinds=["undeliverable" for _ in failed],
            subjects=[f"loan-id {move.key[0]}" for move in failed],
            loans=[move.key[0] for move in failed],
            borrowers=[None for _ in failed],
            details=[
                orjson.dumps({"stage": m.key[2], "anchor": m.key[1], "reason": m.reason}).decode()
                for m in failed
            ],
        )


async def open_text_cases(
    conn: Connection, lane: Lane, broken: Mapping[str, Iterable[str]], now: datetime
) -> None:
    """A text that breaks a rule is work for whoever wrote it: one case, however many would get it."""
    if broken:
        await execute(
            conn,
            "open_cases",
            portfolio=lane.portfolio.id,
            now=now,
            kinds=["text-refused" for _ in broken],
            subjects=[f"text {text}" for text in broken],
            loans=[None for _ in broken],
            borrowers=[None for _ in broken],
            details=[orjson.dumps({"rules": list(rules)}).decode() for rules in broken.values()],
        )
