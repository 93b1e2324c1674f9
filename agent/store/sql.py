"""The only way to run SQL: named statements from `queries/*.sql`, parameters by name.

A statement stands below a line `-- name: what_it_does`; comment lines below it say why. Parameters
are written `:name`; casts (`::text`) are left alone.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"

_SEPARATOR = "\x1f"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")
_PARAMETER = re.compile(r"(?<!:):([a-z]\w*)")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with `$n` placeholders and the names they stand for, in order."""

    name: str
    text: str
    params: tuple[str, ...]

    def values(self, given: Mapping[str, Any]) -> list[Any]:
        """The arguments in order; `KeyError` names a missing or superfluous one."""
        if len(given) != len(self.params):
            raise KeyError(f"{self.name} takes {self.params}, not {tuple(given)}")
        return [given[name] for name in self.params]


def parse(source: str) -> list[Statement]:
    """Read the statements of one file."""
    parts = _NAME.split(source)
    return [_statement(name, body) for name, body in zip(parts[1::2], parts[2::2], strict=True)]


def _statement(name: str, body: str) -> Statement:
    text = _COMMENT.sub("", body).strip().rstrip(";")
    params = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    places = {param: f"${index}" for index, param in enumerate(params, start=1)}
    return Statement(name, _PARAMETER.sub(lambda found: places[found[1]], text), params)


@cache
def statements() -> Mapping[str, Statement]:
    """Every named statement; a name given twice is an error."""
    found: dict[str, Statement] = {}
    folder = files("agent.store") / "queries"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        for statement in parse(file.read_text("utf-8")):
            if statement.name in found:
                raise ValueError(f"statement {statement.name} is named twice")
            found[statement.name] = statement
    return found


async def fetch(conn: Connection, name: str, /, **params: Any) -> list[asyncpg.Record]:
    """All rows of a named statement."""
    statement = statements()[name]
    rows: list[asyncpg.Record] = await conn.fetch(statement.text, *statement.values(params))
    return rows


async def fetch_row(conn: Connection, name: str, /, **params: Any) -> asyncpg.Record | None:
    """The first row, or None."""
    statement = statements()[name]
    return await conn.fetchrow(statement.text, *statement.values(params))


async def fetch_value(conn: Connection, name: str, /, **params: Any) -> Any:
    """The first column of the first row, or None."""
    statement = statements()[name]
    return await conn.fetchval(statement.text, *statement.values(params))


async def execute(conn: Connection, name: str, /, **params: Any) -> int:
    """Run a statement; the number of rows it changed, as the server counted them."""
    statement = statements()[name]
    status = await conn.execute(statement.text, *statement.values(params))
    count = status.rpartition(" ")[2]
    return int(count) if count.isdecimal() else 0


def column(texts: Sequence[str | None]) -> str:
    """Texts as one text, which a statement takes apart: `string_to_array(:names, E'\\x1f', '')`.

    Where statements are hot this is half of the cost of sending: an array is looked through for arrays
    in it, one element after the other. An empty text becomes null; `ValueError` if one holds the separator.
    """
    joined = _SEPARATOR.join([text or "" for text in texts])
    if joined.count(_SEPARATOR) != len(texts) - 1:
        raise ValueError("a text holds the separator of texts")
    return joined


async def copy_rows(
    conn: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert many rows by COPY: the fastest way in, and all or nothing."""
    if rows:
        await conn.copy_records_to_table(table, records=rows, columns=columns)


async def stream(conn: Connection, name: str, /, **params: Any) -> AsyncIterator[asyncpg.Record]:
    """Rows one after the other, for results that need not be in memory at once; in a transaction."""
    statement = statements()[name]
    async for row in conn.cursor(statement.text, *statement.values(params), prefetch=2_000):
        yield row
