"""The processes of `duly serve`: API, worker and scheduler, together or apart, until told to stop."""

import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from enum import StrEnum

import structlog
from aiohttp import web

from agent import config
from agent.adapters.deadman import dead_man
from agent.adapters.ledger import FileLedger, HttpLedger, Ledger, read_secrets
from agent.adapters.queue import Doorbell
from agent.api.app import make_app
from agent.api.deps import Deps
from agent.api.keys import ApiKey
from agent.api.sandbox_callbacks import add_sandbox_callbacks
from agent.entry.duties import duties
from agent.entry.pushing import push_carriers, pushing
from agent.entry.receiving import Addressees, receipt_inbox
from agent.entry.scheduler import serve_scheduler
from agent.entry.texting import add_texting, texting, twilio_account
from agent.entry.worker import DATABASE_AWAY, Lanes, serve_worker
from agent.flows.carriers import Carriers
from agent.flows.dispatch import Stop, run_lane
from agent.flows.intake import take
from agent.flows.lane import Limits
from agent.wiring import System
from channels.base import PUSH, SMS, Channel, Receipt
from channels.sandbox.channel import SandboxChannel
from channels.sandbox.client import SandboxHttpChannel, open_session
from channels.sandbox.network import Posted, SandboxNetwork

RECEIPTS_SECONDS = 0.2

_log = structlog.get_logger("duly.server")


class Role(StrEnum):
    """What a process does."""

    ALL = "all"
    API = "api"
    WORKER = "worker"
    SCHEDULER = "scheduler"


@asynccontextmanager
async def with_channels(system: System) -> AsyncIterator[tuple[System, SandboxNetwork | None]]:
    """The system with its ways out, the dead-man timer and its limits; the phones, if they are ours.

    Phones inside this process are only for when nothing real is set up: a notice that they swallow
    would count as sent.
    """
    settings, clock = system.settings, system.clock
    limits = Limits(batch=settings.lane_batch, at_once=settings.send_concurrency)
    account = twilio_account(settings, system.keyring)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session(settings.send_concurrency))
        push = await stack.enter_async_context(pushing(settings, session, clock))
        network = None
        ways: dict[str, Channel] = {}
        if settings.sandbox_url is not None:
            ways |= {
                name: SandboxHttpChannel(session, settings.sandbox_url, name, clock.monotonic)
                for name in (SMS, PUSH)
            }
        elif account is None and push is None:
            network = SandboxNetwork(began=clock.now())
            ways |= {
                name: SandboxChannel(network, name, clock.now, clock.monotonic)
                for name in (SMS, PUSH)
            }
        carriers: dict[str, Carriers] = {}
        if account is not None:
            ways[SMS], carriers[SMS] = texting(settings, account, session, clock.monotonic)
        kept = frozenset[str]()
        if push is not None:
            ways[PUSH], kept = push, frozenset({PUSH})
            if (bound := push_carriers(settings)) is not None:
                carriers[PUSH] = bound
        equipped = replace(
            system, channels=ways, carriers=carriers, kept=kept, limits=limits,
            guard=dead_man(clock.monotonic),
        )  # fmt: skip
        yield equipped, network


@asynccontextmanager
async def with_ledger(system: System) -> AsyncIterator[Ledger | None]:
    """Where outcomes go by the settings; None when they are only pulled."""
    settings = system.settings
    if settings.ledger_url is not None:
        keys = read_secrets(config.revealed(settings.ledger_secret) or "")
        seconds = settings.ledger_timeout_seconds
        async with HttpLedger(
            settings.ledger_url, keys, system.clock, call_seconds=seconds
        ) as ledger:
            yield ledger
    elif settings.ledger_file is not None:
        async with FileLedger(settings.ledger_file) as file:
            yield file
    else:
        yield None


