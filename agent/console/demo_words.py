"""The words of the demo's page, by language; which language somebody gets."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "zh-CN")


@dataclass(frozen=True, slots=True)
class Words:
    """Everything the page says in one language."""

    page: Mapping[str, str]
    rule: Mapping[str, str]
    outcome: Mapping[str, str]


@cache
def words(language: str) -> Words:
    """The words of one of `LANGUAGES`."""
    file = files("agent.console") / "demo" / f"words.{language}.toml"
    return Words(**tomllib.loads(file.read_text("utf-8")))


def chosen(wanted: str | None, accepted: str) -> str:
    """The language somebody asked for, or the first they accept that there is."""
    if wanted in LANGUAGES:
        return wanted
    for offer in _by_weight(accepted):
        if offer.startswith("zh"):
            return "zh-CN"
        if offer.startswith("en"):
            return "en"
    return "en"


def _by_weight(header: str) -> list[str]:
    """The tags of an `Accept-Language` header, the most wanted first; nonsense weighs nothing."""
    offers = []
    for part in header[:500].lower().split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            offers.append((-float(weight or 1), tag))
        except ValueError:
            continue
    return [tag for weight, tag in sorted(offers, key=lambda offer: offer[0]) if weight]
