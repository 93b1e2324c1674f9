"""Server processes that several Duly processes share: accounts, starting, liveness, last one out.

A kernel lock counts the users, never a pid file, so that a user killed with SIGKILL does not count.
"""

import asyncio
import atexit
import errno
import fcntl
import math
import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

from agent.adapters import embedded_launch

POLL = 0.01
_SOCKET_PATH_BYTES = 100  # macOS allows 104, Linux 108
_LOG_TAIL = 12
_LAUNCHER_WORDS = 7


class StoreFailed(Exception):
    """An embedded store cannot run; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a server runs as; uid -1 is the present account."""

    uid: int
    gid: int


PRESENT = Account(-1, -1)


def account_for(folder: Path) -> Account:
    """PostgreSQL refuses to run as root: then the folder's owner runs it, or `nobody`."""
    if os.geteuid() != 0:
        return PRESENT
    if folder.exists() and (owner := folder.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def make_folder(folder: Path, account: Account) -> Path:
    """A folder of the account's own, closed to everybody else."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is not PRESENT:
        os.chown(folder, account.uid, account.gid)
    return folder


def _can_enter(folder: Path, account: Account) -> bool:
    status = folder.stat()
    own = status.st_uid == account.uid and status.st_mode & 0o100
    return bool(own or status.st_mode & 0o001)


def command_line(program: Path, args: Sequence[str], account: Account, folder: Path) -> list[str]:
    """The launcher's command line for running `program` on `folder` as `account`."""
    on_the_way = {*program.resolve().parents, *folder.resolve().parents}
    reach = account is not PRESENT and not all(_can_enter(each, account) for each in on_the_way)
    launch = [sys.executable, "-I", "-S", embedded_launch.__file__]
    return [*launch, str(account.uid), str(account.gid), str(int(reach)), str(program), *args]


def spawn(command: Sequence[str], log: Path) -> int:
    """Start a server detached from us; its pid. It survives us, so that others can go on using it."""
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), appending, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], list(command), _environment(), file_actions=actions)


def _environment() -> dict[str, str]:
    """Ours, without what would send PostgreSQL's programs elsewhere."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}


async def run(command: Sequence[str]) -> None:
    """Run a program to its end; raises `StoreFailed` with what it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        program = Path(command[_LAUNCHER_WORDS]).name
        raise StoreFailed(f"{program} failed:\n{said.decode(errors='replace').strip()}")


def is_alive(pid: int) -> bool:
    """Whether the process still runs; a zombie does not, and our own one is reaped here."""
    if _reaped(pid):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if _is_zombie(pid):
        _reaped(pid)  # it may have died since the first line
        return False
    return True


def _reaped(pid: int) -> bool:
    with suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return False


def _is_zombie(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "Z"


def arguments_of(pid: int) -> str:
    """The command line of a process, to tell a server of ours from a stranger with a recycled pid."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").replace("\x00", " ")
    except FileNotFoundError:
        listing = ("ps", "-o", "args=", "-p", str(pid))
        return subprocess.run(listing, capture_output=True, text=True, check=False).stdout


async def until(met: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition on the machine, at most so long; whether it came."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not met():
        if loop.time() > end:
            return False
        await asyncio.sleep(POLL)
    return True


async def end_process(pid: int, ask: signal.Signals, patience: float) -> None:
    """Ask a process to end, and make it end when it does not."""
    for number, seconds in ((ask, patience), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if await until(lambda: not is_alive(pid), seconds):
            return
    raise StoreFailed(f"process {pid} does not end; end it by hand")


def socket_folder(folder: Path, account: Account, longest_name: str) -> Path:
    """Where a socket lives: beside the data, or in a short private folder if that path is too long."""
    if len(os.fsencode(folder / longest_name)) <= _SOCKET_PATH_BYTES:
        return folder
    uid = os.geteuid() if account is PRESENT else account.uid
    name = f"duly-{uid}-{sha256(os.fsencode(folder)).hexdigest()[:16]}"
    return _private_folder(Path("/tmp") / name, uid, account)  # noqa: S108 - made or found to be ours


def _private_folder(folder: Path, uid: int, account: Account) -> Path:
    """Make it, or trust it only if nobody else can have put it there."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or status.st_mode & 0o077:
            raise StoreFailed(f"{folder} is not ours; choose a shorter DULY_DATA_DIR") from None
    else:
        os.chown(folder, account.uid, account.gid)
    return folder


def leave_socket_folder(data: Path, sockets: Path) -> None:
    """Remove the short private folder, if there was one and nobody else uses it."""
    if sockets != data:
        with suppress(OSError):
            sockets.rmdir()


def log_tail(log: Path) -> str:
    """The last lines a server wrote, for an error message."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        return "(it wrote no log)"
    return "\n".join(lines[-_LOG_TAIL:])


def open_data_dir(data_dir: Path) -> Path:
    """Create and resolve the data directory; raises `StoreFailed` when it is not ours to use."""
    folder = data_dir.expanduser().resolve()
    try:
        folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise StoreFailed(
            f"cannot create {folder}: {problem.strerror}; set DULY_DATA_DIR"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreFailed(f"{folder} belongs to another account; set DULY_DATA_DIR to one of yours")
    return folder


def _lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


@asynccontextmanager
async def _one_at_a_time(path: Path) -> AsyncIterator[None]:
    with path.open("a", encoding="ascii") as file:
        await until(lambda: _lock(file, fcntl.LOCK_EX), math.inf)
        yield


@dataclass(frozen=True, slots=True)
class Server:
    """What `shared` needs to know of a server."""

    name: str
    start: Callable[[], Awaitable[str]]
    stop: Callable[[], Awaitable[None]]
    ask_to_stop: Callable[[], None]


@asynccontextmanager
async def shared(folder: Path, server: Server) -> AsyncIterator[str]:
    """The server's address while we use it: the first user starts it, the last one stops it."""
    turn = folder / f"{server.name}.lock"
    try:
        users = (folder / f"{server.name}.users").open("a", encoding="ascii")
    except PermissionError:
        raise StoreFailed(f"{folder} belongs to another account; set DULY_DATA_DIR") from None
    with users:
        async with _one_at_a_time(turn):
            address = await server.start()
            _lock(users, fcntl.LOCK_SH)

        def last_resort() -> None:
            if _lock(users, fcntl.LOCK_EX):
                server.ask_to_stop()

        atexit.register(last_resort)
        try:
            yield address
        finally:
            async with _one_at_a_time(turn):
                if _lock(users, fcntl.LOCK_EX):
                    await server.stop()
            atexit.unregister(last_resort)
