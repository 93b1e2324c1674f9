"""How Duly connects to PostgreSQL; the arguments of asyncpg stand only here."""

from typing import Any

import asyncpg
import orjson

_JSONB_VERSION = b"\x01"
# Compiling a statement costs more than our statements take; a process that hangs inside a
# transaction must not keep people's rows locked; instants are UTC everywhere.
_SETTINGS = {
    "application_name": "duly",
    "jit": "off",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "60000",
}


def _encode_jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + orjson.dumps(value)


def _decode_jsonb(data: bytes) -> Any:
    return orjson.loads(memoryview(data)[len(_JSONB_VERSION) :])


async def _prepare_connection(conn: asyncpg.Connection) -> None:
    # binary, because COPY takes nothing else
    await conn.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )


async def open_pool(url: str, *, min_size: int = 1, max_size: int = 8) -> asyncpg.Pool:
    """A pool whose jsonb columns are Python values both ways."""
    return await asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        init=_prepare_connection,
        server_settings=_SETTINGS,
    )


async def open_connection(url: str) -> asyncpg.Connection:
    """One connection of the same kind, for commands that need no pool."""
    conn = await asyncpg.connect(url, server_settings=_SETTINGS)
    await _prepare_connection(conn)
    return conn
