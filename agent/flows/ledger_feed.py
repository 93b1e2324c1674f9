"""Outcomes go to the credit ledger: at least once, in order per loan, done when acknowledged.

Lease (one transaction) → deliver (no connection held, many loans at once, one outcome of a loan at a
time) → record by compare-and-set (one transaction for many results). A feeder that dies leaves leases
that run out; what it had sent comes again under the same id. A loan whose outcome fails waits by
itself; only when the ledger as a whole does not answer does the pass end early.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

import asyncpg
from prometheus_client import Counter

from agent.adapters.ledger import Ledger
from agent.clock import Clock, jitter
from agent.domain.feed import (
    Acknowledged,
    Answer,
    Delayed,
    Misdirected,
    Rejected,
    backoff,
    in_the_end,
)
from agent.flows.prior_notice import hold_back
from agent.store import outcomes as store
from agent.store.sql import Connection
from agent.telemetry import REGISTRY

REJECTED_CASE = "ledger-rejected"
ADDRESS_CASE = "ledger-address"
CASE_DUE = timedelta(hours=24)
# A look at the due outcomes may find nothing to send, only followers to park.
EMPTY_LEASES_MAX = 50
TRIES = 3
_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

FED = Counter("duly_outcomes_fed", "Outcomes by the ledger's answer", ["answer"], registry=REGISTRY)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once, and how long."""

    batch: int = 256
    run: int = 16
    at_once: int = 32
    lease: timedelta = timedelta(seconds=90)
    # a run stops this long before its lease ends: one call must fit in, and the record after it
    margin: timedelta = timedelta(seconds=20)
    record_every: int = 64
    record_within: float = 0.2
    # so many failures with no success between them: the ledger is down, not a loan stuck
    trip_after: int = 20


@dataclass(frozen=True, slots=True)
class FeedCounts:
    """What a feed did. `tripped`: it ended early because the ledger as a whole does not take outcomes."""

    acked: int = 0
    delayed: int = 0
    rejected: int = 0
    released: int = 0
    tripped: bool = False

    def plus(self, other: "FeedCounts") -> "FeedCounts":
        """Both together."""
        return FeedCounts(
            self.acked + other.acked,
            self.delayed + other.delayed,
            self.rejected + other.rejected,
            self.released + other.released,
            self.tripped or other.tripped,
        )


@dataclass(frozen=True, slots=True)
class _Result:
    """How far a run came: `sent` were acknowledged; `stop` says what the next one met, None if untried."""

    run: store.Run
    sent: int
    stop: Answer | None

    @property
    def is_whole(self) -> bool:
        return self.sent == len(self.run.outcomes)


async def transact(pool: Pool, act: Callable[[Connection], Awaitable[T]]) -> T:
    """One transaction, again if it collided: acts are compare-and-set, so a repeat does no harm."""
    for _ in range(TRIES - 1):
        try:
            async with pool.acquire() as conn, conn.transaction():
                return await act(conn)
        except _AGAIN:
            continue
    async with pool.acquire() as conn, conn.transaction():
        return await act(conn)


class Feeder:
    """Feeds one portfolio's outcomes to one ledger. Any number of feeders may work side by side."""

    def __init__(
        self, pool: Pool, portfolio_id: int, ledger: Ledger, clock: Clock, pace: Pace | None = None
    ) -> None:
        self._pool, self._portfolio_id = pool, portfolio_id
        self._ledger, self._clock = ledger, clock
        self._pace = pace or Pace()
        self._resume_at: datetime | None = None

    async def feed(self) -> FeedCounts:
        """Send until nothing is due or the ledger does not take any more."""
        total = FeedCounts()
        while not self._must_wait():
            counts = await _Pass(
                self._pool, self._portfolio_id, self._ledger, self._clock, self._pace
            ).run()
            total = total.plus(counts.counts)
            self._resume_at = counts.resume_at
            if counts.counts.tripped or counts.counts.acked == 0:
                break
        return total

    def _must_wait(self) -> bool:
        """The ledger named a time before which it wants nothing."""
        return self._resume_at is not None and self._clock.now() < self._resume_at


@dataclass(frozen=True, slots=True)
class _PassEnd:
    counts: FeedCounts
    resume_at: datetime | None


class _Health:
    """Tells a ledger that is down from a loan that is stuck."""

    def __init__(self, trip_after: int) -> None:
        self._trip_after, self._failures = trip_after, 0
        self.tripped = False
        self.wait: timedelta | None = None
        self.misdirected: str | None = None
        self.proven = False

    def note(self, answer: Answer) -> None:
        match answer:
            case Acknowledged():
                self._failures, self.proven = 0, True
                return
            case Delayed(retry_after=wait) if wait is not None:
                self.wait = max(wait, self.wait or wait)
                self.tripped = True
            case Misdirected(why):
                self.misdirected = why
        self._failures += 1
        self.tripped = self.tripped or self._failures >= self._trip_after


