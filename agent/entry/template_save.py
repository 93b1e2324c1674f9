"""`duly template save` and `withdraw`: a lender's own texts, each change approved by another person."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, run, show
from agent.entry.template_portfolio import print_told

if TYPE_CHECKING:
    from rich.console import Console

    from agent.domain.text_files import TextFile
    from agent.flows.text_saving import Changed, Terms
    from agent.flows.unclear import Unclear

# More files than any folder of texts has.
_FILES_MAX = 5_000

_Portfolio = Annotated[str, typer.Option(help="Whose texts they are.")]
_By = Annotated[str | None, typer.Option("--by", help="Who wrote it; else this machine's user.")]
_Approver = Annotated[str, typer.Option("--approved-by", help="Who approved it: another person.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; kept with it.")]
_Dry = Annotated[bool, typer.Option("--dry-run", help="Check and tell, store nothing.")]
_Country = Annotated[
    list[str] | None,
    typer.Option(help="Also hold the texts to this country, besides those of the portfolio."),
]
_Links = Annotated[
    list[str] | None, typer.Option(help="A host of the lender that links may lead to.")
]


def save(
    folder: Annotated[
        Path, typer.Argument(help="Texts as FOLDER/<locale>/<message>.txt, only those to change.")
    ],
    portfolio: _Portfolio,
    approved_by: _Approver,
    reason: _Reason,
    by: _By = None,
    country: _Country = None,
    allow_link: _Links = None,
    dry_run: _Dry = False,
    as_json: AsJson = False,
) -> None:
    """All of them or none: exit code 1 with every problem, and nothing stored. The next batch says them."""
    from agent.domain.text_change import Signed
    from agent.flows import text_saving

    files, terms = text_files(folder), _terms(allow_link, country)
    signed = Signed(by or getuser(), approved_by, reason)

    async def act(pool: Any, now: datetime) -> "Changed | Unclear":
        return await text_saving.save(
            pool, portfolio, files, signed, now=now, terms=terms, dry_run=dry_run
        )

    _tell(run(_acted(act)), dry_run=dry_run, as_json=as_json)


def withdraw(
    message: Annotated[str, typer.Argument(help="The message, as overdue-7.", show_default=False)],
    portfolio: _Portfolio,
    approved_by: _Approver,
    reason: _Reason,
    locale: Annotated[
        list[str] | None, typer.Option(help="Only in this language; in all without it.")
    ] = None,
    by: _By = None,
    dry_run: _Dry = False,
    as_json: AsJson = False,
) -> None:
    """The shipped text is in force again with the next batch; what was stays on record."""
    from agent.domain.text_change import Signed
    from agent.flows import text_saving

    signed, terms = Signed(by or getuser(), approved_by, reason), _terms(None, None)

    async def act(pool: Any, now: datetime) -> "Changed | Unclear":
        return await text_saving.withdraw(
            pool, portfolio, message, locale or (), signed, now=now, terms=terms, dry_run=dry_run
        )

    _tell(run(_acted(act)), dry_run=dry_run, as_json=as_json)


def text_files(folder: Path) -> "list[TextFile]":
    """Every file below a folder but hidden ones; only texts are read, and none further than one may go."""
    from agent.domain.text_files import BYTES_MAX, SUFFIX, TextFile

    if not folder.is_dir():
        raise Refused(f"{folder} is no folder; give one that holds <locale>/<message>.txt")
    found: list[TextFile] = []
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if any(part.startswith(".") for part in below.parts) or not path.is_file():
            continue
        if len(found) == _FILES_MAX:
            raise Refused(f"{folder} holds more than {_FILES_MAX} files; give the folder of texts")
        content = _read(path, BYTES_MAX + 1) if path.suffix == SUFFIX else b""
        found.append(TextFile(below.as_posix(), content))
    return found


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as problem:
        raise Refused(f"{path} cannot be read: {problem.strerror or problem}") from None


def _terms(links: list[str] | None, more: list[str] | None) -> "Terms":
    from agent.entry.route_lint import routes_of_settings
    from agent.entry.template_command import allowed_host, known_country
    from agent.flows.text_saving import Terms

    hosts = tuple(map(allowed_host, links or ()))
    return Terms(hosts, tuple(map(known_country, more or ())), routes_of_settings)


async def _acted(act: "Callable[[Any, datetime], Awaitable[Changed | Unclear]]") -> "Changed":
    from agent.entry.looking import opened
    from agent.flows.unclear import Unclear

    async with opened() as (pool, now):
        done = await act(pool, now)
    if isinstance(done, Unclear):
        raise Refused(f"{done.why}; {done.fix}")
    return done


def _tell(done: "Changed", *, dry_run: bool, as_json: bool) -> None:
    from agent.domain.text_lint import Severity

    problems = sum(one.severity is Severity.PROBLEM for one in done.told)
    stored = bool(done.written) and not (done.refused or dry_run)
    document = {
        "portfolio": done.portfolio, "stored": stored, "refused": done.refused, "dry_run": dry_run,
        "written": [asdict(one) for one in done.written],
        "unchanged": ["/".join(key) for key in done.unchanged],
        "unregistered": [key._asdict() for key in done.unregistered],
        "woken": done.woken, "problems": problems, "warnings": len(done.told) - problems,
        "findings": [one._asdict() for one in done.told],
    }  # fmt: skip
    show(document, as_json=as_json, pleasant=lambda console: _print(console, done, dry_run=dry_run))
    if done.refused:
        raise typer.Exit(PROBLEMS)


def _print(console: "Console", done: "Changed", *, dry_run: bool) -> None:
    print_told(console, done.told)
    if done.refused:
        console.print("Refused; nothing was stored.")
        return
    for text in done.written:
        what = "" if text.own else ": the shipped text again"
        would = "would be " if dry_run else ""
        console.print(f"{text.locale}/{text.message} {would}version {text.version}{what}")
    if done.woken:
        console.print(f"{done.woken} notices are looked at again.")
    for key in done.unchanged:
        console.print(f"{'/'.join(key)} says what it said: no new version")
