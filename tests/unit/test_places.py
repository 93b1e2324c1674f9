"""Where a person may be: evidence adds zones, only a statement that settles it takes away."""

from importlib.resources import files

import pytest

from agent.domain.calendar import known_zone
from agent.domain.places import (
    AREA_CODES,
    Clue,
    Evidence,
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
        ("986", "America/Boise"),
    ],
)  # fmt: skip
def test_codes_of_which_the_library_names_one_zone_have_both(code: str, needs: str) -> None:
    clue = number_clue(f"+1{code}5550100", ["America/New_York"])
    assert needs in clue.zones
    assert "America/New_York" in clue.zones
    assert len(clue.zones) >= 2


def test_every_zone_of_the_table_is_one() -> None:
    assert all(known_zone(zone) for zones, _ in AREA_CODES.values() for zone in zones)


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
