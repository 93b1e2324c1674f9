"""`duly simulate`: invented borrowers and faults on a virtual clock, and whether what must hold held."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, make_folder, run, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from agent.domain.report import Report
    from agent.flows.invariants import Finding
    from agent.flows.replay import History
    from agent.flows.simulate import Fault, Witness

SEEDS = 2**32


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "simulate", help="Invented borrowers and faults on a virtual clock; checks what must hold."
    )(simulate)


def simulate(
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same run; drawn if you name none.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=1500, help="How many days are played.")] = 180,
    loans: Annotated[
        int, typer.Option(min=1, max=200_000, help="How many loans are opened.")
    ] = 300,
    faults: Annotated[
        str, typer.Option(help="all, none, or some of: network, deaths, ledger (with commas).")
    ] = "all",
    packs: Annotated[str, typer.Option(help="Conduct packs, separated by commas.")] = "house",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the invented ledger and for what `duly replay` writes."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play, check the invariants, and compare our rows with what the phones say they got.

    Exit code 1 when an invariant is violated or the phones disagree.
    """
    from agent.clock import random_bytes

    wish = _Wish(
        int.from_bytes(random_bytes(4)) if seed is None else seed, days, loans, faults, packs, out
    )
    if out is not None:
        make_folder(out, "--out")
    document = run(_simulate(wish, quiet=as_json))
    show(document, as_json=as_json, pleasant=lambda console: _print(console, document))
    if document["violated"] or not document["phones_agree"]:
        raise typer.Exit(PROBLEMS)


class _Wish:
    """The command line, to be checked before anything is started."""

    def __init__(
        self, seed: int, days: int, loans: int, faults: str, packs: str, out: Path | None
    ) -> None:
        if not 0 <= seed < SEEDS:
            raise Refused(f"--seed {seed}: a whole number from 0 to {SEEDS - 1}")
        self.seed, self.days, self.loans, self.out = seed, days, loans, out
        self.faults = _faults(faults)
        self.packs = tuple(name.lower() for part in packs.split(",") if (name := part.strip()))


def _faults(text: str) -> "tuple[Fault, ...]":
    from agent.flows.simulate import Fault

    if text == "all":
        return tuple(Fault)
    named = [name for part in text.split(",") if (name := part.strip()) and name != "none"]
    unknown = sorted(set(named) - set(Fault))
    if unknown:
        raise Refused(f"--faults: there is no {unknown[0]}; name some of: {', '.join(Fault)}")
    return tuple(fault for fault in Fault if fault in named)


async def _simulate(wish: _Wish, *, quiet: bool) -> dict[str, Any]:
    from agent import config
    from agent.adapters.embedded import open_database
    from agent.clock import SystemClock, random_bytes
    from agent.flows.rules import BadRules
    from agent.flows.rules import packs as shipped_packs
    from agent.store.scratch import scratch_database

    try:
        shipped_packs(wish.packs)
    except BadRules as problem:
        raise Refused(f"--packs: {problem}") from None
    settings = config.load()
    stamp = SystemClock().now().strftime("%Y%m%d_%H%M%S")
    name = f"duly_simulate_{stamp}_{random_bytes(3).hex()}"
    async with (
        open_database(settings.data_dir, config.revealed(settings.database_url)) as server,
        scratch_database(server, name) as database_url,
    ):
        return await _play(wish, _invented(wish), database_url, quiet=quiet)


