"""Where a person may be: every zone that any evidence points to, and none is ever taken away by a guess.

Area codes are a curated table where the common phone-number library is wrong or incomplete: it names one
zone where a code has two. A code that is not in it adds what the library says. A number that tells
no place, or nothing at all, is every zone of the country; without a country it is a hold.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

EASTERN, CENTRAL, MOUNTAIN = "America/New_York", "America/Chicago", "America/Denver"
PACIFIC, ARIZONA = "America/Los_Angeles", "America/Phoenix"

# Code → zones and states. Overlays have the zones of the code they overlay.
AREA_CODES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "423": ((EASTERN, CENTRAL), "US-TN"),
    "729": ((EASTERN, CENTRAL), "US-TN"),
    "270": ((CENTRAL, EASTERN), "US-KY"),
    "364": ((CENTRAL, EASTERN), "US-KY"),
    "219": ((CENTRAL, "America/Indiana/Indianapolis"), "US-IN"),
    "574": (("America/Indiana/Indianapolis", CENTRAL), "US-IN"),
    "812": (("America/Indiana/Indianapolis", EASTERN, CENTRAL), "US-IN"),
    "930": (("America/Indiana/Indianapolis", EASTERN, CENTRAL), "US-IN"),
    "906": (("America/Detroit", CENTRAL), "US-MI"),
    "928": ((ARIZONA, MOUNTAIN), "US-AZ"),
    "850": ((CENTRAL, EASTERN), "US-FL"),
    "448": ((CENTRAL, EASTERN), "US-FL"),
    "541": ((PACIFIC, MOUNTAIN), "US-OR"),
    "458": ((PACIFIC, MOUNTAIN), "US-OR"),
    "208": (("America/Boise", PACIFIC), "US-ID"),
    "986": (("America/Boise", PACIFIC), "US-ID"),
    "605": ((CENTRAL, MOUNTAIN), "US-SD"),
    "701": ((CENTRAL, MOUNTAIN), "US-ND"),
    "308": ((CENTRAL, MOUNTAIN), "US-NE"),
    "620": ((CENTRAL, MOUNTAIN), "US-KS"),
    "785": ((CENTRAL, MOUNTAIN), "US-KS"),
    "915": ((MOUNTAIN, CENTRAL), "US-TX"),
    "907": (("America/Anchorage", "America/Adak"), "US-AK"),
}
TOLL_FREE = frozenset(("800", "833", "844", "855", "866", "877", "888"))


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
    """What a number tells. `library` are the zones that a phone-number library names: it only adds.

    Toll-free numbers tell nothing, whatever a library says of them.
    """
    national = e164[2:] if e164.startswith("+1") and len(e164) == 12 else ""
    code = national[:3]
    if code in TOLL_FREE:
        return Clue(Evidence.NUMBER, ())
    zones, place = AREA_CODES.get(code, ((), None))
    named = (zone for zone in library if zone != "Etc/Unknown")
    return Clue(Evidence.NUMBER, tuple(dict.fromkeys((*zones, *named))), place)


def candidates(clues: Iterable[Clue], country_zones: Iterable[str] = ()) -> Candidates:
    """All zones and places that the clues name. A statement that settles it replaces the rest.

    A clue that names no zone, or no clue at all, may be anywhere in the country: it adds all of it.
    """
    known = list(clues)
    settled = [clue for clue in known if clue.settles and clue.zones]
    counted = settled or known
    zones: dict[str, None] = {}
    for clue in counted:
        zones |= dict.fromkeys(clue.zones or country_zones)
    if not counted:
        zones = dict.fromkeys(country_zones)
    places = dict.fromkeys(clue.place for clue in counted if clue.place is not None)
    return Candidates(tuple(zones), tuple(places))


def zones_by_country(table: str) -> dict[str, tuple[str, ...]]:
    """The zones of each country, from the text of the zone database's own table (`zone.tab`)."""
    found: dict[str, list[str]] = {}
    for line in table.splitlines():
        if line and not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            found.setdefault(country, []).append(zone)
    return {country: tuple(zones) for country, zones in found.items()}
