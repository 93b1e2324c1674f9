"""How commands answer: one JSON document with `--json`, something pleasant to read without."""

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

T = TypeVar("T")

OK = 0
PROBLEMS = 1
BAD_USE = 2

AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")]


class Refused(Exception):
    """The input or the settings cannot be used; the message says what to do. Ends with exit code 2."""


def make_folder(path: "Path", option: str) -> None:
    """The folder that a command writes into; what cannot be one is told before anything is started."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Refused(f"{option} {path}: this cannot be a folder: {problem.strerror}") from None


def show(document: Any, *, as_json: bool, pleasant: Callable[["Console"], None]) -> None:
    """Write the answer to standard output."""
    if as_json:
        import orjson

        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        sys.stdout.buffer.write(orjson.dumps(document, option=options, default=str) + b"\n")
        return
    from rich.console import Console

    pleasant(Console(highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty()))


def run(doing: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part to its end."""
    import uvloop

    from agent.entry.collector import quiet_collector

    quiet_collector()
    return uvloop.run(doing)
