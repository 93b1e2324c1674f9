"""What a channel takes, what it answers, and what a provider says later.

A send has four possible ends and the difference between them is what keeps a borrower from being
messaged twice: accepted, refused, provably not sent (a transient refusal), or unknown. Unknown is
the default: whatever is not proven otherwise may have reached the borrower.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

import orjson

SMS = "sms"
PUSH = "push"


class Refusal(StrEnum):
    """Why a provider took nothing: try later, never again, opted out, or our own mistake."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    OPTED_OUT = "opted_out"
    CONFIGURATION = "configuration"


class Status(StrEnum):
    """What a receipt can say; the words of the `receipt` table."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"


class Fault(StrEnum):
    """What a provider's error code is about; the channel's own table says which code is what."""

    NUMBER = "number"
    OPT_OUT = "opt_out"
    BLOCKED = "blocked"
    CONFIGURATION = "configuration"
    OURS = "ours"
    ACCOUNT = "account"
    TRANSIENT = "transient"
    FILTERED = "filtered"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Halt(StrEnum):
    """What else a refusal stops: this country by this sender, everything by it, or that for a while only."""

    ROUTE = "route"
    SENDER = "sender"
    AWHILE = "awhile"


class Message(NamedTuple):
    """One message to hand over once. No byte of it leaves at or after `deadline` (monotonic).

    `good_for` is how many seconds the provider may keep it before it must not be delivered any more.
    `registered_at` is when we last heard that the address is in use. `notice` is the same in every
    attempt of one notice, `thread` in all messages of one loan; both are opaque.
    """

    token: str
    channel: str
    provider: str | None
    address: str
    title: str | None
    body: str
    deadline: float
    status_url: str | None = None
    good_for: int | None = None
    registered_at: datetime | None = None
    notice: str | None = None
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has it, under this id."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not sent for sure. `code` is the provider's, or ours when nothing left the building.

    `fault` is what the code is about, from a channel that has a table of its provider's codes.
    """

    code: str
    kind: Refusal
    halt: Halt | None = None
    retry_after: float | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """May or may not have been sent; a receipt or the provider's list settles it, never a retry."""

    why: str


Answer = Accepted | Refused | Unknown

TOO_LATE = Refused("deadline", Refusal.TRANSIENT)
NO_CONNECTION = Refused("no-connection", Refusal.TRANSIENT)


@dataclass(frozen=True, slots=True)
class Listed:
    """One message in a provider's list. It does not say which attempt it was: the body has to."""

    provider_id: str
    address: str
    body: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """Messages to one address. Only a complete list can show that something is not there."""

    complete: bool
    messages: tuple[Listed, ...] = ()


@dataclass(frozen=True, slots=True)
class Beyond:
    """What an error code in a receipt says of more than its message: its sender, or its route, is stopped,
    its sender has to wait for so many seconds, or its number is gone without a second message to confirm
    it. `country` is None where it cannot be said.
    """

    sender: str
    country: str | None
    halt: Halt | None = None
    wait: float | None = None
    gone: bool = False


class Receipt(NamedTuple):
    """What a provider later says of a message; may come early, late, twice and out of order."""

    channel: str
    provider_id: str
    status: Status
    token: str | None
    code: str | None
    at: datetime
    fault: Fault | None = None
    beyond: Beyond | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """What somebody sent to us. `opt_out` is the provider's own reading: STOP, START, HELP or none."""

    channel: str
    provider_id: str
    sender: str
    recipient: str
    body: str
    opt_out: str | None
    media: int
    at: datetime


@dataclass(frozen=True, slots=True)
class InboundList:
    """What a provider says that was sent to us; only a complete one moves the mark on."""

    complete: bool
    messages: tuple[Inbound, ...] = ()


class Channel(Protocol):
    """A way out of the building. `send` never raises for what the network does to it."""

    async def send(self, message: Message) -> Answer:
        """Hand the message over at most once, or say why not."""
        ...

    async def listing(self, address: str, since: datetime) -> Listing:
        """The provider's own list of messages to this address, for reconciling unknown sends."""
        ...


_TOO_MANY = 429
_UNAUTHORISED = frozenset({401, 403})
_KINDS = frozenset(kind.value for kind in Refusal)
# Answers of something on the way rather than of the provider's API: they prove nothing.
_BY_INTERMEDIARIES = frozenset({407, 408, 425, 499})


def classify(status: int, body: bytes) -> Answer:
    """Sort an HTTP answer: 201 with an id accepted, 429 not sent, a well-formed 4xx refused.

    Everything else, 5xx, 3xx, other 2xx, half answers and foreign bodies, is unknown.
    """
    if status == _TOO_MANY:
        return Refused("429", Refusal.TRANSIENT)
    if not (status == 201 or 400 <= status < 500) or status in _BY_INTERMEDIARIES:
        return Unknown(f"http-{status}")
    said = _json_object(body)
    if said is None:
        return Unknown(f"http-{status}-unreadable")
    return _accepted(said) if status == 201 else _refused(status, said)


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None


def _accepted(said: dict[str, object]) -> Answer:
    match said.get("id"):
        case str(provider_id) if provider_id:
            return Accepted(provider_id)
        case _:
            return Unknown("http-201-without-id")


def _refused(status: int, said: dict[str, object]) -> Answer:
    match said.get("code"):
        case str(text) if text:
            code = text
        case int(number) if number is not True and number is not False:
            code = str(number)
        case _:
            return Unknown(f"http-{status}-without-code")
    match said.get("kind"):
        case str(kind) if kind in _KINDS:
            return Refused(code, Refusal(kind))
        case _ if status in _UNAUTHORISED:
            return Refused(code, Refusal.CONFIGURATION)
        case _:
            return Refused(code, Refusal.PERMANENT)
