"""Leaf access to what borrowers read: text in, no meaning."""

import re
from functools import cache
from importlib.resources import files

_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.push)?")


@cache
def locales() -> tuple[str, ...]:
    """The locales that have texts."""
    entries = files(__name__).iterdir()
    return tuple(sorted(e.name for e in entries if e.is_dir() and _LOCALE.fullmatch(e.name)))


@cache
def names(locale: str) -> tuple[str, ...]:
    """The texts of one locale; none if it has no folder."""
    if locale not in locales():
        return ()
    entries = (files(__name__) / locale).iterdir()
    found = (e.name.removesuffix(".txt") for e in entries if e.name.endswith(".txt"))
    return tuple(sorted(name for name in found if _NAME.fullmatch(name)))


@cache
def text(locale: str, name: str) -> str | None:
    """One text as its author wrote it; None if there is none. Safe for any locale and name."""
    if name not in names(locale):
        return None
    return (files(__name__) / locale / f"{name}.txt").read_text("utf-8")


@cache
def frame_text(locale: str) -> str | None:
    """What stands around the texts of a locale, as TOML; None if it has none."""
    if locale not in locales():
        return None
    file = files(__name__) / locale / "frame.toml"
    return file.read_text("utf-8") if file.is_file() else None


def all_texts() -> dict[tuple[str, str], str]:
    """Every text by (locale, name)."""
    return {
        (locale, name): found
        for locale in locales()
        for name in names(locale)
        if (found := text(locale, name)) is not None
    }
