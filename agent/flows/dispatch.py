"""Dispatch of one lane: begin → send → record, batch after batch until one comes back short.

The next batch is begun while the one before it is being sent; no connection is held while sending.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from agent.flows.dispatch_begin import Begun, Outgoing, begin
from agent.flows.dispatch_record import Sent, record
from agent.flows.lane import Lane
from channels.base import Answer, Refusal, Refused


@dataclass(slots=True)
class LaneCounts:
    """What one run of a lane did."""

    claimed: int = 0
    sent: int = 0
    snoozed: int = 0
    cancelled: int = 0
    acted: int = 0

    def merge(self, other: "LaneCounts") -> None:
        """Count another run in."""
        self.claimed += other.claimed
        self.sent += other.sent
        self.snoozed += other.snoozed
        self.cancelled += other.cancelled
        self.acted += other.acted

    def add(self, begun: Begun) -> None:
        """Count one batch in."""
        self.claimed += begun.claimed
        self.sent += len(begun.sent_off)
        self.snoozed += begun.snoozed
        self.cancelled += begun.cancelled
        self.acted += begun.acted


@dataclass(slots=True)
class Stop:
    """Set on SIGTERM: nothing more is begun, what is begun is finished and recorded."""

    asked: bool = False


async def run_lane(lane: Lane, stop: Stop | None = None) -> LaneCounts:
    """Dispatch all that is due now. Safe to run in several processes at once."""
    stop = stop or Stop()
    counts = LaneCounts()
    recorder = _Recorder(lane)
    sending: asyncio.Task[None] | None = None
    try:
        while not stop.asked:
            begun = await begin(lane)
            counts.add(begun)
            if sending is not None:
                await sending
            sending = asyncio.create_task(_send_all(lane, begun.sent_off, recorder))
            if begun.claimed < lane.limits.batch:
                break
    finally:
        # also when the begin failed: what was begun before is sent and recorded
        if sending is not None:
            await sending
        await recorder.close()
    return counts


async def _send_all(lane: Lane, outgoing: Sequence[Outgoing], recorder: "_Recorder") -> None:
    """Send a batch, `at_once` at a time; workers take from one iterator, so none waits for another."""
    waiting = iter(outgoing)

    async def worker() -> None:
        for one in waiting:
            recorder.add(Sent(one, await _send(lane, one)))

    workers = min(lane.limits.at_once, len(outgoing))
    await asyncio.gather(*(worker() for _ in range(workers)))
    recorder.flush_soon()


async def _send(lane: Lane, outgoing: Outgoing) -> Answer:
    channel = lane.channels.get(outgoing.message.channel)
    if channel is None:
        return Refused("no-channel", Refusal.CONFIGURATION)
    with lane.guard.until(outgoing.message.deadline):
        return await channel.send(outgoing.message)


class _Recorder:
    """Writes answers every 50 or every 200 ms, whichever is first, while sending goes on.

    What a crash finds unrecorded becomes `unknown`, so little may wait.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._waiting: list[Sent] = []
        self._writing: set[asyncio.Task[int]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, sent: Sent) -> None:
        self._waiting.append(sent)
        if len(self._waiting) >= self._lane.limits.record_every:
            self.flush_soon()
        elif self._timer is None:
            seconds = self._lane.limits.record_within.total_seconds()
            self._timer = asyncio.get_running_loop().call_later(seconds, self.flush_soon)

    def flush_soon(self) -> None:
        """Start writing what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            batch, self._waiting = self._waiting, []
            task = asyncio.create_task(record(self._lane, batch))
            self._writing.add(task)

    async def close(self) -> None:
        """Wait until everything is written; the first failure is raised after all have ended."""
        self.flush_soon()
        done = await asyncio.gather(*self._writing, return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result
