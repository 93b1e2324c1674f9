"""The command `duly`: parse, call a command, answer with an exit code.

0 is good, 1 is problems found, 2 is bad use (ours or the shell's), 130 is Ctrl-C. Command modules are
cheap to import; whatever takes time they import when they run.
"""

import os
import signal
import sys
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Annotated

import typer

from agent.entry.output import BAD_USE, PROBLEMS, Refused

COMMANDS = (
    "demo",
    "serve",
    "migrate",
    "doctor",
    "import",
    "replay",
    "simulate",
    "invariants",
    "why",
    "schedule",
    "conduct",
    "portfolio",
    "pause",
    "senders",
    "outcomes",
    "template",
    "bench",
)

app = typer.Typer(
    name="duly",
    help="Reminders and collections for small loans: from ledger events to messages and outcomes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"duly {version('duly')}")
        raise typer.Exit


@app.callback()
def _duly(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def _register_commands() -> None:
    for command in COMMANDS:
        module = f"agent.entry.{command}_command"
        if find_spec(module) is not None:
            import_module(module).register(app)


def _end(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that embedded stores are stopped."""
    raise SystemExit(128 + signal.SIGTERM)


def _explain(problem: Exception) -> int:
    """One line a person can act on; the exit code."""
    from asyncpg import UndefinedColumnError, UndefinedTableError

    from agent.adapters.embedded_process import StoreFailed
    from agent.config import BadSettings
    from agent.store.connect import Unreachable
    from agent.store.migrate import HistoryDiffers

    known = Refused | BadSettings | StoreFailed | Unreachable | HistoryDiffers
    if isinstance(problem, known):
        typer.echo(f"duly: {problem}", err=True)
        return BAD_USE
    if isinstance(problem, UndefinedTableError):
        typer.echo("duly: that database has no schema yet; run `duly migrate`", err=True)
        return BAD_USE
    if isinstance(problem, UndefinedColumnError):
        typer.echo(
            "duly: that database's schema is of another release; run `duly migrate`", err=True
        )
        return BAD_USE
    kind = type(problem).__qualname__
    typer.echo(f"duly: {kind}: {problem}", err=True)
    typer.echo("This was not expected. DULY_TRACEBACK=1 shows where it happened.", err=True)
    return PROBLEMS


def main() -> None:
    """What the installed command runs."""
    signal.signal(signal.SIGTERM, _end)
    _register_commands()
    try:
        app()
    except Exception as problem:
        if os.environ.get("DULY_TRACEBACK"):
            raise
        sys.exit(_explain(problem))
