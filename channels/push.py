"""Push: which provider a message goes through, how long it may live, and what the app is given.

What a phone shows on its lock screen is only the title and body of the message, which the texts keep
neutral. The app gets opaque words besides: `duly_notice` is the same in every attempt of one notice,
so that an app can drop a double.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from channels.base import (
    TOO_LATE,
    Answer,
    Channel,
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


class PushRouter:
    """The push channel: each contact point names its provider, and one that is not set up refuses."""

    def __init__(self, ways: Mapping[str, Channel]) -> None:
        self._ways = dict(ways)

    async def send(self, message: Message) -> Answer:
        """Hand over through the provider of the contact point, or refuse as our own mistake."""
        way = self._ways.get(message.provider or "")
        if way is None:
            return Refused("push-provider", Refusal.CONFIGURATION)
        return await way.send(message)

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
