"""`duly conduct`: run rule test vectors, and check the packs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.entry import conduct_calendars
from agent.entry.output import PROBLEMS, AsJson, Refused, show

if TYPE_CHECKING:
    from rich.console import Console

    from agent.flows.conduct_lint import Lint
    from agent.flows.conduct_vectors import Ran


def register(app: typer.Typer) -> None:
    """Add `duly conduct`."""
    conduct = typer.Typer(
        help="Conduct rules: run test vectors, check packs, confirm calendars.",
        no_args_is_help=True,
    )
    conduct.command("vectors")(_vectors)
    conduct.command("lint")(_lint)
    conduct_calendars.register(conduct)
    app.add_typer(conduct, name="conduct")


def _vectors(
    files: Annotated[list[Path], typer.Argument(help="Files of test vectors (JSON).")],
    as_json: AsJson = False,
    failed: Annotated[bool, typer.Option(help="Print only what did not pass.")] = False,
) -> None:
    """Run rule test vectors: what passed, and the difference where one did not. Exit 1 on any.

    A file that is none of vectors does not keep the others from running; it is bad use (exit 2).
    """
    from agent.flows.conduct_vectors import BadVectors, run_file

    ran: list[Ran] = []
    refused: list[str] = []
    for file in files:
        try:
            ran += run_file(file)
        except BadVectors as problem:
            refused.append(str(problem))
    if refused and not ran:
        raise Refused("\n".join(refused))
    show(
        [_as_json(one) for one in ran],
        as_json=as_json,
        pleasant=lambda console: _print_ran(console, ran, only_failed=failed),
    )
    if refused:
        raise Refused("\n".join(refused))
    if not all(one.passed for one in ran):
        raise typer.Exit(PROBLEMS)


def _as_json(one: "Ran") -> dict[str, object]:
    told: dict[str, object] = {"id": one.id, "kind": one.kind, "passed": one.passed}
    return told if one.passed else told | {"expected": one.expected, "got": one.got}


def _print_ran(console: "Console", ran: "list[Ran]", *, only_failed: bool) -> None:
    for one in ran:
        if one.passed and not only_failed:
            console.print(f"pass  {one.id:6} {one.title}", markup=False)
        if not one.passed:
            console.print(f"FAIL  {one.id:6} {one.title}", markup=False)
            for key in one.differing():
                wanted, got = one.expected.get(key, "(nothing said)"), one.got.get(key, "(nothing)")
                console.print(f"        {key}: expected {wanted}, got {got}", markup=False)
    passed = sum(one.passed for one in ran)
    console.print(f"{passed} of {len(ran)} passed")


def _lint(as_json: AsJson = False) -> None:
    """Check every shipped pack and calendar: problems with file, line and fix; what to review."""
    from agent.flows.conduct_lint import lint

    found = lint()
    show(found.as_json(), as_json=as_json, pleasant=lambda console: _print_lint(console, found))
    if found.problems:
        raise typer.Exit(PROBLEMS)


def _print_lint(console: "Console", found: "Lint") -> None:
    for problem in found.problems:
        console.print(problem)
    for warning in found.warnings:
        console.print(f"note: {warning}")
    console.print(f"{found.packs} packs, {found.rules} rules, {len(found.problems)} problems")
    console.print(
        "Not legal advice: every pack needs a review by a lawyer of its place before use."
    )
