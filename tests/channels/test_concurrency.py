"""How many requests may be under way: bounded, halved once a crowd, growing slowly, shared fairly."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.base import Accepted, Answer, Refused
from channels.concurrency import CEILING_SECONDS, FEWEST, START, Told, Turns, Window, after, opened
from tests.channels.test_twilio_sms import message, twilio
from tests.support.twilio_stand_in import Script

MOST = 64
TOLD = st.builds(
    Told, st.booleans(), st.floats(0, 100), st.floats(0, 100), st.none() | st.integers(0, 500)
)


@given(st.lists(TOLD, max_size=200), st.integers(1, 1000))
def test_it_is_never_under_one_nor_over_the_most(answers: Sequence[Told], most: int) -> None:
    window = opened(most)
    for told in answers:
        before = window
        window = after(window, told, most)
        assert FEWEST <= window.size <= most
        if told.crowded:
            assert window.size in {before.size, max(FEWEST, before.size / 2)}
        else:
            assert before.size <= window.size <= before.size + 1


@given(st.integers(1, 500), st.integers(1, MOST))
def test_a_crowd_narrows_once_however_many_hear_of_it(heard: int, size: int) -> None:
    window = Window(float(size))
    for _ in range(heard):
        window = after(window, Told(crowded=True, sent_at=1.0, at=2.0), MOST)
    assert window.size == max(FEWEST, size / 2)
    # one that was sent after it is news
    again = after(window, Told(crowded=True, sent_at=3.0, at=4.0), MOST)
    assert again.size == max(FEWEST, window.size / 2)


@given(st.floats(1, MOST - 1))
def test_a_round_of_good_answers_makes_one_more(size: float) -> None:
    window = Window(size)
    for _ in range(int(size) + 1):
        window = after(window, Told(crowded=False, sent_at=0.0, at=1.0), MOST)
    assert size + 0.5 <= window.size <= size + 2


def test_near_to_what_was_too_many_it_does_not_grow_for_a_while() -> None:
    crowded = after(Window(40.0), Told(crowded=True, sent_at=1.0, at=2.0, concurrent=50), MOST)
    assert crowded == Window(20.0, 50, 2.0)

    def good(concurrent: int | None, at: float) -> Told:
        return Told(crowded=False, sent_at=at, at=at, concurrent=concurrent)

    # others of the account fill it: not ours to take
    assert after(crowded, good(45, 3.0), MOST).size == 20.0
    assert after(crowded, good(44, 3.0), MOST).size > 20.0
    assert after(crowded, good(None, 3.0), MOST).size > 20.0
    assert after(crowded, good(49, 2.0 + CEILING_SECONDS), MOST).size > 20.0


@given(
    capacity=st.integers(2, 60), others=st.integers(0, 20), rounds=st.just(400),
    told=st.booleans(),
)  # fmt: skip
def test_it_settles_where_the_provider_bears_it(
    capacity: int, others: int, rounds: int, *, told: bool
) -> None:
    """A provider that bears so many at once, some of them of others: rounds of a window each."""
    window, free = opened(MOST), max(capacity - others, 1)
    accepted: deque[int] = deque(maxlen=rounds // 2)
    refused: deque[int] = deque(maxlen=rounds // 2)
    for number in range(rounds):
        sent = int(window.size)
        good = min(sent, free)
        accepted.append(good)
        refused.append(sent - good)
        counted = others + sent if told else None
        for place in range(sent):
            answer = Told(place >= good, float(number), number + 0.5, counted)
            window = after(window, answer, MOST)
    used = sum(accepted) / len(accepted)
    assert used >= 0.55 * min(free, MOST) or used >= min(free, MOST) - 1.5
    # one too many a round where only one is borne; few where many are
    assert sum(refused) <= (0.5 if free < 3 else 0.35) * sum(accepted)


async def test_who_waits_is_let_in_in_order_and_gives_up_in_time() -> None:
    turns, order = Turns(2, time.monotonic), list[int]()
    assert turns.width == 2
    assert await turns.enter(1)
    assert await turns.enter(1)
    assert not await turns.enter(0.01)

    async def next_one(number: int) -> None:
        assert await turns.enter(5)
        order.append(number)

    waiting = [asyncio.create_task(next_one(number)) for number in range(4)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    for _ in range(4):
        turns.leave(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == [0, 2, 3]
    # every place was given back: two are free again after the last one
    turns.leave(None)
    assert [await turns.enter(0.01) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("bears", [4, 24])
async def test_a_provider_that_bears_few_at_once_refuses_few(bears: int) -> None:
    """Four hundred messages by sixty-four hands; the stand-in counts what is under way."""
    async with twilio(Script(statuses=(), latency=0.02, at_once=bears)) as (channel, server):
        waiting = deque(range(400))
        answers: list[Answer] = []

        async def hand() -> None:
            while waiting:
                answers.append(await channel.send(message(waiting.popleft(), left=60.0)))

        await asyncio.gather(*(hand() for _ in range(64)))
        accepted = [one for one in answers if isinstance(one, Accepted)]
        refused = [one for one in answers if isinstance(one, Refused)]
        assert len(accepted) + len(refused) == 400
        assert {one.code for one in refused} <= {"429"}
        # sixty-four hands would have had nearly all of them refused
        assert len(refused) <= 0.25 * 400
        assert server.most_inside <= max(START, bears + 2)
        assert len(server.messages) == len(accepted)
