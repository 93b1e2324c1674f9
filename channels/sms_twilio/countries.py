"""Which countries texts may go to: `countries.toml` and a lender's own file; none is no route."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from functools import lru_cache
from importlib.resources import files
from typing import Any

import phonenumbers

_LINK = re.compile(r"https?://|\bwww\.", re.IGNORECASE)
_CODE = re.compile(r"[A-Z]{2}")
_HOURS = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d")
_OPT_OUT = re.compile(r"\bSTOP\b|unsubscribe|opt[ -]?out|退[订訂]|拒收", re.IGNORECASE)
_TELEPHONE = re.compile(r"\+?\d[\d -]{5,}\d")
# vendor: its own page says so; judged: nothing against it found; unread: nobody has looked yet
_BASES = frozenset({"vendor", "judged", "unread", "lender"})
_SENDERS = frozenset({"number", "name", "service"})


class BadProfile(ValueError):
    """A country's entry cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What may be sent to one country, who says so and since when."""

    code: str
    loan_content: bool
    two_way: bool
    links: bool
    senders: frozenset[str]
    source: str
    checked_on: date
    basis: str = "judged"
    quiet_hours: str | None = None
    registration: tuple[str, ...] = ()
    registered: tuple[str, ...] = ()
    opt_out_footer: bool = False

    @property
    def quiet(self) -> tuple[time, time] | None:
        """From and until which local time nothing may be sent there."""
        if self.quiet_hours is None:
            return None
        starts, _, ends = self.quiet_hours.partition("-")
        return time.fromisoformat(starts), time.fromisoformat(ends)


def profiles(own: str | None = None) -> Mapping[str, Profile]:
    """The shipped countries, with those of a lender's own TOML beside and over them."""
    shipped = (files("channels.sms_twilio") / "countries.toml").read_text("utf-8")
    return {**_read(shipped), **(_read(own) if own is not None else {})}


def _read(text: str) -> dict[str, Profile]:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise BadProfile(f"not TOML: {problem}") from None
    found = [_profile(one) for one in raw.get("country", [])]
    return {one.code: one for one in found}


def _profile(raw: Mapping[str, Any]) -> Profile:
    name = str(raw.get("code", "?"))
    try:
        made = Profile(
            **{
                **raw,
                "senders": frozenset(raw.get("senders", ())),
                "registration": tuple(raw.get("registration", ())),
                "registered": tuple(raw.get("registered", ())),
            }
        )
    except TypeError as problem:
        raise BadProfile(f"country {name}: {problem}") from None
    flags = (made.loan_content, made.two_way, made.links, made.opt_out_footer)
    if not _CODE.fullmatch(name) or not all(isinstance(flag, bool) for flag in flags):
        raise BadProfile(f"country {name}: code is two capital letters, flags are true or false")
    if not made.senders or made.senders - _SENDERS:
        raise BadProfile(f"country {name}: senders are some of {', '.join(sorted(_SENDERS))}")
    if made.quiet_hours is not None and not _HOURS.fullmatch(made.quiet_hours):
        raise BadProfile(f"country {name}: quiet hours are written 21:00-08:00")
    if made.basis not in _BASES:
        raise BadProfile(f"country {name}: basis is one of {', '.join(sorted(_BASES))}")
    if not made.source.strip() or not isinstance(made.checked_on, date):
        raise BadProfile(f"country {name}: say the source and the day on which it was checked")
    return made


def sender_kind(sender: str) -> str:
    """number, name or service."""
    if sender.startswith("MG") and len(sender) == 34:
        return "service"
    return "number" if sender.lstrip("+").isdigit() else "name"


@lru_cache(maxsize=65_536)
def country_of(address: str) -> str | None:
    """The country that a number in international form belongs to; None if that cannot be said."""
    try:
        number = phonenumbers.parse(address)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.region_code_for_number(number)


def no_route(profile: Profile | None, sender: str) -> str | None:
    """Why no text about a loan may go there; None when it may."""
    if profile is None:
        return "no-profile"
    if not profile.loan_content:
        return "loan-content"
    if sender_kind(sender) not in profile.senders:
        return "sender-kind"
    if set(profile.registration) - set(profile.registered):
        return "registration"
    return None


def text_refused(profile: Profile, text: str, sender: str) -> str | None:
    """Why this text may not go there; None when it may.

    Where nobody can answer, STOP never reaches us: the text has to name another way.
    """
    linked = _LINK.search(text) is not None
    if linked and not profile.links:
        return "links"
    if profile.opt_out_footer and not _OPT_OUT.search(text):
        return "opt-out"
    one_way = not profile.two_way or sender_kind(sender) == "name"
    if one_way and not linked and not _TELEPHONE.search(text):
        return "one-way"
    return None
