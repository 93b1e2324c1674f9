"""What a trial came to: the provider's own log and people's own STOPs against our rows."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

VOID = {"refused", "absent"}
# Our clock and the stand-in's are one; what differs is when each looks at it.
SKEW_SECONDS = 0.05


@dataclass(slots=True)
class Verdict:
    """Counts that add up over trials, and in words each thing that must not be."""

    notices: int = 0
    accepted: int = 0
    accepted_twice: int = 0
    lost: int = 0
    closed: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    closed_unknown: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Verdict") -> None:
        """Count another trial in."""
        self.notices += other.notices
        self.accepted += other.accepted
        self.accepted_twice += other.accepted_twice
        self.lost += other.lost
        self.closed_unknown += other.closed_unknown
        self.closed += other.closed
        self.attempts += other.attempts
        self.wrong += other.wrong


async def judge(
    conn: asyncpg.Connection,
    accepted: Sequence[Mapping[str, Any]],
    stops: Mapping[str, str],
    now: datetime,
) -> Verdict:
    """Compare what the provider accepted with what is written down, notice by notice.

    `stops` are the STOPs that people sent: message id by number.
    """
    verdict = Verdict(accepted=len(accepted))
    attempts = {row["token"]: row for row in await conn.fetch("select * from attempt")}
    heard = _by_notice(verdict, attempts, accepted)
    for row in await conn.fetch("select * from notice where due_at <= $1", now):
        _judge_notice(verdict, row, heard[_key(row)])
    for row in attempts.values():
        verdict.attempts[row["state"]] += 1
        _judge_attempt(verdict, row, {one["sid"] for one in heard[_key(row)]})
    verdict.closed_unknown = verdict.attempts["closed_unknown"]
    await _judge_stops(verdict, conn, stops)
    return verdict


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["loan_id"], row["anchor"], row["stage"])


def _by_notice(
    verdict: Verdict,
    attempts: Mapping[str, Mapping[str, Any]],
    accepted: Sequence[Mapping[str, Any]],
) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    """What was accepted for each notice; nothing leaves that was not written down, and nothing late."""
    heard: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for one in accepted:
        token = one["callback"].split("/")[-2]
        row = attempts.get(token)
        if row is None:
            verdict.wrong.append(f"{one['sid']} was accepted and is not written down")
            continue
        heard[_key(row)].append(one)
        at = datetime.fromisoformat(one["at"])
        if at < row["begun_at"] or (at - row["deadline_at"]).total_seconds() > SKEW_SECONDS:
            verdict.wrong.append(f"{token} was accepted at {at}, due by {row['deadline_at']}")
    return heard


def _judge_notice(
    verdict: Verdict, row: Mapping[str, Any], heard: Sequence[Mapping[str, Any]]
) -> None:
    """Accepted once, or closed with a reason that is on record."""
    verdict.notices += 1
    verdict.closed[f"{row['state']}{':' + row['reason'] if row['reason'] else ''}"] += 1
    who = f"{row['stage']} of loan {row['loan_id']} ({row['state']}, {row['reason']})"
    if len(heard) > 1:
        verdict.accepted_twice += 1
        verdict.wrong.append(f"{who} was accepted {len(heard)} times")
    unexplained = row["closed_at"] is None or (not heard and row["reason"] is None)
    if unexplained:
        verdict.lost += 1
        verdict.wrong.append(f"{who} was accepted {len(heard)} times and closed {row['closed_at']}")


def _judge_attempt(verdict: Verdict, row: Mapping[str, Any], sids: set[str]) -> None:
    """A state says the truth: void ones were never accepted, the others were, as that message."""
    state, sid = row["state"], row["provider_id"]
    if state in VOID and sid is not None:
        verdict.wrong.append(f"{row['token']} is {state} and was accepted as {sid}")
    if state not in VOID and sid not in sids:
        verdict.wrong.append(f"{row['token']} is {state}, as {sid}, which the provider has not")
    if state in {"accepted", "sent"}:
        verdict.wrong.append(f"{row['token']} is {state}, and the provider knows what became of it")
    if row["settled_at"] is None:
        verdict.wrong.append(f"{row['token']} is {state} and nothing settles it")


async def _judge_stops(
    verdict: Verdict, conn: asyncpg.Connection, stops: Mapping[str, str]
) -> None:
    """Each STOP is stored once and binds its number, whether its webhook arrived or not."""
    rows = await conn.fetch("select provider_id from inbound")
    stored = Counter(row["provider_id"] for row in rows)
    for sid in stops.values():
        if stored[sid] != 1:
            verdict.wrong.append(f"STOP {sid} is stored {stored[sid]} times")
    bound = await conn.fetchval("select count(*) from suppression where lifted_at is null")
    if bound != len(stops):
        verdict.wrong.append(f"{len(stops)} people said STOP, {bound} numbers are bound")
