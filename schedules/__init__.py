"""Leaf access to the shipped ladders, conduct packs and calendars: text in, no meaning."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def ladder_text(name: str) -> str:
    """A shipped ladder as TOML; KeyError if there is none of that name."""
    return _text("ladders", name)


def ladder_names() -> tuple[str, ...]:
    """The shipped ladders."""
    return _names("ladders")


def conduct_text(name: str) -> str:
    """A shipped conduct pack as TOML; KeyError if there is none of that name."""
    return _text("conduct", name)


def conduct_names() -> tuple[str, ...]:
    """The shipped conduct packs."""
    return _names("conduct")


def calendar_text(name: str) -> str:
    """A shipped calendar as TOML; KeyError if there is none of that name."""
    return _text("calendars", name)


def calendar_names() -> tuple[str, ...]:
    """The shipped calendars."""
    return _names("calendars")


def content_text(name: str) -> str:
    """A list of the content rules as TOML: `rules`, `countries`, `words-en`; KeyError if none."""
    return _text("content", name)


def content_names() -> tuple[str, ...]:
    """The lists that content rules are made of."""
    return _names("content")


@cache
def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file: `ladder`, `conduct` or `calendar`."""
    if not _NAME.fullmatch(name):
        raise KeyError(name)
    file = files(__name__) / f"{name}.schema.json"
    if not file.is_file():
        raise KeyError(name)
    return dict(json.loads(file.read_text("utf-8")))


@cache
def _names(folder: str) -> tuple[str, ...]:
    entries = (files(__name__) / folder).iterdir()
    return tuple(sorted(e.name[:-5] for e in entries if e.name.endswith(".toml")))


@cache
def _text(folder: str, name: str) -> str:
    if name not in _names(folder):
        raise KeyError(name)
    return (files(__name__) / folder / f"{name}.toml").read_text("utf-8")
