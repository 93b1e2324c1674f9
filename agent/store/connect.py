"""How Duly connects to PostgreSQL; the arguments of asyncpg stand only here."""

from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson

from agent.store.sql import fetch

_JSONB_VERSION = b"\x01"
# Compiling a statement costs more than our statements take; a process that hangs inside a
# transaction must not keep people's rows locked; instants are UTC everywhere.
_SETTINGS = {
    "application_name": "duly",
    "jit": "off",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "60000",
}

# The server went away in the middle of something: whether it happened is open. When its farewell came
# just before our question, asyncpg calls that an internal error of its own.
LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
# Lost, or not to be worked with just now: another try a moment later may be answered.
AWAY = (
    *LOST,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
    TimeoutError,
)


class Unreachable(Exception):
    """No connection to PostgreSQL can be made; the message says why, without any password."""


def _unreachable(url: str, problem: Exception) -> Unreachable:
    parts = urlsplit(url)
    place = f"{parts.hostname or 'the socket'}{parts.path}"
    why = str(problem) or type(problem).__name__
    return Unreachable(f"cannot connect to PostgreSQL at {place}: {why}; check DULY_DATABASE_URL")


_CANNOT_CONNECT = (
    OSError,
    TimeoutError,
    ValueError,  # asyncpg.ClientConfigurationError is one
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
)


def _encode_jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + orjson.dumps(value)


def _decode_jsonb(data: bytes) -> Any:
    return orjson.loads(memoryview(data)[len(_JSONB_VERSION) :])


async def _prepare_connection(conn: asyncpg.Connection) -> None:
    # binary, because COPY takes nothing else
    await conn.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )
    await fetch(conn, "array_types")


async def _keep_as_it_is(_conn: asyncpg.Connection) -> None:
    """Nobody leaves settings, locks or listening behind: who needs a session's own takes it along.

    Asking PostgreSQL to forget them would be one more question for every transaction.
    """


async def open_pool(
    url: str, *, min_size: int = 1, max_size: int = 8, durable: bool = True
) -> asyncpg.Pool:
    """A pool whose jsonb columns are Python values both ways; raises `Unreachable`.

    Without `durable` a commit does not wait for the disk: only for databases that are thrown away.
    """
    settings = _SETTINGS if durable else {**_SETTINGS, "synchronous_commit": "off"}
    try:
        return await asyncpg.create_pool(
            url,
            min_size=min_size,
            max_size=max_size,
            init=_prepare_connection,
            reset=_keep_as_it_is,
            server_settings=settings,
        )
    except _CANNOT_CONNECT as problem:
        raise _unreachable(url, problem) from problem


async def open_connection(url: str) -> asyncpg.Connection:
    """One connection of the same kind, for commands that need no pool; raises `Unreachable`."""
    try:
        conn = await asyncpg.connect(url, server_settings=_SETTINGS)
    except _CANNOT_CONNECT as problem:
        raise _unreachable(url, problem) from problem
    await _prepare_connection(conn)
    return conn
