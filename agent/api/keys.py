"""Who may call the API: keys with scopes, compared in constant time and never kept in the clear."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

from agent.api.problem import Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scope(StrEnum):
    EVENTS_WRITE = "events:write"
    OUTCOMES_READ = "outcomes:read"


class BadKey(ValueError):
    """A key in the settings that cannot be used; the message does not repeat it."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One caller. Only the hash of the secret is held."""

    name: str
    digest: bytes
    scopes: frozenset[Scope]

    @classmethod
    def parse(cls, text: str) -> "ApiKey":
        """`name:secret`, which may do everything, or `name:secret:scope+scope`; raises `BadKey`.

        Scopes hold a colon themselves, so only the first two colons separate.
        """
        name, _, rest = text.partition(":")
        secret, _, words = rest.partition(":")
        if not name or not secret:
            raise BadKey("an API key is name:secret or name:secret:scope+scope")
        try:
            scopes = frozenset(map(Scope, words.split("+"))) if words else frozenset(Scope)
        except ValueError:
            known = ", ".join(Scope)
            raise BadKey(f"API key {name} has an unknown scope; there are {known}") from None
        return cls(name, _digest(secret), scopes)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def find_key(keys: Sequence[ApiKey], authorization: str | None) -> ApiKey | None:
    """The caller that an Authorization header proves; every key is compared, whichever fits."""
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    offered = _digest(secret.strip())
    fitting = [key for key in keys if hmac.compare_digest(key.digest, offered)]
    return fitting[0] if fitting else None


def needs(scope: Scope, keys: Sequence[ApiKey], handler: Handler) -> Handler:
    """The handler, for callers whose key has the scope."""

    async def checked(request: web.Request) -> web.StreamResponse:
        key = find_key(keys, request.headers.get("Authorization"))
        if key is None:
            raise Problem.unauthorized()
        if scope not in key.scopes:
            raise Problem.forbidden(scope)
        return await handler(request)

    return checked