async def serve(system: System, role: Role, stop: asyncio.Event) -> int:
    """Run the parts of this role until `stop`, or until one of them ends by itself; the exit code."""
    async with AsyncExitStack() as stack:
        equipped, network = await stack.enter_async_context(with_channels(system))
        doorbell = None
        if system.redis_url is not None:
            clock = system.clock
            doorbell = Doorbell(system.redis_url, clock.now, clock.monotonic)
            stack.push_async_callback(doorbell.close)
        parts: list[Coroutine[object, object, int]] = []
        if role in {Role.ALL, Role.WORKER}:
            parts.append(_work(equipped, stop))
            if network is not None:
                parts.append(_bring_receipts(equipped, network, stop))
        if role in {Role.ALL, Role.SCHEDULER}:
            ledger = await stack.enter_async_context(with_ledger(system))
            works = duties(equipped, doorbell, ledger)
            owner = f"{socket.gethostname()}:{os.getpid()}"
            parts.append(serve_scheduler(system.pool, system.clock, works, stop, owner=owner))
        if role in {Role.ALL, Role.API}:
            parts.append(_answer(equipped, doorbell, stop))
        return await _together(parts, stop)


async def _together(parts: Sequence[Coroutine[object, object, int]], stop: asyncio.Event) -> int:
    """All parts end when one does; 0 when each ended well."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    codes = []
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, BaseException):
            _log.error("part_crashed", exc_info=ended)
        codes.append(ended if isinstance(ended, int) else 1)
    return max(codes)


async def _work(system: System, stop: asyncio.Event) -> int:
    async def run(lane: int, stopping: Stop) -> None:
        portfolio = (await system.portfolios()).get(lane)
        if portfolio is not None:
            await run_lane(system.lane(portfolio), stopping)

    settings = system.settings
    return await serve_worker(
        system.pool,
        system.clock,
        Lanes(run, at_once=settings.worker_jobs),
        stop,
        redis_url=system.redis_url,
        sweep_seconds=settings.sweep_seconds,
    )


async def _bring_receipts(system: System, network: SandboxNetwork, stop: asyncio.Event) -> int:
    """Carry receipts of our own phones home; the address they name says whose they are."""
    waiting: list[Posted] = []
    addressees = Addressees(system)
    while not stop.is_set():
        waiting += network.post(system.clock.now())
        lanes: defaultdict[int, list[Receipt]] = defaultdict(list)
        for posted in waiting:
            if posted.status_url is not None:
                lanes[int(posted.status_url.rsplit("/", 2)[1])].append(posted.receipt)
        try:
            for lane, receipts in lanes.items():
                await addressees.apply(lane, receipts)
            waiting = []
        except DATABASE_AWAY as problem:
            _log.warning("receipts_wait", problem=type(problem).__name__)
        await _until(stop, RECEIPTS_SECONDS)
    return 0


async def _until(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


async def _answer(system: System, doorbell: Doorbell | None, stop: asyncio.Event) -> int:
    """Serve HTTP."""
    settings = system.settings
    runner = web.AppRunner(_application(system, doorbell), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        _log.info("listening", host=settings.host, port=runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()
    return 0


def _application(system: System, doorbell: Doorbell | None) -> web.Application:
    settings, desk = system.settings, system.desk("api")
    app = make_app(
        Deps(
            system.pool,
            system.clock,
            lambda lines: take(desk, lines, system.clock.now()),
            tuple(ApiKey.parse(key.get_secret_value()) for key in settings.api_keys),
            doorbell.ping if doorbell is not None else None,
        )
    )

    receipts = receipt_inbox(system)
    if settings.sandbox_url is not None:
        # only where such phones are: their secret has a value that everybody knows until it is set
        add_sandbox_callbacks(
            app,
            receipts,
            public_url=settings.public_url,
            secret=settings.sandbox_secret.get_secret_value().encode(),
        )
    if (account := twilio_account(settings, system.keyring)) is not None:
        add_texting(app, system, account, receipts)
    return app
