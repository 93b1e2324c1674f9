"""Dispatch of one lane: begin → send → record, batch after batch until one comes back short.

The next batch is begun while the one before it is being sent; no connection is held while sending.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from agent.domain.delivery import DISPATCH_WINDOW
from agent.flows.carriers import REFILL, SOON
from agent.flows.dispatch_begin import Begun, Outgoing, begin
from agent.flows.dispatch_record import Sent, record
from agent.flows.lane import Lane
from agent.flows.sender_answers import is_crowded
from agent.flows.sender_line import Lookout, Slot, leaves, line_up
from channels.base import Answer, Halt, Message, Refusal, Refused
from channels.crash_points import CrashPoint, reached

# A place in the line that is later than this before the deadline is given up: it will be another one.
LEAVE_FOR_ANSWER = 3.0
# Most answers come within this; what is due next does not wait any longer for the others.
PATIENCE = 0.25
# What is late makes up for it by three in a hundred: a sender's pace is exceeded by no more. So close
# together they may leave, or a fast sender would wait for the clock's own ticks.
CATCH_UP, CLOSE = 0.97, 0.01
# Less than any clock can tell.
INSTANT = 0.000_01
# Looked at in one begin while a line is full: enough to fill the next share, whatever the gate says of some.
AHEAD, LEAST = 4, 20
OUT_OF_TURN = Refused("pace", Refusal.TRANSIENT)
NO_CHANNEL = Refused("no-channel", Refusal.CONFIGURATION)


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


def _nobody_waits() -> None:
    """Where nobody runs beside a lane."""


async def _waits(waiting: Awaitable[None]) -> None:
    """The same: it just waits."""
    await waiting


@dataclass(slots=True)
class Stop:
    """Set on SIGTERM: nothing more is begun, what is begun is finished and recorded.

    A run says `only_waits` when all that it began has left and answers take their time, and goes `aside`
    while it waits for its places in a sender's line, so that others run.
    """

    asked: bool = False
    only_waits: Callable[[], None] = _nobody_waits
    aside: Callable[[Awaitable[None]], Awaitable[None]] = _waits


async def run_lane(lane: Lane, stop: Stop | None = None) -> LaneCounts:
    """Dispatch all that is due now. Safe to run in several processes at once."""
    stop = stop or Stop()
    counts = LaneCounts()
    recorder = _Recorder(lane)
    sender = _Sender(lane, recorder)
    most, waited = lane.limits.batch, False
    try:
        while not stop.asked and not sender.failed:
            begun = await begin(lane, most)
            counts.add(begun)
            sender.put(begun.sent_off, await line_up(lane, begun.sent_off))
            if sender.told_too_many:
                # what follows would only be turned away; the next look at the lane comes soon
                break
            waited = begun.waiting or (waited and begun.claimed > 0)
            if waited:
                if not await sender.nearly_through(stop):
                    break
                # a line takes so many at a time: the others need not be decided each time
                most = min(lane.limits.batch, max(LEAST, AHEAD * len(begun.sent_off)))
            elif begun.claimed < most:
                break
            else:
                most = lane.limits.batch
                await sender.room()
        if await sender.waits_long():
            stop.only_waits()
    except asyncio.CancelledError:
        sender.cut_off()
        raise
    finally:
        # also when the begin failed: what was begun before is sent and recorded
        try:
            await sender.close()
        finally:
            await recorder.close()
    return counts


class _Sender:
    """Sends in order, `at_once` at a time; a batch joins the queue while the one before is in flight.

    At most one batch waits whole: what a crash finds begun stays little, and deadlines stay far.
    """

    def __init__(self, lane: Lane, recorder: "_Recorder") -> None:
        self._lane = lane
        self._recorder = recorder
        self._queue: deque[Outgoing] = deque()
        self._slots: dict[str, Slot] = {}
        self._lookout = Lookout(lane)
        self._last_place = 0.0
        self._free_from: dict[str, float] = {}
        self._too_many: dict[str, float] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._taken = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def failed(self) -> bool:
        return self._failure is not None

    @property
    def told_too_many(self) -> bool:
        return bool(self._too_many)

    def put(self, batch: Sequence[Outgoing], slots: Mapping[str, Slot]) -> None:
        """Queue a batch and have enough hands for it; a message waits for its slot, if it has one."""
        self._queue.extend(batch)
        self._slots.update(slots)
        self._last_place = max([self._last_place, *(slot.ends for slot in slots.values())])
        wanted = min(self._lane.limits.at_once, len(self._working) + len(self._queue))
        for _ in range(wanted - len(self._working)):
            task = asyncio.create_task(self._work())
            self._working.add(task)
            task.add_done_callback(self._ended)

    async def _work(self) -> None:
        while self._queue:
            one = self._queue.popleft()
            self._taken.set()
            self._recorder.add(Sent(one, await self._send(one)))

    async def _send(self, one: Outgoing) -> Answer:
        slot = self._slots.pop(one.message.token, None) if self._slots else None
        if (slot is not None or self._too_many) and not await self._may_go(one.message, slot):
            return OUT_OF_TURN
        channel = self._lane.channels.get(one.message.channel)
        if channel is None:
            return NO_CHANNEL
        with self._lane.guard.until(one.message.deadline):
            reached(CrashPoint.SEND_READY)
            answer = await channel.send(one.message)
            reached(CrashPoint.SEND_ANSWERED)
        if isinstance(answer, Refused) and (is_crowded(answer) or answer.halt is Halt.SENDER):
            # the others of this batch need not hear it one by one
            until = self._lane.clock.monotonic() + (answer.retry_after or 1.0)
            self._too_many[_sender_of(one.message, slot)] = until
        return answer

    async def _may_go(self, message: Message, slot: Slot | None) -> bool:
        if slot is not None and not await self._has_its_turn(message, slot):
            return False
        not_before = self._too_many.get(_sender_of(message, slot), 0.0)
        return not_before <= self._lane.clock.monotonic()

    async def _has_its_turn(self, message: Message, slot: Slot) -> bool:
        """Wait for the message's place in its sender's line, which may be stopped meanwhile."""
        clock = self._lane.clock
        latest, who = message.deadline - LEAVE_FOR_ANSWER, slot.carrier.sender
        while True:
            at = max(slot.at, self._free_from.get(who, 0.0) - CLOSE)
            if at > latest:
                return False
            if (wait := at - clock.monotonic()) <= INSTANT:
                break
            await clock.sleep(wait)
        # after a stall they do not leave all at once: each keeps its distance from the one before
        free_from = max(self._free_from.get(who, 0.0), clock.monotonic())
        self._free_from[who] = free_from + CATCH_UP * (slot.ends - slot.at)
        left = timedelta(seconds=message.deadline - clock.monotonic())
        begun = clock.now() - (DISPATCH_WINDOW - left)
        if await self._lookout.stopped(slot.carrier, message, begun):
            return False
        return await leaves(self._lane, slot, latest)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._failure = self._failure or problem
            self._taken.set()

    async def nearly_through(self, stop: Stop) -> bool:
        """Wait until our places in the line are nearly used up; False if the line is all others'."""
        clock = self._lane.clock
        left = self._last_place - clock.monotonic()
        if left <= 0:
            return False
        await stop.aside(clock.sleep(max(left - REFILL.total_seconds(), SOON.total_seconds())))
        return True

    async def room(self) -> None:
        """Wait until no more than one batch waits to be sent."""
        await self._until_left(self._lane.limits.batch)

    async def _until_left(self, most: int) -> None:
        while len(self._queue) > most and not self.failed:
            self._taken.clear()
            await self._taken.wait()

    async def waits_long(self) -> bool:
        """Wait until everything has left, and a moment more for its answers; whether some are still out."""
        await self._until_left(0)
        if self._working:
            await asyncio.wait(self._working, timeout=PATIENCE)
        return bool(self._working)

    def cut_off(self) -> None:
        """Send nothing more: what was begun and not answered becomes unknown and is settled later."""
        self._queue.clear()
        for task in self._working:
            task.cancel()

    async def close(self) -> None:
        """Wait until everything was sent; raises what kept a send from ending by itself."""
        while self._working:
            await asyncio.wait(self._working)
        if self._failure is not None:
            raise self._failure


def _sender_of(message: Message, slot: Slot | None) -> str:
    return message.channel if slot is None else slot.carrier.sender


class _Recorder:
    """Writes answers every 200 or every 50 ms, whichever is first, while sending goes on.

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
