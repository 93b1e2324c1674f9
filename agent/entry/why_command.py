"""`duly why`: the trail of a loan or of one notice."""

from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import AsJson, Refused, run, show

if TYPE_CHECKING:
    from rich.console import Console

    from agent.flows.trail import Entry, Trail

_COLOURS = {
    "event": "cyan",
    "notice": "white",
    "decision": "yellow",
    "attempt": "green",
    "receipt": "green",
    "outcome": "magenta",
    "case": "blue",
    "hold": "red",
    "pause": "red",
    "opt-out": "red",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "why", help="Tell what was decided about a loan or notice, by which rules, on which facts."
    )(why)


def why(
    loan: Annotated[str, typer.Argument(help="The loan, by the ledger's reference.")],
    stage: Annotated[str | None, typer.Argument(help="Only this notice of it.")] = None,
    anchor: Annotated[
        datetime | None,
        typer.Argument(formats=["%Y-%m-%d"], help="Only the notice for this due date."),
    ] = None,
    portfolio: Annotated[
        str | None, typer.Option(help="Where several portfolios know the loan.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Open the texts of messages.")] = False,
    database: Annotated[
        str | None, typer.Option(help="Another database on the same server.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Facts, notices, decisions, attempts, receipts, outcomes and cases in order of time."""
    found = run(
        _trail(loan, stage, anchor.date() if anchor else None, portfolio, database, text=text)
    )
    show(_json(found), as_json=as_json, pleasant=lambda console: _tell(console, found))


async def _trail(
    loan: str,
    stage: str | None,
    anchor: date | None,
    portfolio: str | None,
    database: str | None,
    *,
    text: bool,
) -> "Trail":
    from agent.entry.looking import look
    from agent.flows.trail import NoTrail, Question, trail

    async with look(database) as looking:
        if text and looking.keyring is None:
            raise Refused(
                "--text needs the master key: give it as DULY_MASTER_KEY or DULY_MASTER_KEY_FILE"
            )
        keyring = looking.keyring if text else None
        asked = Question(loan, stage, anchor, portfolio)
        found = await trail(looking.pool, asked, packs=looking.packs, keyring=keyring)
    if isinstance(found, NoTrail):
        raise Refused(f"{found.why}; {found.fix}")
    return found


def _tell(console: "Console", found: "Trail") -> None:
    from rich.markup import escape

    head = f"[bold]Loan {escape(found.loan)}[/bold] of {escape(found.borrower)} in {escape(found.portfolio)}"
    anchor = f", oldest unpaid instalment due {found.anchor}" if found.anchor else ""
    console.print(f"{head}: {found.status}{anchor}, balance {found.balance} {found.currency}")
    if found.contact_ended_at:
        console.print(f"Automated contact ended at {_clock(found.contact_ended_at, found.zone)}")
    console.print(f"[dim]Times in {found.zone}[/dim]")
    for entry in found.entries:
        _line(console, entry, found.zone)


def _line(console: "Console", entry: "Entry", zone: str) -> None:
    from rich.markup import escape

    from agent.flows.trail import MARKS

    colour = _COLOURS[entry.kind]
    at = _clock(entry.at, zone)
    console.print(f"{at}  [{colour}]{entry.kind:9}[/{colour}] {escape(entry.text)}")
    for rule in entry.rules:
        known = f"; {MARKS[rule.mark]}" if rule.mark in MARKS else ""
        clause = f" [dim]({escape(rule.clause + known)})[/dim]" if rule.clause else ""
        console.print(f"{'':31}{escape(rule.id)}: {escape(rule.words)}{clause}")
    if entry.detail.get("words"):
        console.print(f"{'':31}[dim]own text, {escape(entry.detail['words'])}[/dim]")
    if "text" in entry.detail:
        console.print(f"{'':31}“{escape(entry.detail['text'])}”")


def _clock(at: datetime, zone: str) -> str:
    from agent.domain.calendar import local_date, local_time

    return f"{local_date(at, zone)} {local_time(at, zone).strftime('%H:%M:%S')}"


def _json(found: "Trail") -> dict[str, Any]:
    return asdict(found)
