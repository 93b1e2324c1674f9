"""The wheel holds the four packages with all their data, and works where it is installed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.places import ROOT

PACKAGES = {"agent", "channels", "schedules", "templates"}
DATA = (".sql", ".toml", ".txt", ".json", ".html", ".css", ".js", ".svg")


def run(*command: str, **more: str) -> str:
    done = subprocess.run(
        command,
        cwd=more.pop("cwd", ROOT),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **more},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_the_four_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_it_holds_every_data_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in DATA or path.name == "py.typed"
    }
    assert {"agent/py.typed", "agent/store/migrations/0001_heart.sql"} <= ours
    assert ours - names == set()


def test_the_command_works_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--no-deps", "--no-index", "--target", str(place), str(wheel))
    settings = {"PYTHONPATH": str(place), "cwd": str(tmp_path)}
    where = run(sys.executable, "-c", "import agent; print(agent.__file__)", **settings)
    assert where.startswith(str(place))
    assert "migrate" in run(str(place / "bin" / "duly"), "--help", **settings)
    assert "schedule consumer-instalment" in run_doctor(place, tmp_path)


def run_doctor(place: Path, tmp_path: Path) -> str:
    settings = {
        "PYTHONPATH": str(place),
        "cwd": str(tmp_path),
        "DULY_DATA_DIR": str(tmp_path / "d"),
    }
    run(str(place / "bin" / "duly"), "migrate", **settings)
    return run(str(place / "bin" / "duly"), "doctor", **settings)
