"""`duly replay`: a lender's real history through the production code, on a virtual clock."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, make_folder, run, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from agent.domain.frame import Role
    from agent.domain.message import Texts
    from agent.domain.report import Report
    from agent.flows.import_source import Break
    from agent.flows.invariants import Finding
    from agent.flows.replay import History

_AT_ONCE = 0.2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay", help="Run a history through the production code, on a virtual clock.")(
        replay
    )


def replay(
    file: Annotated[
        Path, typer.Argument(help="Ledger events as .ndjson or .json; each also as .gz.")
    ],
    schedule: Annotated[
        str, typer.Option(help="A shipped schedule by name, or a .toml file.")
    ] = "consumer-instalment",
    packs: Annotated[str, typer.Option(help="Conduct packs, separated by commas.")] = "house",
    until: Annotated[
        str | None,
        typer.Option(help="Stop here, not at the end: an instant, or a date (in UTC)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the messages, decisions, outcomes and report.")
    ] = None,
    phones: Annotated[
        Path | None, typer.Option(help="A sandbox script (.toml): how phones behave.")
    ] = None,
    lender: Annotated[str | None, typer.Option(help="Who messages say they are from.")] = None,
    role: Annotated[
        str | None, typer.Option(help="Who collects: first_party or third_party; else not known.")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Texts of your own, as `duly template save` takes them.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the database of this run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Play a history, check the invariants, and write what would have gone out, when and why.

    It works in a database of its own and ends when nothing more can become due. What does not fit is
    told and changes nothing. Exit code 1: an invariant is violated, or the file breaks off.
    """
    if out is not None:
        make_folder(out, "--out")
    wish = _Wish(file, schedule, packs, until, out, phones, lender, role, texts, keep)
    report, findings, broken, database = run(_replay(wish, quiet=as_json))
    document = {
        **_document(report, findings, out, database),
        "broken": broken and broken.as_json(),
    }
    show(document, as_json=as_json, pleasant=lambda console: _print(console, document))
    if broken or any(finding.violations for finding in findings):
        raise typer.Exit(PROBLEMS)


class _Wish:
    """The command line, to be checked before anything is started."""

    def __init__(
        self,
        file: Path,
        schedule: str,
        packs: str,
        until: str | None,
        out: Path | None,
        phones: Path | None,
        lender: str | None,
        role: str | None,
        texts: Path | None,
        keep: bool,
    ) -> None:
        self.file = file
        self.schedule = _schedule(schedule)
        self.packs = tuple(name.lower() for part in packs.split(",") if (name := part.strip()))
        self.until = _until(until)
        self.out = out
        self.phones = phones
        self.lender = lender
        self.role = _role(role)
        self.texts = None if texts is None else _texts(texts, self.schedule, lender)
        self.keep = keep


def _role(named: str | None) -> "Role | None":
    from agent.domain.frame import Role

    if named is not None and named not in tuple(Role):
        raise Refused(f"--role: there is no {named}; use one of: {', '.join(Role)}")
    return None if named is None else Role(named)


def _schedule(name: str) -> str:
    from agent.flows.schedule_lint import lint
    from schedules import ladder_names, ladder_text

    path = Path(name)
    if name in ladder_names():
        return ladder_text(name)
    if path.suffix != ".toml" or not path.is_file():
        shipped = ", ".join(ladder_names())
        raise Refused(f"no schedule {name}: name a shipped one ({shipped}) or a .toml file")
    source = path.read_bytes()
    if problems := lint(name, source):
        raise Refused("\n  ".join([f"{name} cannot be used:", *problems]))
    return source.decode("utf-8-sig")


def _texts(folder: Path, schedule: str, lender: str | None) -> "Texts":
    from agent.domain.message import Texts
    from agent.entry.template_save import text_files
    from agent.flows.portfolios import ladder_of
    from agent.flows.text_trial import tried

    found = tried(text_files(folder), ladder_of(schedule), lender)
    if isinstance(found, Texts):
        return found
    told = [
        f"{one.file}{f':{one.line}' if one.line else ''}: {one.what} ({one.fix})" for one in found
    ]
    raise Refused("\n  ".join([f"{folder} cannot be used:", *told]))


def _until(text: str | None) -> datetime | None:
    """An instant with its offset; a bare date or time is taken as UTC."""
    from datetime import UTC

    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"--until {text}: write 2017-06-30 or 2017-06-30T18:00:00+01:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


async def _replay(
    wish: _Wish, *, quiet: bool
) -> "tuple[Report, Sequence[Finding], Break | None, str | None]":
    import asyncio

    from agent import config
    from agent.adapters.embedded import open_database
    from agent.clock import SystemClock, random_bytes
    from agent.flows.rules import BadRules
    from agent.flows.rules import packs as shipped_packs
    from agent.store.scratch import scratch_database

    settings = config.load()
    try:
        shipped_packs(wish.packs)
    except BadRules as problem:
        raise Refused(f"--packs: {problem}") from None
    stamp = SystemClock().now().strftime("%Y%m%d_%H%M%S")
    name = f"duly_replay_{stamp}_{random_bytes(3).hex()}"
    url = config.revealed(settings.database_url)
    # PostgreSQL starts meanwhile, unless it turns out at once that there is nothing to play
    reading = asyncio.create_task(asyncio.to_thread(_history, wish.file, wish.until))
    await asyncio.wait([reading], timeout=_AT_ONCE)
    if reading.done():
        reading.result()
    try:
        async with (
            open_database(settings.data_dir, url) as server,
            scratch_database(server, name, keep=wish.keep) as database_url,
        ):
            history, broken = await reading
            report, findings = await _play(wish, history, database_url, quiet=quiet)
    finally:
        await asyncio.wait([reading])
    return report, findings, broken, name if wish.keep else None


