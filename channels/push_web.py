"""Web Push (RFC 8030) with VAPID (RFC 8292): one POST to the push service of the person's browser.

A subscription comes from a browser, so its endpoint is a stranger's word: only known push services
are called, and only over https, or our server could be sent anywhere.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import aiohttp
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from channels.base import Accepted, Answer, Listing, Message, Refusal, Refused, Unknown
from channels.http_once import HttpAnswer, post_once, retry_after
from channels.jwt import base64url, signed_es256, unbase64url
from channels.push import NO_LIST, Life, Lifetime, collapse_key, words_for_app
from channels.webpush_crypto import (
    CURVE,
    SALT_BYTES,
    TEXT_BYTES_MAX,
    BrowserKeys,
    encrypt,
    point_of,
    read_browser_keys,
)

# A host that begins with a dot stands for all below it; an entry with a scheme is one exact origin.
KNOWN_HOSTS = (
    "fcm.googleapis.com",
    "jmt17.google.com",
    ".push.services.mozilla.com",
    ".push.apple.com",
    ".notify.windows.com",
)
_ADDRESS = re.compile(r"https?://[!-~]{1,2000}")
_BYTES = "application/octet-stream"
# RFC 8292 allows a day; half of it leaves room for clocks that differ, the other half for reuse
_TOKEN_LIFE = 12 * 3600
_TOKEN_REUSE = 6 * 3600.0
_TOKENS_MAX = 256

BAD_SUBSCRIPTION = Refused("subscription", Refusal.PERMANENT)
FOREIGN_HOST = Refused("push-host", Refusal.CONFIGURATION)
TOO_BIG = Refused("too-big", Refusal.CONFIGURATION)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One browser: where its messages go, and for whom they are encrypted."""

    endpoint: URL
    keys: BrowserKeys


@dataclass(frozen=True, slots=True)
class Vapid:
    """Who we are to push services: a key, and an address they may complain to."""

    key: ec.EllipticCurvePrivateKey
    subject: str


class WebPushChannel:
    """All browsers, through whichever push service each of them uses."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        vapid: Vapid,
        life: Life,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        hosts: tuple[str, ...] = KNOWN_HOSTS,
    ) -> None:
        self._session = session
        self._vapid = vapid
        self._public = base64url(point_of(vapid.key))
        self._life = life
        self._now = now
        self._monotonic = monotonic
        self._random_bytes = random_bytes
        self._hosts = hosts
        self._tokens: dict[str, tuple[str, float]] = {}

    async def send(self, message: Message) -> Answer:
        """One POST of a message that only this browser can read."""
        subscription = read_subscription(message.address)
        if subscription is None:
            return BAD_SUBSCRIPTION
        if not known_service(subscription.endpoint, self._hosts):
            return FOREIGN_HOST
        life = self._life.of(message)
        if isinstance(life, Refused):
            return life
        text = web_text(message)
        if len(text) > TEXT_BYTES_MAX:
            return TOO_BIG
        salt, own = self._random_bytes(SALT_BYTES), ec.generate_private_key(CURVE)
        answer = await post_once(
            self._session,
            subscription.endpoint,
            encrypt(text, subscription.keys, salt, own),
            _BYTES,
            headers=self._headers(message, life, subscription.endpoint),
            deadline=message.deadline,
            monotonic=self._monotonic,
        )
        if not isinstance(answer, HttpAnswer):
            return answer
        return classify_web(answer.status, answer.headers, message.token)

    async def listing(self, address: str, since: datetime) -> Listing:  # noqa: ARG002
        """Push services list nothing."""
        return NO_LIST

    def _headers(self, message: Message, life: Lifetime, endpoint: URL) -> dict[str, str]:
        token = self._token(str(endpoint.origin()))
        return {
            "Authorization": f"vapid t={token}, k={self._public}",
            "Content-Encoding": "aes128gcm",
            "TTL": str(life.seconds),
            "Topic": collapse_key(message),
            "Urgency": "normal",
        }

    def _token(self, origin: str) -> str:
        at = self._monotonic()
        known = self._tokens.get(origin)
        if known is not None and at < known[1]:
            return known[0]
        expires = int(self._now().timestamp()) + _TOKEN_LIFE
        claims = {"aud": origin, "exp": expires, "sub": self._vapid.subject}
        token = signed_es256(self._vapid.key, {"typ": "JWT"}, claims)
        if len(self._tokens) >= _TOKENS_MAX:
            self._tokens.clear()
        self._tokens[origin] = (token, at + _TOKEN_REUSE)
        return token


def read_subscription(address: str) -> Subscription | None:
    """The JSON of `PushSubscription.toJSON()`; None for one that no message could ever reach."""
    try:
        match orjson.loads(address):
            case {"endpoint": str(endpoint), "keys": {"p256dh": str(point), "auth": str(auth)}}:
                keys = read_browser_keys(unbase64url(point), unbase64url(auth))
                return Subscription(_endpoint(endpoint), keys)
            case _:
                return None
    except ValueError:
        return None


def _endpoint(text: str) -> URL:
    """As it came: a push service may look up the very characters of its path; raises `ValueError`."""
    # no blank, line end or control character: they would end the request line
    if not _ADDRESS.fullmatch(text):
        raise ValueError("not an address")
    url = URL(text, encoded=True)
    if not url.host or url.port is None:
        raise ValueError("not an address")
    return url


def known_service(endpoint: URL, hosts: tuple[str, ...]) -> bool:
    """The endpoint belongs to a push service that we mean to call."""
    host = endpoint.host or ""
    if endpoint.user is not None or endpoint.password is not None or not host:
        return False
    if str(endpoint.origin()) in hosts:
        return True
    if endpoint.scheme != "https" or endpoint.port != 443:
        return False
    return any(_is(host, name) for name in hosts)


def is_known_host(host: str, hosts: tuple[str, ...]) -> bool:
    """The host of some service that we mean to call; whether the whole endpoint is, `known_service` says."""
    return any(_is(host, name) or URL(name).host == host for name in hosts if host)


def _is(host: str, name: str) -> bool:
    return host == name or (name[:1] == "." and host.endswith(name))


def web_text(message: Message) -> bytes:
    """What the service worker gets: the neutral text to show, and words of its own."""
    shown = {"title": message.title} if message.title else {}
    return orjson.dumps(
        shown | {"body": message.body, "tag": collapse_key(message), "data": words_for_app(message)}
    )


_BY_INTERMEDIARIES = frozenset({407, 408, 425, 499})


def classify_web(status: int, headers: Mapping[str, str], token: str) -> Answer:
    """Sort an answer by its status, all that RFC 8030 defines: 201 accepted, 404 and 410 gone.

    No service says in a 5xx that it did not take the message, so each may have been taken.
    """
    match status:
        case 201:
            return Accepted(headers.get("Location") or headers.get("apns-id") or f"web-{token}")
        case 404 | 410:
            return Refused(f"http-{status}", Refusal.PERMANENT)
        case 429:
            return Refused("429", Refusal.TRANSIENT, retry_after=retry_after(headers))
        case _ if 400 <= status < 500 and status not in _BY_INTERMEDIARIES:
            # our key, our size, our headers: nothing that is wrong with this browser
            return Refused(f"http-{status}", Refusal.CONFIGURATION)
        case _:
            return Unknown(f"http-{status}")
