"""How a text travels: its encoding, its length in units, and the parts that are billed.

GSM 03.38's basic alphabet and extension table, else UCS-2 for the whole text. National tables are
not used: carriers do not reliably pass them on. A part never ends inside an escape pair, a
surrogate pair or a grapheme cluster. Counted on the finished text, signature and footer included,
and equal to Twilio's calculator, which says what a message costs.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from agent.domain.graphemes import clusters

BASIC = frozenset(
    "\n\r !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
    "¡£¤¥§¿ÄÅÆÇÉÑÖØÜßàäåæèéìñòöøùüΓΔΘΛΞΠΣΦΨΩ"
)
EXTENSION = frozenset("\f[\\]^{|}~€")
GSM_7 = BASIC | EXTENSION
# What authors and word processors write, and what says the same in the basic alphabet.
_PLAIN = {
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "`": "'", "´": "'", "′": "'",
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "″": '"',
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-", "•": "-",
    "…": "...", "\t": " ", "ç": "c", "ı": "i", "ł": "l", "đ": "d", "œ": "oe", "Œ": "OE",
    "×": "x", "·": ".", "º": "o", "ª": "a", "©": "(c)", "®": "(R)", "™": "TM", "№": "No",
    "₦": "NGN", "₱": "PHP", "₹": "INR", "₫": "VND", "₩": "KRW", "฿": "THB",
}  # fmt: skip


class Encoding(StrEnum):
    GSM_7 = "gsm7"
    UCS_2 = "ucs2"


# Units of a single part, and of each of several: six octets of each then go to the header.
_CAPACITY = {Encoding.GSM_7: (160, 153), Encoding.UCS_2: (70, 67)}


@dataclass(frozen=True, slots=True)
class Forced:
    """A character that the basic alphabet lacks. `position` counts from 1, in characters."""

    character: str
    position: int
    name: str
    replacement: str | None


@dataclass(frozen=True, slots=True)
class Segments:
    """A text as it is sent. `forced` is the first character that costs the whole text UCS-2."""

    encoding: Encoding
    units: int
    parts: tuple[str, ...]
    forced: Forced | None

    @property
    def count(self) -> int:
        return len(self.parts)


def segments(text: str) -> Segments:
    """Encoding, units and parts of a finished text; an empty one still is one part."""
    forced = next(forcing(text), None)
    encoding = Encoding.GSM_7 if forced is None else Encoding.UCS_2
    single, each = _CAPACITY[encoding]
    total = units(text, encoding)
    parts = (text,) if total <= single else tuple(_parts(text, encoding, each))
    return Segments(encoding, total, parts, forced)


def units(text: str, encoding: Encoding) -> int:
    """Septets, an extension character being two; or UTF-16 units, an emoji being two or more."""
    if encoding is Encoding.GSM_7:
        return len(text) + sum(character in EXTENSION for character in text)
    return len(text) + sum(character > "\uffff" for character in text)


def _parts(text: str, encoding: Encoding, limit: int) -> Iterator[str]:
    part, used = "", 0
    for piece in _pieces(text, encoding, limit):
        size = units(piece, encoding)
        if used + size > limit:
            yield part
            part, used = "", 0
        part, used = part + piece, used + size
    yield part


def _pieces(text: str, encoding: Encoding, limit: int) -> Iterable[str]:
    """What stays together. A cluster that no part can hold is the one thing that is cut."""
    if encoding is Encoding.GSM_7:
        return text  # every cluster of the basic alphabet is one character
    return _small_clusters(text, limit)


def _small_clusters(text: str, limit: int) -> Iterator[str]:
    for cluster in clusters(text):
        # a line break is two characters of the alphabet: the calculator lets a part end between
        if cluster == "\r\n" or units(cluster, Encoding.UCS_2) > limit:
            yield from cluster
        else:
            yield cluster


def forcing(text: str) -> Iterator[Forced]:
    """Every character that forces UCS-2, in order."""
    for position, character in enumerate(text, 1):
        if character not in GSM_7:
            yield Forced(character, position, _name(character), replacement(character))


@lru_cache(maxsize=4096)
def replacement(character: str) -> str | None:
    """What says the same in the basic alphabet: a plain quote for a curly one, a for á."""
    known = _PLAIN.get(character)
    if known is not None:
        return known
    decomposed = unicodedata.normalize("NFKD", character)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    if unicodedata.category(character) == "Zs":
        return " "
    return plain if all(c in GSM_7 for c in plain) and plain else None


def _name(character: str) -> str:
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "")
    return f"{code} {name}" if name else code
