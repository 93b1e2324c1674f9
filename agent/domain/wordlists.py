"""Words that a text must not say, per language, found however they are spelled.

Lists are data with their sources. They are matched on the folded text, so that width, case, accents,
look-alike letters and invisible characters hide nothing, and letters may be set apart by blanks or
marks. A list finds only what is on it: it stops the careless text and does not replace a reader.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from agent.domain.folding import Folded, fold

# What may stand between two words of a phrase, and between the letters of a word that hides.
_BETWEEN = r"(?:[\s_*·•~|/\\+=-]|\.(?=\S)){1,3}"
_APART = frozenset(" _*·•~|/\\+=\"'^-.")
# Shorter words hide only with every letter apart: "s u e", and not "was used".
_LONG = 7
_APART_MAX = 3
# Digits and marks that are read as letters, where they stand among letters.
_LIKE = (
    str.maketrans("013457$@!", "oieastsai"),
    str.maketrans("013457$@!", "oleastsai"),
)
_WINDOW = 32


@dataclass(frozen=True, slots=True)
class WordList:
    """The words of one language that do one thing, and what before or after them makes them harmless."""

    tag: str
    why: str
    source: str
    pattern: re.Pattern[str]
    # the same without anything between letters
    bare: re.Pattern[str]
    not_after: re.Pattern[str] | None = field(default=None)
    not_before: re.Pattern[str] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Said:
    """One passage of a text that does something. `position` counts from 1, in characters."""

    tag: str
    words: str
    position: int
    why: str
    source: str


def compile_words(raw: Mapping[str, Any]) -> tuple[WordList, ...]:
    """The lists of one language."""
    return tuple(
        WordList(
            tag, str(row["why"]), str(row["source"]), *_patterns(row["words"]),
            _context(row.get("not_after", ()), "{}[^.!?。！？]*$"),
            _context(row.get("not_before", ()), "^[^.!?。！？]*{}"),
        )
        for tag, row in raw.items()
        if isinstance(row, Mapping)
    )  # fmt: skip


def _context(words: Iterable[str], where: str) -> re.Pattern[str] | None:
    choices = "|".join(rf"(?:{_plain(fold(word).text)})" for word in words)
    return re.compile(where.format(f"(?:{choices})")) if choices else None


def _patterns(words: Iterable[str]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    # the longest first, so that "legal action" is named and not "legal"
    folded = dict.fromkeys(fold(word).text for word in sorted(words, key=len, reverse=True))
    bare = dict.fromkeys("".join(one for one in word if one not in _APART) for word in folded)
    latin = "|".join(_plain(word) for word in folded if word.isascii())
    others = "|".join(_escaped(word) for word in folded if not word.isascii())
    # Latin words count as whole words only; in Chinese there is nothing between two
    choices = [rf"(?<![a-z0-9])(?:{latin})(?![a-z0-9])"] if latin else []
    plain = "|".join((*choices, *([others] if others else [])))
    return re.compile(plain), re.compile("|".join(map(_escaped, bare)))


def _plain(word: str) -> str:
    return _BETWEEN.join(_escaped(part) for part in word.split())


def _escaped(word: str) -> str:
    """A `#` in a word stands for a number of one or two digits."""
    return re.escape(word).replace(r"\#", r"\d{1,2}")


def said(text: str, lists: Iterable[WordList]) -> Iterator[Said]:
    """Every passage that a list knows, as it was written."""
    folded = fold(text)
    squeezed = _squeezed(folded.text)
    for words in lists:
        for start, end in sorted(_spans(folded.text, squeezed, words)):
            if not _harmless(folded.text, start, end, words):
                first, last = folded.span(start, end)
                yield Said(words.tag, text[first:last], first + 1, words.why, words.source)


def _squeezed(text: str) -> Folded:
    """The text without what may stand between letters; a full stop that ends a sentence stays."""
    kept = [
        (letter, place)
        for place, letter in enumerate(text)
        if letter not in _APART or (letter == "." and text[place + 1 : place + 2] in ("", " "))
    ]
    return Folded("".join(one for one, _ in kept), tuple(place for _, place in kept))


def _spans(text: str, squeezed: Folded, words: WordList) -> set[tuple[int, int]]:
    """Where the words stand: as they are, and as somebody hides them."""
    found = {
        match.span() for match in words.pattern.finditer(text) if _is_whole(text, *match.span())
    }
    for looks in ("", *_LIKE):
        read = squeezed.text.translate(looks) if looks else squeezed.text
        for match in words.bare.finditer(read):
            span = squeezed.span(*match.span())
            known = any(span[0] < end and start < span[1] for start, end in found)
            if not known and _is_hidden(text, squeezed.at[slice(*match.span())], alike=bool(looks)):
                found.add(span)
    return found


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no Latin word goes on over either end."""
    before, after = text[start - 1 : start], text[end : end + 1]
    first, last = text[start], text[end - 1]
    return not (_is_latin(before) and _is_latin(first)) and not (
        _is_latin(after) and _is_latin(last)
    )


def _is_latin(letter: str) -> bool:
    return letter.isascii() and letter.isalnum()


def _is_hidden(text: str, places: tuple[int, ...], *, alike: bool) -> bool:
    """Whether letters at these places are one word to a reader."""
    gaps = [later - earlier - 1 for earlier, later in pairwise(places)]
    written = "".join(text[place] for place in places)
    if max(gaps, default=0) > _APART_MAX or not _is_whole(text, places[0], places[-1] + 1):
        return False
    if not written.isascii():
        return True
    letters = sum(one.isalpha() for one in written)
    if alike and letters * 2 <= len(written):
        return False
    return len(written) >= _LONG or (len(written) > 2 and all(gaps))


def _harmless(text: str, start: int, end: int, words: WordList) -> bool:
    """What stands around may say that it is meant otherwise: "if you cannot pay right now"."""
    before, after = text[max(0, start - _WINDOW) : start], text[end : end + _WINDOW]
    return bool(
        (words.not_after and words.not_after.search(before))
        or (words.not_before and words.not_before.search(after))
    )
