"""`duly portfolio`: the portfolios with the rules that bind them, and which rules those are to be."""

from collections.abc import Mapping
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import AsJson, Refused, run, show

if TYPE_CHECKING:
    from rich.console import Console

    from agent.flows.portfolio_rules import Chosen
    from agent.flows.portfolios import Portfolio

ROLES = ("first_party", "third_party")


def register(app: typer.Typer) -> None:
    """Add `duly portfolio`."""
    portfolio = typer.Typer(
        help="Portfolios: who collects, and which conduct packs bind; without a command, the list.",
        invoke_without_command=True,
    )
    portfolio.callback()(_listed)
    portfolio.command(
        "set", help="Choose who collects and which packs bind; kept with the reason."
    )(_set)
    app.add_typer(portfolio, name="portfolio")


def _listed(context: typer.Context, as_json: AsJson = False) -> None:
    """Every portfolio by name."""
    if context.invoked_subcommand is not None:
        return
    found = run(_read())
    rows = [_row(one) for one in found.values()]
    show({"portfolios": rows}, as_json=as_json, pleasant=lambda console: _print(console, rows))


def _set(
    name: Annotated[str, typer.Argument(help="The portfolio.", show_default=False)],
    role: Annotated[
        str | None, typer.Option(help="first_party (the lender itself) or third_party.")
    ] = None,
    packs: Annotated[
        str | None,
        typer.Option(help="Conduct packs, separated by commas; by-place asks by region."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the choice.")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who; else this machine's user.")] = None,
    as_json: AsJson = False,
) -> None:
    """The next begin asks what is chosen here."""
    if not reason.strip():
        raise Refused("say why: --reason …")
    if role is None and packs is None:
        raise Refused("nothing to change: name --role or --packs")
    if role is not None and role not in ROLES:
        raise Refused(f"there is no role {role}; use one of: {', '.join(ROLES)}")
    named = None
    if packs is not None:
        named = tuple(part.strip().lower() for part in packs.split(",") if part.strip())
    done = run(_choose(name, role, named, reason, by or getuser()))
    body = {
        "portfolio": done.portfolio, "role": done.role, "packs": list(done.packs),
        "woken": done.woken,
    }  # fmt: skip
    show(body, as_json=as_json, pleasant=lambda console: _tell(console, done))


async def _read() -> "Mapping[str, Portfolio]":
    from agent.entry.looking import opened
    from agent.flows.portfolios import load_portfolios

    async with opened() as (pool, now), pool.acquire() as conn:
        return await load_portfolios(conn, now)


async def _choose(
    name: str, role: str | None, packs: tuple[str, ...] | None, reason: str, by: str
) -> "Chosen":
    from agent.domain.frame import Role
    from agent.entry.looking import opened
    from agent.flows.portfolio_rules import Wanted, choose
    from agent.flows.unclear import Unclear

    wanted: Wanted = Wanted(None if role is None else Role(role), packs)
    async with opened() as (pool, now):
        done = await choose(pool, name, wanted, reason=reason, by=by, now=now)
    if isinstance(done, Unclear):
        raise Refused(f"{done.why}; {done.fix}")
    return done


def _row(portfolio: "Portfolio") -> dict[str, Any]:
    return {
        "name": portfolio.name, "lender": portfolio.lender, "zone": portfolio.zone,
        "locale": portfolio.locale, "role": portfolio.role, "packs": list(portfolio.packs),
        "schedule_version": portfolio.version,
    }  # fmt: skip


def _print(console: "Console", rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("portfolio", "lender", "who collects", "packs", "schedule")
    for row in rows:
        role = row["role"] or "not known: rules for one side hold"
        table.add_row(
            row["name"], row["lender"], role, ", ".join(row["packs"]),
            f"version {row['schedule_version']}",
        )  # fmt: skip
    console.print(table)


def _tell(console: "Console", done: "Chosen") -> None:
    from rich.markup import escape

    role = done.role or "not known"
    console.print(f"{escape(done.portfolio)}: {role}, {escape(', '.join(done.packs))}.")
    if done.woken:
        console.print(f"{done.woken} notices are looked at again.")
