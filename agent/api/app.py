"""The HTTP API as one aiohttp application."""

import orjson
from aiohttp import web

from agent.api import events, health, outcomes
from agent.api.deps import DEPS, Deps
from agent.api.keys import Scope, needs
from agent.api.openapi import DOCUMENT
from agent.api.problem import answer_problems


def make_app(deps: Deps) -> web.Application:
    """All routes of the API. Webhooks and pages are added by whoever composes the server."""
    app = web.Application(middlewares=[answer_problems], client_max_size=deps.body_limit)
    app[DEPS] = deps
    app.on_response_prepare.append(_harden)
    keys = deps.api_keys
    app.router.add_get("/livez", health.livez)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/metrics", health.metrics)
    app.router.add_get("/openapi.json", _openapi)
    app.router.add_post("/v1/events", needs(Scope.EVENTS_WRITE, keys, events.post_events))
    app.router.add_get("/v1/outcomes", needs(Scope.OUTCOMES_READ, keys, outcomes.get_outcomes))
    app.router.add_post("/v1/outcomes/ack", needs(Scope.OUTCOMES_READ, keys, outcomes.post_ack))
    return app


async def _openapi(_request: web.Request) -> web.Response:
    return web.json_response(body=orjson.dumps(DOCUMENT))


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    """Nobody's cache keeps loan data, nobody guesses at types, nobody learns our versions."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers["Server"] = "duly"
    if request.path.startswith("/v1/"):
        response.headers.setdefault("Cache-Control", "no-store")
