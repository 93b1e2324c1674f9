"""A folder of texts as a lender hands it in, `<locale>/<message>.txt`: read whole, or refused whole.

What is wrong is said with its file and line and with what to do. Nothing is put right on the way: what is
kept is, to the character, what its author wrote and somebody approved.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from agent.domain.message import PUSH_SUFFIX, line_at
from agent.domain.text_lint import Finding, Severity, near_locales

TextId = tuple[str, str]
SUFFIX = ".txt"
# Far more than any text may have: what is larger is another kind of file, and is not read.
BYTES_MAX = 16_384
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
_BOM = b"\xef\xbb\xbf"


class TextFile(NamedTuple):
    """One file of the folder: its path below it, parts joined by `/`, and what it holds."""

    path: str
    content: bytes


class Told(NamedTuple):
    """Something about a file, as its author is told it. The line is not known of what is missing."""

    file: str
    line: int | None
    rule: str
    severity: Severity
    what: str
    fix: str
    source: str = ""


class Folder(NamedTuple):
    """The texts of a folder, each with its file, and all that is to be said of the files."""

    texts: Mapping[TextId, str]
    files: Mapping[TextId, str]
    told: tuple[Told, ...]


class KnownTexts(NamedTuple):
    """The messages that there are, and the locales that have a frame to stand around texts."""

    messages: Collection[str]
    framed: Collection[str]


def read_folder(files: Sequence[TextFile], known: KnownTexts) -> Folder:
    """Read texts by locale and message; a file that is none is named, and so is all that cannot be kept."""
    texts: dict[TextId, str] = {}
    paths: dict[TextId, str] = {}
    told: list[Told] = []
    for file in files:
        if not file.path.endswith(SUFFIX):
            told.append(_left_out(file.path))
            continue
        wrong = [*_misplaced(file.path, known), *_unreadable(file)]
        told += wrong
        if not wrong:
            locale, _, name = file.path.removesuffix(SUFFIX).partition("/")
            texts[locale, name] = file.content.decode()
            paths[locale, name] = file.path
    if not any(file.path.endswith(SUFFIX) for file in files):
        told.append(_wrong("", None, "it holds no text", "name them <locale>/<message>.txt"))
    return Folder(texts, paths, tuple(told))


def _wrong(file: str, line: int | None, what: str, fix: str) -> Told:
    return Told(file, line, "file", Severity.PROBLEM, what, fix)


def _left_out(path: str) -> Told:
    fix = "only <locale>/<message>.txt are texts; what stands around them comes with each release"
    return Told(path, None, "file", Severity.WARNING, "not read", fix)


def _misplaced(path: str, known: KnownTexts) -> Iterator[Told]:
    locale, _, name = path.removesuffix(SUFFIX).partition("/")
    if not name or "/" in name:
        yield _wrong(path, None, "not in a folder of a locale", "put it into <locale>/, as en/")
        return
    if not _LOCALE.fullmatch(locale):
        fix = "write it as en, zh-TW or es-MX"
        yield _wrong(path, None, f"{locale} is no locale", fix)
    elif not any(near in known.framed for near in near_locales(locale)):
        what = f"there is nothing to sign a text in {locale} with, or to say how to stop it"
        yield _wrong(
            path, None, what, f"use one of: {', '.join(sorted(known.framed))}, or a region"
        )
    if name not in known.messages:
        near = ", ".join(sorted(known.messages))
        yield _wrong(path, None, f"there is no message {name}", f"use one of: {near}")


def _unreadable(file: TextFile) -> Iterator[Told]:
    content = file.content
    if len(content) > BYTES_MAX:
        fix = f"a text has at most 1000 characters and {BYTES_MAX} bytes"
        yield _wrong(file.path, None, f"too long: more than {BYTES_MAX} bytes", fix)
        return
    if content.startswith(_BOM):
        fix = "save it as UTF-8 without the mark (BOM)"
        yield _wrong(file.path, 1, "a byte order mark before the text", fix)
    if (at := content.find(b"\r")) >= 0:
        fix = "save it with line breaks of Unix (LF)"
        line = content[:at].count(b"\n") + 1
        yield _wrong(file.path, line, "a carriage return (CR) in the text", fix)
    try:
        text = content.decode()
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        yield _wrong(file.path, line, "not UTF-8", "save it as UTF-8")
        return
    if not text.removeprefix("\ufeff").strip():
        fix = "write the text, or leave the file out"
        yield _wrong(file.path, 1, "empty", fix)


def told_of(finding: Finding, texts: Mapping[TextId, str], files: Mapping[TextId, str]) -> Told:
    """A finding of the lint with its file and, where it is about a place in the text, its line."""
    key = (finding.locale, finding.message)
    file = files.get(key) or "/".join(filter(None, key))
    line, text = None, texts.get(key)
    if text is not None and finding.position is not None:
        push = finding.message.endswith(PUSH_SUFFIX)
        line = line_at(text, finding.position, push=push)
    return Told(
        file, line, finding.rule, finding.severity, finding.what, finding.fix, finding.source
    )


def digest_of(texts: Mapping[TextId, str]) -> str:
    """Names a set of texts: two sets have one name only if every word is the same. Empty for none."""
    if not texts:
        return ""
    return hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()[:32]
