"""Where a person may be, from what the ledger says and what a phone-number library knows of numbers.

What was said is kept on the person as clues without the words they came from: of a postal code only its
state, of a number only its first digits. They are weighed anew whenever one of them changes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import phonenumbers
from phonenumbers import timezone

from agent.domain.calendar import local_time
from agent.domain.event import Person, Whereabouts
from agent.domain.place_tables import TERRITORIES
from agent.domain.places import (
    Candidates,
    Clue,
    Evidence,
    address_clue,
    candidates,
    number_block,
    number_clue,
    places_with,
    zones_by_country,
)

# More zones than a person can have: nobody knows where they are.
ZONES_MAX = 100
_NOTHING = Clue(Evidence.NUMBER, ())
_PLACED = frozenset(
    {
        phonenumbers.PhoneNumberType.FIXED_LINE,
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
    }
)


@cache
def country_zones() -> Mapping[str, tuple[str, ...]]:
    """The zones of every country, by the locked zone data."""
    return zones_by_country((files("tzdata") / "zoneinfo" / "zone.tab").read_text("utf-8"))


@cache
def country_of_zone(zone: str) -> str | None:
    """The country that a zone is listed for; None for UTC and other names that are no place."""
    return next((country for country, zones in country_zones().items() if zone in zones), None)


@lru_cache(maxsize=65_536)
def clue_of_number(block: str) -> Clue:
    """What a block of numbers tells: area codes by the curated table, mobiles their whole country."""
    number = _parsed(block)
    if number is None:
        return _NOTHING
    if number.country_code == 1:
        return _north_american(block, number)
    country = phonenumbers.region_code_for_number(number)
    if country is None:
        # not a number that is given out, but its country is known all the same
        country = phonenumbers.region_code_for_country_code(number.country_code or 0)
    everywhere = country_zones().get(country, ())
    if not everywhere:
        return _NOTHING
    kind = phonenumbers.number_type(number) if len(everywhere) > 1 else None
    named = timezone.time_zones_for_number(number) if kind == 0 else ()
    near = tuple(zone for zone in named if zone in everywhere)
    return Clue(Evidence.NUMBER, near or everywhere, country)


def _north_american(block: str, number: phonenumbers.PhoneNumber) -> Clue:
    """The table knows the place of every area code; the library names zones of numbers in use."""
    used = phonenumbers.number_type(number) in _PLACED
    told = number_clue(block, timezone.time_zones_for_number(number) if used else ())
    if told.place is None and used:
        told = replace(told, place=phonenumbers.region_code_for_number(number))
    if told.place is None:
        return _NOTHING
    everywhere = country_zones().get(told.place, ())
    near = told.zones if "-" in told.place else _within(told.zones, everywhere)
    return replace(told, zones=near or everywhere)


def _within(zones: tuple[str, ...], everywhere: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(zone for zone in zones if zone in everywhere)


def _parsed(block: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(block)
    except phonenumbers.NumberParseException:
        return None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one person: the ledger's own words come first, the rest is weighed."""

    zones: tuple[str, ...]
    region: str | None
    clues: Mapping[str, Any]
    blocks: tuple[str, ...]
    # where the lender's people live, in its own words; a guess from other people is no clue
    country: str | None = None


def clues_of(said: Whereabouts, region: str | None) -> dict[str, Any]:
    """What an event says of a place, as it is kept: no address, no postal code."""
    kept: dict[str, Any] = {}
    country = said.country
    address = address_clue(country, said.region or region, said.postal_code, country_zones())
    if address is not None and (country or said.region or said.postal_code):
        kept["address"] = {"zones": list(address.zones), "place": address.place}
    if said.device_zone is not None:
        kept["device"] = said.device_zone
    if said.stated_zone is not None:
        kept["stated"] = said.stated_zone
    return kept


def home_of(person: Person, at: datetime) -> str:
    """Where a portfolio is at home by the first person it lends to; UTC if nothing tells.

    Of several zones that a number or a country leaves open it is one that shows what most of them show.
    """
    if person.zones:
        return person.zones[0]
    found = (number_block(one.address) for one in person.contacts if one.channel == "sms")
    blocks = tuple(block for block in found if block is not None)
    clues = clues_of(person.whereabouts, person.region)
    zones = settle(Known((), person.region, clues, blocks)).zones
    shown = Counter(local_time(at, zone) for zone in zones)
    return max(zones, key=lambda zone: shown[local_time(at, zone)], default="UTC")


def settle(known: Known) -> Candidates:
    """The zones that bind contact, and the places whose packs do.

    Zones that the ledger names are all of them; a region that it names decides the country. Without
    either, every clue counts, and what tells nothing may be anywhere in the country.
    """
    clues = list(_clues(known))
    found = candidates(clues, country_zones().get(_country(known, clues) or "", ()))
    zones = known.zones or found.zones
    if len(zones) > ZONES_MAX:
        zones = ()
    named = filter(None, map(country_of_zone, known.zones))
    of_zones = [TERRITORIES.get(country, country) for country in named]
    return Candidates(zones, places_with(known.region, (*found.places, *of_zones)))


def _clues(known: Known) -> Iterable[Clue]:
    kept = known.clues
    if "address" in kept:
        yield Clue(Evidence.ADDRESS, tuple(kept["address"]["zones"]), kept["address"]["place"])
    elif known.region is not None:
        named = address_clue(None, known.region, None, country_zones())
        if named is not None:
            yield named
    yield from (clue_of_number(block) for block in dict.fromkeys(known.blocks))
    if "device" in kept:
        yield Clue(Evidence.DEVICE, (kept["device"],))
    if "stated" in kept:
        yield Clue(Evidence.STATEMENT, (kept["stated"],), settles="overtaken" not in kept)


def _country(known: Known, clues: Iterable[Clue]) -> str | None:
    """The country in which a clue that tells nothing may be: the person's, else what the lender names."""
    placed = known.region or next((clue.place for clue in clues if clue.place), None)
    return placed.partition("-")[0] if placed else known.country
