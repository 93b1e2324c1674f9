"""Embedded stores: shared, left behind, interrupted, in folders of every kind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio as redis

from agent.adapters.embedded import StoreFailed, embedded_postgres, embedded_valkey, open_stores
from agent.adapters.embedded_kv import doorbell_in
from agent.adapters.embedded_pg import cluster_in
from agent.adapters.embedded_process import end_process, is_alive, open_data_dir

GONE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class User:
    """Another process that uses the stores."""

    process: subprocess.Popen[str]
    url: str
    started: str

    def leave(self) -> int:
        """End in good order; the exit code."""
        self.process.communicate(timeout=GONE_SECONDS)
        return self.process.returncode

    def send(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=GONE_SECONDS)
        return self.process.returncode


def enter(folder: Path) -> User:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.store_user", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    return User(process, said["url"], said["started"])


def postmaster(folder: Path) -> int | None:
    """The server's pid while its pid file stands and the process lives."""
    file = cluster_in(folder.resolve(), durable=True).pid_file
    if not file.exists():
        return None
    pid = int(file.read_text().splitlines()[0])
    return pid if is_alive(pid) else None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder; servers that a failing test leaves behind are ended."""
    place = tmp_path / "data"
    yield place
    if (pid := postmaster(place)) is not None:
        asyncio.run(end_process(pid, signal.SIGINT, 10))


async def count_rows(url: str) -> int:
    conn = await asyncpg.connect(url)
    try:
        await conn.execute("create table if not exists kept (at integer)")
        await conn.execute("insert into kept values (1)")
        return int(await conn.fetchval("select count(*) from kept"))
    finally:
        await conn.close()


async def test_data_outlives_the_server(folder: Path) -> None:
    async with embedded_postgres(folder) as url:
        assert await count_rows(url) == 1
        assert postmaster(folder) is not None
    assert postmaster(folder) is None
    async with embedded_postgres(folder) as url:
        assert await count_rows(url) == 2


async def test_settings_are_safe_for_durable_data_and_fast_for_disposable(folder: Path) -> None:
    asked = "select array[current_setting('fsync'), current_setting('full_page_writes')]"
    for durable, expected in ((True, ["on", "on"]), (False, ["off", "off"])):
        async with embedded_postgres(folder, durable=durable) as url:
            conn = await asyncpg.connect(url)
            assert await conn.fetchval(asked) == expected
            assert await conn.fetchval("show listen_addresses") == ""
            await conn.close()


async def test_valkey_keeps_everything_in_memory_and_evicts_nothing(folder: Path) -> None:
    async with embedded_valkey(folder) as url:
        client = redis.Redis.from_url(url, decode_responses=True)
        assert await client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert await client.config_get("appendonly") == {"appendonly": "no"}
        await client.set("key", "value")
        await client.aclose()
    async with embedded_valkey(folder) as url:
        client = redis.Redis.from_url(url)
        assert await client.get("key") is None
        await client.aclose()


def test_a_second_process_uses_the_same_server_and_does_not_stop_it(folder: Path) -> None:
    first, second = enter(folder), enter(folder)
    assert (first.url, first.started) == (second.url, second.started)
    assert second.leave() == 0
    assert postmaster(folder) is not None
    assert first.leave() == 0
    assert postmaster(folder) is None


def test_whoever_started_it_may_leave_first(folder: Path) -> None:
    first, second = enter(folder), enter(folder)
    assert first.leave() == 0
    assert asyncio.run(count_rows(second.url)) == 1
    assert second.leave() == 0
    assert postmaster(folder) is None


def test_a_killed_user_does_not_count_and_its_server_is_used_again(folder: Path) -> None:
    killed = enter(folder)
    assert killed.send(signal.SIGKILL) == -signal.SIGKILL
    assert postmaster(folder) is not None
    following = enter(folder)
    assert following.started == killed.started
    assert following.leave() == 0
    assert postmaster(folder) is None


def test_interrupting_a_user_leaves_no_server_behind(folder: Path) -> None:
    user = enter(folder)
    assert user.send(signal.SIGINT) != 0
    assert postmaster(folder) is None
    assert not (doorbell_in(folder.resolve()).data / "valkey.sock").exists()


async def test_a_killed_server_recovers_with_its_data(folder: Path) -> None:
    async with embedded_postgres(folder) as url:
        await count_rows(url)
        pid = postmaster(folder)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    async with embedded_postgres(folder) as url:
        assert await count_rows(url) == 2


async def test_a_child_that_does_not_learn_that_its_server_is_dead_is_no_obstacle(
    folder: Path,
) -> None:
    async with embedded_postgres(folder) as url:
        await count_rows(url)
        conn, pid = await asyncpg.connect(url), postmaster(folder)
        child = await conn.fetchval("select pg_backend_pid()")
        assert pid is not None
        os.kill(child, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        conn.terminate()
    async with embedded_postgres(folder) as url:
        assert await count_rows(url) == 2
    assert not is_alive(child)


async def test_a_pid_file_naming_a_stranger_is_set_aside(folder: Path) -> None:
    async with embedded_postgres(folder) as url:
        await count_rows(url)
    file = cluster_in(open_data_dir(folder), durable=True).pid_file
    file.write_text(f"{os.getpid()}\n{file.parent}\n0\n5432\n{file.parent}\n\n0 0\nready\n")
    async with embedded_postgres(folder) as url:
        assert await count_rows(url) == 2


async def test_disposable_data_is_made_anew_after_a_kill(folder: Path) -> None:
    cluster = cluster_in(open_data_dir(folder), durable=False)
    async with embedded_postgres(folder, durable=False) as url:
        await count_rows(url)
        os.kill(int(cluster.pid_file.read_text().splitlines()[0]), signal.SIGKILL)
    async with embedded_postgres(folder, durable=False) as url:
        assert await count_rows(url) == 1


async def test_a_folder_with_a_long_name_gets_a_short_socket(tmp_path: Path) -> None:
    async with open_stores(tmp_path / ("long" * 30)) as stores:
        assert await count_rows(stores.database_url) == 1
        client = redis.Redis.from_url(stores.redis_url)
        assert await client.ping()
        await client.aclose()


async def test_a_closed_parent_folder_is_no_obstacle_for_root(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    async with embedded_postgres(closed / "data") as url:
        assert await count_rows(url) == 1
    assert closed.stat().st_mode & 0o777 == 0o700


async def test_data_of_another_version_is_refused_with_advice(folder: Path) -> None:
    data = cluster_in(open_data_dir(folder), durable=True).data
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(StoreFailed, match="PostgreSQL 16, this is 18"):
        async with embedded_postgres(folder):
            pass


async def test_a_file_in_the_place_of_the_folder_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match="set DULY_DATA_DIR"):
        async with embedded_postgres(tmp_path / "file" / "data"):
            pass
