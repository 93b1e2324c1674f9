"""`duly demo` as somebody at a terminal, or a machine without one, gets it."""

import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.entry.command import DULY, duly, environment

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data directory for this file: its first start makes the database."""
    folder = tmp_path_factory.mktemp("demo")
    folder.chmod(0o711)
    return folder / "data"


def processes_of(folder: Path) -> list[str]:
    """Command lines that name this folder."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in text:
            lines.append(text)
    return lines


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that is under way, with the address it printed first."""
    process = subprocess.Popen(
        [str(DULY), "demo", "--port", "0", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(DULY_DATA_DIR=str(folder)),
    )
    with process:
        assert process.stdout is not None
        found = ADDRESS.search(process.stdout.readline())
        assert found is not None
        try:
            yield process, found[0]
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)


def told(process: subprocess.Popen[str], words: str) -> str:
    """Read on until a line has these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"it ended without saying {words}")


def ended_by(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert err == ""
    return process.returncode, out


def test_once_through_then_asked_by_the_commands_it_names(data_dir: Path) -> None:
    settings = {"DULY_DATA_DIR": str(data_dir)}
    done = duly("demo", "--once", "--days", "18", "--speed", "0", "--port", "0", **settings)
    assert (done.code, done.err) == (0, "")
    assert ADDRESS.search(done.out.splitlines()[0])
    assert "invariants that apply hold" in done.out
    assert processes_of(data_dir) == []

    ask = re.search(r"duly (invariants --database duly_demo --at \S+)", done.out)
    assert ask is not None
    asked = duly(*ask[1].split(), **settings)
    assert (asked.code, asked.err) == (0, "")
    assert " 0 violated" in asked.out

    why = duly("why", "L-1001", "--database", "duly_demo", "--text", **settings)
    assert why.code == 0
    assert "Harbour Loans" in why.out
    assert processes_of(data_dir) == []


def test_the_page_is_up_at_once_and_ctrl_c_leaves_no_process(data_dir: Path) -> None:
    with running(data_dir) as (process, address):
        with urllib.request.urlopen(address) as page:  # noqa: S310 - the address it printed
            text = page.read().decode()
        assert "All people, numbers, lenders and loans are invented" in text
        told(process, "events")
        code, out = ended_by(process, signal.SIGINT)
    assert code == 130
    assert f"rm -r {data_dir}" in out
    assert processes_of(data_dir) == []


def test_a_second_demo_is_told_where_the_first_one_is(data_dir: Path) -> None:
    with running(data_dir) as (process, address):
        told(process, "events")
        second = duly("demo", "--once", "--port", "0", DULY_DATA_DIR=str(data_dir))
        assert second.code == 2
        assert address in second.err
        assert ended_by(process, signal.SIGTERM)[0] == 143
    assert processes_of(data_dir) == []


def test_after_the_story_the_page_stays_and_ctrl_c_is_no_failure(data_dir: Path) -> None:
    with running(data_dir, "--days", "2", "--speed", "0") as (process, address):
        told(process, "The page stays up")
        with urllib.request.urlopen(address) as page:  # noqa: S310 - the address it printed
            assert "The story has ended" in page.read().decode()
        assert ended_by(process, signal.SIGINT)[0] == 0
    assert processes_of(data_dir) == []


def test_what_it_left_is_removed_when_asked(data_dir: Path) -> None:
    removed = duly("demo", "--remove", DULY_DATA_DIR=str(data_dir))
    assert (removed.code, removed.err) == (0, "")
    assert not (data_dir / "demo-events.ndjson").exists()
    gone = duly("invariants", "--database", "duly_demo", DULY_DATA_DIR=str(data_dir))
    assert gone.code == 2


def test_a_port_that_is_taken_is_refused_only_if_it_was_asked_for(tmp_path: Path) -> None:

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = duly("demo", "--once", "--port", str(port), DULY_DATA_DIR=str(tmp_path / "data"))
    assert refused.code == 2
    assert f"port {port} is taken" in refused.err
    assert not (tmp_path / "data").exists()
