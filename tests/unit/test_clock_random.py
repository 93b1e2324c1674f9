"""Random bytes are drawn many at a time, and yet none is given out twice."""

import os
import threading

from agent.clock import random_bytes


def test_lengths_are_what_was_asked_for_and_nothing_repeats() -> None:
    taken = [random_bytes(count) for count in (12, 10, 32) * 500]
    assert [len(one) for one in taken] == [12, 10, 32] * 500
    assert len({one[:10] for one in taken}) == len(taken)
    assert len(random_bytes(10_000)) == 10_000
    assert random_bytes(0) == b""


def test_a_forked_child_gets_others_than_its_parent() -> None:
    random_bytes(16)  # something is drawn and not yet given out
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, random_bytes(16))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 16)
    os.close(reading)
    os.close(writing)
    assert len(theirs) == 16
    assert theirs != random_bytes(16)


def test_threads_share_none() -> None:
    taken: list[bytes] = []

    def take() -> None:
        taken.extend(random_bytes(16) for _ in range(1000))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 4000
