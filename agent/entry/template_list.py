"""`duly template list`: which texts are in force, since when, by whom and why."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import AsJson, Refused, run, show

if TYPE_CHECKING:
    from rich.console import Console


def listing(
    portfolio: Annotated[
        str | None, typer.Option(help="Every text of this one; else the own texts of all.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every version there was, with its words.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Shipped or own; a text that was withdrawn is shipped again and keeps the last act on it."""
    if history and portfolio is None:
        raise Refused("--history needs --portfolio")
    rows = run(_history(portfolio)) if history and portfolio else run(_listed(portfolio))
    show(
        {"texts": rows},
        as_json=as_json,
        pleasant=lambda console: _print(console, rows, all_of=portfolio is not None),
    )


async def _listed(portfolio: str | None) -> list[dict[str, Any]]:
    from agent.entry.looking import opened
    from agent.flows.text_listing import listed
    from agent.flows.unclear import Unclear

    async with opened() as (pool, now), pool.acquire() as conn:
        found = await listed(conn, now, portfolio)
    if isinstance(found, Unclear):
        raise Refused(f"{found.why}; {found.fix}")
    return [asdict(one) for one in found]


async def _history(portfolio: str) -> list[dict[str, Any]]:
    from agent.entry.looking import opened
    from agent.flows.text_listing import history
    from agent.flows.unclear import Unclear

    async with opened() as (pool, now), pool.acquire() as conn:
        found = await history(conn, now, portfolio)
    if isinstance(found, Unclear):
        raise Refused(f"{found.why}; {found.fix}")
    return [
        {
            "portfolio": portfolio, "locale": one.locale, "message": one.message,
            "own": one.source is not None, "version": one.version, "since": one.active_from,
            "by": one.author, "approved_by": one.approved_by, "reason": one.reason,
            "allowed_hosts": list(one.allowed_hosts), "text": one.source,
        }
        for one in found
    ]  # fmt: skip


def _print(console: "Console", rows: Sequence[dict[str, Any]], *, all_of: bool) -> None:
    shown = [row for row in rows if all_of or row["version"] is not None]
    for row in shown:
        whose = "own" if row["own"] else "shipped"
        name = row.get("words", {}).get("") or f"{row['locale']}/{row['message']}"
        console.print(f"{row['portfolio']}: {name} {whose}{_act(row)}", markup=False)
        if row.get("text") is not None:
            console.print(f"    {row['text'].strip()}", markup=False)
    left = len(rows) - len(shown)
    if left:
        console.print(f"{left} shipped texts that nobody changed")


def _act(row: dict[str, Any]) -> str:
    if row["version"] is None:
        return ""
    since = f"{row['since']:%Y-%m-%d %H:%M}"
    who = f"by {row['by']}, approved by {row['approved_by']}"
    return f", version {row['version']} since {since} {who}: {row['reason']}"
