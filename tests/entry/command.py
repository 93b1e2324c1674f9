"""Runs the installed command as a person does: another process, real exit codes."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DULY = Path(sys.executable).with_name("duly")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


def environment(**given: str) -> dict[str, str]:
    """Ours without any setting, then those given."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DULY_")}
    return {**kept, "COLUMNS": "200", **given}


def duly(*args: str, **settings: str) -> Answer:
    """Run `duly`; settings are given as environment variables."""
    done = subprocess.run(
        [str(DULY), *args],
        capture_output=True,
        text=True,
        check=False,
        env=environment(**settings),
        timeout=120,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
