"""The shipped rules and texts, compiled once a process: packs by name, and what borrowers read."""

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache

from agent.domain.conduct import Pack, compile_pack
from agent.domain.content import WordList, compile_words
from agent.domain.frame import Country, Frame, compile_countries, compile_frame
from agent.domain.message import Texts, compile_texts
from schedules import conduct_names, conduct_text, content_names, content_text
from templates import all_texts, frame_text, locales


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
def frames() -> Mapping[str, Frame]:
    """What stands around the texts, by locale."""
    raw = {locale: frame_text(locale) for locale in locales()}
    return {at: compile_frame(tomllib.loads(text)) for at, text in raw.items() if text is not None}


@cache
def countries() -> Mapping[str, Country]:
    """What countries want of a message."""
    return compile_countries(tomllib.loads(content_text("countries")))


@cache
def word_lists() -> Mapping[str, tuple[WordList, ...]]:
    """The words that texts are read for, by locale."""
    files = {locale: f"words-{locale.lower()}" for locale in locales()}
    return {
        locale: compile_words(locale, tomllib.loads(content_text(name)))
        for locale, name in files.items()
        if name in content_names()
    }


@cache
def shorteners() -> frozenset[str]:
    """Hosts that hide where a link leads."""
    return frozenset(tomllib.loads(content_text("links"))["shorteners"])


@cache
def texts() -> Texts:
    """Every shipped text, parsed, with the frames and countries that complete it."""
    found = compile_texts(all_texts())
    if isinstance(found, Texts):
        return replace(found, frames=frames(), countries=countries())
    raise BadRules("; ".join(f"{p.where}: {p.what} ({p.fix})" for p in found))