class _Pass:
    def __init__(
        self, pool: Pool, portfolio_id: int, ledger: Ledger, clock: Clock, pace: Pace
    ) -> None:
        self._pool, self._portfolio_id = pool, portfolio_id
        self._ledger, self._clock, self._pace = ledger, clock, pace
        self._health = _Health(pace.trip_after)
        self._runs: deque[store.Run] = deque()
        self._leasing = asyncio.Lock()
        self._drained = False
        self._results: asyncio.Queue[_Result | None] = asyncio.Queue()
        self._counts = FeedCounts()

    async def run(self) -> _PassEnd:
        """Senders take runs from a shared supply; one recorder writes down what came of them."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._record_all())
            async with asyncio.TaskGroup() as senders:
                for _ in range(self._pace.at_once):
                    senders.create_task(self._send_all())
            for run in self._runs:
                self._results.put_nowait(_Result(run, 0, None))
            self._results.put_nowait(None)
        await self._settle_address_case()
        wait = self._health.wait
        return _PassEnd(
            replace(self._counts, tripped=self._health.tripped),
            self._clock.now() + wait if wait else None,
        )

    async def _send_all(self) -> None:
        while (run := await self._next_run()) is not None:
            self._results.put_nowait(await self._send(run))

    async def _next_run(self) -> store.Run | None:
        """The next loan's outcomes; a slow loan keeps one sender busy and holds up no other."""
        async with self._leasing:
            for _ in range(EMPTY_LEASES_MAX):
                if self._runs or self._drained or self._health.tripped:
                    break
                self._runs.extend(await self._lease())
            if self._health.tripped or not self._runs:
                return None
            return self._runs.popleft()

    async def _lease(self) -> Sequence[store.Run]:
        now = self._clock.now()
        until = now + self._pace.lease
        async with self._pool.acquire() as conn, conn.transaction():
            batch = await store.lease_runs(
                conn, self._portfolio_id, now, until, self._pace.batch, self._pace.run
            )
            runs = await hold_back(conn, self._portfolio_id, batch.runs, now)
        self._drained = batch.seen == 0
        return runs

    async def _send(self, run: store.Run) -> _Result:
        """Outcomes of one loan one after the other; the first that is not acknowledged ends the run."""
        latest = run.lease - self._pace.margin
        for sent, outcome in enumerate(run.outcomes):
            if self._health.tripped or self._clock.now() > latest:
                return _Result(run, sent, None)
            tries = 1 + (run.tries if sent == 0 else 0)
            answer = in_the_end(await self._ledger.deliver(outcome), tries)
            self._health.note(answer)
            if not isinstance(answer, Acknowledged):
                return _Result(run, sent, answer)
        return _Result(run, len(run.outcomes), None)

    async def _record_all(self) -> None:
        open_ended = True
        while open_ended:
            results, open_ended = await self._collect()
            if results:
                await self._record(results)

    async def _collect(self) -> tuple[list[_Result], bool]:
        """The results of the next moment: enough of them, or what came within the time."""
        results: list[_Result] = []
        first = await self._results.get()
        if first is None:
            return results, False
        results.append(first)
        try:
            async with asyncio.timeout(self._pace.record_within):
                while len(results) < self._pace.record_every:
                    result = await self._results.get()
                    if result is None:
                        return results, False
                    results.append(result)
        except TimeoutError:
            pass
        return results, True

    async def _record(self, results: Sequence[_Result]) -> None:
        counts = await transact(self._pool, lambda conn: self._write(conn, results))
        self._counts = self._counts.plus(counts)
        FED.labels("acknowledged").inc(counts.acked)
        FED.labels("delayed").inc(counts.delayed)
        FED.labels("rejected").inc(counts.rejected)

    async def _write(self, conn: Connection, results: Sequence[_Result]) -> FeedCounts:
        now = self._clock.now()
        acked = await store.acknowledge(conn, self._portfolio_id, _done(results), now)
        put_off = [item for result in results if (item := self._put_off(result, now))]
        if put_off:
            await store.put_off(conn, self._portfolio_id, put_off)
        rejected = await self._stick(conn, [s for r in results if (s := _stuck(r))], now)
        whole = [result.run.loan_id for result in results if result.is_whole]
        if whole:
            await store.wake(conn, self._portfolio_id, whole, now)
        failed = sum(item.failed for item in put_off)
        return FeedCounts(acked, failed, rejected, len(put_off) - failed)

    def _put_off(self, result: _Result, now: datetime) -> store.PutOff | None:
        """When a run that stopped goes on: a failed outcome backs off, an untried one is due at once."""
        if result.is_whole or isinstance(result.stop, Rejected):
            return None
        run, failed = result.run, result.stop is not None
        wait = self._health.wait or timedelta(0)
        if failed:
            tries = 1 + (run.tries if result.sent == 0 else 0)
            wait = max(wait, backoff(tries, jitter(0.5, 1.0)))
        seq = run.outcomes[result.sent].seq
        return store.PutOff(run.loan_id, seq, run.lease, failed, now + wait)

    async def _stick(self, conn: Connection, stuck: Sequence[store.Stuck], now: datetime) -> int:
        if not stuck:
            return 0
        ours = await store.stick(conn, self._portfolio_id, stuck)
        cases = [store.Case(s.loan_id, "", {"sequence": s.seq, "reason": s.reason}) for s in ours]
        await store.open_cases(conn, self._portfolio_id, REJECTED_CASE, cases, now, now + CASE_DUE)
        return len(ours)

    async def _settle_address_case(self) -> None:
        """One case for a wrong address or wrong credentials, not one a loan; closed by a success."""
        now, portfolio = self._clock.now(), self._portfolio_id
        why = self._health.misdirected
        if why is None and not self._health.proven:
            return
        async with self._pool.acquire() as conn, conn.transaction():
            if why is not None and not self._health.proven:
                case = store.Case(None, "ledger", {"reason": why})
                await store.open_cases(conn, portfolio, ADDRESS_CASE, [case], now, now + CASE_DUE)
            elif why is None:
                await store.close_case(conn, portfolio, ADDRESS_CASE, "ledger", "duly", now)


def _done(results: Sequence[_Result]) -> list[store.Done]:
    return [
        store.Done(result.run.loan_id, outcome.seq, result.run.lease)
        for result in results
        for outcome in result.run.outcomes[: result.sent]
    ]


def _stuck(result: _Result) -> store.Stuck | None:
    if not isinstance(result.stop, Rejected):
        return None
    run = result.run
    return store.Stuck(run.loan_id, run.outcomes[result.sent].seq, run.lease, result.stop.why)
