"""`duly bench`: what this machine does, as ratios to baselines measured in the same run."""

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, run, show

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.bars import Shown

_MARKS = {"extreme": "[green]extreme[/]", "first": "[cyan]first[/]", "no": "[red]not met[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench", help="Measure this machine against the bars of the design.")(bench)


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="Bars (B5) or groups (dispatch); all without any.")
    ] = None,
    size: Annotated[
        str, typer.Option(help="small; full (a million loans, minutes); tiny (only to try it out).")
    ] = "small",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the middle one counts.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Every ratio comes from one run: product and baseline take turns, the median counts.

    Works in stores of its own that are removed afterwards. Exit code 1 when a bar is not met.
    """
    if find_spec("benchmarks") is None:
        raise Refused(
            "the benchmarks are not installed with Duly: run this in a checkout of the project"
            " (pip install -e ., then duly bench in its folder)"
        )
    from benchmarks.bars import Met, Size
    from benchmarks.run import NoSuchBar
    from benchmarks.run import run as measure

    if size not in list(Size):
        raise Refused(f"--size {size}: choose from {', '.join(Size)}")

    def tell(what: str) -> None:
        if not as_json or sys.stderr.isatty():
            typer.echo(what, err=True)

    try:
        shown = run(measure(names or [], Size(size), rounds, tell))
    except NoSuchBar as problem:
        raise Refused(str(problem)) from None
    document = {"size": size, "rounds": rounds, "bars": [_document(each) for each in shown]}
    show(document, as_json=as_json, pleasant=lambda console: _print(console, shown, size))
    if any(each.met is Met.NO for each in shown):
        raise typer.Exit(PROBLEMS)


def _document(shown: "Shown") -> dict[str, Any]:
    from benchmarks.bars import BARS

    bar = BARS[shown.bar]
    return {
        "bar": bar.name,
        "measure": bar.measure,
        "value": shown.value,
        "unit": bar.unit,
        "first": bar.words(bar.first),
        "extreme": bar.words(bar.extreme),
        "met": shown.met,
        "note": shown.note,
        "medians": shown.also,
        "rounds": list(shown.rounds),
    }


def _print(console: "Console", shown: "list[Shown]", size: str) -> None:
    from rich.table import Table

    from benchmarks.bars import BARS

    table = Table("", "measure", "value", "first", "extreme", "met", box=None, padding=(0, 2, 0, 0))
    for each in shown:
        bar = BARS[each.bar]
        value = "—" if each.value is None else f"{each.value:,.2f} {bar.unit}".rstrip()
        met = _MARKS[each.met] if each.met else "not measured"
        table.add_row(
            bar.name, bar.measure, value, bar.words(bar.first), bar.words(bar.extreme), met
        )
    console.print(table)
    console.print(f"\nSize {size}. What was compared:")
    for each in shown:
        console.print(f"[bold]{each.bar}[/] {each.note}")
        if each.also:
            figures = ", ".join(f"{name} {value:,.4g}" for name, value in each.also.items())
            console.print(f"    {figures}", style="dim")
