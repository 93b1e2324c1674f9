"""Errors as RFC 9457 says. They name what is wrong and never repeat what was sent."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from aiohttp import web

from agent.store.connect import AWAY

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = "5"

_log = structlog.get_logger("duly.api")


class Problem(Exception):
    """An expected refusal of a request; becomes a problem+json answer."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.detail = status, code, detail
        self.headers, self.more = dict(headers or {}), more

    @classmethod
    def unauthorized(cls) -> "Problem":
        return cls(
            HTTPStatus.UNAUTHORIZED,
            "unauthorized",
            "A key is needed: Authorization: Bearer …",
            {"WWW-Authenticate": 'Bearer realm="duly"'},
        )

    @classmethod
    def forbidden(cls, scope: str) -> "Problem":
        return cls(HTTPStatus.FORBIDDEN, "forbidden", f"This key lacks the scope {scope}.")

    @classmethod
    def bad(cls, code: str, detail: str, **more: Any) -> "Problem":
        return cls(HTTPStatus.BAD_REQUEST, code, detail, None, **more)

    def answer(self) -> web.Response:
        """The response that tells it."""
        body = {
            "type": f"urn:duly:problem:{self.code}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            **self.more,
        }
        return web.Response(
            status=self.status,
            body=orjson.dumps(body),
            headers={**self.headers, "Content-Type": CONTENT_TYPE},
        )


_DETAILS = {
    HTTPStatus.NOT_FOUND: ("not-found", "There is nothing at this address."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method-not-allowed", "This address takes other methods."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("too-large", "The body is larger than what is taken."),
}


def _of_http(raised: web.HTTPException) -> Problem:
    status = HTTPStatus(raised.status)
    code, detail = _DETAILS.get(status, ("refused", "The request cannot be handled as it is."))
    kept = {key: value for key, value in raised.headers.items() if key.lower() == "allow"}
    return Problem(status, code, detail, kept)


@web.middleware
async def answer_problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every refusal and every failure becomes a problem; a failure is logged by its type only."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.answer()
    except web.HTTPException as raised:
        if raised.status < HTTPStatus.BAD_REQUEST:
            raise
        return _of_http(raised).answer()
    except AWAY as failure:
        _log.warning("database_away", route=_route(request), problem=type(failure).__name__)
        return Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "unavailable",
            "The database does not answer. The same request is safe to send again.",
            {"Retry-After": RETRY_SECONDS},
        ).answer()
    except Exception:  # noqa: BLE001 - the caller gets an answer, the log the place
        _log.exception("request_failed", route=_route(request))
        return Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "This was not expected and is logged."
        ).answer()


def _route(request: web.Request) -> str:
    """The route's pattern: a path itself may hold anything."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(none)"
