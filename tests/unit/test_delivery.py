"""What answers, receipts and lists make of an attempt and its notice."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.delivery import (
    CLOSE_UNKNOWN_AFTER,
    DISPATCH_WINDOW,
    RECONCILE_HORIZON,
    AttemptState,
    Effect,
    NextStep,
    NoticeState,
    Proof,
    Settled,
    after_attempt,
    apply_receipt,
    backoff,
    look_again,
    prove,
)

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
HOURS = timedelta(hours=2)
STATUSES = ("queued", "sent", "delivered", "undelivered", "failed")
LAST_WORDS = {"delivered", "undelivered", "failed"}
UNSETTLED = {AttemptState.BEGUN, AttemptState.UNKNOWN}
VOID = {AttemptState.REFUSED, AttemptState.ABSENT}


# ---- receipts


@given(st.sampled_from(list(AttemptState)), st.lists(st.sampled_from(STATUSES), max_size=6))
def test_receipts_only_raise(start: AttemptState, words: list[str]) -> None:
    state = start
    for word in words:
        moved = apply_receipt(state, word)
        assert (moved.state is not state) is (moved.effect is Effect.MOVED)
        assert apply_receipt(moved.state, word).effect is not Effect.MOVED
        state = moved.state
    if words:
        assert state not in UNSETTLED | VOID


@pytest.mark.parametrize("last", sorted(LAST_WORDS))
def test_the_order_of_receipts_does_not_matter(last: str) -> None:
    for order in permutations(["queued", "sent", last, "sent"]):
        state = AttemptState.BEGUN
        for word in order:
            state = apply_receipt(state, word).state
        assert state == last


def test_two_last_words_contradict_and_the_first_stands() -> None:
    for first, second in permutations(sorted(LAST_WORDS), 2):
        state = apply_receipt(AttemptState.ACCEPTED, first).state
        moved = apply_receipt(state, second)
        assert (moved.state, moved.effect) == (first, Effect.CONTRADICTION)


# ---- answers


@pytest.mark.parametrize(
    ("settled", "route", "routes", "fallback", "expected"),
    [
        (Settled.ACCEPTED, 0, 1, None, NextStep(NoticeState.SENT)),
        (Settled.ACCEPTED, 0, 2, HOURS, NextStep(NoticeState.AWAITING_RECEIPT, NOW + HOURS, 1)),
        (Settled.ACCEPTED, 1, 2, HOURS, NextStep(NoticeState.SENT, route=1)),
        (Settled.REFUSED, 0, 2, HOURS, NextStep(NoticeState.WAITING, NOW, 1)),
        (Settled.REFUSED, 1, 2, HOURS, NextStep(NoticeState.FAILED, route=1, reason="refused")),
        (
            Settled.REFUSED_TRANSIENT, 0, 2, HOURS,
            NextStep(NoticeState.WAITING, NOW + timedelta(seconds=30), 0),
        ),
        (Settled.ABSENT, 0, 2, HOURS, NextStep(NoticeState.WAITING, NOW, 0, stranded=True)),
        (Settled.UNKNOWN, 0, 2, HOURS, NextStep(NoticeState.SENDING)),
        (Settled.CLOSED_UNKNOWN, 0, 2, HOURS, NextStep(NoticeState.SENT)),
    ],
)  # fmt: skip
def test_what_follows_an_answer(
    settled: Settled, route: int, routes: int, fallback: timedelta | None, expected: NextStep
) -> None:
    step = after_attempt(settled, NOW, route=route, routes=routes, fallback_after=fallback)
    assert step == expected


def test_nothing_but_proof_that_it_was_not_sent_lets_a_notice_be_sent_again() -> None:
    for settled in Settled:
        step = after_attempt(settled, NOW, route=0, routes=2, fallback_after=HOURS)
        again = step.state is NoticeState.WAITING
        assert again is (settled in {Settled.REFUSED, Settled.REFUSED_TRANSIENT, Settled.ABSENT})


def test_pauses_between_tries_double_to_an_hour() -> None:
    pauses = [backoff(tries).total_seconds() for tries in range(9)]
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert backoff(10_000) == timedelta(hours=1)


# ---- proof

BEGUN = NOW
DEADLINE = BEGUN + DISPATCH_WINDOW
FIRST = DEADLINE + timedelta(seconds=1)


def proof(
    now: datetime, *, found: bool = False, complete: bool = True, clear: datetime | None = None
) -> Proof:
    return prove(
        found=found,
        complete=complete,
        begun_at=BEGUN,
        deadline_at=DEADLINE,
        clear_at=clear,
        now=now,
    )


def test_absence_takes_two_complete_lists_after_the_deadline() -> None:
    assert proof(DEADLINE) is Proof.OPEN
    assert proof(FIRST, complete=False) is Proof.OPEN
    assert proof(FIRST) is Proof.CLEAR
    second = FIRST + RECONCILE_HORIZON
    assert proof(second - timedelta(seconds=1), clear=FIRST) is Proof.OPEN
    assert proof(second, clear=FIRST, complete=False) is Proof.OPEN
    assert proof(second, clear=FIRST) is Proof.ABSENT


def test_what_is_found_is_found_at_any_time() -> None:
    assert proof(BEGUN, found=True) is Proof.FOUND
    assert proof(BEGUN + timedelta(days=9), found=True, complete=False, clear=FIRST) is Proof.FOUND


def test_a_day_without_proof_closes_it() -> None:
    end = BEGUN + CLOSE_UNKNOWN_AFTER
    assert proof(end - timedelta(seconds=1), complete=False) is Proof.OPEN
    assert proof(end, complete=False) is Proof.CLOSED
    assert proof(end, clear=end - timedelta(minutes=1)) is Proof.CLOSED


def test_looks_come_at_doubling_distances_and_one_at_the_end_of_the_day() -> None:
    looks, now = [], BEGUN
    while now < BEGUN + CLOSE_UNKNOWN_AFTER:
        now = look_again(BEGUN, now)
        looks.append((now - BEGUN).total_seconds() / 60)
    assert looks == [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1360, 1440]
    assert look_again(BEGUN, now) > now
