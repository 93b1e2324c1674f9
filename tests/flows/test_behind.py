"""Statements that run behind the work: in order, all or none after the first that fails."""

import asyncio
import warnings

import pytest

from agent.flows.behind import Behind, Turns, breathe, write_behind


class _Log:
    def __init__(self) -> None:
        self.written: list[str] = []

    async def write(self, word: str) -> None:
        await breathe()
        self.written.append(word)

    async def fail(self) -> None:
        await breathe()
        raise ValueError("no")


async def test_in_order_and_all_of_them_before_the_end() -> None:
    log = _Log()
    async with write_behind() as behind:
        behind.add(log.write("people"))
        behind.add(log.write("loans"))
        await behind.settle()
        assert log.written == ["people", "loans"]
        behind.add(log.write("events"))
    assert log.written == ["people", "loans", "events"]


async def test_what_is_added_later_goes_on_while_the_work_does() -> None:
    log = _Log()
    async with write_behind() as behind:
        for word in ("one", "two", "three"):
            behind.add(log.write(word))
            for _ in range(5):
                await breathe()
            assert log.written[-1] == word


async def test_nothing_runs_after_one_that_failed_and_its_reason_comes_out() -> None:
    log = _Log()

    async def batch() -> None:
        async with write_behind() as behind:
            behind.add(log.write("people"))
            behind.add(log.fail())
            behind.add(log.write("loans"))
            for _ in range(9):
                await breathe()
            behind.add(log.write("events"))

    with pytest.raises(ValueError, match="no"):
        await batch()
    assert log.written == ["people"]


async def test_work_that_fails_stops_what_was_added() -> None:
    log = _Log()

    async def batch() -> None:
        async with write_behind() as behind:
            behind.add(log.write("people"))
            behind.add(log.write("loans"))
            await breathe()
            raise ZeroDivisionError

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a statement that was forgotten would warn
        with pytest.raises(ZeroDivisionError):
            await batch()
    assert log.written == []


async def test_a_cancelled_batch_stops_its_statements_too() -> None:
    begun, never = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def statement() -> None:
        begun.set()
        try:
            await never.wait()
        finally:
            ended.append("stopped")

    async def batch() -> None:
        async with write_behind() as behind:
            behind.add(statement())

    running = asyncio.create_task(batch())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["stopped"]


async def test_settled_twice_is_settled() -> None:
    behind = Behind()
    await behind.settle()
    behind.add(breathe())
    await behind.settle()
    await behind.settle()


async def test_what_is_prepared_ahead_waits_until_nothing_goes_first() -> None:
    turns, log = Turns(), []

    async def ahead() -> None:
        for number in range(3):
            log.append(number)
            await turns.last()

    with turns.first(), turns.first():
        reading = asyncio.create_task(ahead())
        for _ in range(9):
            await breathe()
        assert log == [0]
    await reading
    assert log == [0, 1, 2]
