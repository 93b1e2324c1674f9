"""Addresses in a text, as a phone makes one of them, and as somebody who hides one writes it.

Read on the folded text: full-width letters, look-alike letters and other full stops are an address all
the same. What cannot be read as a plain host name is an address whose host nobody can know.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.domain.folding import fold

# Between Latin letters a phone takes the Chinese full stop for a dot.
_DOT = re.compile(r"(?<=[a-z0-9])。(?=[a-z0-9])")
_SCHEMED = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>[^\s\"<>，；！？、）】」]*)")
_LOCAL = re.compile(r"\b(?:javascript|data|tel|sms|intent|market|weixin|alipays?):(?=\S)")
_BARE = re.compile(
    r"(?<![a-z0-9@._-])(?P<host>(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?P<top>xn--[a-z0-9-]+|[a-z]{2,24}))"
    r"(?![a-z0-9@-]|\.[a-z0-9])(?P<path>(?::\d+)?[/?#][^\s，。；！？、）】」]*)?"
)
_NUMBERED = re.compile(
    r"(?<![\d.])(?P<host>\d{1,3}(?:\.\d{1,3}){3})(?![\d.]*\d)(?P<path>(?::\d+)?(?:[/?#]\S*)?)"
)
_DISGUISED = re.compile(
    r"(?<![a-z0-9])(?P<host>[a-z0-9-]+(?:\s?[\[({]\s?(?:\.|dot|punto|titik|点)\s?[\])}]\s?[a-z0-9-]+)+)"
    r"|(?<![a-z0-9])(?P<spelled>[a-z0-9-]+\sdot\s(?:com|net|org|info|io|co|me|app|link|site|xyz))(?![a-z0-9])"
)
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:xn--[a-z0-9-]+|[a-z]{2,24})\.?")
# What phones underline without a scheme; "a.m" or "e.g" is no address.
_TOP_LEVELS = """
com net org info biz name pro mobi edu gov int asia cat jobs tel travel io co ai app dev me tv
ly gd cc gl to gg im sh st is it es fr de at ch nl be eu uk us ca mx br ar cl pe ve ec bo cr gt
hn ni pa py sv uy do cn hk tw mo jp kr sg my th vn ph id in pk bd lk np mm kh la au nz za ng ke
gh tz ug rw et eg ma dz tn sn ci cm ru su ua by kz uz tr ir iq sa ae qa kw om il pl cz sk hu ro
bg rs gr pt se no fi dk ee lv lt tk ml ga cf gq pw ws nu vu fm am cx ms ps vg sx link site shop
online store top xyz club icu vip win bid loan loans credit creditcard finance financial money
cash pay bank fund funding capital click live life work world website space tech cloud digital
group ltd fun buzz monster rest cyou cfd sbs bond support help services solutions agency center
zone today page pages web host email news blog wiki example test
"""
_TOP_LEVEL = frozenset(_TOP_LEVELS.split())


@dataclass(frozen=True, slots=True)
class Link:
    """An address in a text; `secure` if it says https, `plain` if a reader sees where it leads."""

    written: str
    host: str
    position: int
    secure: bool
    plain: bool = True


def links(text: str) -> Iterator[Link]:
    """Every address in a text, in order; a mail address is none."""
    folded = fold(text)
    read = _DOT.sub(".", folded.text)
    found: list[tuple[int, int, str, bool, bool]] = []
    for match in _SCHEMED.finditer(read):
        host, plain = _host(match["rest"])
        plain = plain and _as_written(text, folded.span(*match.span()), host)
        found.append((*match.span(), host, match["scheme"] == "https", plain))
    for pattern in (_LOCAL, _NUMBERED, _DISGUISED, _BARE):
        for match in pattern.finditer(read):
            if _is_address(match, pattern) and not _within(match.start(), found):
                host = match["host"] if pattern in (_BARE, _NUMBERED) else match[0]
                plain = pattern is _BARE and _as_written(text, folded.span(*match.span()), host)
                found.append((*match.span(), host, False, plain))
    for start, end, host, secure, plain in sorted(found):
        first, last = folded.span(start, end)
        yield Link(text[first:last], host, first + 1, secure, plain)


def _within(start: int, found: list[tuple[int, int, str, bool, bool]]) -> bool:
    return any(one[0] <= start < one[1] for one in found)


def _is_address(match: re.Match[str], pattern: re.Pattern[str]) -> bool:
    if pattern is _NUMBERED:
        return all(int(part) < 256 for part in match["host"].split("."))
    if pattern is not _BARE:
        return True
    return bool(match["path"]) or match["top"] in _TOP_LEVEL or match["top"].startswith("xn--")


def _host(rest: str) -> tuple[str, bool]:
    """The host of what follows a scheme: after the last @ before the path, without port."""
    place = re.split(r"[/?#\\]", rest, maxsplit=1)
    authority, _, path = place[0], "", "" if len(place) == 1 else place[1]
    user, at, named = authority.rpartition("@")
    host = re.sub(r":\d*$", "", named).rstrip(".,;:!)")
    # a second address inside the first leads somewhere else; a backslash is read in two ways
    plain = not at and "://" not in path and "\\" not in rest and _HOST.fullmatch(host) is not None
    return host or user or authority, plain


def _as_written(text: str, span: tuple[int, int], host: str) -> bool:
    """Whether the host stands there in plain letters, and in no other alphabet's punycode."""
    return host in text[slice(*span)].casefold() and "xn--" not in host
