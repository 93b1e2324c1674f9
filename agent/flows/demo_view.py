"""What there is to see of a running demo, read from the rows and from the phones' own log."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg

from agent.domain.demo_people import Player, Story
from agent.domain.ladder import Ladder, Stage, bucket_name
from agent.flows.invariants import Finding
from agent.store.sql import Connection, fetch
from channels.sandbox.network import Heard

RECENT = 12
WENT_OUT = frozenset({"sent", "awaiting_receipt", "done"})
OPEN = frozenset({"waiting", "sending"})
NOT_TAKEN = frozenset({"refused", "absent"})


class Phase(StrEnum):
    """How far the demo is."""

    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message on a phone, or one that the network did not take (`body` is None)."""

    token: str
    at: datetime
    channel: str
    title: str | None
    body: str | None
    loan: str
    stage: str
    state: str
    code: str | None


@dataclass(frozen=True, slots=True)
class Phone:
    """One phone: whose it is, and what arrived, the newest first."""

    number: str
    players: tuple[Player, ...]
    bubbles: tuple[Bubble, ...]

    @property
    def arrived(self) -> int:
        return sum(bubble.body is not None for bubble in self.bubbles)


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of the ladder and its notices."""

    stage: Stage
    sent: int
    waiting: int
    kept_back: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """One answer of the gate against sending."""

    id: int
    at: datetime
    final: bool
    until: datetime | None
    rules: tuple[str, ...]
    stage: str
    loan: str
    who: Player


@dataclass(frozen=True, slots=True)
class Told:
    """One outcome and whether the ledger has acknowledged it."""

    loan: str
    seq: int
    type: str
    at: datetime
    zone: str
    data: Mapping[str, Any]
    acked: bool
    tries: int


@dataclass(frozen=True, slots=True)
class Check:
    """What the invariants said at an instant."""

    at: datetime
    findings: tuple[Finding, ...]

    @property
    def violated(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.violated)

    @property
    def held(self) -> int:
        return sum(not finding.violated and not finding.pending for finding in self.findings)

    @property
    def pending(self) -> int:
        return sum(finding.pending is not None for finding in self.findings)


@dataclass(frozen=True, slots=True)
class LedgerBook:
    """What the ledger itself says: how often it was called, and what it has to complain about."""

    arrivals: int = 0
    again: int = 0
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """One moment of the demo, complete."""

    serial: int
    phase: Phase
    at: datetime
    began: datetime
    ends: datetime
    events: int
    phones: tuple[Phone, ...]
    steps: tuple[Step, ...]
    rules: tuple[tuple[str, int], ...]
    refusals: tuple[Refusal, ...]
    outcomes: tuple[Told, ...]
    outcome_totals: tuple[tuple[str, int, int], ...]
    buckets: tuple[tuple[str, int], ...]
    cases: tuple[tuple[str, int], ...]
    ledger: LedgerBook
    check: Check | None

    @property
    def messages(self) -> int:
        return sum(phone.arrived for phone in self.phones)

    @property
    def day(self) -> int:
        return (self.at.date() - self.began.date()).days + 1

    @property
    def days(self) -> int:
        return max((self.ends.date() - self.began.date()).days + 1, self.day)

    @property
    def told(self) -> int:
        return sum(told for _, told, _ in self.outcome_totals)

    @property
    def acked(self) -> int:
        return sum(acked for _, _, acked in self.outcome_totals)

    @property
    def kept_back(self) -> int:
        return sum(step.kept_back for step in self.steps)


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known apart from the database when a view is made."""

    serial: int
    phase: Phase
    at: datetime
    began: datetime
    ends: datetime
    events: int
    heard: Sequence[Heard]
    refusals: Sequence[Refusal]
    ledger: LedgerBook
    check: Check | None


