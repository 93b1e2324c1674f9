"""What a text says that matters to conduct: threats, urgency, debts, sales, links.

Reading is by lists of words per language, which are data with their sources. A list can only find
what is on it: it stops the careless text, and does not replace a reader.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

THREATS = ("suit", "authority", "shame")
_SPACELESS = ("zh", "th", "ja")
_LINK = re.compile(
    r"(?P<scheme>https?://)?(?P<host>(?:[a-z0-9-]+\.)+[a-z]{2,24})(?![a-z0-9@-])(?P<path>[/?#]\S*)?",
    re.IGNORECASE,
)
_DEADLINE = re.compile(
    r"\b(?:within|in|en|dalam)\s+(\d{1,3})\s*(?:hours?|h|horas?|jam)\b|(\d{1,3})\s*(?:小时|小時)内?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class WordList:
    """The words of one language that do one thing."""

    tag: str
    why: str
    source: str
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Said:
    """One passage of a text that does something. `position` counts from 1, in characters."""

    tag: str
    words: str
    position: int
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class Link:
    """An address in a text; `secure` if it says https."""

    written: str
    host: str
    position: int
    secure: bool


def compile_words(language: str, raw: Mapping[str, Any]) -> tuple[WordList, ...]:
    """The lists of one language; whole words where the language has spaces between them."""
    return tuple(
        WordList(tag, str(row["why"]), str(row["source"]), _pattern(language, row["words"]))
        for tag, row in raw.items()
        if isinstance(row, Mapping)
    )


def _pattern(language: str, words: Iterable[str]) -> re.Pattern[str]:
    # the longest first, so that "legal action" is named and not "legal"
    choices = "|".join(
        re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True)
    )
    spaced = not language.startswith(_SPACELESS)
    return re.compile(rf"\b(?:{choices})\b" if spaced else choices, re.IGNORECASE)


def said(text: str, lists: Iterable[WordList]) -> Iterator[Said]:
    """Every passage that a list knows."""
    for words in lists:
        for match in words.pattern.finditer(text):
            yield Said(words.tag, match[0], match.start() + 1, words.why, words.source)


def links(text: str) -> Iterator[Link]:
    """Every address in a text, with or without https, as phones make one of it."""
    for match in _LINK.finditer(text):
        known = match["scheme"] or match["path"] or _is_top_level(match["host"])
        if known and not text[: match.start()].endswith("@"):
            scheme = (match["scheme"] or "").casefold()
            yield Link(match[0], match["host"].casefold(), match.start() + 1, scheme == "https://")


# What phones underline without a scheme; "a.m" or "Ltd.Co" is no address.
_TOP_LEVEL = re.compile(
    r"com|net|org|info|biz|io|co|cn|hk|tw|us|uk|ng|ke|id|in|mx|ph|vn|th|app|me|ly|gd|cc|gl|link"
    r"|site|shop|online|top|xyz|club|example"
)


def _is_top_level(host: str) -> bool:
    return _TOP_LEVEL.fullmatch(host.rsplit(".", 1)[-1].casefold()) is not None


def text_facts(text: str, channel: str, lists: Iterable[WordList]) -> Mapping[str, Any]:
    """What a finished text makes true, under the names that conduct rules ask for.

    Only what it does say is named: a fact that is not in the answer was not found, and whoever
    decides may know better from elsewhere.
    """
    tags = {each.tag for each in said(text, lists)}
    facts: dict[str, Any] = {"body": text}
    if "suit" in tags:
        facts |= {"threatens_suit": True, "threatens_action": True}
    if tags & {"authority", "shame"}:
        facts["threatens_action"] = True
    if "solicitation" in tags:
        facts["content_class"] = "solicitation"
    if channel == "push" and "debt" in tags:
        facts |= {"lockscreen_shows_debt": True, "discloses_debt_to_others": True}
    deadline = _DEADLINE.search(text)
    if deadline is not None:
        facts |= {"deadline_hours": int(deadline[1] or deadline[2]), "overshadows": True}
    return facts
