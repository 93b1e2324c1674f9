"""Google's access token for a service account: fetched before it is needed, once at a time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode

import aiohttp
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from yarl import URL

from channels.base import Refusal, Refused
from channels.http_once import HttpAnswer, post_once
from channels.jwt import BadKey, read_rsa_key, signed_rs256

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_FORM = "application/x-www-form-urlencoded"
_PATIENCE = 10.0
# Renewed this long before it ends, while it is still good for sending.
_EARLY = 600.0
# A token that ends within this is not used any more: it could end on the way.
_TOO_OLD = 30.0
# After a failure the next sends hear of it at once, instead of each asking Google again.
_PAUSE = 5.0
_FRESH = 60.0


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What Google's key file says of us."""

    project: str
    email: str
    key_id: str
    token_url: str
    key: RSAPrivateKey = field(repr=False)


def read_service_account(text: str) -> ServiceAccount:
    """The JSON key file as Google hands it out; raises `BadKey`, never with the key in it."""
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadKey("the service account is not JSON") from None
    names = ("project_id", "client_email", "private_key_id", "token_uri", "private_key")
    values = [said.get(name) if isinstance(said, dict) else None for name in names]
    missing = [
        name for name, value in zip(names, values, strict=True) if not isinstance(value, str)
    ]
    if missing:
        raise BadKey(f"the service account lacks {', '.join(missing)}")
    project, email, key_id, token_url, pem = (str(value) for value in values)
    return ServiceAccount(project, email, key_id, token_url, read_rsa_key(pem))


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    fetched: float
    ends: float


class GoogleTokens:
    """The one access token of a process."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        account: ServiceAccount,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._session = session
        self._account = account
        self._now = now
        self._monotonic = monotonic
        self._token: _Token | None = None
        self._failed: tuple[Refused, float] | None = None
        self._renewing: asyncio.Task[_Token | Refused] | None = None

    async def bearer(self, deadline: float) -> str | Refused:
        """A token that is good for this send. Without one nothing is sent, so failing is a refusal."""
        at, token = self._monotonic(), self._token
        if token is not None and at < token.ends - _TOO_OLD:
            if at >= token.ends - _EARLY and not self._paused(at):
                self._renew()
            return token.value
        paused = self._paused(at)
        if paused is not None:
            return paused
        try:
            async with asyncio.timeout(max(0.0, deadline - at)):
                got = await asyncio.shield(self._renew())
        except TimeoutError:
            return Refused("oauth-slow", Refusal.TRANSIENT)
        return got if isinstance(got, Refused) else got.value

    def rejected(self, value: str) -> bool:
        """Google did not take this token. True when it was fresh: then another one will not help."""
        token = self._token
        if token is None or token.value != value:
            return False
        self._token = None
        return self._monotonic() - token.fetched < _FRESH

    async def close(self) -> None:
        """Ends a renewal that is under way."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)

    def _paused(self, at: float) -> Refused | None:
        return self._failed[0] if self._failed is not None and at < self._failed[1] else None

    def _renew(self) -> "asyncio.Task[_Token | Refused]":
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._fetch())
        return self._renewing

    async def _fetch(self) -> _Token | Refused:
        started = self._monotonic()
        answer = await post_once(
            self._session,
            URL(self._account.token_url),
            urlencode({"grant_type": _GRANT, "assertion": self._assertion()}).encode(),
            _FORM,
            deadline=started + _PATIENCE,
            monotonic=self._monotonic,
        )
        got = _read_token(answer, started) if isinstance(answer, HttpAnswer) else _AWAY
        if isinstance(got, Refused):
            self._failed = (got, self._monotonic() + _PAUSE)
        else:
            self._token, self._failed = got, None
        return got

    def _assertion(self) -> str:
        account, issued = self._account, int(self._now().timestamp())
        claims = {
            "iss": account.email,
            "scope": SCOPE,
            "aud": account.token_url,
            "iat": issued,
            "exp": issued + 3600,
        }
        return signed_rs256(account.key, {"kid": account.key_id}, claims)


_AWAY = Refused("oauth-away", Refusal.TRANSIENT)


def _read_token(answer: HttpAnswer, started: float) -> _Token | Refused:
    """A token, our mistake (a well-formed 4xx), or nothing for the moment."""
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return _AWAY
    if not isinstance(said, dict):
        return _AWAY
    match answer.status, said.get("access_token"), said.get("expires_in"), said.get("error"):
        case 200, str(value), int(seconds), _ if value and seconds > _TOO_OLD:
            return _Token(value, started, started + seconds)
        case ((400 | 401 | 403 | 404), _, _, str(error)):
            return Refused(f"oauth-{error}"[:60], Refusal.CONFIGURATION)
        case _:
            return _AWAY
