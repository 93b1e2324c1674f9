"""What stands around a text: who writes, what must be disclosed, how to stop it.

Authors never type these. They follow from the language of the text, the country of the number, the
class of the message and whether the sender collects its own debt, so that a rule that changes is
changed in one place and no text can forget it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

LENDER = "{lender}"


class Role(StrEnum):
    FIRST_PARTY = "first_party"
    THIRD_PARTY = "third_party"


class MessageClass(StrEnum):
    """What a message is to regulators and gateways; a sales line in any makes it commercial."""

    REMINDER = "reminder"
    COLLECTION = "collection"
    COMMERCIAL = "commercial"


class Setting(NamedTuple):
    """Where a message goes, from whom, and whether it is the first to this person."""

    country: str | None = None
    role: Role = Role.FIRST_PARTY
    message_class: MessageClass = MessageClass.COLLECTION
    first: bool = False
    # a place where the person may be wants to be told who collects, wherever the number is from
    discloses: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """The pieces in one language."""

    signature: str
    joint: str
    opt_out: str
    first_disclosure: str
    disclosure: str
    # the answer to an opt-out, and nothing else in it
    opted_out: str


@dataclass(frozen=True, slots=True)
class Country:
    """What a country wants of a message. None leaves it to the language."""

    code: str
    calling_code: str
    signature: str | None = None
    signature_length: tuple[int, int] | None = None
    opt_out: Mapping[str, str] = field(default_factory=dict)
    discloses: tuple[str, ...] = ()
    max_characters: int | None = None
    script: str | None = None
    forbidden: str = ""
    links: bool = True
    phone: str | None = None
    phones: int | None = None
    adjacent_placeholders: bool = True
    registration: bool = False
    # subjects that gateways to this country take no text about
    bans: tuple[str, ...] = ()
    source: str = ""


PLAIN = Frame("", "", "", "", "", "")


def compile_frame(raw: Mapping[str, Any]) -> Frame:
    """One language's frame.toml; a missing piece is a KeyError, since half a frame sends half a duty."""
    return Frame(*(str(raw[name]) for name in Frame.__slots__))


def compile_countries(raw: Mapping[str, Any]) -> Mapping[str, Country]:
    """countries.toml by country code; an unknown key is a TypeError, never read over."""
    found = {}
    for code, row in raw.items():
        if isinstance(row, Mapping):
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in row.items()
            }
            found[code] = Country(code, **values)
    return found


def country_of(number: str, countries: Iterable[Country]) -> str | None:
    """The country of a number in E.164 form, by its calling code; None if none is described."""
    fitting = [c for c in countries if number.startswith(f"+{c.calling_code}")]
    return max(fitting, key=lambda c: len(c.calling_code)).code if fitting else None


def framing(
    lender: str, frame: Frame, country: Country | None, setting: Setting
) -> tuple[str, str]:
    """What stands before a text and after it: signature; disclosure and opt-out line where they are due."""
    signature = frame.signature
    if country is not None and country.signature is not None:
        signature = country.signature
    pieces = ("", _disclosure(frame, country, setting), _opt_out(frame, country, setting))
    after = frame.joint.join(piece for at, piece in enumerate(pieces) if piece or not at)
    # a name's own brackets would end the signature early
    name = lender.strip("【】") if "【" in signature else lender
    return signature.replace(LENDER, name.replace("【", "(").replace("】", ")")), after


def _disclosure(frame: Frame, country: Country | None, setting: Setting) -> str:
    by_number = country is not None and setting.role.value in country.discloses
    if not by_number and not setting.discloses:
        return ""
    return frame.first_disclosure if setting.first else frame.disclosure


def _opt_out(frame: Frame, country: Country | None, setting: Setting) -> str:
    if country is None:
        return frame.opt_out
    return country.opt_out.get(setting.message_class.value, frame.opt_out)
