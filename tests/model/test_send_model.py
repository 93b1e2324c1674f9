"""Every interleaving of the send protocol's model: one message at most; each planted bug is found."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).with_name("send.pml")
TOOLS = ("spin", "gcc")
BUGS = ("PLANT_LOOK_THEN_WRITE", "PLANT_EARLY_ABSENCE", "PLANT_RETRY_UNKNOWN")


def checked(folder: Path, *switches: str) -> tuple[int, int]:
    """Errors and states that an exhaustive search of the model finds."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"needs {' and '.join(missing)} (Debian packages)")
    defines = [f"-D{switch}" for switch in switches]
    for command in (
        ["spin", *defines, "-a", str(MODEL)],
        ["gcc", "-O2", "-DSAFETY", "-o", "pan", "pan.c"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    run = subprocess.run(
        ["./pan", "-m100000"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert "max search depth too small" not in run.stdout, run.stdout
    errors = re.search(r"errors: (\d+)", run.stdout)
    states = re.search(r"(\d+) states, stored", run.stdout)
    assert errors is not None, run.stdout
    assert states is not None, run.stdout
    return int(errors[1]), int(states[1])


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_a_notice_becomes_one_message_at_most(tmp_path: Path, workers: int) -> None:
    errors, states = checked(tmp_path, f"W={workers}")
    assert errors == 0
    assert states > 10_000, "the search ended too soon to mean anything"


@pytest.mark.parametrize("bug", BUGS)
def test_each_planted_bug_is_found(tmp_path: Path, bug: str) -> None:
    assert checked(tmp_path, bug)[0] == 1
