"""COPY of rows whose types are known beforehand, packed column by column.

asyncpg asks of each value of each row what it is. In a batch most columns say the same few values again
and again: here each of those is put into PostgreSQL's form once. What a column must not hold (null in
one of a row's own values, a number too large) raises before anything is sent; a type that is not the
table's is refused by the server.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import chain, repeat
from struct import Struct
from typing import Any

from agent.store.sql import Connection

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_TEXT_OID = 25
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(2000, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)

_length = Struct(">i").pack
_int4 = Struct(">ii").pack
_int8 = Struct(">iq").pack
_count = Struct(">h").pack
_array = Struct(">iiiii").pack

# A column's values in, its fields with their lengths out.
Packing = Callable[[Sequence[Any]], Iterable[bytes]]


class _Each(dict[Any, bytes]):
    """The form of each different value of one column, made once."""

    __slots__ = ("_pack",)

    def __init__(self, pack: Callable[[Any], bytes]) -> None:
        self._pack = pack

    def __missing__(self, value: Any) -> bytes:
        found = self[value] = _NULL if value is None else self._pack(value)
        return found


def _alike(pack: Callable[[Any], bytes]) -> Packing:
    """A column that says the same few values over and over, or null."""
    return lambda column: map(_Each(pack).__getitem__, column)


def _bytes(value: bytes) -> bytes:
    return _length(len(value)) + value


def _text(value: str) -> bytes:
    return _bytes(value.encode())


def _texts(values: Sequence[str]) -> bytes:
    """One dimension that begins at 1; an empty array has none."""
    if not values:
        return _bytes(_array(0, 0, _TEXT_OID, 0, 0)[:12])
    return _bytes(_array(1, 0, _TEXT_OID, len(values), 1) + b"".join(map(_text, values)))


def _instant(value: datetime) -> bytes:
    return _int8(8, (value - _EPOCH) // _MICROSECOND)


def _own_bytes(column: Sequence[bytes]) -> Iterable[bytes]:
    return [_length(len(value)) + value for value in column]


def _own_text(column: Sequence[str]) -> Iterable[bytes]:
    return _own_bytes([text.encode() for text in column])


TEXT, TEXTS, INSTANT = _alike(_text), _alike(_texts), _alike(_instant)
INT4 = _alike(lambda value: _int4(4, value))
DATE = _alike(lambda value: _int4(4, value.toordinal() - _FIRST_DAY))
# What is another one in each row, and never null.
OWN_TEXT: Packing = _own_text
OWN_BYTES: Packing = _own_bytes
OWN_INT8: Packing = partial(map, _int8, repeat(8))


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table that rows fill, in their order, and how each is packed."""

    table: str
    columns: tuple[str, ...]
    packings: tuple[Packing, ...]

    def pack(self, rows: Sequence[tuple[Any, ...]]) -> bytes:
        """These rows as COPY reads them."""
        columns = zip(*rows, strict=True)
        fields = [pack(column) for pack, column in zip(self.packings, columns, strict=True)]
        packed = zip(repeat(_count(len(fields))), *fields, strict=False)
        return b"".join(chain((_HEADER,), chain.from_iterable(packed), (_END,)))


async def copy_packed(conn: Connection, layout: Layout, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert many rows by COPY, all or nothing."""
    if rows:
        await conn.copy_to_table(
            layout.table,
            # bytes would be taken for the name of a file
            source=memoryview(layout.pack(rows)),
            columns=layout.columns,
            format="binary",
        )
