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
)

FCM = "fcm"
APNS = "apns"
WEB = "web"
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
    FCM: frozenset({"QUOTA_EXCEEDED", "UNAVAILABLE", "oauth-away", "oauth-slow"}),
    APNS: frozenset(
        {"TooManyProviderTokenUpdates", "ServiceUnavailable", "Shutdown", "not-processed"}
    ),
}


class PushRouter:
    """The push channel: each contact point names its provider, and one that is not set up refuses."""

    def __init__(self, ways: Mapping[str, Channel]) -> None:
        self._ways = dict(ways)
        self._welcome: set[tuple[str, str]] = set()

    async def send(self, message: Message) -> Answer:
        """Hand over through the provider of the contact point, or refuse as our own mistake."""
        way = self._ways.get(message.provider or "")
        if way is None:
            return Refused("push-provider", Refusal.CONFIGURATION)
        return self._beyond(message, await way.send(message))

    def _beyond(self, message: Message, answer: Answer) -> Answer:
        """What a refusal says of more than its message: its sender is stopped, or over its limit."""
        provider = message.provider or ""
        service = (provider, service_of(message.address) if provider == WEB else "")
        match answer:
            case Accepted():
                self._welcome.add(service)
            case Refused(code=code) if code in _CROWDED.get(provider, ()):
                return replace(answer, halt=Halt.AWHILE)
            # a browser that subscribed to another key says the same: only a service that never took one
            # of ours can mean all of them
            case Refused(code=code) if code in _STOPPED.get(provider, ()) and (
                provider != WEB or service not in self._welcome
            ):
                # nothing is wrong with the notice: it waits, or goes another way
                return replace(answer, kind=Refusal.TRANSIENT, halt=Halt.SENDER)
            case _:
                pass
        return answer

    async def listing(self, address: str, since: datetime) -> Listing:  # noqa: ARG002
        """No push provider lists what it was given, so nothing can be proven absent."""
        return NO_LIST


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
