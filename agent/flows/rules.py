"""The shipped rules and texts, compiled once a process: packs by name, and what borrowers read."""

import hashlib
import tomllib
from collections.abc import Iterable
from functools import cache

from agent.domain.conduct import Pack, compile_pack
from agent.domain.message import Texts, compile_texts
from schedules import conduct_names, conduct_text
from templates import all_texts


class BadRules(Exception):
    """A pack or text cannot be used; the message names each problem and its fix."""


@cache
def pack(name: str) -> Pack:
    """One shipped pack; raises `BadRules` for an unknown name or a rule that cannot be enforced."""
    if name not in conduct_names():
        raise BadRules(f"there is no pack {name}; there are: {', '.join(conduct_names())}")
    text = conduct_text(name)
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    found = compile_pack(tomllib.loads(text), version)
    if isinstance(found, Pack):
        return found
    raise BadRules(f"{name}: " + "; ".join(f"{p.rule}: {p.what} ({p.fix})" for p in found))


def packs(names: Iterable[str]) -> tuple[Pack, ...]:
    """Several packs, in the order a portfolio names them."""
    return tuple(pack(name) for name in names)


@cache
def texts() -> Texts:
    """Every shipped text, parsed."""
    found = compile_texts(all_texts())
    if isinstance(found, Texts):
        return found
    raise BadRules("; ".join(f"{p.where}: {p.what} ({p.fix})" for p in found))
