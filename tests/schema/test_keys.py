"""Keys that a database distributed by portfolio accepts, and defaults that read no clock."""

from typing import Any

UNIQUE_KEYS = """
    select c.relname as table_name, i.relname as index_name,
        array(select a.attname from pg_attribute a
              where a.attrelid = c.oid and a.attnum = any(x.indkey)) as columns
    from pg_index x
    join pg_class c on c.oid = x.indrelid
    join pg_class i on i.oid = x.indexrelid
    where x.indisunique and c.relnamespace = 'public'::regnamespace
"""
# a table that every node holds whole, or that is small and coordinates the nodes
WITHOUT_PORTFOLIO = {
    "portfolio": "the list of portfolios itself: copied to every node",
    "schema_migration": "which migrations ran: one for the whole database",
    "tick_slot": "which duty ran when: one for the whole installation",
}


async def test_every_unique_key_holds_the_portfolio(pool: Any) -> None:
    rows = await pool.fetch(UNIQUE_KEYS)
    without = {row["table_name"] for row in rows if "portfolio_id" not in row["columns"]}
    assert without == set(WITHOUT_PORTFOLIO)


async def test_every_other_table_holds_the_portfolio(pool: Any) -> None:
    rows = await pool.fetch(
        """
        select c.relname from pg_class c
        where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
          and not exists (select 1 from pg_attribute a
                          where a.attrelid = c.oid and a.attname = 'portfolio_id' and a.attnotnull)
        """
    )
    assert {row["relname"] for row in rows} == set(WITHOUT_PORTFOLIO)


async def test_no_foreign_key_crosses_portfolios(pool: Any) -> None:
    rows = await pool.fetch(
        """
        select conrelid::regclass::text as table_name, pg_get_constraintdef(oid) as definition
        from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace
        """
    )
    assert rows
    for row in rows:
        assert row["definition"].startswith("FOREIGN KEY (portfolio_id"), row["table_name"]


async def test_no_default_reads_a_clock_or_draws_lots(pool: Any) -> None:
    rows = await pool.fetch("select pg_get_expr(adbin, adrelid) as value from pg_attrdef")
    allowed = ("'", "0", "1", "false", "true", "nextval(", "ARRAY[", "NULL", "(-")
    assert [row["value"] for row in rows if not row["value"].startswith(allowed)] == []


async def test_every_instant_has_a_zone_and_no_amount_is_a_float(pool: Any) -> None:
    rows = await pool.fetch(
        """
        select table_name, column_name, data_type from information_schema.columns
        where table_schema = 'public'
          and data_type in ('timestamp without time zone', 'time with time zone', 'money',
                            'real', 'double precision', 'numeric')
        """
    )
    assert [tuple(row) for row in rows] == []
