"""Where a person may be: every zone that any evidence points to, and none is ever taken away by a guess.

Area codes are a curated table where the common phone-number library is wrong or incomplete: it names one
zone where a code has two. A code that is not in it adds what the library says. A number that tells
no place, or nothing at all, is every zone of the country; without a country it is a hold.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.domain.place_tables import (
    AREA_PLACES,
    CODE_ZONES,
    TERRITORIES,
    TOLL_FREE,
    place_of_zip,
    zones_of_place,
)

# Code → zones and state, where the library's zones are not all.
AREA_CODES: Mapping[str, tuple[tuple[str, ...], str]] = {
    code: (zones, AREA_PLACES[code]) for code, zones in CODE_ZONES.items()
}
_BLOCK = 8
_UNSPACED = str.maketrans("", "", " -().")
_E164_MAX = 16


class Evidence(StrEnum):
    ADDRESS = "address"
    NUMBER = "number"
    DEVICE = "device"
    STATEMENT = "statement"


@dataclass(frozen=True, slots=True)
class Clue:
    """One thing that says where a person may be. `settles`: a statement, recent and recorded."""

    evidence: Evidence
    zones: tuple[str, ...]
    place: str | None = None
    settles: bool = False


@dataclass(frozen=True, slots=True)
class Candidates:
    """Where a person may be; without a zone nobody may be contacted."""

    zones: tuple[str, ...]
    places: tuple[str, ...]


def number_clue(e164: str, library: Iterable[str] = ()) -> Clue:
    """What a number of North America tells. `library` are the zones that a library names: it only adds.

    Toll-free numbers tell nothing, whatever a library says of them.
    """
    national = e164[2:] if e164.startswith("+1") and len(e164) == 12 else ""
    code = national[:3]
    if code in TOLL_FREE:
        return Clue(Evidence.NUMBER, ())
    place = AREA_PLACES.get(code)
    zones, place = AREA_CODES.get(code, (_only_zone(place), place))
    named = (zone for zone in library if zone != "Etc/Unknown")
    return Clue(Evidence.NUMBER, tuple(dict.fromkeys((*zones, *named))), place)


def _only_zone(place: str | None) -> tuple[str, ...]:
    """The zone of a state that has one; where a line crosses it, the library says on which side."""
    zones = zones_of_place(place) if place else ()
    return zones if len(zones) == 1 else ()


def number_block(address: str) -> str | None:
    """A number without its last digits: what it tells of a place, and not whose it is."""
    number = address.translate(_UNSPACED)
    digits = number[1:]
    if number[:1] != "+" or not 7 <= len(number) <= _E164_MAX:
        return None
    if not (digits.isascii() and digits.isdecimal()):
        return None
    return number[:_BLOCK].ljust(len(number), "0")


def address_clue(
    country: str | None,
    region: str | None,
    postal_code: str | None,
    by_country: Mapping[str, tuple[str, ...]],
) -> Clue | None:
    """What an address tells: the state where it is known, else the whole country; None if nothing."""
    region, country = TERRITORIES.get(region or "", region), TERRITORIES.get(country or "", country)
    home = country or (region.partition("-")[0] if region else None)
    by_code = place_of_zip(postal_code) if postal_code and _is_american(home) else None
    place = _finer(region, by_code) or home
    if place is None:
        return None
    zones = (
        *(zones_of_place(region) if region else ()),
        *(zones_of_place(by_code) if by_code else ()),
        *(zones_of_place(home) if home else ()),
    )
    return Clue(
        Evidence.ADDRESS,
        tuple(dict.fromkeys(zones or by_country.get(place.partition("-")[0], ()))),
        place,
    )


def _is_american(home: str | None) -> bool:
    return home is None or home == "US" or home in TERRITORIES.values()


def _finer(region: str | None, by_code: str | None) -> str | None:
    """A postal code in the named region says more than it: the city of a state."""
    if region is None or (by_code is not None and by_code.startswith(f"{region}-")):
        return by_code or region
    return region


def candidates(clues: Iterable[Clue], country_zones: Iterable[str] = ()) -> Candidates:
    """All zones and places that the clues name. A statement that settles it replaces the rest.

    A clue that names no zone, or no clue at all, may be anywhere in the country: it adds all of it. If
    the country is not known either, nobody knows where the person may be.
    """
    known = list(clues)
    settled = [clue for clue in known if clue.settles and clue.zones]
    counted, anywhere = settled or known, tuple(country_zones)
    zones: dict[str, None] = {}
    for clue in counted:
        zones |= dict.fromkeys(clue.zones or anywhere)
    if not counted:
        zones = dict.fromkeys(anywhere)
    if not anywhere and any(not clue.zones for clue in counted):
        zones = {}
    placed = [clue.place for clue in settled if clue.place] or [c.place for c in known if c.place]
    return Candidates(tuple(zones), tuple(dict.fromkeys(placed)))


def places_with(region: str | None, places: Iterable[str]) -> tuple[str, ...]:
    """The places whose packs protect a person: the region that the lender named comes first.

    Once an address is known, numbers of other countries move nobody. A place within another one stands
    for both: its packs are asked for as well.
    """
    found = dict.fromkeys(places)
    if region is not None:
        country = region.partition("-")[0]
        near = [place for place in found if place.partition("-")[0] == country]
        found = dict.fromkeys((region, *near))
    within = {place: any(other.startswith(f"{place}-") for other in found) for place in found}
    return tuple(place for place in found if place == region or not within[place])


def zones_by_country(table: str) -> dict[str, tuple[str, ...]]:
    """The zones of each country, from the text of the zone database's own table (`zone.tab`)."""
    found: dict[str, list[str]] = {}
    for line in table.splitlines():
        if line and not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            found.setdefault(country, []).append(zone)
    return {country: tuple(zones) for country, zones in found.items()}
