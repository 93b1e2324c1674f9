"""`duly invariants`: what must never happen, checked on the database, one line each."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, run, show

if TYPE_CHECKING:
    from rich.console import Console

    from agent.flows.invariants import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("invariants", help="Check on the database what must never happen.")(invariants)


def invariants(
    database: Annotated[
        str | None,
        typer.Option(
            help="Another database on the same server, such as one kept by `replay --keep`."
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="Judge what is late as of this instant (ISO 8601 with offset); else now."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One line for each invariant; exit 1 if one is violated."""
    findings, texts = run(_check(database, at))

    def pleasant(console: "Console") -> None:
        from rich.markup import escape

        for finding in findings:
            console.print(
                f"{_verdict(finding)}  [bold]{finding.id:11}[/bold] {escape(finding.title)}"
            )
            for example in finding.examples:
                console.print(f"{'':21}{escape(example)}")
            if finding.pending:
                console.print(f"{'':21}[dim]{escape(finding.pending)}[/dim]")
        if not texts:
            console.print("Texts of messages were not read: there is no master key here.")
        console.print(_summary(findings))

    show([_json(finding) for finding in findings], as_json=as_json, pleasant=pleasant)
    if any(finding.violated for finding in findings):
        raise typer.Exit(PROBLEMS)


async def _check(database: str | None, at: str | None) -> "tuple[tuple[Finding, ...], bool]":
    from agent.entry.looking import look
    from agent.flows.invariants import check
    from agent.store.invariants import newest_fact

    now = _instant(at)
    async with look(database) as looking:
        async with looking.pool.acquire() as conn:
            newest = await newest_fact(conn)
        if newest is not None and newest > now:
            # what was told later would look like violations
            raise Refused(
                f"the database has facts up to {newest.isoformat(timespec='seconds')}, later than"
                f" {now.isoformat(timespec='seconds')}; name that instant or a later one with --at"
            )
        findings = await check(looking.pool, looking.keyring, now, packs=looking.packs)
        return findings, looking.keyring is not None


def _instant(text: str | None) -> datetime:
    from agent.clock import SystemClock

    if text is None:
        return SystemClock().now()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Refused(f"--at {text}: write an instant with its offset, 2017-10-31T12:00:00+01:00")
    return at


def _verdict(finding: "Finding") -> str:
    if finding.pending:
        return "[dim]not yet[/dim] "
    return "[red]VIOLATED[/red]" if finding.violated else "[green]ok[/green]      "


def _summary(findings: "tuple[Finding, ...]") -> str:
    pending = sum(finding.pending is not None for finding in findings)
    violated = [f"{f.id} ({f.violations})" for f in findings if f.violated]
    held = len(findings) - pending - len(violated)
    text = f"{held} hold, {len(violated)} violated, {pending} not yet applicable."
    return f"{text} Violated: {', '.join(violated)}" if violated else text


def _json(finding: "Finding") -> dict[str, Any]:
    state = "not yet applicable" if finding.pending else "violated" if finding.violated else "ok"
    return {
        "id": finding.id,
        "title": finding.title,
        "state": state,
        "violations": finding.violations,
        "examples": list(finding.examples),
        "reason": finding.pending,
    }
