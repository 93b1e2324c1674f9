"""`duly portfolio`: the portfolios with the rules that bind them, and what those are to be."""

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
        "set",
        help="Choose who collects, which packs bind, where people live; kept with the reason.",
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
    country: Annotated[
        str | None,
        typer.Option(
            help="Where people live of whom nothing tells (NG); none: nobody knows, they are held."
        ),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the choice.")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who; else this machine's user.")] = None,
    as_json: AsJson = False,
) -> None:
    """The next begin asks what is chosen here."""
    if not reason.strip():
        raise Refused("say why: --reason …")
    if role is None and packs is None and country is None:
        raise Refused("nothing to change: name --role, --packs or --country")
    if role is not None and role not in ROLES:
        raise Refused(f"there is no role {role}; use one of: {', '.join(ROLES)}")
    named = None
    if packs is not None:
        named = tuple(part.strip().lower() for part in packs.split(",") if part.strip())
    place = None if country is None else country.strip()
    if place is not None and place != "none":
        place = place.upper()
    done = run(_choose(name, role, named, place, reason, by or getuser()))
    body = {
        "portfolio": done.portfolio, "role": done.role, "packs": list(done.packs),
        "country": done.country, "moved": done.moved, "woken": done.woken,
    }  # fmt: skip
    show(body, as_json=as_json, pleasant=lambda console: _tell(console, done))


async def _read() -> "Mapping[str, Portfolio]":
    from agent.entry.looking import opened
    from agent.flows.portfolios import load_portfolios

    async with opened() as (pool, now), pool.acquire() as conn:
        return await load_portfolios(conn, now)


async def _choose(
    name: str,
    role: str | None,
    packs: tuple[str, ...] | None,
    country: str | None,
    reason: str,
    by: str,
) -> "Chosen":
    from agent.domain.frame import Role
    from agent.entry.looking import opened
    from agent.flows.portfolio_rules import Wanted, choose
    from agent.flows.unclear import Unclear

    wanted: Wanted = Wanted(None if role is None else Role(role), packs, country)
    async with opened() as (pool, now):
        done = await choose(pool, name, wanted, reason=reason, by=by, now=now)
    if isinstance(done, Unclear):
        raise Refused(f"{done.why}; {done.fix}")
    return done


def _row(portfolio: "Portfolio") -> dict[str, Any]:
    return {
        "name": portfolio.name, "lender": portfolio.lender, "zone": portfolio.zone,
        "locale": portfolio.locale, "role": portfolio.role, "country": portfolio.country,
        "packs": list(portfolio.packs), "schedule_version": portfolio.version,
    }  # fmt: skip


def _print(console: "Console", rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("portfolio", "lender", "who collects", "people live in", "packs", "schedule")
    for row in rows:
        role = row["role"] or "not known: rules for one side hold"
        table.add_row(
            row["name"], row["lender"], role, row["country"] or "where it is told",
            ", ".join(row["packs"]),
            f"version {row['schedule_version']}",
        )  # fmt: skip
    console.print(table)


def _tell(console: "Console", done: "Chosen") -> None:
    from rich.markup import escape

    role = done.role or "not known"
    console.print(f"{escape(done.portfolio)}: {role}, {escape(', '.join(done.packs))}.")
    if done.moved:
        console.print(f"{done.moved} people may be elsewhere than was thought.")
    if done.woken:
        console.print(f"{done.woken} notices are looked at again.")
