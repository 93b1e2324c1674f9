"""B11: an urgent message, from its COMMIT to its POST at the provider, through a running worker.

Once by the way that urgent messages take (NOTIFY in the transaction that makes them), once by the
doorbell alone (arq, rung after the commit). Light load: one message at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from statistics import median, quantiles
from time import monotonic

import asyncpg

from agent.adapters.queue import Doorbell
from agent.store.connect import open_connection
from agent.store.ticks import ring_urgent
from benchmarks import village
from benchmarks.bars import Shown
from benchmarks.parts import Process, part
from benchmarks.shop import Shop

_LATER = "update notice set next_at = not_after - interval '1 second'"
_NOW = "update notice set next_at = $2 where borrower_id = $1"
_WARM = 10
_PAUSE = 0.02
_PATIENCE = 5.0

Send = Callable[[int], Awaitable[float]]


async def measure(shop: Shop, _wanted: set[str]) -> list[Shown]:
    """Both ways, sample after sample, in a worker process with the production loop."""
    samples = shop.sized(10, 170, 400)
    shop.tell("urgent: taking people in")

    async def settle(url: str) -> None:
        people = 2 * (samples + _WARM)
        await village.settle(url, shop.keyring, people, shop.clock.now(), push_every=3)
        conn = await open_connection(url)
        await conn.execute(_LATER)
        await conn.close()

    template = await shop.prepared(settle)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(shop.copy(template))
        phone = await stack.enter_async_context(part("provider", latency_ms=20))
        phone_url = (await phone.ask())["url"]
        config = {"database_url": url, "provider_url": phone_url, "redis_url": shop.redis_url}
        worker = await stack.enter_async_context(part("lane_process", **config))
        await worker.ask(do="serve")
        conn = await open_connection(url)
        bell = Doorbell(shop.redis_url, shop.clock.now, shop.clock.monotonic)
        stack.push_async_callback(bell.close)
        stack.push_async_callback(conn.close)
        figures = await _both(shop, conn, bell, phone, samples)
    note = (
        f"{samples} messages each way, one at a time; NOTIFY p50 {figures['notify_p50_ms']:.1f} ms,"
        f" p99 {figures['notify_p99_ms']:.1f} ms; doorbell (arq) alone p50"
        f" {figures['doorbell_p50_ms']:.1f} ms, p99 {figures['doorbell_p99_ms']:.1f} ms"
    )
    return [Shown("B11", figures["notify_p99_ms"], note, [figures], figures)]


async def _both(
    shop: Shop, conn: asyncpg.Connection, bell: Doorbell, phone: Process, samples: int
) -> dict[str, float]:
    borrowers = iter(
        await conn.fetch("select borrower_id, portfolio_id from notice order by loan_id")
    )

    async def notify(borrower: int, lane: int) -> float:
        async with conn.transaction():
            await conn.execute(_NOW, borrower, shop.clock.now())
            await ring_urgent(conn, lane)
        return monotonic()

    async def doorbell(borrower: int, lane: int) -> float:
        await conn.execute(_NOW, borrower, shop.clock.now())
        at = monotonic()
        if not await bell.ring(lane):
            raise RuntimeError("the doorbell did not ring")
        return at

    figures: dict[str, float] = {}
    for name, send in (("notify", notify), ("doorbell", doorbell)):
        shop.tell(f"urgent: by {name}")
        took = []
        for _ in range(samples + _WARM):
            borrower, lane = next(borrowers)
            committed = await send(borrower, lane)
            took.append(await _arrival(phone) - committed)
            await asyncio.sleep(_PAUSE)
        figures |= _figures(name, took[_WARM:])
    return figures


async def _arrival(phone: Process) -> float:
    """When the one message on its way came, by the machine's clock that all processes share."""
    until = monotonic() + _PATIENCE
    while monotonic() < until:
        came = (await phone.ask(do="take"))["at"]
        if came:
            return float(came[0])
        await asyncio.sleep(0.002)
    raise RuntimeError("the message did not come")


def _figures(name: str, took: list[float]) -> dict[str, float]:
    cuts = quantiles(took, n=100, method="inclusive")
    return {
        f"{name}_p50_ms": median(took) * 1e3,
        f"{name}_p99_ms": cuts[98] * 1e3,
        f"{name}_max_ms": max(took) * 1e3,
    }
