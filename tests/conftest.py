"""Fixtures for all tests. Nothing is started before a test asks for it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, settings

from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from tests.support.places import SHARED
from tests.support.stores import SessionStores

# Commands are started some two hundred times: compiled once, each start takes a sixth less.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

TEST_MASTER_KEY = bytes(range(32))

# A slow machine is no bug; and what CI finds, anybody finds again with the same examples.
settings.register_profile("duly", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "duly")


@pytest.fixture(scope="session")
def stores() -> Iterator[SessionStores]:
    """The session's PostgreSQL and Valkey, started on first use."""
    opened = SessionStores()
    yield opened
    opened.close()


@pytest.fixture
def database_url(stores: SessionStores) -> Iterator[str]:
    """A fresh migrated database."""
    url = stores.create_database()
    yield url
    stores.drop_database(url)


@pytest.fixture
def empty_database_url(stores: SessionStores) -> Iterator[str]:
    """A fresh database without any table."""
    url = stores.create_database(migrated=False)
    yield url
    stores.drop_database(url)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on a fresh migrated database."""
    opened = await open_pool(database_url)
    yield opened
    try:
        await asyncio.wait_for(opened.close(), 20)
    except TimeoutError:
        # a test that failed half-way left a connection in use: it must not stop the others
        opened.terminate()


@pytest.fixture(scope="session")
def valkey_url(stores: SessionStores) -> str:
    """The session's Valkey; a fixture of its own because it is started outside the tests' loop."""
    return stores.valkey()


@pytest.fixture
async def redis_url(valkey_url: str) -> str:
    """An empty Valkey."""
    client = redis.Redis.from_url(valkey_url)
    await client.flushall()
    await client.aclose()
    return valkey_url


@pytest.fixture
def keyring() -> Keyring:
    """A keyring with a fixed master key."""
    return Keyring(TEST_MASTER_KEY)


@pytest.fixture
def shared_folder() -> Path:
    """The folder with the real loans beside the repository; without it the test is skipped."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder ../shared with the real loans")
    return SHARED
