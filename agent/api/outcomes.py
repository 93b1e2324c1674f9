"""Outcomes by pull: a ledger reads what it has not acknowledged, in order per loan, and says what it has."""

import base64
import binascii
import struct
from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from agent.api.deps import DEPS, Deps
from agent.api.problem import Problem
from agent.domain.feed import cloud_event, parse_outcome_id
from agent.flows.ledger_desk import acknowledge_pulled, page_to_pull
from agent.store import outcomes as store
from agent.store.sql import Connection

PAGE = 100
PAGE_MAX = 1_000
_PLACE = struct.Struct(">qi")


async def get_outcomes(request: web.Request) -> web.Response:
    """One page of unacknowledged outcomes, and a cursor if there are more.

    A cursor is a place within one walk. Walk from the start again until a walk finds nothing:
    acknowledging, not walking, is what takes an outcome off the list, so none is ever skipped.
    """
    deps = request.app[DEPS]
    limit = _limit(request.query.get("limit"))
    after = _read_cursor(request.query.get("cursor"))
    async with deps.pool.acquire() as conn:
        _, portfolio_id = await _portfolio(conn, request.query.get("portfolio"))
    page, place = await page_to_pull(deps.pool, portfolio_id, after, limit, deps.clock.now())
    body = {
        "outcomes": [cloud_event(told) for told in page],
        "next": _cursor(place) if place else None,
    }
    return web.json_response(body=orjson.dumps(body))


async def post_ack(request: web.Request) -> web.Response:
    """Acknowledge outcomes by their ids; doing it twice is doing it once."""
    deps = request.app[DEPS]
    ids = await _ids(request)
    return web.json_response(body=orjson.dumps(await _acknowledge(deps, ids)))


async def _acknowledge(deps: Deps, ids: Sequence[str]) -> dict[str, Any]:
    named = [parse_outcome_id(text) for text in ids]
    acked, already, unknown = 0, 0, [place for place, name in enumerate(named) if name is None]
    async with deps.pool.acquire() as conn:
        known = await store.portfolios(conn)
    by_portfolio: dict[str, list[tuple[int, str, int]]] = {}
    for place, name in enumerate(named):
        if name is not None:
            by_portfolio.setdefault(name[0], []).append((place, name[1], name[2]))
    for portfolio, wanted in sorted(by_portfolio.items()):
        if portfolio not in known:
            unknown += [place for place, _, _ in wanted]
            continue
        done = await acknowledge_pulled(
            deps.pool, known[portfolio], [(ref, seq) for _, ref, seq in wanted], deps.clock.now()
        )
        acked, already = acked + done.acked, already + done.already
        unknown += [wanted[index][0] for index in done.unknown]
    return {"acknowledged": acked, "already": already, "unknown": sorted(unknown)}


async def _ids(request: web.Request) -> list[str]:
    try:
        found = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise Problem.bad("bad-json", "The body is not JSON.") from None
    ids = found.get("ids") if isinstance(found, dict) else None
    if not isinstance(ids, list) or not all(isinstance(text, str) for text in ids):
        raise Problem.bad("bad-ids", 'The body is {"ids": ["…", …]}.')
    if len(ids) > PAGE_MAX:
        raise Problem.bad("too-many-ids", f"At most {PAGE_MAX} ids at once.")
    return ids


async def _portfolio(conn: Connection, name: str | None) -> tuple[str, int]:
    """The portfolio that is named, or the only one there is."""
    known = await store.portfolios(conn)
    if name is None and len(known) == 1:
        return next(iter(known.items()))
    if name is None:
        raise Problem.bad("portfolio-needed", "Name a portfolio: ?portfolio=…")
    if name not in known:
        raise Problem.bad("unknown-portfolio", "There is no portfolio of that name.")
    return name, known[name]


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:6]) <= PAGE_MAX:
        raise Problem.bad("bad-limit", f"limit is a number from 1 to {PAGE_MAX}.")
    return int(text)


def _cursor(place: tuple[int, int]) -> str:
    return base64.urlsafe_b64encode(_PLACE.pack(*place)).decode().rstrip("=")


def _read_cursor(text: str | None) -> tuple[int, int]:
    if text is None:
        return store.BEGINNING
    try:
        loan_id, seq = _PLACE.unpack(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, struct.error):
        raise Problem.bad("bad-cursor", "The cursor is not one of ours.") from None
    return loan_id, seq
