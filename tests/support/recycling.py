"""A test's database is emptied for the next test, which costs a third of cloning another one.

Nothing that a test could notice is carried over: rows, sequences, partitions, sessions, settings, what
ANALYZE found out. Whoever changed a table, a constraint or a function gets no successor: the database is
compared with the day it was made, and dropped when it differs.
"""

from dataclasses import dataclass

import asyncpg

# Sessions take their locks, temporary tables and prepared statements along.
_END_OTHERS = """
select coalesce(bool_and(pg_terminate_backend(pid, 5000)), true) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""

_TABLES = """
select relname from pg_class
where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
order by relname
"""

# Partitions are made as months come.
_NEW_TABLES = """
select oid::regclass::text from pg_class where relnamespace = 'public'::regnamespace
and relkind = 'r' and oid > $1
"""

# A row of these catalogs is another one when its `xmin` is; `pg_class` also counts pages and rows.
_SHAPE = """
with relation as (
    select * from pg_class where oid >= 16384 and relnamespace = 'public'::regnamespace
), shape (part) as (
    select concat_ws(' ', oid, relname, relkind, reloptions, relacl, relrowsecurity) from relation
    union all select concat_ws(' ', a.tableoid, attrelid, attnum, a.xmin)
        from pg_attribute a join relation r on r.oid = attrelid
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_constraint where oid >= 16384
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_attrdef
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_proc where oid >= 16384
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_trigger
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_rewrite where oid >= 16384
    union all select concat_ws(' ', setrole, setconfig) from pg_db_role_setting
        where setdatabase = (select oid from pg_database where datname = current_database())
    union all select nspname::text from pg_namespace where nspname !~ '^pg_(toast_)?temp_'
)
select md5(string_agg(part, ',' order by part)) from shape
"""

_SEQUENCES = """
select format('%I.%I', schemaname, sequencename), last_value from pg_sequences
"""

_REWIND = """
select setval($1::text::regclass, coalesce($2, seqstart), $2 is not null)
from pg_sequence where seqrelid = $1::text::regclass
"""

# A table that VACUUM or ANALYZE has seen is planned for otherwise than a new one.
_COUNTS = (
    "select oid, relpages, reltuples, relallvisible, relallfrozen from pg_class where oid >= 16384"
)
_FORGET_COUNTS = """
update pg_class c set relpages = b.relpages, reltuples = b.reltuples,
    relallvisible = b.relallvisible, relallfrozen = b.relallfrozen
from jsonb_to_recordset($1::text::jsonb)
    as b (oid oid, relpages integer, reltuples real, relallvisible integer, relallfrozen integer)
where c.oid = b.oid and (c.relpages, c.reltuples) is distinct from (b.relpages, b.reltuples)
"""
_FORGET_STATISTICS = "delete from pg_statistic where starelid >= 16384"


@dataclass(frozen=True, slots=True)
class Birth:
    """What a database of the template looks like before anybody used it."""

    newest: int
    shape: str
    tables: tuple[str, ...]
    # of the few tables that a migration fills, the rows as JSON
    seeds: dict[str, str]
    sequences: dict[str, int | None]
    counts: str


async def birth(conn: asyncpg.Connection) -> Birth:
    """Look at a database that nobody has used."""
    tables = [row["relname"] for row in await conn.fetch(_TABLES)]
    return Birth(
        newest=await conn.fetchval("select max(oid) from pg_class"),
        shape=await conn.fetchval(_SHAPE),
        tables=tuple(tables),
        seeds={table: await _rows(conn, table) for table in await _filled(conn, tables)},
        sequences=await _sequences(conn),
        counts=await conn.fetchval(f"select jsonb_agg(c)::text from ({_COUNTS}) c"),
    )


async def emptied(conn: asyncpg.Connection, born: Birth) -> bool:
    """Make the database what it was at birth; False if it cannot be."""
    if not await conn.fetchval(_END_OTHERS):
        return False
    if new := [row[0] for row in await conn.fetch(_NEW_TABLES, born.newest)]:
        await conn.execute(f"drop table {', '.join(new)}")
    if await conn.fetchval(_SHAPE) != born.shape:
        return False
    await _empty(conn, born)
    for name, value in (await _sequences(conn)).items():
        if value != born.sequences[name]:
            start = born.sequences[name]
            await conn.execute(_REWIND, name, start)
    await conn.execute(_FORGET_COUNTS, born.counts)
    await conn.execute(_FORGET_STATISTICS)
    return True


async def _empty(conn: asyncpg.Connection, born: Birth) -> None:
    filled = await _filled(conn, [table for table in born.tables if table not in born.seeds])
    seeded = [table for table, rows in born.seeds.items() if await _rows(conn, table) != rows]
    async with conn.transaction():
        # rows go in any order, whoever refers to whom: all of them go
        await conn.execute("set local session_replication_role = replica")
        for table in filled + seeded:
            await conn.execute(f"delete from {table}")
        for table in seeded:
            await conn.execute(
                f"insert into {table} overriding system value"
                f" select * from jsonb_populate_recordset(null::{table}, $1::text::jsonb)",
                born.seeds[table],
            )
    if filled + seeded:
        await conn.execute(f"vacuum {', '.join(filled + seeded)}")


async def _filled(conn: asyncpg.Connection, tables: list[str]) -> list[str]:
    asked = " union all ".join(
        f"select '{table}' where exists (select from {table})" for table in tables
    )
    return [row[0] for row in await conn.fetch(asked)]


async def _rows(conn: asyncpg.Connection, table: str) -> str:
    rows = await conn.fetchval(f"select jsonb_agg(t order by t::text)::text from {table} t")
    return rows or "[]"


async def _sequences(conn: asyncpg.Connection) -> dict[str, int | None]:
    return {row[0]: row[1] for row in await conn.fetch(_SEQUENCES)}
