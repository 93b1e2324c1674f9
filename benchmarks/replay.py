"""B12: the real loans, all of them, through `duly replay`: from the command to its report."""

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import orjson

from benchmarks.bars import Shown, Size
from benchmarks.intake import REAL
from benchmarks.shop import Shop

ROOT = Path(__file__).parents[1]
# Only to try the benchmark out: the value says nothing then.
_SHORT = ("--until", "2016-03-01")


async def measure(shop: Shop, _wanted: set[str]) -> list[Shown]:
    """One run of the command as a lender's engineer types it, with nothing set and nothing running."""
    if not REAL.exists():
        return [Shown("B12", None, f"the real loans are not here: no file {REAL}")]
    short = _SHORT if shop.size is Size.TINY else ()
    shop.tell("replay: the real loans" + (", two months of them" if short else ""))
    seconds, told = await _replay(shop, short)
    note = f"`duly replay {REAL.name}` with report and invariants, its stores made and started" + (
        ", ONLY the first two months" if short else ""
    )
    return [Shown("B12", seconds, note, [{"seconds": seconds}], told)]


async def _replay(shop: Shop, short: tuple[str, ...]) -> tuple[float, dict[str, float]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    with TemporaryDirectory(dir=shop.folder) as out, TemporaryDirectory(dir=shop.folder) as home:
        begun = perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", "replay", str(REAL), "--out", out, "--json", *short,
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
            env=kept | {"DULY_DATA_DIR": home},
        )  # fmt: skip
        said, _ = await process.communicate()
        seconds = perf_counter() - begun
    if process.returncode != 0:
        raise RuntimeError(f"duly replay ended with {process.returncode}")
    return seconds, _numbers(orjson.loads(said))


def _numbers(document: dict[str, object]) -> dict[str, float]:
    return {
        k: float(v) for k, v in document.items() if isinstance(v, int | float) and v is not True
    }
