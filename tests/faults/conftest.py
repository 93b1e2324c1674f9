"""What tests of faults share."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.crashing_postgres import CrashingPostgres, crashing_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[CrashingPostgres]:
    """A PostgreSQL to crash, made when the first test wants to."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        opened = crashing_postgres()
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))
