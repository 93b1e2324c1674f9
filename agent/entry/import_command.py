"""`duly import`: a lender's file in, what became of each line out."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, run, show

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from rich.console import Console

    from agent.domain.mapping import Mapping
    from agent.flows.import_file import Imported
    from agent.flows.intake import Problem

_CSV = (".csv", ".tsv")
_EVENTS = (".json", ".ndjson", ".jsonl")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_)


def import_(
    file: Annotated[
        Path, typer.Argument(help="Events as .ndjson or .json, or rows as .csv; each also as .gz.")
    ],
    mapping: Annotated[
        Path | None,
        typer.Option(help="What the columns of a CSV mean: see schedules/README.md."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; nothing is stored.")
    ] = False,
    portfolio: Annotated[str, typer.Option(help="Portfolio of events that name none.")] = "default",
    lender: Annotated[
        str | None, typer.Option(help="Lender's name as borrowers read it, for new portfolios.")
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(help="Where refused lines are listed.  [FILE.errors.ndjson]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take ledger events in, each once by its id: a file can be imported again at any time.

    What does not fit is kept with its reason, listed in FILE.errors.ndjson, and stops nothing else.
    Exit code 0: everything is in. 1: some lines were refused or the file is damaged. 2: bad use.
    """
    from agent.domain.event_reading import is_portfolio_name

    if not is_portfolio_name(portfolio):
        raise Refused(f"{portfolio!r} cannot be a portfolio's name: letters, digits and . _ - only")
    if not file.is_file():
        raise Refused(f"{file} is not a file")
    compiled = _mapping_for(file, mapping)
    report = ErrorFile(errors or file.with_name(f"{file.name}.errors.ndjson"))
    with report.open(), _bar(file, wanted=not as_json) as progress:
        done = run(
            _import(file, compiled, portfolio, lender, report.add, progress, dry_run=dry_run)
        )
        report.forget(done.taken.came)
    document = _document(file, done, report, dry_run=dry_run)
    show(document, as_json=as_json, pleasant=lambda console: _print(console, document))
    if not done.complete:
        raise typer.Exit(PROBLEMS)


def _mapping_for(file: Path, path: Path | None) -> "Mapping | None":
    kinds = [suffix.lower() for suffix in file.suffixes if suffix.lower() != ".gz"]
    kind = kinds[-1] if kinds else ""
    if path is None:
        if kind in _CSV:
            raise Refused(
                f"{file.name} is a table: say what its columns mean with --mapping M.toml "
                "(schedules/README.md shows one)"
            )
        return None
    if kind in _EVENTS:
        raise Refused(f"{file.name} holds events already; --mapping is for tables (.csv)")
    return _read_mapping(path)


