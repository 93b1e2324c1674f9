"""The background duties of a system: what each tick does, and what it counts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from agent.adapters.ledger import Ledger
from agent.adapters.queue import Doorbell
from agent.flows import ticks
from agent.flows.confirmations import confirm_opt_outs
from agent.flows.deadlines import begin_duties
from agent.flows.inbound import Hears, ask_the_silent, catch_up
from agent.flows.ledger_feed import Feeder
from agent.flows.partitions import make_partitions
from agent.flows.passed_over import sweep_held
from agent.flows.passing import lift_holds, pass_time
from agent.flows.planning import plan_all
from agent.flows.receipts import join_late
from agent.flows.rescue import archive, rescue
from agent.flows.retention import end_of_keeping
from agent.flows.rules import texts
from agent.store.ticks import due_lanes
from agent.wiring import System

# Caps look back at most a month; what is older leaves the hot table.
ARCHIVE_AFTER = timedelta(days=40)

Ring = Callable[[int], Awaitable[bool]]


def duties(
    system: System, doorbell: Doorbell | None, ledger: Ledger | None
) -> dict[str, ticks.Work]:
    """Every duty by name; without a doorbell nobody rings, without a ledger nothing is fed."""

    async def plan(now: datetime) -> Mapping[str, int]:
        return {"planned": await plan_all(system.pool, now)}

    async def pass_on(now: datetime) -> Mapping[str, int]:
        lifted = await lift_holds(system.pool, now)
        return {"lifted": lifted, "crossed": await pass_time(system.pool, now)}

    async def settle(now: datetime) -> Mapping[str, int]:
        known = (await system.portfolios()).values()
        counts = _sums([asdict(await rescue(system.lane(one))) for one in known])
        joined = [await join_late(system.pool, one, now) for one in known]
        return {**counts, "joined": sum(joined)}

    async def clear(now: datetime) -> Mapping[str, int]:
        lanes = [system.lane(one) for one in (await system.portfolios()).values()]
        return {"archived": sum([await archive(lane, now - ARCHIVE_AFTER) for lane in lanes])}

    async def prune(now: datetime) -> Mapping[str, int]:
        return await ticks.prune(system.pool, now)

    async def partition(now: datetime) -> Mapping[str, int]:
        return {"made": await make_partitions(system.pool, now)}

    async def forget(now: datetime) -> Mapping[str, int]:
        return await end_of_keeping(system.pool, now)

    async def remind(now: datetime) -> Mapping[str, int]:
        return await begin_duties(system.pool, system.keyring, now)

    works: dict[str, ticks.Work] = {
        "held": _call_off(system),
        "partitions": partition,
        "plan": plan,
        "pass_time": pass_on,
        "rescue": settle,
        "archive": clear,
        "prune": prune,
        "retention": forget,
        "deadlines": remind,
    }
    return works | _where_there_is(system, doorbell, ledger)


def _where_there_is(
    system: System, doorbell: Doorbell | None, ledger: Ledger | None
) -> dict[str, ticks.Work]:
    """Duties towards others: providers that hear people, the doorbell, the ledger."""
    works: dict[str, ticks.Work] = {}
    if system.channels:
        works["confirmations"] = _confirm(system)
    if system.carriers:
        works["inbound"] = _catch_up(system)
    if doorbell is not None:
        works["sweep"] = _ring_due(system, doorbell.ring)
    if ledger is not None:
        works["feed"] = _feed(system, ledger)
    return works


def _call_off(system: System) -> ticks.Work:
    """Give what comes to held loans its decision."""

    async def call_off(now: datetime) -> Mapping[str, int]:
        return {"called_off": await sweep_held(system.pool, now)}

    return call_off


def _confirm(system: System) -> ticks.Work:
    """Answer opt-outs where a rule allows it."""

    async def confirm(_now: datetime) -> Mapping[str, int]:
        return await confirm_opt_outs(
            system.pool, system.keyring, system.clock, system.channels, texts()
        )

    return confirm


def _catch_up(system: System) -> ticks.Work:
    """Read the providers' lists of what was sent to us, and ask about what stays silent."""

    async def listen(now: datetime) -> Mapping[str, int]:
        counts = {"missed": 0, "incomplete": 0, "asked": 0}
        for name in system.carriers:
            way = system.channels[name]
            if not isinstance(way, Hears):
                continue
            for count, value in (
                await catch_up(system.pool, system.keyring, name, way, now)
            ).items():
                counts[count] += value
            for portfolio in (await system.portfolios()).values():
                counts["asked"] += await ask_the_silent(system.pool, portfolio, name, way, now)
        return counts

    return listen


def _ring_due(system: System, ring: Ring) -> ticks.Work:
    async def sweep(now: datetime) -> Mapping[str, int]:
        async with system.pool.acquire() as conn:
            lanes = await due_lanes(conn, now)
        return {"lanes": len(lanes), "rung": sum([await ring(lane) for lane in lanes])}

    return sweep


def _feed(system: System, ledger: Ledger) -> ticks.Work:
    feeders: dict[int, Feeder] = {}

    async def feed(_now: datetime) -> Mapping[str, int]:
        for lane in await system.portfolios():
            if lane not in feeders:
                feeders[lane] = Feeder(system.pool, lane, ledger, system.clock)
        return _sums([asdict(await feeder.feed()) for feeder in feeders.values()])

    return feed


def _sums(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = counts[0].keys() if counts else ()
    return {name: sum(int(one[name]) for one in counts) for name in names}
