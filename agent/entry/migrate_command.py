"""`duly migrate`: bring the schema up, or say what is missing."""

from typing import TYPE_CHECKING, Annotated

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, run, show

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate", help="Bring the database schema up to this release.")(migrate)


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if migrations are pending.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Apply what is missing, under a lock."""
    names = run(_migrate(check=check))
    key = "pending" if check else "applied"

    def pleasant(console: "Console") -> None:
        if not names:
            console.print("The schema is up to date.")
        for name in names:
            console.print(f"{key} [bold]{name}[/bold]")

    show({key: names}, as_json=as_json, pleasant=pleasant)
    if check and names:
        raise typer.Exit(PROBLEMS)


async def _migrate(*, check: bool) -> list[str]:
    from agent import config
    from agent.adapters.embedded import open_database
    from agent.clock import SystemClock
    from agent.store import migrate as migrations
    from agent.store.connect import open_connection

    settings = config.load()
    async with open_database(settings.data_dir, config.revealed(settings.database_url)) as url:
        conn = await open_connection(url)
        try:
            if check:
                return await migrations.pending(conn)
            return await migrations.migrate(conn, SystemClock().now())
        except migrations.HistoryDiffers as problem:
            raise Refused(str(problem)) from None
        finally:
            await conn.close()
