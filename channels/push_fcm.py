"""Firebase Cloud Messaging, HTTP v1. A 200 means that FCM has it, not that a phone showed it.

FCM knows no idempotency key: the collapse key makes a double replace the first on the phone, and
what may have been sent is `Unknown` all the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import aiohttp
import orjson
from yarl import URL

from channels.base import Accepted, Answer, Listing, Message, Refusal, Refused, Unknown
from channels.google_token import GoogleTokens
from channels.http_once import HttpAnswer, post_once, retry_after
from channels.push import NO_LIST, Life, Lifetime, collapse_key, words_for_app

FCM_URL = "https://fcm.googleapis.com"
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_ABOUT_TOKEN = "registration token"
_JSON = "application/json"


class FcmChannel:
    """One Firebase project."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        project: str,
        tokens: GoogleTokens,
        life: Life,
        monotonic: Callable[[], float],
        base_url: str = FCM_URL,
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._life = life
        self._monotonic = monotonic
        self._url = URL(f"{base_url}/v1/projects/{project}/messages:send", encoded=True)

    async def send(self, message: Message) -> Answer:
        """One POST, with a token that was there before; it lives no longer than its contact window."""
        bearer = await self._tokens.bearer(message.deadline)
        if isinstance(bearer, Refused):
            return bearer
        life = self._life.of(message)
        if isinstance(life, Refused):
            return life
        answer = await post_once(
            self._session,
            self._url,
            fcm_body(message, life),
            _JSON,
            headers={"Authorization": f"Bearer {bearer}"},
            deadline=message.deadline,
            monotonic=self._monotonic,
        )
        if not isinstance(answer, HttpAnswer):
            return answer
        said = classify_fcm(answer.status, answer.headers, answer.body)
        if said == _UNAUTHENTICATED and not self._tokens.rejected(bearer):
            # an old token that was revoked: the next send fetches another
            return Refused(_UNAUTHENTICATED.code, Refusal.TRANSIENT)
        return said

    async def listing(self, address: str, since: datetime) -> Listing:  # noqa: ARG002
        """FCM lists nothing."""
        return NO_LIST

    async def close(self) -> None:
        """Ends what is under way."""
        await self._tokens.close()


def fcm_body(message: Message, life: Lifetime) -> bytes:
    """The request: the neutral text to show, strings for the app, one life on every platform."""
    key = collapse_key(message)
    shown = {"body": message.body} | ({"title": message.title} if message.title else {})
    return orjson.dumps(
        {
            "message": {
                "token": message.address,
                "notification": shown,
                "data": words_for_app(message),
                "android": {
                    "ttl": f"{life.seconds}s",
                    "collapseKey": key,
                    "priority": "HIGH",
                    # on a locked phone Android then hides even the neutral text
                    "notification": {"tag": key, "visibility": "PRIVATE"},
                },
                "apns": {
                    "headers": {"apns-expiration": str(life.ends_at), "apns-collapse-id": key}
                },
                "webpush": {
                    "headers": {"TTL": str(life.seconds), "Topic": key, "Urgency": "normal"}
                },
            }
        }
    )


@dataclass(frozen=True, slots=True)
class _Error:
    """What Google's error document says: the FCM code if there is one, and whose fault it is."""

    status: str
    fcm: str | None
    message: str
    fields: tuple[str, ...]

    @property
    def code(self) -> str:
        return self.fcm or self.status

    @property
    def blames_token(self) -> bool:
        """INVALID_ARGUMENT is the phone's token or our own payload; only the first is permanent."""
        if self.fields:
            return all(field == "message.token" for field in self.fields)
        return self.fcm is not None and _ABOUT_TOKEN in self.message.lower()


_UNAUTHENTICATED = Refused("UNAUTHENTICATED", Refusal.CONFIGURATION)


def classify_fcm(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Sort an answer by `errorCode`: 200 with a name accepted, Google's own 4xx refused.

    A 503 refuses only when FCM itself says UNAVAILABLE; every other 5xx may have been taken.
    """
    said = _object(body)
    if status == 200:
        name = (said or {}).get("name")
        known = isinstance(name, str) and "/messages/" in name
        return Accepted(str(name)) if known else Unknown("http-200-without-name")
    error = _error(status, said)
    if status == 429:
        code = error.code if error else "429"
        return Refused(code, Refusal.TRANSIENT, retry_after=retry_after(headers))
    if error is None:
        return Unknown(f"http-{status}-unreadable")
    if status == 503 and error.fcm == "UNAVAILABLE":
        return Refused(error.code, Refusal.TRANSIENT, retry_after=retry_after(headers))
    if not 400 <= status < 500 or status in {407, 408, 425, 499}:
        return Unknown(f"http-{status}")
    return Refused(error.code, _kind(error))


def _kind(error: _Error) -> Refusal:
    match error.code:
        case "UNREGISTERED":
            return Refusal.PERMANENT
        case "INVALID_ARGUMENT" if error.blames_token:
            return Refusal.PERMANENT
        case _:
            # sender, credentials, project, payload, and what Google may invent: ours to look at,
            # and no reason to drop the phone's token
            return Refusal.CONFIGURATION


def _error(status: int, said: dict[str, object] | None) -> _Error | None:
    match said:
        case {"error": {"code": code, "status": str(name), **rest}} if code == status and name:
            details = rest.get("details")
            listed = details if isinstance(details, list) else []
            parts = [one for one in listed if isinstance(one, dict)]
            return _Error(name, _fcm_code(parts), str(rest.get("message", "")), _fields(parts))
        case _:
            return None


def _fcm_code(details: list[dict[str, object]]) -> str | None:
    for detail in details:
        code = detail.get("errorCode")
        if detail.get("@type") == _FCM_ERROR and isinstance(code, str) and code:
            return code
    return None


def _fields(details: list[dict[str, object]]) -> tuple[str, ...]:
    found: list[str] = []
    for detail in details:
        violations = detail.get("fieldViolations")
        if detail.get("@type") == _BAD_REQUEST and isinstance(violations, list):
            found += [str(one.get("field")) for one in violations if isinstance(one, dict)]
    return tuple(found)


def _object(body: bytes) -> dict[str, object] | None:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None
