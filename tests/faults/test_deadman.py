"""A process that slept through its deadline ends before it can hand a byte to the socket."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from agent.adapters.deadman import DeadMan, NoDeadMan, dead_man

ROOT = Path(__file__).parents[2]

# A sender whose request is ready but not written: it waits for one byte on stdin between the look at
# the clock and the write, where a real process can be stopped for hours.
SENDER = """
import sys, time
from agent.adapters.deadman import DeadMan
guard = DeadMan(time.monotonic)
deadline = time.monotonic() + float(sys.argv[1])
with guard.until(deadline):
    assert time.monotonic() < deadline
    print("checked", flush=True)
    sys.stdin.readline()
    print("written", flush=True)
print("ended", flush=True)
"""


async def sender(seconds: float) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", SENDER, str(seconds), cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_stopped_past_the_deadline_it_never_writes() -> None:
    process = await sender(0.5)
    assert process.stdout is not None
    assert process.stdin is not None
    assert await process.stdout.readline() == b"checked\n"
    process.send_signal(signal.SIGSTOP)
    # the byte that lets it go on is there before it wakes up, well after its deadline
    process.stdin.write(b"go\n")
    await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=0.7)
    process.send_signal(signal.SIGCONT)
    assert await process.stdout.read() == b""
    assert await process.wait() == -signal.SIGALRM


async def test_in_time_it_writes_and_lives_on() -> None:
    process = await sender(5)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"checked\n"
    out, _ = await process.communicate(b"go\n")
    assert out == b"written\nended\n"
    assert process.returncode == 0


def test_it_is_armed_to_the_earliest_open_deadline_and_disarmed_at_the_end() -> None:
    now = time.monotonic()
    guard = DeadMan(time.monotonic)

    def armed() -> float:
        return signal.getitimer(signal.ITIMER_REAL)[0]

    with guard.until(now + 60):
        assert armed() == pytest.approx(60, abs=1)
        with guard.until(now + 30):
            assert armed() == pytest.approx(30, abs=1)
            with guard.until(now + 90), guard.until(now + 30):
                assert armed() == pytest.approx(30, abs=1)
        assert armed() == pytest.approx(60, abs=1)
    assert armed() == 0


def test_a_deadline_already_past_kills_nobody() -> None:
    with DeadMan(time.monotonic).until(time.monotonic() - 1):
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


async def test_no_timer_in_a_thread_or_on_a_virtual_clock() -> None:
    assert isinstance(await asyncio.to_thread(dead_man, time.monotonic), NoDeadMan)
    assert isinstance(dead_man(time.monotonic, real_clock=False), NoDeadMan)
    with NoDeadMan().until(0.0):
        assert os.getpid()