def _history(path: Path, until: datetime | None) -> "tuple[History, Break | None]":
    """What `duly import` would take of the same file, and where it breaks off."""
    from agent.flows.import_file import lines_or_elements
    from agent.flows.import_source import Source, Unusable
    from agent.flows.reading import read_lines
    from agent.flows.replay import in_time

    source = Source(path)
    try:
        history = in_time(*read_lines(lines_or_elements(source)))
    except Unusable as problem:
        raise Refused(str(problem)) from None
    if not history.reads:
        bad = history.unreads[0] if history.unreads else None
        why = f"; line {bad.line} is refused: {bad.reason}, {bad.detail}" if bad else ""
        raise Refused(f"{path} holds no ledger event{why}; README.md shows what one looks like")
    if until is not None and until < history.first:
        first = history.first.isoformat()
        raise Refused(
            f"--until {until.isoformat()}: nothing has happened by then, {path} begins at {first}"
        )
    return history, source.broken


async def _play(
    wish: _Wish, history: "History", database_url: str, *, quiet: bool
) -> "tuple[Report, Sequence[Finding]]":
    import tempfile
    from importlib.metadata import version

    from agent.clock import random_bytes, seconds
    from agent.entry.history_bar import HistoryBar
    from agent.flows.replay import Replay
    from agent.flows.replay_report import Told, write_out
    from agent.store import migrate
    from agent.store.connect import open_pool
    from agent.store.keyring import KEY_BYTES, Keyring

    began = seconds()
    pool = await open_pool(database_url, max_size=4, durable=wish.keep)
    try:
        async with pool.acquire() as conn:
            await migrate.migrate(conn, history.first)
        # a database that is kept is read with the installation's own key
        keyring = _keyring() if wish.keep else Keyring(random_bytes(KEY_BYTES))
        game = Replay(
            pool, keyring, history, schedule=wish.schedule, pack_names=wish.packs,
            network=_network(wish.phones), lender=wish.lender, role=wish.role, said=wish.texts,
        )  # fmt: skip
        with HistoryBar(len(history.reads), quiet=quiet) as progress:
            played = await game.run(wish.until, progress)
        told = Told(
            wish.file.name, version("duly"), history.first, history.events,
            game.packs, game.ladder, began,
        )  # fmt: skip
        if wish.out is not None:
            return await write_out(pool, keyring, played, told, wish.out)
        with tempfile.TemporaryDirectory() as folder:
            return await write_out(pool, keyring, played, told, Path(folder))
    finally:
        await pool.close()


def _keyring() -> Any:
    from agent import config
    from agent.store.keyring import Keyring

    return Keyring(config.master_key(config.load()))


def _network(script: Path | None) -> Any:
    from channels.sandbox.network import SandboxNetwork
    from channels.sandbox.script import read_script

    if script is None:
        return SandboxNetwork()
    try:
        return SandboxNetwork(read_script(script))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise Refused(f"--phones {script}: {problem}") from None


def _document(
    report: "Report", findings: "Sequence[Finding]", out: Path | None, database: str | None
) -> dict[str, Any]:
    from agent.domain.report import report_json

    return {
        "out": str(out) if out else None,
        "database": database,
        **report_json(report),
        "violated": [finding.id for finding in findings if finding.violations],
        "examples": {f.id: list(f.examples) for f in findings if f.violations},
    }


def _print_refused(console: "Console", document: dict[str, Any]) -> None:
    from rich.markup import escape

    for line in document["rejected"]:
        console.print(f"  [red]{line['count']:>8,}[/red] refused: {line['name']}")
    if broken := document["broken"]:
        console.print(
            f"[red]The file breaks off[/red] after {broken['after_line']:,} whole lines:"
            f" {escape(broken['why'])}"
        )


def _print_packs(console: "Console", rules: list[dict[str, Any]]) -> None:
    """What each pack changed, by rule; what the gate itself asks is in the report."""
    for line in rules:
        if line["pack"]:
            changed = f"{line['snoozed']:,} waited, {line['cancelled']:,} called off"
            console.print(f"  {line['pack']} {line['rule']}: {changed}", markup=False)


def _print(console: "Console", document: dict[str, Any]) -> None:
    run_, head, speed = document["run"], document["headline"], document["speed"]
    twice = f" ({run_['events_duplicate']:,} told twice)" if run_["events_duplicate"] else ""
    console.print(
        f"[bold]{run_['file']}[/bold]: {run_['events_applied']:,} of {run_['events']:,} events{twice},"
        f" {run_['loans']:,} loans of {run_['borrowers']:,} people,"
        f" {run_['from'][:10]} to {run_['until'][:10]}"
    )
    _print_refused(console, document)
    console.print(
        f"{head['messages']:,} messages; {head['notices_decided']:,} notices decided,"
        f" {head['notices_cancelled']:,} cancelled with a reason; {head['payoffs']:,} payoffs,"
        f" {head['charge_offs']:,} charge-offs recommended"
    )
    _print_packs(console, document["decisions"]["rules"])
    for line in document["invariants"]:
        if line["violations"]:
            examples = "; ".join(document["examples"].get(line["id"], ()))
            console.print(f"[red]violated[/red] {line['id']} {line['title']}: {examples}")
    held = sum(1 for line in document["invariants"] if not line["violations"])
    console.print(f"{held} of {len(document['invariants'])} invariants hold")
    phases = ", ".join(f"{one['phase']} {one['seconds']:.1f}" for one in speed["phases"])
    console.print(f"{speed['wall_seconds']:.1f} s ({phases})")
    if document["out"]:
        console.print(f"Written to {document['out']}: open report.html in a browser")
    if document["database"]:
        at = run_["until"]
        console.print(f"Kept: duly invariants --database {document['database']} --at {at}")
