"""`POST /v1/events`: ledger events in, each once by its id, the good ones whatever the others are."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from agent.api.deps import DEPS
from agent.api.problem import Problem
from agent.flows.intake import Taken

EVENTS_MAX = 50_000
PROBLEMS_MAX = 1_000
_JSON = frozenset(
    {
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    }
)
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


async def post_events(request: web.Request) -> web.Response:
    """Take a batch. The answer says how many were new, known, refused; refused ones by their place.

    A batch can be sent again after any failure: what was taken is known by its id.
    """
    deps = request.app[DEPS]
    lines = _lines(request.content_type, await _body(request))
    if len(lines) > EVENTS_MAX:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too-many-events",
            f"A batch holds at most {EVENTS_MAX} events.",
        )
    taken = await deps.take(enumerate(lines, start=1))
    return web.json_response(body=orjson.dumps(_summary(taken)))


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.RequestPayloadError:
        raise Problem.bad(
            "bad-encoding", "The body is not what its Content-Encoding says."
        ) from None


def _lines(content_type: str, body: bytes) -> Sequence[bytes]:
    if content_type in _LINES:
        return body.split(b"\n")
    if content_type in _JSON:
        return _dump(_parse(body))
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "Send application/cloudevents-batch+json or application/x-ndjson.",
    )


def _parse(body: bytes) -> Iterable[Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Problem.bad("bad-json", "The body is not JSON.") from None
    match found:
        case list():
            return found
        case dict():
            return [found]
        case _:
            raise Problem.bad("bad-json", "The body is neither an event nor a list of events.")


def _dump(events: Iterable[Any]) -> list[bytes]:
    return [_line(event) for event in events]


def _line(event: object) -> bytes:
    """As a line; what nests too deep to be written is no event, and its neighbours are."""
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:
        return b"null"


def _summary(taken: Taken) -> dict[str, Any]:
    """Places, reasons and names of fields; ids and contents may be about a person and stay out."""
    listed = taken.problems[:PROBLEMS_MAX]
    return {
        "accepted": taken.applied,
        "duplicate": taken.duplicates,
        "rejected": sum(taken.rejected.values()),
        "reasons": {f"{reason}": count for reason, count in sorted(taken.rejected.items())},
        "problems": [
            {"event": problem.line, "reason": problem.reason, "detail": problem.detail}
            for problem in listed
        ],
        "problems_left_out": len(taken.problems) - len(listed),
    }
