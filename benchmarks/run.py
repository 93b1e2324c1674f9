"""Which module shows which bar, and running those that were asked for."""

from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from time import perf_counter

from benchmarks.bars import BARS, Shown, Size
from benchmarks.shop import Shop, Tell, open_shop

Measure = Callable[[Shop, set[str]], Awaitable[list[Shown]]]
SUITES = {
    "planning": ("B1", "B2", "B3"),
    "intake": ("B4",),
    "dispatch": ("B5", "B6", "B7"),
    "gate": ("B8",),
    "webhook": ("B9",),
    "receipts": ("B10",),
    "urgent": ("B11",),
    "replay": ("B12",),
}


class NoSuchBar(Exception):
    """A name that is none; the message lists those there are."""


def named(names: Sequence[str]) -> set[str]:
    """The bars that were asked for, by name (`B5`) or group (`dispatch`); all for none."""
    wanted: set[str] = set()
    for name in names or BARS:
        if name.upper() in BARS:
            wanted.add(name.upper())
        elif name.lower() in SUITES:
            wanted |= set(SUITES[name.lower()])
        else:
            raise NoSuchBar(f"there is no {name}: name {', '.join(BARS)} or {', '.join(SUITES)}")
    return wanted


async def run(names: Sequence[str], size: Size, rounds: int, tell: Tell) -> list[Shown]:
    """Measure what was asked for, one after the other, in stores of their own."""
    wanted = named(names)
    shown: list[Shown] = []
    async with open_shop(size, rounds, tell) as shop:
        for suite, bars in SUITES.items():
            if wanted & set(bars):
                measure: Measure = import_module(f"benchmarks.{suite}").measure
                begun = perf_counter()
                shown += await measure(shop, wanted & set(bars))
                tell(f"{suite}: took {perf_counter() - begun:.0f} s")
    return shown
