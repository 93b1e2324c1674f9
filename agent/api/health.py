"""Liveness, readiness and metrics. Numbers only: no loan, no person, no address."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agent.api.deps import DEPS, Deps
from agent.store import outcomes as store
from agent.store.connect import AWAY
from agent.telemetry import REGISTRY

PATIENCE_SECONDS = 2.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def livez(_request: web.Request) -> web.Response:
    """The process answers."""
    return web.json_response(body=b'{"status":"ok"}')


async def readyz(request: web.Request) -> web.Response:
    """The database takes writes. A silent doorbell is said but is no reason to turn callers away."""
    deps = request.app[DEPS]
    writable, doorbell = await asyncio.gather(_is_writable(deps), _doorbell(deps))
    body = {
        "status": "ok" if writable else "unavailable",
        "database": "writable" if writable else "unavailable",
        "doorbell": doorbell,
    }
    status = HTTPStatus.OK if writable else HTTPStatus.SERVICE_UNAVAILABLE
    return web.json_response(body=orjson.dumps(body), status=status)


async def _is_writable(deps: Deps) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), deps.pool.acquire() as conn:
            return await store.is_writable(conn)
    except AWAY:
        return False


async def _doorbell(deps: Deps) -> str:
    if deps.ping_doorbell is None:
        return "none"
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return "ok" if await deps.ping_doorbell() else "degraded"
    except Exception:  # noqa: BLE001 - whatever the doorbell's client raises, sending goes on
        return "degraded"


async def metrics(request: web.Request) -> web.Response:
    """What this process counted, and what waits in the database at this moment."""
    deps = request.app[DEPS]
    now = deps.clock.now()
    registry = CollectorRegistry()
    async with deps.pool.acquire() as conn:
        backlogs = {
            name: await store.backlog(conn, portfolio_id, now)
            for name, portfolio_id in (await store.portfolios(conn)).items()
        }
    registry.register(_Snapshot(backlogs, now))
    body = generate_latest(REGISTRY) + generate_latest(registry)
    return web.Response(body=body, headers={"Content-Type": METRICS_TYPE})


class _Snapshot(Collector):
    """The open work of every portfolio as gauges."""

    def __init__(self, backlogs: dict[str, store.Backlog], now: datetime) -> None:
        self._backlogs, self._now = backlogs, now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        unacknowledged = _gauge("outcomes_unacknowledged", "Outcomes the ledger has not yet")
        stuck = _gauge("outcomes_stuck", "Outcomes the ledger rejected, waiting for staff")
        age = _gauge("outcomes_oldest_seconds", "Age of the oldest unacknowledged outcome")
        notices = _gauge("notices_open", "Notices that wait", "state", "due")
        attempts = _gauge("attempts_open", "Attempts whose fate is not known", "state")
        cases = _gauge("cases_open", "Cases waiting for a person", "kind")
        for name, backlog in self._backlogs.items():
            unacknowledged.add_metric([name], backlog.unacknowledged)
            stuck.add_metric([name], backlog.stuck)
            waited = (self._now - backlog.oldest).total_seconds() if backlog.oldest else 0.0
            age.add_metric([name], max(waited, 0.0))
            for (state, due), count in sorted(backlog.notices.items()):
                notices.add_metric([name, state, "yes" if due else "no"], count)
            for state, count in sorted(backlog.attempts.items()):
                attempts.add_metric([name, state], count)
            for kind, count in sorted(backlog.cases.items()):
                cases.add_metric([name, kind], count)
        yield from (unacknowledged, stuck, age, notices, attempts, cases)


def _gauge(name: str, text: str, *labels: Any) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"duly_{name}", text, labels=["portfolio", *labels])
