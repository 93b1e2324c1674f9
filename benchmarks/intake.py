"""B4: events a second through intake, divided by COPY of exactly the rows that intake stored.

COPY writes to the same tables with the same keys, indexes, checks and foreign keys, one table after
the other in one transaction, from binary rows that lie ready in memory: no reading of JSON, no
encryption, no look-up, no locking, no derivation.
"""

import gzip
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from time import perf_counter, process_time

from agent.flows.import_file import import_file
from agent.flows.intake import Desk, Taken, take
from agent.store.connect import open_connection, open_pool
from benchmarks.bars import Shown, middle_ratio, middles
from benchmarks.shop import Shop, cpu_seconds
from benchmarks.village import NAME, opened
from schedules import ladder_text

REAL = Path(__file__).parents[2] / "shared" / "data" / "mobile_loans.ndjson.gz"
# in the order that foreign keys ask for
TABLES = (
    "portfolio", "schedule_version", "borrower", "number", "contact_point", "loan", "instalment",
    "payment", "ledger_event", "rejected_line", "hold", "outcome",
)  # fmt: skip


async def measure(shop: Shop, _wanted: set[str]) -> list[Shown]:
    """Intake, then COPY of what it stored, each into an empty database; the same for an imported file."""
    lines, source = _lines(shop.sized(500, 12_000, 67_702))
    path = shop.folder / "events.ndjson"
    path.write_bytes(b"".join(line.rstrip() + b"\n" for _, line in lines))

    async def as_they_come(desk: Desk) -> Taken:
        return await take(desk, lines, shop.clock.now())

    async def as_a_file(desk: Desk) -> Taken:
        imported = await import_file(desk, path, shop.clock, refused=lambda _problem: None)
        return imported.taken

    rounds = []
    for number in range(shop.rounds):
        shop.tell(f"intake: round {number + 1} of {shop.rounds}, {len(lines):,} events")
        figures, rows = await _intake(shop, len(lines), as_they_come)
        figures |= await _copy(shop, rows, len(lines))
        filed, rows = await _intake(shop, len(lines), as_a_file)
        copied = await _copy(shop, rows, len(lines))
        figures["file_events_s"] = filed["events_s"]
        figures["file_ratio"] = filed["events_s"] / copied["copied_s"]
        rounds.append(figures)
    also = middles(rounds)
    note = (
        f"{len(lines):,} events ({source}) in the order of their time ÷ binary COPY of the"
        f" {also['rows']:,.0f} rows stored, same tables, indexes and foreign keys;"
        " file: the same through duly import, which takes a loan's events together"
    )
    return [Shown("B4", middle_ratio(rounds, "events_s", "copied_s"), note, rounds, also)]


def _lines(count: int) -> tuple[list[tuple[int, bytes]], str]:
    if REAL.exists():
        with gzip.open(REAL) as file:
            found = [line for line, _ in zip(file, range(count), strict=False)]
        return list(enumerate(found, 1)), "real loans"
    day = datetime(2026, 3, 10, tzinfo=UTC)
    found = []
    for number in range(count // 2):
        at = day + timedelta(minutes=number)
        found.append(opened(number, "Africa/Lagos", at, at + timedelta(days=30), push=True))
        found.append(_paid(number, at + timedelta(days=29)))
    return list(enumerate(found, 1)), "generated: an opening and a payment a loan"


def _paid(number: int, at: datetime) -> bytes:
    return (
        f'{{"specversion":"1.0","id":"{number}:paid","source":"bench","type":"payment.posted",'
        f'"subject":"loan-{number}","time":"{at.isoformat()}","data":{{"portfolio":"{NAME}",'
        f'"payment_id":"{number}-1","amount":"{1000 + number}.00"}}}}'
    ).encode()


async def _intake(
    shop: Shop, events: int, taking: Callable[[Desk], Awaitable[Taken]]
) -> tuple[dict[str, float], dict[str, bytes]]:
    async with shop.copy() as url:
        pool = await open_pool(url)
        postgres, cpu, begun = cpu_seconds(shop.postgres_pid), process_time(), perf_counter()
        desk = Desk(pool, shop.keyring, "bench", ladder_text("consumer-instalment"))
        taken = await taking(desk)
        seconds = perf_counter() - begun
        figures = {
            "events_s": events / seconds,
            "python_us": (process_time() - cpu) / events * 1e6,
            "postgres_us": (cpu_seconds(shop.postgres_pid) - postgres) / events * 1e6,
            "refused": taken.rejected.total(),
        }
        await pool.close()
        rows, count = await _rows(url)
        return figures | {"rows": count}, rows


async def _rows(url: str) -> tuple[dict[str, bytes], float]:
    """Everything that was stored, table by table, as COPY writes it."""
    conn = await open_connection(url)
    found: dict[str, bytes] = {}
    count = 0
    try:
        for table in TABLES:
            # the row that every database has
            which = f"select * from {table}" + (" where id > 0" if table == "portfolio" else "")
            kept = BytesIO()
            status = await conn.copy_from_query(which, output=kept, format="binary")
            count += int(status.split()[1])
            found[table] = kept.getvalue()
    finally:
        await conn.close()
    return found, count


async def _copy(shop: Shop, rows: dict[str, bytes], events: int) -> dict[str, float]:
    async with shop.copy() as url:
        conn = await open_connection(url)
        try:
            postgres, begun = cpu_seconds(shop.postgres_pid), perf_counter()
            async with conn.transaction():
                for table, kept in rows.items():
                    await conn.copy_to_table(table, source=BytesIO(kept), format="binary")
            seconds = perf_counter() - begun
        finally:
            await conn.close()
        return {
            "copied_s": events / seconds,
            "copy_postgres_us": (cpu_seconds(shop.postgres_pid) - postgres) / events * 1e6,
        }