async def look(
    pool: "asyncpg.Pool[asyncpg.Record]", story: Story, ladder: Ladder, moment: Moment
) -> View:
    """Everything, as of one snapshot of the database."""
    async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        attempts = await fetch(conn, "demo_attempts")
        return View(
            serial=moment.serial,
            phase=moment.phase,
            at=moment.at,
            began=moment.began,
            ends=moment.ends,
            events=moment.events,
            phones=_phones(story, moment.heard, attempts),
            steps=await _steps(conn, ladder),
            rules=tuple((row["rule"], row["count"]) for row in await fetch(conn, "demo_rules")),
            refusals=tuple(moment.refusals)[-RECENT:][::-1],
            outcomes=await _outcomes(conn),
            outcome_totals=tuple(
                (row["type"], row["told"], row["acked"])
                for row in await fetch(conn, "demo_outcome_totals")
            ),
            buckets=await _buckets(conn, ladder),
            cases=tuple((row["kind"], row["count"]) for row in await fetch(conn, "demo_cases")),
            ledger=moment.ledger,
            check=moment.check,
        )


def _phones(story: Story, heard: Sequence[Heard], attempts: Sequence[Any]) -> tuple[Phone, ...]:
    bubbles: defaultdict[str, list[Bubble]] = defaultdict(list)
    rows = {row["token"]: row for row in attempts}
    number_of = {player.device: player.sms for player in story.players if player.device}
    owner = {loan: player for player in story.players for loan in player.loans}
    for one in heard:
        if one.token in rows:
            number = number_of.get(one.address, one.address)
            bubbles[number].append(_bubble(rows[one.token], one.at, one.title, one.body))
    for row in attempts:
        if row["state"] in NOT_TAKEN:
            bubbles[owner[row["loan"]].sms].append(_bubble(row, row["begun_at"], None, None))
    players: dict[str, list[Player]] = {}
    for player in story.players:
        players.setdefault(player.sms, []).append(player)
    return tuple(
        Phone(number, tuple(people), _newest_first(bubbles[number]))
        for number, people in players.items()
    )


def _bubble(row: Any, at: datetime, title: str | None, body: str | None) -> Bubble:
    return Bubble(
        row["token"], at, row["channel"], title, body, row["loan"], row["stage"], row["state"],
        row["code"],
    )  # fmt: skip


def _newest_first(bubbles: Sequence[Bubble]) -> tuple[Bubble, ...]:
    return tuple(sorted(bubbles, key=lambda bubble: (bubble.at, bubble.token), reverse=True))


async def _steps(conn: Connection, ladder: Ladder) -> tuple[Step, ...]:
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in await fetch(conn, "demo_stages"):
        counts[row["stage"]][row["state"]] = row["count"]
    return tuple(_step(stage, counts[stage.id]) for stage in ladder.stages)


def _step(stage: Stage, states: Mapping[str, int]) -> Step:
    sent = sum(count for state, count in states.items() if state in WENT_OUT)
    waiting = sum(count for state, count in states.items() if state in OPEN)
    return Step(stage, sent, waiting, sum(states.values()) - sent - waiting)


async def _outcomes(conn: Connection) -> tuple[Told, ...]:
    rows = await fetch(conn, "demo_outcomes", count=RECENT)
    return tuple(
        Told(
            row["loan"], row["seq"], row["type"], row["occurred_at"], row["zone"], row["data"],
            row["acked_at"] is not None, row["tries"],
        )
        for row in rows
    )  # fmt: skip


async def _buckets(conn: Connection, ladder: Ladder) -> tuple[tuple[str, int], ...]:
    """Every bucket in order, then loans that are over."""
    counts = dict.fromkeys(
        (bucket_name(ladder.buckets, i) for i in range(len(ladder.buckets) + 1)), 0
    )
    counts["paid"] = counts["closed"] = 0
    for row in await fetch(conn, "demo_loans"):
        is_open = row["status"] == "open"
        name = bucket_name(ladder.buckets, row["bucket"]) if is_open else row["status"]
        counts[name] += row["count"]
    return tuple(counts.items())


async def refusals_after(
    pool: "asyncpg.Pool[asyncpg.Record]", story: Story, last: int
) -> list[Refusal]:
    """Answers against sending that are newer than the last one seen."""
    people = {player.ref: player for player in story.players}
    async with pool.acquire() as conn:
        rows = await fetch(conn, "demo_refusals", after=last)
    return [
        Refusal(
            row["id"], row["decided_at"], row["verdict"] == "cancel", row["until_at"],
            tuple(row["rules"]), row["stage"], row["loan"], people[row["borrower"]],
        )
        for row in rows
    ]  # fmt: skip
