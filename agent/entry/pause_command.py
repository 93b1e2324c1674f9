"""`duly pause` and `duly resume`: kill switches, effective for whatever is begun next."""

from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer

from agent.entry.output import AsJson, Refused, run, show

if TYPE_CHECKING:
    from rich.console import Console

    from agent.flows.pause import Switched

Scope = Annotated[
    str,
    typer.Argument(
        help="all, portfolio, channel, stage, loan, person or template.", show_default=False
    ),
]
Subject = Annotated[
    str | None,
    typer.Argument(
        help="Which one: its name, id or the ledger's reference; a text as its case names it."
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--portfolio", help="Only there; a channel, stage or text is else meant everywhere."
    ),
]
By = Annotated[str | None, typer.Option("--by", help="Who acts; else the user of this machine.")]


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command(
        "pause",
        help="Stop contact: everything, or one portfolio, channel, stage, loan, person or text.",
    )(pause)
    app.command("resume", help="End a kill switch; what it held back is looked at again at once.")(
        resume
    )


def pause(
    scope: Scope,
    subject: Subject = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept for the trail.")] = "",
    portfolio: Where = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Whatever is begun after this returns knows of it."""
    if not reason.strip():
        raise Refused("say why: --reason …")
    done = run(_switch(scope, subject, portfolio, by, reason))
    show(
        _json(done, "paused"),
        as_json=as_json,
        pleasant=lambda console: _tell(console, done, "paused"),
    )


def resume(
    scope: Scope,
    subject: Subject = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept for the trail.")] = "",
    portfolio: Where = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Contact goes on where nothing else stands against it."""
    done = run(_switch(scope, subject, portfolio, by, reason, ends=True))
    show(
        _json(done, "resumed"),
        as_json=as_json,
        pleasant=lambda console: _tell(console, done, "resumed"),
    )


async def _switch(
    scope: str,
    subject: str | None,
    portfolio: str | None,
    by: str | None,
    reason: str,
    *,
    ends: bool = False,
) -> "Switched":
    from agent import config
    from agent.adapters.embedded import open_database
    from agent.clock import SystemClock
    from agent.flows import pause as switches
    from agent.flows.unclear import Unclear
    from agent.store.connect import open_pool

    if scope not in list(switches.Scope):
        raise Refused(f"there is no scope {scope}; use one of: {', '.join(switches.Scope)}")
    switch = switches.Switch(switches.Scope(scope), subject, portfolio)
    who, now = by or getuser(), SystemClock().now()
    settings = config.load()
    async with open_database(settings.data_dir, config.revealed(settings.database_url)) as url:
        pool = await open_pool(url, max_size=1)
        try:
            if ends:
                why = reason.strip() or None
                done = await switches.resume(pool, switch, reason=why, by=who, now=now)
            else:
                done = await switches.pause(pool, switch, reason=reason, by=who, now=now)
        finally:
            await pool.close()
    if isinstance(done, Unclear):
        raise Refused(f"{done.why}; {done.fix}")
    return done


def _what(done: "Switched") -> str:
    where = f" in {done.portfolio}" if done.portfolio and done.scope != "portfolio" else ""
    return f"{done.scope} {done.subject or done.portfolio or ''}".strip() + where


def _tell(console: "Console", done: "Switched", verb: str) -> None:
    from rich.markup import escape

    if not done.changed:
        already = "already paused" if verb == "paused" else "not paused"
        console.print(f"{escape(_what(done))} is {already}.")
        return
    console.print(f"[bold]{escape(_what(done))}[/bold] {verb}.")
    if done.woken:
        console.print(f"{done.woken} notices are looked at again.")


def _json(done: "Switched", verb: str) -> dict[str, object]:
    return {
        "scope": done.scope.value,
        "subject": done.subject,
        "portfolio": done.portfolio,
        verb: done.changed,
        "woken": done.woken,
    }
