"""A database of its own for work that must not touch the real one, and that may be thrown away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from agent.store.connect import open_connection


@asynccontextmanager
async def scratch_database(url: str, name: str, *, keep: bool = False) -> AsyncIterator[str]:
    """Create a database beside the one at `url`, and drop it in the end unless it is to be kept."""
    admin = await open_connection(url)
    try:
        await admin.execute(f"drop database if exists {_quoted(name)} with (force)")
        await admin.execute(f"create database {_quoted(name)}")
        try:
            yield _beside(url, name)
        finally:
            if not keep:
                await admin.execute(f"drop database if exists {_quoted(name)} with (force)")
    finally:
        await admin.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _beside(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path="/" + name))
