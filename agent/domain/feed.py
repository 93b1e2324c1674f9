"""How outcomes are worded for the credit ledger, and what its answers mean.

Delivery is at least once and in order per loan, so the id is the idempotency key: it never changes,
however often an outcome is sent. An outcome is done only when the ledger has acknowledged it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

import orjson

from agent.domain.calendar import local_date, local_time

BACKOFF_FIRST = timedelta(seconds=5)
BACKOFF_MAX = timedelta(minutes=15)
CONFLICT_TRIES = 8
RETRY_AFTER_MAX = timedelta(hours=1)
_DOUBLINGS_MAX = 16
_SEQ_MAX = 2**31 - 1
# Holds the place of an outcome in its loan's sequence.
WITHHELD = "outcome.withheld"

# About the address we post to, not about one outcome: sticking every loan for it would be wrong.
_MISDIRECTED = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.GONE,
    }
)
_TRY_AGAIN = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)


@dataclass(frozen=True, slots=True)
class Told:
    """One numbered outcome with all that its wording needs.

    `withheld`: it was taken back before the person was told of it, so nobody hears what it said.
    """

    portfolio: str
    loan: str
    zone: str
    seq: int
    type: str
    occurred_at: datetime
    data: Mapping[str, Any]
    corrects: int | None = None
    withheld: bool = False

    @property
    def id(self) -> str:
        """The idempotency key of this outcome, for ever."""
        return outcome_id(self.portfolio, self.loan, self.seq)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The ledger has it."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """Not acknowledged, or nobody knows; the same outcome is sent again later."""

    why: str
    retry_after: timedelta | None = None
    # so many tries say that waiting does not help; None: it may help at any time
    patience: int | None = None


@dataclass(frozen=True, slots=True)
class Misdirected:
    """Wrong address or credentials: no outcome can get through until staff repair it."""

    why: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The ledger will not take this outcome; only a person can say what to do."""

    why: str


Answer = Acknowledged | Delayed | Misdirected | Rejected


def outcome_id(portfolio: str, loan: str, seq: int) -> str:
    """`<portfolio>/<loan>/<seq>`, escaped so that it is safe in a header and unambiguous when signed."""
    return f"{_escape(portfolio)}/{_escape(loan)}/{seq}"


def _escape(text: str) -> str:
    if text.isascii() and text.replace("-", "").replace("_", "").isalnum():
        return text
    return quote(text, safe="").replace(".", "%2E")


def parse_outcome_id(text: str) -> tuple[str, str, int] | None:
    """Portfolio, loan and number of an id that `outcome_id` made; None for any other text."""
    parts = text.split("/")
    if len(parts) != 3 or not (parts[2].isascii() and parts[2].isdecimal()):
        return None
    found = unquote(parts[0]), unquote(parts[1]), int(parts[2][:10])
    is_ours = (
        outcome_id(*found) == text and found[2] <= _SEQ_MAX and "\0" not in found[0] + found[1]
    )
    return found if is_ours else None


def cloud_event(told: Told) -> dict[str, Any]:
    """The outcome as a CloudEvent 1.0: fields in a fixed order, data by key, time in the loan's zone.

    The same outcome gives the same bytes wherever it is worded: over HTTP, in a file, by pull.
    """
    data = {} if told.withheld else dict(told.data)
    if told.corrects is not None:
        data["corrects"] = outcome_id(told.portfolio, told.loan, told.corrects)
        data["corrects_sequence"] = told.corrects
    return {
        "specversion": "1.0",
        "id": told.id,
        "source": f"duly/{_escape(told.portfolio)}",
        "type": WITHHELD if told.withheld else str(told.type),
        "subject": told.loan,
        "time": local_stamp(told.occurred_at, told.zone),
        "sequence": told.seq,
        "data": _by_key(data),
    }


def _by_key(value: Any) -> Any:
    """jsonb keeps keys in an order of its own; the reader sees one order only."""
    if isinstance(value, dict):
        return {key: _by_key(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_by_key(item) for item in value]
    return value


def line(told: Told) -> bytes:
    """One line of an outcome file, and the body of a POST."""
    return orjson.dumps(cloud_event(told))


def local_stamp(at: datetime, zone: str) -> str:
    """The instant as a local clock shows it, with its offset."""
    wall = datetime.combine(local_date(at, zone), local_time(at, zone))
    offset = wall - at.astimezone(UTC).replace(tzinfo=None)
    return wall.replace(tzinfo=timezone(offset)).isoformat()


def answer_of(status: int, retry_after: timedelta | None) -> Answer:
    """What an HTTP status says: 2xx acknowledges, 4xx is for good but for the few that are not.

    A redirect is refused: outcomes go to the address that was configured and nowhere else.
    """
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Acknowledged()
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Misdirected(f"http-{status}-redirect-refused")
    if status == HTTPStatus.CONFLICT:
        # an idempotent ledger says so of a key it is still working on: asked again, it knows
        return Delayed(f"http-{status}", retry_after, CONFLICT_TRIES)
    if status in _MISDIRECTED:
        return Misdirected(f"http-{status}")
    if (
        status in _TRY_AGAIN
        or not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        return Delayed(f"http-{status}", retry_after)
    return Rejected(f"http-{status}")


def in_the_end(answer: Answer, tries: int) -> Answer:
    """What an answer comes to after so many tries: patience that has run out is a rejection."""
    if isinstance(answer, Delayed) and answer.patience is not None and tries >= answer.patience:
        return Rejected(answer.why)
    return answer


def read_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date, at most an hour; None if absent or unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return min(timedelta(seconds=int(text[:6])), RETRY_AFTER_MAX)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(at - now, timedelta(0)), RETRY_AFTER_MAX)


def backoff(tries: int, factor: float) -> timedelta:
    """How long to wait after the given number of failed tries; `factor` in (0, 1] is the jitter."""
    doublings = min(max(tries - 1, 0), _DOUBLINGS_MAX)
    return min(BACKOFF_FIRST * (1 << doublings), BACKOFF_MAX) * factor


def unbroken(ranks: Sequence[int]) -> int:
    """How many of these ranks follow each other from 1: the part of a run that may be sent in order."""
    count = 0
    for rank in ranks:
        if rank != count + 1:
            break
        count = rank
    return count
