"""What an answer or a receipt does to an attempt and to its notice.

Attempts form a lattice and only move up: begun < unknown < accepted < sent < a terminal receipt.
An unknown attempt is never followed by another before it is settled.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# D: the dispatch window, from the begin's commit to the last byte written.
DISPATCH_WINDOW = timedelta(seconds=15)
# H ≥ D + clock skew + lag of the provider's list: two complete lists this far apart prove absence.
RECONCILE_HORIZON = timedelta(minutes=5)
CLOSE_UNKNOWN_AFTER = timedelta(hours=24)
STRANDINGS_MAX = 3
BACKOFF_FIRST = timedelta(seconds=30)
BACKOFF_MAX = timedelta(hours=1)


class AttemptState(StrEnum):
    BEGUN = "begun"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    REFUSED = "refused"
    ABSENT = "absent"
    CLOSED_UNKNOWN = "closed_unknown"


class NoticeState(StrEnum):
    WAITING = "waiting"
    SENDING = "sending"
    AWAITING_RECEIPT = "awaiting_receipt"
    SENT = "sent"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Effect(StrEnum):
    """What a receipt did; stored with it."""

    MOVED = "moved"
    BEHIND = "behind"
    CONTRADICTION = "contradiction"


_RANK = {
    AttemptState.BEGUN: 0,
    AttemptState.UNKNOWN: 1,
    AttemptState.CLOSED_UNKNOWN: 1,
    AttemptState.ABSENT: 1,
    AttemptState.REFUSED: 1,
    AttemptState.ACCEPTED: 2,
    AttemptState.SENT: 3,
    AttemptState.DELIVERED: 4,
    AttemptState.UNDELIVERED: 4,
    AttemptState.FAILED: 4,
}
_RECEIPT = {
    "queued": AttemptState.ACCEPTED,
    "sent": AttemptState.SENT,
    "delivered": AttemptState.DELIVERED,
    "undelivered": AttemptState.UNDELIVERED,
    "failed": AttemptState.FAILED,
}


@dataclass(frozen=True, slots=True)
class Moved:
    state: AttemptState
    effect: Effect


def apply_receipt(state: AttemptState, status: str) -> Moved:
    """Join a receipt into the lattice; the order in which receipts come does not matter.

    Two different terminal receipts contradict each other: the first stands and the second is stored.
    """
    told = _RECEIPT[status]
    if _RANK[told] > _RANK[state]:
        return Moved(told, Effect.MOVED)
    if _RANK[state] == 4 and _RANK[told] == 4 and state is not told:
        return Moved(state, Effect.CONTRADICTION)
    return Moved(state, Effect.BEHIND)


class Settled(StrEnum):
    """How an attempt ended, as far as its notice is concerned."""

    ACCEPTED = "accepted"
    REFUSED_TRANSIENT = "refused_transient"
    REFUSED = "refused"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    CLOSED_UNKNOWN = "closed_unknown"


@dataclass(frozen=True, slots=True)
class NextStep:
    """What becomes of a notice: its state, when to look again, and the channel to try next."""

    state: NoticeState
    next_at: datetime | None = None
    route: int = 0
    reason: str | None = None
    stranded: bool = False


def after_attempt(
    settled: Settled,
    now: datetime,
    *,
    route: int,
    routes: int,
    fallback_after: timedelta | None,
    tries: int = 0,
) -> NextStep:
    """The notice's next step once its attempt is settled.

    A fallback channel is tried when the first is refused, or when no receipt came in time; the next
    one never starts while an attempt is unsettled.
    """
    more = route + 1 < routes
    match settled:
        case Settled.ACCEPTED if more and fallback_after is not None:
            return NextStep(NoticeState.AWAITING_RECEIPT, now + fallback_after, route + 1)
        case Settled.ACCEPTED | Settled.CLOSED_UNKNOWN:
            return NextStep(NoticeState.SENT, route=route)
        case Settled.REFUSED_TRANSIENT:
            return NextStep(NoticeState.WAITING, now + backoff(tries), route)
        case Settled.REFUSED if more:
            return NextStep(NoticeState.WAITING, now, route + 1)
        case Settled.REFUSED:
            return NextStep(NoticeState.FAILED, route=route, reason="refused")
        case Settled.ABSENT:
            return NextStep(NoticeState.WAITING, now, route, stranded=True)
        case Settled.UNKNOWN:
            return NextStep(NoticeState.SENDING, route=route)


def after_receipt(
    state: str,
    notice_state: str,
    now: datetime,
    *,
    route: int,
    routes: int,
    fallback_after: timedelta | None,
) -> NextStep:
    """What a receipt that raised an attempt to `state` makes of its open notice.

    Delivered ends the wait. Undelivered sends it on to the next channel, or ends it where there is
    none. A receipt that was faster than our own record does what the record would have done. The
    statement that applies receipts says the same in SQL.
    """
    waits_for_fallback = notice_state == NoticeState.AWAITING_RECEIPT
    upcoming = route if waits_for_fallback else route + 1
    match state:
        case AttemptState.DELIVERED:
            return NextStep(NoticeState.SENT, route=route)
        case AttemptState.UNDELIVERED | AttemptState.FAILED if upcoming < routes:
            return NextStep(NoticeState.WAITING, now, upcoming)
        case AttemptState.UNDELIVERED | AttemptState.FAILED:
            return NextStep(NoticeState.SENT, route=route)
        case _ if waits_for_fallback:
            return NextStep(NoticeState.AWAITING_RECEIPT, route=route)
        case _:
            return after_attempt(
                Settled.ACCEPTED, now, route=route, routes=routes, fallback_after=fallback_after
            )


def backoff(tries: int) -> timedelta:
    """Doubling from half a minute to an hour; the caller adds jitter."""
    return min(BACKOFF_FIRST * (1 << min(tries, 10)), BACKOFF_MAX)


class Proof(StrEnum):
    """What a look at the provider's list says of an unsettled attempt."""

    FOUND = "found"
    ABSENT = "absent"
    CLEAR = "clear"
    OPEN = "open"
    CLOSED = "closed"


def prove(
    *,
    found: bool,
    complete: bool,
    begun_at: datetime,
    deadline_at: datetime,
    clear_at: datetime | None,
    now: datetime,
) -> Proof:
    """Settle an unknown attempt, or say why not yet.

    Absence takes two complete lists a horizon apart, both read after the deadline: before it the
    message may still be on its way. After a day without proof it is closed as sent, with a case.
    """
    if found:
        return Proof.FOUND
    if complete and now > deadline_at:
        if clear_at is not None and now - clear_at >= RECONCILE_HORIZON:
            return Proof.ABSENT
        if clear_at is None:
            return Proof.CLEAR
    return Proof.CLOSED if now - begun_at >= CLOSE_UNKNOWN_AFTER else Proof.OPEN


def look_again(begun_at: datetime, now: datetime) -> datetime:
    """When to reconcile an unsettled attempt next: after H, then at doubling distances to a day."""
    age = max(now - begun_at, RECONCILE_HORIZON)
    following, end = now + min(age, timedelta(hours=6)), begun_at + CLOSE_UNKNOWN_AFTER
    return min(following, end) if now < end else following
