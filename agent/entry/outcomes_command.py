"""`duly outcomes`: write them to a file, or have a loan's fed to the ledger again."""

import getpass
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, run, show

if TYPE_CHECKING:
    import asyncpg
    from rich.console import Console

    from agent.flows.ledger_desk import HeldOutcome, Noticed, Replayed

outcomes = typer.Typer(
    no_args_is_help=True, help="What the credit ledger is told: write it out, or feed it again."
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(outcomes, name="outcomes")


@outcomes.command()
def export(
    out: Annotated[
        Path | None, typer.Option(help="File to write; it is replaced when all is written.")
    ] = None,
    loan: Annotated[str | None, typer.Option(help="Only the loans with this reference.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write all outcomes as CloudEvents, one JSON a line, in order per loan.

    Without --out they go to standard output. Nothing is acknowledged by this. It is a record for you,
    not a delivery: what is held back for its prior notice is in it (`duly outcomes held` lists that).
    """
    if out is None:
        run(_write(sys.stdout.buffer, loan))
        sys.stdout.buffer.flush()
        return
    count = _export_to(out, loan)

    def pleasant(console: "Console") -> None:
        console.print(f"[bold]{count}[/bold] outcomes written to {out}")

    show({"outcomes": count, "file": str(out)}, as_json=as_json, pleasant=pleasant)


def _export_to(out: Path, loan: str | None) -> int:
    """A reader of the file sees the old content or the new one, never half of it."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            count = run(_write(file, loan))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(out)
    except OSError as problem:
        raise Refused(f"{out} cannot be written: {problem.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    return count


async def _write(file: BinaryIO, loan: str | None) -> int:
    count = 0
    async for text in _lines(loan):
        file.write(text)
        count += 1
    return count


async def _lines(loan: str | None) -> AsyncIterator[bytes]:
    from agent import config
    from agent.adapters.embedded import open_database
    from agent.domain.feed import line
    from agent.flows.ledger_desk import every_outcome
    from agent.store.connect import open_connection

    settings = config.load()
    async with open_database(settings.data_dir, config.revealed(settings.database_url)) as url:
        conn = await open_connection(url)
        try:
            async for told in every_outcome(conn, loan):
                yield line(told) + b"\n"
        finally:
            await conn.close()


@outcomes.command()
def replay(
    loan: Annotated[str, typer.Argument(help="Reference of the loan.")],
    from_seq: Annotated[
        int | None,
        typer.Option(
            "--from", min=1, help="Send acknowledged outcomes again too, from this number on."
        ),
    ] = None,
    actor: Annotated[
        str | None, typer.Option(help="Who asks for it; your login name unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a loan's feed go on after the ledger rejected an outcome, or send outcomes again.

    They keep their ids, so a ledger that has them already takes them for what they are.
    """
    done = run(_replay(loan, from_seq, actor or getpass.getuser()))

    def pleasant(console: "Console") -> None:
        for item in done:
            console.print(_sentence(item))
        if not done:
            console.print(f"No loan is called {loan}.")

    rows = [
        {"portfolio": d.portfolio, "loan": d.loan, "reopened": d.reopened, "waiting": d.waiting}
        for d in done
    ]
    show({"loans": rows}, as_json=as_json, pleasant=pleasant)
    if not done:
        raise typer.Exit(PROBLEMS)


def _sentence(item: "Replayed") -> str:
    place = f"{item.portfolio}/{item.loan}"
    again = f", {item.reopened} of them acknowledged before" if item.reopened else ""
    if not item.waiting:
        return f"{place}: nothing waits for the ledger, or it is being sent right now."
    return f"{place}: its outcomes are due now{again}."


async def _replay(loan: str, from_seq: int | None, actor: str) -> "list[Replayed]":
    from agent.clock import SystemClock
    from agent.flows import ledger_desk

    async with _pool() as pool:
        return await ledger_desk.replay(
            pool, loan, actor=actor, now=SystemClock().now(), from_seq=from_seq
        )


@outcomes.command()
def held(as_json: AsJson = False) -> None:
    """List what waits for the notice that must come before it, with the rules that say so."""
    found = run(_held())

    def pleasant(console: "Console") -> None:
        for one in found:
            rules = ", ".join(one.rules)
            console.print(
                f"{one.portfolio}/{one.loan} number {one.seq}, {one.type}: {rules};"
                f" looked at again {one.looked_at:%Y-%m-%d %H:%M} UTC"
            )
        if not found:
            console.print("Nothing is held back.")

    show({"held": [asdict(one) for one in found]}, as_json=as_json, pleasant=pleasant)


async def _held() -> "list[HeldOutcome]":
    from agent.flows import ledger_desk

    async with _pool() as pool, pool.acquire() as conn:
        return await ledger_desk.held_outcomes(conn)


@outcomes.command()
def noticed(
    loan: Annotated[str, typer.Argument(help="Reference of the loan.")],
    on: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The day on which it was given.")
    ],
    reason: Annotated[str, typer.Option(help="How it was given: registered letter, call …")],
    actor: Annotated[
        str | None, typer.Option(help="Who says so; your login name unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record that the notice before adverse reporting was given by other means.

    It counts like one that Duly sent: what waits for it leaves when the days of its rules are over.
    """
    if not reason.strip():
        raise Refused("say how the notice was given: --reason 'registered letter of …'")
    done = run(_noticed(loan, on.date(), actor or getpass.getuser(), reason))

    def pleasant(console: "Console") -> None:
        for one in done:
            console.print(f"{one.portfolio}/{one.loan}: noted for what is due since {one.anchor}.")
        if not done:
            console.print(f"No loan called {loan} owes anything.")

    show({"noticed": [asdict(one) for one in done]}, as_json=as_json, pleasant=pleasant)
    if not done:
        raise typer.Exit(PROBLEMS)


async def _noticed(loan: str, on: date, actor: str, reason: str) -> "list[Noticed]":
    from agent.clock import SystemClock
    from agent.flows import ledger_desk

    now = SystemClock().now()
    if on > now.date():
        raise Refused(f"{on} is still to come: a notice counts from the day it was given")
    async with _pool() as pool:
        return await ledger_desk.note_given(pool, loan, on, actor=actor, reason=reason, now=now)


@asynccontextmanager
async def _pool() -> "AsyncIterator[asyncpg.Pool[asyncpg.Record]]":
    from agent import config
    from agent.adapters.embedded import open_database
    from agent.store.connect import open_pool

    settings = config.load()
    async with open_database(settings.data_dir, config.revealed(settings.database_url)) as url:
        pool = await open_pool(url, max_size=1)
        try:
            yield pool
        finally:
            await pool.close()
