"""Which countries texts may go to: `countries.toml` and a lender's own file; none is no route."""

import re
import tomllib
from collections.abc import Iterator, Mapping
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
_REGISTERED = frozenset({"sender", "campaign", "template"})
_LISTS = {"senders": _SENDERS, "registration": _REGISTERED, "registered": _REGISTERED}
_NEEDED = frozenset({"code", "loan_content", "two_way", "links", "senders", "source", "checked_on"})
_FLAGS = frozenset({"loan_content", "two_way", "links", "opt_out_footer"})
_KNOWN = _NEEDED | _FLAGS | frozenset({"quiet_hours", "registration", "registered", "basis"})


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
    entries = raw.pop("country", [])
    if raw.keys() - {"checked_on"} or not isinstance(entries, list):
        raise BadProfile("each country is a [[country]], and nothing else stands in the file")
    found: dict[str, Profile] = {}
    for one in entries:
        made = _profile(one if isinstance(one, dict) else {})
        if made.code in found:
            raise BadProfile(f"country {made.code} stands twice")
        found[made.code] = made
    return found


def _profile(raw: Mapping[str, Any]) -> Profile:
    """An entry that means what it says; whoever misspelled something hears so before anything is sent."""
    name = str(raw.get("code", "?"))
    if (wrong := next(_wrong(raw), None)) is not None:
        raise BadProfile(f"country {name}: {wrong}")
    lists = {key: tuple(raw[key]) for key in ("registration", "registered") if key in raw}
    return Profile(**{**raw, **lists, "senders": frozenset(raw["senders"])})


def _wrong(raw: Mapping[str, Any]) -> Iterator[str]:
    if missing := _NEEDED - raw.keys():
        yield f"{', '.join(sorted(missing))} missing"
    if unknown := raw.keys() - _KNOWN:
        yield f"nothing is called {', '.join(sorted(unknown))}"
    if not _is_text(raw["code"]) or not _CODE.fullmatch(raw["code"]):
        yield "the code is two capital letters"
    if not all(isinstance(raw[flag], bool) for flag in _FLAGS & raw.keys()):
        yield f"{', '.join(sorted(_FLAGS))} are true or false"
    for name, known in _LISTS.items():
        if not _are_of(raw.get(name, []), known):
            yield f'{name} are some of {", ".join(sorted(known))}, as ["{min(known)}"]'
    yield from _wrong_texts(raw)


def _wrong_texts(raw: Mapping[str, Any]) -> Iterator[str]:
    if not raw["senders"]:
        yield "no kind of sender works"
    if "quiet_hours" in raw and not _are_hours(raw["quiet_hours"]):
        yield "quiet hours are written 21:00-08:00"
    if not _are_of([raw.get("basis", "judged")], _BASES):
        yield f"basis is one of {', '.join(sorted(_BASES))}"
    if not _is_text(raw["source"]) or type(raw["checked_on"]) is not date:
        yield "say the source, and the day on which it was checked, as 2026-11-21"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_of(values: object, known: frozenset[str]) -> bool:
    return isinstance(values, list) and all(isinstance(one, str) and one in known for one in values)


def _are_hours(said: object) -> bool:
    if not isinstance(said, str) or not _HOURS.fullmatch(said):
        return False
    starts, _, ends = said.partition("-")
    return starts != ends


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
