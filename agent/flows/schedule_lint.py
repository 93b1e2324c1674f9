"""Lint a schedule file: every problem with its line, and the messages that it names must exist."""

import re
import tomllib
from collections.abc import Iterator, Sequence

from agent.domain.ladder_compile import Action, Ladder, Problem, compile_ladder
from agent.flows.calendars import shipped_calendars
from agent.flows.rules import texts

_STAGE = re.compile(r"\s*\[\[\s*stage\s*\]\]")
_PLACE = re.compile(r" \(at line (\d+), column \d+\)")
Lines = Sequence[tuple[int, str]]


def lint(where: str, source: bytes) -> tuple[str, ...]:
    """What is wrong with a schedule, each as `file:line: what (fix)`; nothing, and it can be planned."""
    try:
        text = source.decode("utf-8-sig")
        raw = tomllib.loads(text)
    except UnicodeDecodeError as wrong:
        line = source[: wrong.start].count(b"\n") + 1
        return (f"{where}:{line}: not UTF-8 (save the file as UTF-8)",)
    except tomllib.TOMLDecodeError as wrong:
        return (_no_toml(where, str(wrong), source),)
    found = compile_ladder(raw, shipped_calendars())
    problems = _without_text(found) if isinstance(found, Ladder) else iter(found)
    told = [(line_of(text, one), one) for one in problems]
    told.sort(key=lambda each: each[0])
    return tuple(f"{where}:{line}: {one.where}: {one.what} ({one.fix})" for line, one in told)


def _no_toml(where: str, why: str, source: bytes) -> str:
    place = _PLACE.search(why)
    line = int(place[1]) if place else source.count(b"\n") + 1
    what = _PLACE.sub("", why).removesuffix(" (at end of document)")
    return f"{where}:{line}: not TOML: {what} (write TOML 1.0)"


def _without_text(ladder: Ladder) -> Iterator[Problem]:
    """A message that no locale has could never leave."""
    known = sorted({message for _, message in texts().sms})
    for stage in ladder.stages:
        # the copies of a repeated stage say the same
        if stage.action is Action.MESSAGE and stage.message not in known and "+" not in stage.id:
            fix = f"use one of: {', '.join(known)}"
            yield Problem(f"stage {stage.id}: message", f"there is no text {stage.message!r}", fix)


def line_of(text: str, problem: Problem) -> int:
    """The line of the key that a problem is about, else of its stage, else the top."""
    stage, _, key = problem.where.rpartition(": ")
    blocks = _blocks(text)
    begins = re.compile(rf"\s*\"?{re.escape(key.partition('.')[0])}\"?\s*=")
    block = blocks[0]
    if stage:
        missing = problem.what.startswith("missing")
        named = _named(blocks, stage.removeprefix("stage "))
        fitting = [one for one in named if (_first(one, begins) is None) is missing] or named
        # of two stages with one id the second is at fault
        block = fitting[-1 if problem.what == "used twice" else 0]
    return _first(block, begins) or block[0][0]


def _first(block: Lines, begins: re.Pattern[str]) -> int | None:
    return next((number for number, line in block if begins.match(line)), None)


def _blocks(text: str) -> list[Lines]:
    """The lines before the first stage, then those of each stage."""
    blocks: list[list[tuple[int, str]]] = [[(1, "")]]
    for number, line in enumerate(text.splitlines(), 1):
        if _STAGE.match(line):
            blocks.append([])
        blocks[-1].append((number, line))
    return list(blocks)


def _named(blocks: Sequence[Lines], name: str) -> Sequence[Lines]:
    """The stages of an id, or where that cannot be used the one at that place."""
    identity = re.escape(name.partition("+")[0])
    mark = re.compile(rf"\s*id\s*=\s*[\"']{identity}[\"']")
    found = [block for block in blocks[1:] if _first(block, mark) is not None]
    place = int(name) if name.isdigit() else 0
    return found or [blocks[place] if place < len(blocks) else blocks[0]]
