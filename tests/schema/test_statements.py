"""Every named statement: accepted by the migrated schema, used, defined once, blind to the clock."""

import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agent.store.sql import column, statements
from tests.support.places import ROOT

STORE = ROOT / "agent" / "store"
FORMS_OF_NOW = re.compile(
    r"\bnow\s*\(|\b(?:current|local)_(?:date|time|timestamp)\b|\blocaltime\b"
    r"|\b(?:clock|transaction|statement)_timestamp\b|\btimeofday\b|'(?:now|today|tomorrow|yesterday)'",
    re.IGNORECASE,
)
MAY_READ_THE_CLOCK = {"doctor_database": "compares the database's clock with ours"}
RANDOM = re.compile(r"\brandom\s*\(|\bgen_random_uuid\b|\buuidv\d\b", re.IGNORECASE)


def without_comments(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


async def test_every_statement_prepares(pool: Any) -> None:
    refused = {}
    async with pool.acquire() as conn:
        for statement in statements().values():
            try:
                await conn.prepare(statement.text)
            except asyncpg.PostgresError as problem:
                refused[statement.name] = str(problem)
    assert refused == {}


def test_every_statement_is_used() -> None:
    sources = [*ROOT.glob("agent/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    code = "\n".join(path.read_text("utf-8") for path in sources)
    assert sorted(name for name in statements() if f'"{name}"' not in code) == []


def test_every_statement_has_a_name_of_its_own() -> None:
    text = "\n".join(path.read_text("utf-8") for path in STORE.glob("queries/*.sql"))
    names = re.findall(r"^-- name: (\w+)$", text, re.MULTILINE)
    assert sorted(names) == sorted(statements())


def test_no_statement_reads_a_clock_or_draws_lots() -> None:
    found = {
        statement.name
        for statement in statements().values()
        if FORMS_OF_NOW.search(statement.text) or RANDOM.search(statement.text)
    }
    assert found == set(MAY_READ_THE_CLOCK)


def test_no_migration_reads_a_clock_or_draws_lots() -> None:
    for path in sorted(STORE.glob("migrations/*.sql")):
        text = without_comments(path.read_text("utf-8"))
        assert FORMS_OF_NOW.search(text) is None, path.name
        assert RANDOM.search(text) is None, path.name


def test_sql_stands_only_in_sql_files() -> None:
    """Statements begin lines or strings; prose that happens to hold the words does not match."""
    statement = re.compile(
        r"[\"'](?:select\s.+\sfrom\s|insert into\s|update\s\w+\sset\s|delete from\s|with\s\w+\sas\s\()",
        re.IGNORECASE,
    )
    found = [
        str(path.relative_to(ROOT))
        for path in Path(ROOT / "agent").glob("**/*.py")
        if statement.search(path.read_text("utf-8"))
    ]
    assert found == []


async def test_a_column_comes_apart_as_it_was_joined(pool: Any) -> None:
    apart = "select string_to_array($1, E'\\x1f', '')"
    for texts in (["a", None, "c"], ["é", ' ,\n"'], [None, None], ["1"]):
        assert await pool.fetchval(apart, column(texts)) == texts
    with pytest.raises(ValueError, match="separator"):
        column(["a\x1fb"])
