"""Every interleaving of the protocols' models: one message at most, and each planted bug is found."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MODELS = Path(__file__).parent
TOOLS = ("spin", "gcc")
BUGS = (
    ("send", "PLANT_LOOK_THEN_WRITE"),
    ("send", "PLANT_EARLY_ABSENCE"),
    ("send", "PLANT_RETRY_UNKNOWN"),
    ("fallback", "PLANT_FORGET_RECEIPT"),
    ("fallback", "PLANT_FOLLOW_UNKNOWN"),
)


def checked(folder: Path, model: str, *switches: str) -> tuple[int, int]:
    """Errors and states that an exhaustive search of the model finds."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"needs {' and '.join(missing)} (Debian packages)")
    defines = [f"-D{switch}" for switch in switches]
    for command in (
        ["spin", *defines, "-a", str(MODELS / f"{model}.pml")],
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
    errors, states = checked(tmp_path, "send", f"W={workers}")
    assert errors == 0
    assert states > 10_000, "the search ended too soon to mean anything"


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_a_push_is_followed_by_a_text_or_has_arrived_never_both(
    tmp_path: Path, workers: int
) -> None:
    errors, states = checked(tmp_path, "fallback", f"W={workers}")
    assert errors == 0
    assert states > 5_000, "the search ended too soon to mean anything"


@pytest.mark.parametrize(("model", "bug"), BUGS)
def test_each_planted_bug_is_found(tmp_path: Path, model: str, bug: str) -> None:
    assert checked(tmp_path, model, bug)[0] == 1
