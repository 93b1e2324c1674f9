"""B5, B6, B7: dispatch, one arq job a message, the limit, and two workers; in one run, in turn.

All send to the same kind of provider (20 ms an answer) and all write to the same PostgreSQL with
fsync. Rates count from the start of the work to its last record; imports, connections and a first batch,
in which statements are prepared and texts and zones are read, came before.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any

from benchmarks import village
from benchmarks.bars import Shown, middle_ratio, middles
from benchmarks.job_process import enqueue
from benchmarks.outbox import make_outbox
from benchmarks.parts import Process, part
from benchmarks.shop import Shop, cpu_seconds, machine_seconds

LATENCY_MS = 20
Run = dict[str, float]


async def measure(shop: Shop, wanted: set[str]) -> list[Shown]:
    """Every contestant that a wanted bar needs, round after round."""
    shop.tell("dispatch: taking people in and planning their day")
    lanes, boxes, jobs = await _prepare(shop, wanted)
    rounds = []
    for number in range(shop.rounds):
        shop.tell(f"dispatch: round {number + 1} of {shop.rounds}")
        figures: Run = {}
        # one worker is what all others are compared with: it stands in their middle
        if "B7" in wanted:
            figures |= _named("two", await _workers(shop, lanes, 2))
        figures |= _named("duly", await _workers(shop, lanes, 1))
        if "B5" in wanted:
            figures |= _named("job", await _jobs(shop, jobs))
        if "B6" in wanted:
            figures |= _named("limit", await _limit(shop, boxes))
        if "B5" in wanted:
            figures |= _named("lean_job", await _jobs(shop, jobs, lean=True))
        rounds.append(figures)
    return _shown(shop, rounds, wanted)


def _named(name: str, run: Run) -> Run:
    return {f"{name}_{what}": value for what, value in run.items()}


async def _prepare(shop: Shop, wanted: set[str]) -> tuple[str, str, str]:
    people, fewer = _messages(shop)

    async def settle(url: str) -> None:
        await village.settle(url, shop.keyring, people, shop.clock.now(), push_every=3)

    lanes = await shop.prepared(settle)
    boxes = await shop.prepared(lambda url: make_outbox(url, people)) if "B6" in wanted else ""
    jobs = await shop.prepared(lambda url: make_outbox(url, fewer)) if "B5" in wanted else ""
    return lanes, boxes, jobs


def _messages(shop: Shop) -> tuple[int, int]:
    return shop.sized(2_000, 12_000, 40_000), shop.sized(60, 1_500, 4_000)


async def _workers(shop: Shop, template: str, workers: int) -> Run:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(shop.copy(template))
        phone, phone_url = await _phone(stack)
        hired = [
            await stack.enter_async_context(
                part("lane_process", database_url=url, provider_url=phone_url, redis_url=None)
            )
            for _ in range(workers)
        ]
        before = await _first(hired, {})
        return await _timed(shop, phone, hired, [{} for _ in hired], before)


async def _limit(shop: Shop, template: str) -> Run:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(shop.copy(template))
        phone, phone_url = await _phone(stack)
        hired = await stack.enter_async_context(
            part("limit_process", database_url=url, provider_url=phone_url)
        )
        before = await _first([hired], {})
        return await _timed(shop, phone, [hired], [{}], before)


async def _jobs(shop: Shop, template: str, *, lean: bool = False) -> Run:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(shop.copy(template))
        phone, phone_url = await _phone(stack)
        config = {"database_url": url, "provider_url": phone_url, "redis_url": shop.redis_url}
        hired = await stack.enter_async_context(part("job_process", **config))
        few = await enqueue(shop.redis_url, url, lean=lean, at_most=_messages(shop)[1] // 10)
        before = await _first([hired], {"jobs": few})
        count = await enqueue(shop.redis_url, url, lean=lean)
        return await _timed(shop, phone, [hired], [{"jobs": count}], before)


async def _first(hired: list[Process], said: dict[str, Any]) -> int:
    """A first batch of each, one after the other; how many messages that were."""
    return sum([(await each.ask(do="first", **said))["sent"] for each in hired])


async def _phone(stack: AsyncExitStack) -> tuple[Process, str]:
    phone = await stack.enter_async_context(part("provider", latency_ms=LATENCY_MS))
    return phone, (await phone.ask())["url"]


async def _timed(
    shop: Shop, phone: Process, hired: list[Process], asked: list[dict[str, Any]], before: int
) -> Run:
    """Messages a second over all of them, and where the CPU went; `before` were sent already."""
    postgres, machine = cpu_seconds(shop.postgres_pid), machine_seconds()
    mine = cpu_seconds(os.getpid())
    answers = await asyncio.gather(
        *(each.ask(**said) for each, said in zip(hired, asked, strict=True))
    )
    sent = sum(answer["sent"] for answer in answers)
    seconds = max(a["ended"] for a in answers) - min(a["begun"] for a in answers)
    postgres = cpu_seconds(shop.postgres_pid) - postgres
    ours = cpu_seconds(os.getpid()) - mine + postgres
    await _check(phone, sent + before)
    return {
        "per_second": sent / seconds,
        "sent": sent,
        "seconds": seconds,
        "worker_us": sum(a["cpu"] for a in answers) / sent * 1e6,
        "postgres_us": postgres / sent * 1e6,
        "others_cores": max(0.0, machine_seconds() - machine - ours) / seconds,
    }


async def _check(phone: Process, sent: int) -> None:
    """The provider's own count: everything came, and nothing twice."""
    came = (await phone.ask(do="take"))["to"]
    if len(came) != sent or len(set(came)) != sent:
        raise RuntimeError(f"{sent} were sent, {len(came)} came, {len(set(came))} different")


def _shown(shop: Shop, rounds: list[Run], wanted: set[str]) -> list[Shown]:
    people, fewer = _messages(shop)
    against = {
        "B5": ("job", f"one arq job a message that takes its row; {fewer:,} jobs, queued before"),
        "B6": ("limit", "prebuilt aiohttp POSTs and batch SQL on a narrow table"),
        "B7": ("two", "two worker processes on the same lane"),
    }  # fmt: skip
    also = middles(rounds)
    shown = []
    for bar, (name, words) in against.items():
        if bar in wanted:
            sides = "duly_per_second", f"{name}_per_second"
            over, under = reversed(sides) if bar == "B7" else sides
            value = middle_ratio(rounds, over, under)
            note = f"{people:,} messages, 20 ms provider; {words}"
            mine = {k: v for k, v in also.items() if k.startswith(("duly", name))}
            if bar == "B5":
                mine |= _beside(rounds, also)
            shown.append(Shown(bar, value, note, rounds, mine))
    return shown


def _beside(rounds: list[Run], also: Run) -> Run:
    """The job that sends twice after a crash, for whoever asks what taking the row costs."""
    lean = {name: value for name, value in also.items() if name.startswith("lean_job")}
    ratio = middle_ratio(rounds, "duly_per_second", "lean_job_per_second")
    return lean | {"lean_job_ratio": ratio}