def _invented(wish: _Wish) -> "History":
    import json

    from agent.domain.invented import disordered, ledger
    from agent.flows.reading import read_lines
    from agent.flows.replay import in_time
    from agent.flows.simulate import Fault

    events = ledger(wish.seed, wish.loans, wish.days)
    if Fault.LEDGER in wish.faults:
        lines = list(disordered(wish.seed, events))
    else:
        lines = [json.dumps(event, ensure_ascii=False).encode() for event in events]
    if wish.out is not None:
        (wish.out / "ledger.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    return in_time(*read_lines(enumerate(lines, start=1)))


async def _play(
    wish: _Wish, history: "History", database_url: str, *, quiet: bool
) -> dict[str, Any]:
    from datetime import timedelta

    from agent.clock import random_bytes, seconds
    from agent.entry.history_bar import HistoryBar
    from agent.flows.replay import Hooks, Replay
    from agent.flows.simulate import Fault, Workers, hear, script_for
    from agent.store import migrate
    from agent.store.connect import open_pool
    from agent.store.keyring import KEY_BYTES, Keyring
    from channels.sandbox.network import SandboxNetwork
    from schedules import ladder_text

    began = seconds()
    workers = Workers(database_url, wish.seed)
    hooks = Hooks(dispatch=workers.run) if Fault.DEATHS in wish.faults else Hooks()
    pool = await open_pool(database_url, max_size=4, durable=False)
    try:
        async with pool.acquire() as conn:
            await migrate.migrate(conn, history.first)
        keyring = Keyring(random_bytes(KEY_BYTES))
        network = SandboxNetwork(script_for(wish.faults), wish.seed)
        game = Replay(
            pool, keyring, history, schedule=ladder_text("consumer-instalment"),
            pack_names=wish.packs, network=network, hooks=hooks,
        )  # fmt: skip
        with HistoryBar(len(history.reads), quiet=quiet) as progress:
            played = await game.run(history.first + timedelta(days=wish.days), progress)
        report, findings = await _write(wish, pool, keyring, game, history, began)
        witness = await hear(pool, network)
        return _document(wish, report, findings, witness, workers.died, played.taken.rejected)
    finally:
        await pool.close()


async def _write(
    wish: _Wish, pool: Any, keyring: Any, game: Any, history: "History", began: float
) -> "tuple[Report, Sequence[Finding]]":
    import tempfile
    from importlib.metadata import version

    from agent.flows.replay_report import Told, write_out

    told = Told(
        f"invented by seed {wish.seed}", version("duly"), history.first, len(history.reads),
        game.packs, game.ladder, began,
    )  # fmt: skip
    if wish.out is not None:
        return await write_out(pool, keyring, game.played, told, wish.out)
    with tempfile.TemporaryDirectory() as folder:
        return await write_out(pool, keyring, game.played, told, Path(folder))


def _document(
    wish: _Wish,
    report: "Report",
    findings: "Sequence[Finding]",
    witness: "Witness",
    died: int,
    rejected: Any,
) -> dict[str, Any]:
    from agent.domain.report import report_json

    told = report_json(report)
    return {
        "seed": wish.seed,
        "days": wish.days,
        "loans": wish.loans,
        "faults": [fault.value for fault in wish.faults],
        "out": str(wish.out) if wish.out else None,
        "events": told["run"]["events"],
        "rejected": {str(reason): count for reason, count in sorted(rejected.items())},
        "messages": told["headline"]["messages"],
        "workers_died": died,
        "phones_accepted": witness.accepted,
        "closed_as_unknown": witness.closed_unknown,
        "phones_agree": witness.content,
        "accepted_twice": list(witness.twice),
        "unknown_to_us": list(witness.unknown_to_us),
        "never_came": list(witness.never_came),
        "invariants": len([finding for finding in findings if finding.pending is None]),
        "violated": [finding.id for finding in findings if finding.violations],
        "examples": {f.id: list(f.examples) for f in findings if f.violations},
        "seconds": round(told["speed"]["wall_seconds"], 1),
    }


def _print(console: "Console", document: dict[str, Any]) -> None:
    faults = ", ".join(document["faults"]) or "none"
    console.print(
        f"[bold]Seed {document['seed']}[/bold]: {document['loans']:,} loans, {document['days']:,} days,"
        f" faults: {faults}"
    )
    refused = sum(document["rejected"].values())
    console.print(
        f"{document['events']:,} events, {refused:,} refused with a reason;"
        f" {document['messages']:,} messages; workers that died: {document['workers_died']:,}"
    )
    console.print(
        f"The phones accepted {document['phones_accepted']:,};"
        f" {document['closed_as_unknown']:,} were closed as unknown, each with a case"
    )
    for what in ("accepted_twice", "unknown_to_us", "never_came"):
        for one in document[what][:5]:
            console.print(f"[red]{what.replace('_', ' ')}[/red]: {one}")
    for invariant in document["violated"]:
        examples = "; ".join(document["examples"].get(invariant, ()))
        console.print(f"[red]violated[/red] {invariant}: {examples}")
    held = document["invariants"] - len(document["violated"])
    console.print(f"{held} of {document['invariants']} invariants hold; {document['seconds']} s")
    if document["out"]:
        console.print(f"Written to {document['out']}: ledger.ndjson and what a replay writes")
