"""`duly doctor`: is everything as Duly needs it, and what to do where it is not."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import PROBLEMS, AsJson, run, show

if TYPE_CHECKING:
    from rich.console import Console

    from agent.entry.findings import Finding

_MARKS = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "problem": "[red]problem[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", help="Check configuration, stores, clocks, keys and calendars.")(doctor)


def doctor(
    settings: Annotated[
        bool, typer.Option("--settings", help="List every setting with its help instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One line a check; exit 1 if there is a problem."""
    if settings:
        _list_settings(as_json=as_json)
        return
    from agent.clock import SystemClock
    from agent.entry.doctor import examine
    from agent.entry.findings import Level

    findings = run(examine(SystemClock()))
    bad = any(finding.level is Level.PROBLEM for finding in findings)
    document = {"healthy": not bad, "findings": findings}
    show(document, as_json=as_json, pleasant=lambda console: _print(console, findings))
    if bad:
        raise typer.Exit(PROBLEMS)


def _print(console: "Console", findings: "list[Finding]") -> None:
    from rich.markup import escape

    for finding in findings:
        console.print(f"{_MARKS[finding.level]}  {finding.check}: {escape(finding.says)}")
        if finding.do:
            console.print(f"         [bold]→ {escape(finding.do)}[/]")


def _list_settings(*, as_json: bool) -> None:
    from agent.config import PREFIX, SECRETS, Settings

    document = [
        {
            "variable": f"{PREFIX}{name.upper()}",
            "toml": name,
            "default": str(field.default) if field.default not in (None, ()) else None,
            "secret": name in SECRETS,
            "help": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]
    show(document, as_json=as_json, pleasant=lambda console: _print_settings(console, document))


def _print_settings(console: "Console", document: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("variable", "default", "help", box=None, padding=(0, 2, 0, 0))
    for line in document:
        table.add_row(line["variable"], line["default"] or "", line["help"])
    console.print(table)
    console.print("In duly.toml the names are lower case without DULY_; secrets also as …_FILE.")
