"""Apple's push service over HTTP/2 with a provider token (ES256).

A device token is dropped only when Apple says since when it is dead and we have not heard of it
since; "bad" may also mean that we talk to the wrong one of Apple's two environments.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from channels.base import Accepted, Answer, Listing, Message, Refusal, Refused, Unknown
from channels.http2_client import Http2Client
from channels.http_once import HttpAnswer, retry_after
from channels.jwt import signed_es256
from channels.push import NO_LIST, Life, Lifetime, collapse_key, words_for_app

# Apple wants a new token after 20 minutes at the earliest and before 60.
_SLOT = 40 * 60
_EARLIEST = 20 * 60
# Processes that hear within so many seconds that a token is too old make the same new one.
_TOGETHER = 20
_DEVICE = re.compile(r"[0-9a-fA-F]{64,200}")
NO_DEVICE = Refused("BadDeviceToken", Refusal.PERMANENT)
_EXPIRED = Refused("ExpiredProviderToken", Refusal.CONFIGURATION)


@dataclass(frozen=True, slots=True)
class AppleKey:
    """What Apple calls an authentication key, and whose it is."""

    team: str
    key_id: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)


class ProviderTokens:
    """The token of a span of 40 minutes; the same in every process that has this key.

    Apple punishes a key whose tokens change too often, so processes must not each make their own:
    issued at the beginning of the span and signed deterministically, they are equal.
    """

    def __init__(self, key: AppleKey, now: Callable[[], datetime]) -> None:
        self._key = key
        self._now = now
        self._issued = -1
        self._token = ""
        self._phase = 0
        self._renewed_at = -_EARLIEST

    def token(self) -> str:
        """Today's, as it were."""
        since = math.floor(self._now().timestamp()) - self._phase
        issued = since // _SLOT * _SLOT + self._phase
        if issued != self._issued:
            claims = {"iss": self._key.team, "iat": issued}
            self._token = signed_es256(self._key.key, {"kid": self._key.key_id}, claims)
            self._issued = issued
        return self._token

    def renewed(self, expired: str) -> bool:
        """Whether there is another one than this, which Apple calls too old: our clock may be behind.

        A new one is made now, unless one was made so shortly before that Apple would call it too many.
        """
        if expired != self._token:
            return True
        at = math.floor(self._now().timestamp()) // _TOGETHER * _TOGETHER
        if at <= self._issued or at - self._renewed_at < _EARLIEST:
            return False
        self._phase, self._renewed_at = at % _SLOT, at
        return self.token() != expired


class ApnsChannel:
    """One app at Apple's push service."""

    def __init__(self, client: Http2Client, topic: str, tokens: ProviderTokens, life: Life) -> None:
        self._client = client
        self._topic = topic
        self._tokens = tokens
        self._life = life
        self._right_place = False

    async def send(self, message: Message) -> Answer:
        """One POST on the shared connection; it lives no longer than its contact window."""
        if not _DEVICE.fullmatch(message.address):
            return NO_DEVICE
        life = self._life.of(message)
        if isinstance(life, Refused):
            return life
        bearer = self._tokens.token()
        answer = await self._client.post(
            f"/3/device/{message.address}",
            self._headers(message, life, bearer),
            apns_body(message),
            message.deadline,
        )
        if not isinstance(answer, HttpAnswer):
            return answer
        # once Apple knew one of our devices, a device that it does not know is to blame itself
        self._right_place = self._right_place or answer.status in {200, 410}
        said = classify_apns(
            answer, apns_id(message.token), message.registered_at, right_place=self._right_place
        )
        if said == _EXPIRED and self._tokens.renewed(bearer):
            return Refused(_EXPIRED.code, Refusal.TRANSIENT)  # the next try has another token
        return said

    async def listing(self, address: str, since: datetime) -> Listing:  # noqa: ARG002
        """Apple lists nothing."""
        return NO_LIST

    async def close(self) -> None:
        """Ends the connection."""
        await self._client.close()

    def _headers(self, message: Message, life: Lifetime, bearer: str) -> dict[str, str]:
        return {
            "authorization": f"bearer {bearer}",
            "apns-id": apns_id(message.token),
            "apns-topic": self._topic,
            "apns-push-type": "alert",
            "apns-priority": "10",
            "apns-expiration": str(life.ends_at),
            "apns-collapse-id": collapse_key(message),
        }


def apns_id(token: str) -> str:
    """The attempt's token in the form of a UUID: Apple's own name for this message is then ours."""
    return "-".join((token[:8], token[8:12], token[12:16], token[16:20], token[20:]))


def apns_body(message: Message) -> bytes:
    """The neutral text to show, and opaque words for the app."""
    alert = {"body": message.body} | ({"title": message.title} if message.title else {})
    aps = {"alert": alert, "sound": "default", "thread-id": collapse_key(message)}
    return orjson.dumps({"aps": aps, **words_for_app(message)})


def classify_apns(
    answer: HttpAnswer, sent_id: str, registered_at: datetime | None, *, right_place: bool
) -> Answer:
    """Sort an answer by status and `reason`: 200 accepted, a reason in a 4xx refused.

    A 503 refuses when Apple itself gives a reason; any other 5xx may have been taken.
    """
    status, said = answer.status, _said(answer.body)
    reason = said.get("reason")
    if status == 200:
        return Accepted(answer.headers.get("apns-id") or sent_id)
    if status == 429:
        code = reason if isinstance(reason, str) and reason else "429"
        return Refused(code, Refusal.TRANSIENT, retry_after=retry_after(answer.headers))
    if not isinstance(reason, str) or not reason:
        return Unknown(f"http-{status}-without-reason")
    if status == 503:
        return Refused(reason, Refusal.TRANSIENT, retry_after=retry_after(answer.headers))
    if not 400 <= status < 500:
        return Unknown(f"http-{status}")
    return Refused(reason, _kind(status, reason, said, registered_at, right_place=right_place))


def _kind(
    status: int,
    reason: str,
    said: Mapping[str, object],
    registered_at: datetime | None,
    *,
    right_place: bool,
) -> Refusal:
    match status, reason:
        case 410, _ if _dead(said.get("timestamp"), registered_at):
            return Refusal.PERMANENT
        case (410, _) | (400, "IdleTimeout"):
            return Refusal.TRANSIENT
        case 400, "BadDeviceToken" if right_place:
            return Refusal.PERMANENT
        case _:
            # topic, key, payload, environment: ours to look at, and no reason to drop the device
            return Refusal.CONFIGURATION


def _dead(timestamp: object, registered_at: datetime | None) -> bool:
    """Apple's word holds only if we have not heard since then that the app is installed."""
    if registered_at is None or not isinstance(timestamp, int):
        return True
    try:
        since = datetime.fromtimestamp(timestamp / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return True
    return since >= registered_at


def _said(body: bytes) -> Mapping[str, object]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
