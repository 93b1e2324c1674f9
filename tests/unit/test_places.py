"""Where a person may be: evidence adds zones, only a statement that settles it takes away."""

from importlib.resources import files

import pytest

from agent.domain.calendar import known_zone
from agent.domain.place_tables import AREA_PLACES, STATE_ZONES
from agent.domain.places import (
    AREA_CODES,
    Clue,
    Evidence,
    address_clue,
    candidates,
    number_clue,
    zones_by_country,
)

COUNTRIES = zones_by_country((files("tzdata") / "zoneinfo" / "zone.tab").read_text("utf-8"))
ADDRESS = Clue(Evidence.ADDRESS, ("America/Los_Angeles",), "US-CA")


@pytest.mark.parametrize(
    ("code", "needs"),
    [
        ("423", "America/New_York"), ("270", "America/Chicago"), ("219", "America/Chicago"),
        ("906", "America/Chicago"), ("928", "America/Denver"), ("364", "America/Chicago"),
        ("448", "America/Chicago"), ("930", "America/Chicago"), ("458", "America/Denver"),
        ("986", "America/Boise"), ("606", "America/Chicago"),
    ],
)  # fmt: skip
def test_codes_of_which_the_library_names_one_zone_have_both(code: str, needs: str) -> None:
    clue = number_clue(f"+1{code}5550100", ["America/New_York"])
    assert needs in clue.zones
    assert "America/New_York" in clue.zones
    assert len(clue.zones) >= 2


def test_every_zone_of_the_table_is_one() -> None:
    assert all(known_zone(zone) for zones, _ in AREA_CODES.values() for zone in zones)


@pytest.mark.parametrize(
    ("country", "region", "postal_code", "place", "zone"),
    [
        ("US", None, "00901", "US-PR", "America/Puerto_Rico"),
        ("US", None, "00802", "US-VI", "America/St_Thomas"),
        ("US", None, "96913", "US-GU", "Pacific/Guam"),
        ("US", None, "96950", "US-MP", "Pacific/Saipan"),
        ("US", None, "96799", "US-AS", "Pacific/Pago_Pago"),
        ("US", None, "96813", "US-HI", "Pacific/Honolulu"),
        ("PR", None, None, "US-PR", "America/Puerto_Rico"),
        (None, "US-GU", None, "US-GU", "Pacific/Guam"),
        ("PR", None, "00901", "US-PR", "America/Puerto_Rico"),
    ],
)
def test_territories_have_their_own_zone_and_federal_law(
    country: str | None, region: str | None, postal_code: str | None, place: str, zone: str
) -> None:
    clue = address_clue(country, region, postal_code, COUNTRIES)
    assert clue is not None
    assert (clue.place, clue.zones) == (place, (zone,))


def test_codes_of_other_countries_are_not_american() -> None:
    places = {code: AREA_PLACES[code] for code in ("242", "340", "416", "684", "787", "809", "876")}
    assert places == {
        "242": "BS", "340": "US-VI", "416": "CA", "684": "US-AS", "787": "US-PR", "809": "DO", "876": "JM",
    }  # fmt: skip
    # each code belongs to one place, and every place has zones of its own
    assert all(place in STATE_ZONES or place in COUNTRIES or place == "US-NY-NYC"
               for place in AREA_PLACES.values())  # fmt: skip


def test_evidence_adds_and_never_takes_away() -> None:
    both = candidates([ADDRESS, number_clue("+12125550100", ["America/New_York"])])
    assert both.zones == ("America/Los_Angeles", "America/New_York")
    device = Clue(Evidence.DEVICE, ("Europe/Paris",))
    assert candidates([ADDRESS, device]).zones == ("America/Los_Angeles", "Europe/Paris")
    moved = Clue(Evidence.STATEMENT, ("Europe/Paris",), "FR", settles=True)
    assert candidates([ADDRESS, moved]).zones == ("Europe/Paris",)
    assert candidates([ADDRESS, moved]).places == ("FR",)


def test_what_tells_nothing_is_the_whole_country_or_nothing() -> None:
    toll_free = number_clue("+18005550100", ["America/Puerto_Rico"])
    assert toll_free.zones == ()
    assert set(candidates([ADDRESS, toll_free], COUNTRIES["US"]).zones) > {"Pacific/Honolulu"}
    assert candidates([], COUNTRIES["ID"]).zones == COUNTRIES["ID"]
    assert candidates([]).zones == ()
    assert {"Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura"} <= set(COUNTRIES["ID"])
