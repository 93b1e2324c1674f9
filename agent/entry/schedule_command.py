"""`duly schedule`: check the ladders that people edit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, show

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add `duly schedule`."""
    group = typer.Typer(name="schedule", help="Schedules: check the ladders.", no_args_is_help=True)
    group.command("lint")(_lint)
    app.add_typer(group)


def _lint(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Ladders (.toml); the shipped ones without it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with ladders, each with file, line and fix. Exit code 1 on a problem."""
    from agent.flows.schedule_lint import lint

    ladders = _read(files) if files else _shipped()
    problems = [problem for where, source in ladders for problem in lint(where, source)]
    document: dict[str, Any] = {"schedules": len(ladders), "problems": problems}
    show(document, as_json=as_json, pleasant=lambda console: _tell(console, document))
    if problems:
        raise typer.Exit(PROBLEMS)


def _read(files: list[Path]) -> list[tuple[str, bytes]]:
    try:
        return [(str(file), file.read_bytes()) for file in files]
    except OSError as problem:
        raise Refused(f"{problem.filename} cannot be read: {problem.strerror}") from None


def _shipped() -> list[tuple[str, bytes]]:
    from schedules import ladder_names, ladder_text

    return [
        (f"schedules/ladders/{name}.toml", ladder_text(name).encode()) for name in ladder_names()
    ]


def _tell(console: "Console", document: dict[str, Any]) -> None:
    for problem in document["problems"]:
        console.print(problem, markup=False)
    console.print(f"{document['schedules']} schedules, {len(document['problems'])} problems")
