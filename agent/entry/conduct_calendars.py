"""`duly conduct calendars`: which holidays rules count by, and who compared them with the official list."""

from collections.abc import Callable
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import AsJson, Refused, run, show

if TYPE_CHECKING:
    from rich.console import Console

    from agent.flows.calendars import Listed, Stored
    from agent.flows.unclear import Unclear

Years = Annotated[
    list[int],
    typer.Option("--year", help="A year whose dates were compared with the official list."),
]
Reason = Annotated[str, typer.Option("--reason", help="Where they were compared; kept with it.")]
By = Annotated[str | None, typer.Option("--by", help="Who; else this machine's user.")]


def register(conduct: typer.Typer) -> None:
    """Add the commands."""
    calendars = typer.Typer(
        help="Calendars of holidays: without a command, the list; confirm one, or store another.",
        invoke_without_command=True,
    )
    calendars.callback()(_list)
    calendars.command("confirm", help="Say that the listed dates are the official ones.")(_confirm)
    calendars.command("store", help="Use a file of your own in place of the calendar.")(_store)
    conduct.add_typer(calendars, name="calendars")


def _list(context: typer.Context, as_json: AsJson = False) -> None:
    """Every calendar in force, with the years that rules rely on."""
    if context.invoked_subcommand is not None:
        return
    found = run(_listed())
    show(
        {"calendars": [_row(one) for one in found]},
        as_json=as_json,
        pleasant=lambda console: _print(console, found),
    )


def _confirm(
    name: Annotated[str, typer.Argument(help="The calendar.", show_default=False)],
    years: Years,
    reason: Reason = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """The next decision relies on them."""
    who, why = by or getuser(), _said(reason)

    async def act(pool: Any, now: Any) -> "Stored | Unclear":
        from agent.flows.calendars import confirm

        return await confirm(pool, name, years, by=who, reason=why, now=now)

    _done(run(_acted(act)), as_json=as_json)


def _store(
    file: Annotated[Path, typer.Argument(help="A file like those of schedules/calendars.")],
    years: Years,
    reason: Reason = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """It binds from the next decision on; the one before it stays on record."""
    who, why = by or getuser(), _said(reason)
    try:
        source = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise Refused(f"{file} cannot be read: {problem}") from None

    async def act(pool: Any, now: Any) -> "Stored | Unclear":
        from agent.flows.calendars import store

        return await store(pool, source, years, by=who, reason=why, now=now)

    _done(run(_acted(act)), as_json=as_json)


def _said(reason: str) -> str:
    if not reason.strip():
        raise Refused("say where the dates were compared: --reason …")
    return reason


async def _listed() -> "list[Listed]":
    from agent.entry.looking import opened
    from agent.flows.calendars import listed

    async with opened() as (pool, _), pool.acquire() as conn:
        return await listed(conn)


async def _acted(act: Callable[[Any, Any], Any]) -> "Stored":
    from agent.entry.looking import opened
    from agent.flows.unclear import Unclear

    async with opened() as (pool, now):
        done = await act(pool, now)
    if isinstance(done, Unclear):
        raise Refused(f"{done.why}; {done.fix}")
    return done  # type: ignore[no-any-return]


def _done(done: "Stored", *, as_json: bool) -> None:
    body = {
        "calendar": done.name, "version": done.version, "confirmed": list(done.confirmed),
        "woken": done.woken,
    }  # fmt: skip
    years = ", ".join(map(str, done.confirmed)) or "no year"
    says = f"{done.name}, version {done.version}: rules rely on {years}; {done.woken} notices looked at again"
    show(body, as_json=as_json, pleasant=lambda console: console.print(says))


def _row(one: "Listed") -> dict[str, Any]:
    return {
        "name": one.name, "covers": [day.isoformat() for day in one.covers],
        "confirmed": list(one.confirmed), "unconfirmed": list(one.unconfirmed),
        "holidays": {str(year): count for year, count in one.holidays.items()},
        "source": one.source, "version": one.version, "by": one.by,
        "at": None if one.at is None else one.at.isoformat(), "reason": one.reason,
    }  # fmt: skip


def _print(console: "Console", found: "list[Listed]") -> None:
    for one in found:
        known = ", ".join(map(str, one.confirmed)) or "none"
        open_ = ", ".join(f"{year} ({one.holidays[year]} days listed)" for year in one.unconfirmed)
        console.print(
            f"[bold]{one.name}[/]: relied on: {known}"
            + (f"; not confirmed: {open_}" if open_ else "")
        )
        whose = "shipped" if one.by is None else f"version {one.version} by {one.by}: {one.reason}"
        console.print(f"    {whose}; {one.source}", markup=False)
    console.print("Rules that need a year which nobody confirmed hold what they would decide.")