def _read_mapping(path: Path) -> "Mapping":
    import tomllib

    from agent.domain.mapping import Mapping
    from agent.domain.mapping_compile import compile_mapping

    try:
        raw = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as problem:
        raise Refused(f"{path} cannot be read: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise Refused(f"{path} is not TOML: {problem}") from None
    found = compile_mapping(raw)
    if isinstance(found, Mapping):
        return found
    lines = "\n".join(f"  {p.where} {p.what}: {p.fix}" for p in found)
    raise Refused(f"{path} cannot be used:\n{lines}")


async def _import(
    file: Path,
    mapping: "Mapping | None",
    portfolio: str,
    lender: str | None,
    refused: "Callable[[Problem], None]",
    progress: Callable[[int, int], None],
    *,
    dry_run: bool,
) -> "Imported":
    from dataclasses import replace

    from agent.flows.import_file import import_file
    from agent.flows.import_source import Unusable
    from agent.flows.rehearsal import rehearse
    from agent.store.connect import open_connection
    from agent.wiring import open_system

    async with open_system() as system:
        home = mapping.style.zone if mapping else None
        desk = replace(
            system.desk(file.name), default_portfolio=portfolio, lender=lender, home=home
        )
        options: dict[str, Any] = {"mapping": mapping, "refused": refused, "progress": progress}
        try:
            if not dry_run:
                return await import_file(desk, file, system.clock, **options)
            conn = await open_connection(system.database_url)
            try:
                stage = await rehearse(conn)
                desk = replace(desk, pool=stage.pool())
                return await import_file(desk, file, system.clock, prepare=stage.copy, **options)
            finally:
                await conn.close()
        except Unusable as problem:
            raise Refused(str(problem)) from None


@dataclass(slots=True)
class ErrorFile:
    """Refused lines by number: made with the first one; one of an earlier run does not stay."""

    path: Path
    count: int = 0
    problem: str | None = None
    _file: IO[bytes] | None = field(default=None, repr=False)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keeps the file open while lines may be refused."""
        try:
            yield
        finally:
            if self._file is not None:
                self._file.close()
            elif self.path.is_file():
                self.path.unlink()

    def add(self, problem: "Problem") -> None:
        """One line more."""
        import orjson

        self.count += 1
        try:
            if self._file is None and self.problem is None:
                self._file = self.path.open("wb")
            if self._file is not None:
                self._file.write(orjson.dumps(problem.as_json()) + b"\n")
        except OSError as trouble:
            self.problem = f"{self.path} cannot be written: {trouble.strerror}"

    def forget(self, came: "AbstractSet[str]") -> None:
        """Take out the events that were refused at first and applied with what came further down."""
        import orjson

        if not came or self._file is None:
            return
        self._file.close()
        rows = self.path.read_bytes().splitlines(keepends=True)
        kept = [row for row in rows if orjson.loads(row).get("event") not in came]
        self.count = len(kept)
        self._file = self.path.open("wb") if kept else None
        if self._file is not None:
            self._file.writelines(kept)


@contextmanager
def _bar(file: Path, *, wanted: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar by bytes of the file, on a terminal only."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda _done, _size: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(file.name), BarColumn(), TaskProgressColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("import", total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)


def _document(file: Path, done: "Imported", report: ErrorFile, *, dry_run: bool) -> dict[str, Any]:
    taken, broken, spent = done.taken, done.broken, done.seconds
    events = taken.applied + taken.duplicates + taken.rejected.total()
    notes = [*done.notes, *([report.problem] if report.problem else [])]
    return {
        "file": str(file),
        "dry_run": dry_run,
        "complete": done.complete,
        "lines": done.lines,
        "applied": taken.applied,
        "duplicates": taken.duplicates,
        "rejected": dict(taken.rejected.most_common()),
        "unparked": taken.unparked,
        "outcomes": taken.outcomes,
        "broken": broken and broken.as_json(),
        "errors_file": str(report.path) if report.count and not report.problem else None,
        "notes": notes,
        "seconds": round(spent, 2),
        "events_per_second": round(events / spent) if spent else None,
    }


def _print(console: "Console", document: dict[str, Any]) -> None:
    from rich.markup import escape

    would = "would be " if document["dry_run"] else ""
    if document["dry_run"]:
        console.print("[bold]Dry run:[/] nothing was stored.")
    console.print(
        f"[bold]{document['applied']:,}[/] events {would}applied, {document['duplicates']:,} known already, "
        f"{sum(document['rejected'].values()):,} refused; {document['outcomes']:,} outcomes"
        f" in {document['seconds']} s ({document['events_per_second']:,} a second)"
    )
    if document["unparked"]:
        console.print(
            f"  {document['unparked']:,} of them had come before their loan and waited for it"
        )
    for reason, count in document["rejected"].items():
        console.print(f"  [red]{count:>8,}[/] {reason}")
    for note in document["notes"]:
        console.print(f"  {escape(note)}")
    if document["errors_file"]:
        console.print(f"  refused lines are listed in {escape(document['errors_file'])}")
    if broken := document["broken"]:
        console.print(
            f"[red]The file breaks off[/] after {broken['after_line']:,} whole lines, which were read; "
            f"at byte {broken['byte']:,}: {escape(broken['why'])}"
        )
