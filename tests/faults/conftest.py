"""What tests of faults share."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.crashing_postgres import CrashingPostgres, crashing_postgres
from tests.support.serving import end_what_is_left


@pytest.fixture(scope="session")
def postgres() -> Iterator[CrashingPostgres]:
    """A PostgreSQL to crash, made when the first test wants to."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        opened = crashing_postgres()
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


@pytest.fixture(autouse=True)
async def _nobody_is_left() -> AsyncIterator[None]:
    """A test that fails half-way leaves no service running."""
    yield
    await end_what_is_left()
