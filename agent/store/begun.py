"""What a begin writes down: every decision, and an attempt for each message that may leave."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from agent.domain.delivery import AttemptState
from agent.store.packed import (
    DATE,
    INSTANT,
    INT4,
    OWN_BYTES,
    OWN_INT8,
    OWN_TEXT,
    TEXT,
    TEXTS,
    Layout,
    copy_packed,
)
from agent.store.sql import Connection, fetch_value


class NewDecision(NamedTuple):
    """A row of `decision`."""

    portfolio_id: int
    loan_id: int
    anchor: date
    stage: str
    decided_at: datetime
    verdict: str
    until_at: datetime | None
    rules: tuple[str, ...]
    facts_hash: bytes
    packs: str
    zone: str
    person_rev: int


class NewAttempt(NamedTuple):
    """A row of `attempt`."""

    portfolio_id: int
    token: str
    loan_id: int
    anchor: date
    stage: str
    borrower_id: int
    contact_point_id: int
    channel: str
    address_key: bytes
    fence: int
    state: AttemptState
    begun_at: datetime
    deadline_at: datetime
    look_at: datetime
    person_rev: int
    number_rev: int
    portfolio_rev: int
    amount_minor: int
    currency: str
    template: str
    body: bytes


DECISION = Layout(
    "decision", NewDecision._fields,
    (INT4, OWN_INT8, DATE, TEXT, INSTANT, TEXT, INSTANT, TEXTS, OWN_BYTES, TEXT, TEXT, OWN_INT8),
)  # fmt: skip
ATTEMPT = Layout(
    "attempt", NewAttempt._fields,
    (INT4, OWN_TEXT, OWN_INT8, DATE, TEXT, OWN_INT8, OWN_INT8, TEXT, OWN_BYTES, INT4, TEXT, INSTANT,
     INSTANT, INSTANT, OWN_INT8, OWN_INT8, OWN_INT8, OWN_INT8, TEXT, TEXT, OWN_BYTES),
)  # fmt: skip


async def insert_decisions(conn: Connection, decisions: Sequence[NewDecision]) -> None:
    """What the gate answered, every failing rule, and a hash of the facts it looked at."""
    await copy_packed(conn, DECISION, decisions)


# anchor, stage, fence, route
_Step = tuple[date, str, int, int]


async def begin_attempts(
    conn: Connection, attempts: Sequence[NewAttempt], routes: Sequence[int]
) -> None:
    """Write down what is about to be sent, and that its notices are being sent by these routes.

    Under the locks of their numbers none of them has an unsettled attempt. If one had after all, its
    unique index would undo the whole batch.
    """
    if not attempts:
        return
    steps: dict[_Step, int] = {}
    taken = [
        steps.setdefault((one.anchor, one.stage, one.fence, route), len(steps) + 1)
        for one, route in zip(attempts, routes, strict=True)
    ]
    anchors, stages, fences, ways = zip(*steps, strict=True)
    sending = await fetch_value(
        conn,
        "notices_sending",
        portfolio=attempts[0].portfolio_id,
        deadline=attempts[0].deadline_at,
        loans=[one.loan_id for one in attempts],
        steps=taken,
        anchors=anchors,
        stages=stages,
        fences=fences,
        routes=ways,
    )
    assert sending == len(attempts), "a notice moved under its lock"
    await copy_packed(conn, ATTEMPT, attempts)
