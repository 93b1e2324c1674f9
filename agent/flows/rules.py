"""The shipped rules and texts, compiled once a process: packs by name, and what borrowers read."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache

from agent.domain.conduct import Calendars, Pack, PackProblem, compile_pack
from agent.domain.conduct_compile import head_problems
from agent.domain.message import Texts, compile_texts
from agent.flows.portfolios import shipped_calendars
from schedules import conduct_names, conduct_text
from templates import all_texts

# Named by a portfolio instead of packs: where each person may live selects them.
BY_PLACE = "by-place"


class BadRules(Exception):
    """A pack or text cannot be used; the message names each problem and its fix."""


@cache
def pack(name: str) -> Pack:
    """One shipped pack; raises `BadRules` for an unknown name or a rule that cannot be enforced."""
    shipped = name.lower()
    if shipped not in conduct_names():
        raise BadRules(f"there is no pack {name}; there are: {', '.join(conduct_names())}")
    found = read_pack(conduct_text(shipped), shipped_calendars())
    if isinstance(found, Pack):
        return found
    where = f"schedules/conduct/{shipped}.toml"
    raise BadRules("; ".join(_told(where, conduct_text(shipped), problem) for problem in found))


def read_pack(text: str, calendars: Calendars) -> Pack | tuple[PackProblem, ...]:
    """A pack from its file: valid in all it says, or refused as a whole with every problem."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        return (PackProblem("file", str(wrong), "write TOML 1.0"),)
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    found = compile_pack(raw, version, calendars)
    problems = (*head_problems(raw), *(() if isinstance(found, Pack) else found))
    return problems or found


def line_of(text: str, rule: str) -> int:
    """Where a rule begins in its file; the top for what is about the whole."""
    begins = re.compile(rf'\s*id\s*=\s*"{re.escape(rule)}"')
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if begins.match(line)), 1)


def _told(where: str, text: str, problem: PackProblem) -> str:
    line = line_of(text, problem.rule)
    return f"{where}:{line}: {problem.rule}: {problem.what} ({problem.fix})"


def problems_of(where: str, text: str, problems: Sequence[PackProblem]) -> tuple[str, ...]:
    """Each problem with file, line and fix."""
    return tuple(_told(where, text, problem) for problem in problems)


def packs(names: Iterable[str]) -> tuple[Pack, ...]:
    """Several packs, in the order a portfolio names them; where people live selects no pack here."""
    return tuple(pack(name) for name in names if name != BY_PLACE)


@cache
def every_pack() -> tuple[Pack, ...]:
    """All shipped packs."""
    return tuple(pack(name) for name in conduct_names())


@cache
def packs_of_place(place: str) -> tuple[Pack, ...]:
    """What protects people of a place: `US-NY-NYC` asks the packs of US, US-NY and US-NY-NYC."""
    parts = place.split("-")
    within = {"-".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return tuple(one for one in every_pack() if within.intersection(one.places))


@cache
def texts() -> Texts:
    """Every shipped text, parsed."""
    found = compile_texts(all_texts())
    if isinstance(found, Texts):
        return found
    raise BadRules("; ".join(f"{p.where}: {p.what} ({p.fix})" for p in found))
