"""B10: receipts applied a second, divided by one UPDATE a transaction on the same attempts.

The UPDATE is what a webhook that writes for itself would do: find the attempt by its token, raise its
state, commit. It stores no receipt and moves no notice.
"""

from time import perf_counter, process_time

from agent.flows.dispatch import run_lane
from agent.flows.lane import Lane
from agent.flows.receipts import apply_receipts
from agent.flows.rules import packs, texts
from agent.store.connect import open_connection, open_pool
from benchmarks import village
from benchmarks.bars import Shown, middle_ratio, middles
from benchmarks.shop import Shop, cpu_seconds
from channels.base import PUSH, SMS, Accepted, Answer, Listing, Message, Receipt, Status

_ONE = """
update attempt set state = 'delivered', settled_at = coalesce(settled_at, $3)
where portfolio_id = $1 and token = $2 and state in ('begun', 'unknown', 'accepted', 'sent')
"""


class Yes:
    """A provider in our own process that takes everything at once."""

    async def send(self, message: Message) -> Answer:
        return Accepted("SM" + message.token)

    async def listing(self, _address: str, _since: object) -> Listing:
        return Listing(complete=True)


async def measure(shop: Shop, _wanted: set[str]) -> list[Shown]:
    """Everybody was sent to; now the receipts come, by the production flow and one by one."""
    people = shop.sized(200, 10_000, 30_000)
    ones = shop.sized(50, 1_500, 3_000)
    shop.tell("receipts: sending what they are about")

    async def sent(url: str) -> None:
        await village.settle(url, shop.keyring, people, shop.clock.now(), push_every=3)
        await _send(shop, url)

    template = await shop.prepared(sent)
    rounds = []
    for number in range(shop.rounds):
        shop.tell(f"receipts: round {number + 1} of {shop.rounds}")
        async with shop.copy(template) as url:
            figures = await _apply(shop, url)
        async with shop.copy(template) as url:
            rounds.append(figures | await _one_by_one(shop, url, ones))
    also = middles(rounds)
    note = (
        f"{people * 4 // 5:,} receipts `delivered`, in batches, stored and joined ÷ {ones:,} single UPDATEs,"
        " one connection, fsync"
    )
    return [Shown("B10", middle_ratio(rounds, "applied_s", "single_s"), note, rounds, also)]


async def _send(shop: Shop, url: str) -> None:
    pool = await open_pool(url)
    try:
        home = await village.portfolio(pool, shop.clock.now())
        lane = Lane(
            pool,
            shop.keyring,
            shop.clock,
            home,
            packs(home.packs),
            texts(),
            {SMS: Yes(), PUSH: Yes()},
        )
        await run_lane(lane)
    finally:
        await pool.close()


async def _apply(shop: Shop, url: str) -> dict[str, float]:
    pool = await open_pool(url)
    try:
        now = shop.clock.now()
        home = await village.portfolio(pool, now)
        rows = await pool.fetch(
            "select channel, provider_id, token from attempt order by provider_id"
        )
        known = [Receipt(c, p, Status.DELIVERED, token, None, now) for c, p, token in rows]
        # a process lives for weeks: its connections and statements are no part of what a receipt costs
        first = len(known) // 5
        await apply_receipts(pool, home, known[:first], now)
        receipts = known[first:]
        postgres, cpu, begun = cpu_seconds(shop.postgres_pid), process_time(), perf_counter()
        applied = await apply_receipts(pool, home, receipts, now)
        seconds = perf_counter() - begun
        figures = {
            "applied_s": len(receipts) / seconds,
            "python_us": (process_time() - cpu) / len(receipts) * 1e6,
            "postgres_us": (cpu_seconds(shop.postgres_pid) - postgres) / len(receipts) * 1e6,
            "notices": applied.notices,
        }
        done = await pool.fetchval("select count(*) from attempt where state = 'delivered'")
        if done != len(known):
            raise RuntimeError(f"of {len(known)} receipts {done} were applied")
        return figures
    finally:
        await pool.close()


async def _one_by_one(shop: Shop, url: str, count: int) -> dict[str, float]:
    conn = await open_connection(url)
    try:
        tokens = await conn.fetch("select portfolio_id, token from attempt limit $1", count)
        now = shop.clock.now()
        await conn.execute("select 1")
        begun = perf_counter()
        for portfolio, token in tokens:
            await conn.execute(_ONE, portfolio, token, now)
        return {"single_s": count / (perf_counter() - begun)}
    finally:
        await conn.close()
