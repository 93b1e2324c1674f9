"""Push: which provider a message goes through, how long it may live, and what the app is given.

What a phone shows on its lock screen is only the title and body of the message, which the texts keep
neutral. The app gets opaque words besides: `duly_notice` is the same in every attempt of one notice,
so that an app can drop a double.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from urllib.parse import urlsplit

import orjson

from channels.base import (
    TOO_LATE,
    Accepted,
    Answer,
    Channel,
    Halt,
    Listing,
    Message,
    Refusal,
    Refused,
    Unknown,
)
from channels.concurrency import Told, Turns
from channels.handover import MARGIN, STEP

FCM = "fcm"
APNS = "apns"
WEB = "web"
_SERVICES_MAX = 256
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
NO_LIST = Listing(complete=False)


# What is about the key, the project or the app, and so about every message by it.
_STOPPED: Mapping[str, frozenset[str]] = {
        FCM: frozenset(
            {"UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "oauth-invalid_grant",
             "oauth-invalid_client", "oauth-unauthorized_client"}
        ),
        APNS: frozenset(
            {"ExpiredProviderToken", "InvalidProviderToken", "MissingProviderToken", "Forbidden",
             "BadCertificate", "BadCertificateEnvironment", "BadTopic", "MissingTopic",
             "TopicDisallowed"}
        ),
        WEB: frozenset({"http-401", "http-403"}),
}  # fmt: skip
# What a provider says when all of us together are too many, or it is; "429" is heard of anybody. Apple's
# TooManyRequests is about one device and not here.
_CROWDED: Mapping[str, frozenset[str]] = {
    FCM: frozenset(
        {"QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "oauth-away", "oauth-slow"}
    ),
    APNS: frozenset(
        {"TooManyProviderTokenUpdates", "ServiceUnavailable", "Shutdown", "not-processed"}
    ),
}


class PushRouter:
    """The push channel: each contact point names its provider, and one that is not set up refuses."""

    def __init__(
        self, ways: Mapping[str, Channel], monotonic: Callable[[], float], at_once: int = 64
    ) -> None:
        self._ways = dict(ways)
        self._monotonic = monotonic
        self._at_once = at_once
        self._turns: dict[tuple[str, str], Turns] = {}
        self._welcome: set[tuple[str, str]] = set()

    async def send(self, message: Message) -> Answer:
        """Hand over through the provider of the contact point, or refuse as our own mistake.

        As many are under way at each service as it bears.
        """
        provider = message.provider or ""
        way = self._ways.get(provider)
        if way is None:
            return Refused("push-provider", Refusal.CONFIGURATION)
        service = (provider, service_of(message.address) if provider == WEB else "")
        turns = self._turns_at(service)
        left = message.deadline - self._monotonic() - MARGIN
        if left < STEP or not await turns.enter(left - STEP):
            return TOO_LATE
        sent_at, told = self._monotonic(), None
        try:
            answer = self._beyond(service, await way.send(message))
            told = _told(answer, sent_at, self._monotonic())
        finally:
            turns.leave(told)
        return answer

    def _turns_at(self, service: tuple[str, str]) -> Turns:
        if service not in self._turns:
            # names of push services are strangers' words: what is kept of them has an end
            if len(self._turns) >= _SERVICES_MAX:
                self._turns.clear()
            self._turns[service] = Turns(self._at_once, self._monotonic)
        return self._turns[service]

    def _beyond(self, service: tuple[str, str], answer: Answer) -> Answer:
        """What a refusal says of more than its message: its sender is stopped, or over its limit."""
        provider = service[0]
        match answer:
            case Accepted():
                self._welcome.add(service)
            case Refused(code=code) if code in _CROWDED.get(provider, ()):
                return replace(answer, halt=Halt.AWHILE)
            # a browser that subscribed to another key says the same: only a service that never took one
            # of ours can mean all of them
            case Refused(code=code, kind=Refusal.CONFIGURATION) if code in _STOPPED.get(
                provider, ()
            ) and (provider != WEB or service not in self._welcome):
                # nothing is wrong with the notice: it waits, or goes another way
                return replace(answer, kind=Refusal.TRANSIENT, halt=Halt.SENDER)
            case _:
                pass
        return answer

    async def listing(self, address: str, since: datetime) -> Listing:  # noqa: ARG002
        """No push provider lists what it was given, so nothing can be proven absent."""
        return NO_LIST


def _told(answer: Answer, sent_at: float, at: float) -> Told | None:
    """Too many at once, or borne well; whatever is about one message says neither."""
    match answer:
        case Accepted():
            return Told(crowded=False, sent_at=sent_at, at=at)
        case Refused(halt=Halt.AWHILE) | Refused(code="429") | Unknown(why="http-503"):
            return Told(crowded=True, sent_at=sent_at, at=at)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Whole seconds, and the same as seconds since 1970 for providers that want an instant."""

    seconds: int
    ends_at: int


class Life:
    """How long a provider may hold a message: to the end of its contact window, and never for ever."""

    def __init__(self, now: Callable[[], datetime], longest: int) -> None:
        self._now = now
        self._longest = longest

    def of(self, message: Message) -> Lifetime | Refused:
        """The life of a message that leaves now."""
        good_for = self._longest if message.good_for is None else message.good_for
        seconds = min(good_for, self._longest)
        if seconds < 1:
            return TOO_LATE
        return Lifetime(seconds, math.floor(self._now().timestamp()) + seconds)


def service_of(address: str) -> str:
    """The push service of a browser's subscription; empty for what is none."""
    try:
        match orjson.loads(address):
            case {"endpoint": str(endpoint)}:
                return urlsplit(endpoint).hostname or ""
            case _:
                return ""
    except ValueError:
        return ""


def words_for_app(message: Message) -> dict[str, str]:
    """What the app gets besides the text: opaque, strings only."""
    said = {"duly_token": message.token}
    if message.notice is not None:
        said["duly_notice"] = message.notice
    return said


def collapse_key(message: Message) -> str:
    """A newer message of the same loan replaces an older one that is still waiting or shown.

    Web Push is the strictest of the three: 32 characters of base64url.
    """
    key = message.thread or message.notice or message.token
    return key if _TOPIC.fullmatch(key) else blake2b(key.encode(), digest_size=16).hexdigest()
