"""Where a person may be is weighed from all that the ledger says, and again when any of it changes."""

from typing import Any

import pytest

from agent.domain.calendar import ZONE_DATA
from agent.flows.rules import binding, installed
from agent.flows.whereabouts import clue_of_number, country_zones
from tests.support.intake import desk, event, give, opened, person

EASTERN, CENTRAL, MOUNTAIN = "America/New_York", "America/Chicago", "America/Denver"
PACIFIC = "America/Los_Angeles"


def somebody(*phones: str, **said: Any) -> dict[str, Any]:
    """A borrower of whom no zone is known, with these numbers."""
    raw = {key: value for key, value in person().items() if key != "timezone"}
    return {**raw, **said, "contacts": [{"channel": "sms", "address": phone} for phone in phones]}


def updated(at: str, **said: Any) -> dict[str, Any]:
    return event("borrower.updated", "ann", at, borrower={"id": "ann", **said})


async def placed(pool: Any) -> tuple[list[str], str | None]:
    row = await pool.fetchrow("select zones, region from borrower where ref = 'ann'")
    return row["zones"], row["region"]


CASES = [
    # the official examples: two numbers, or a number and an address, that point to different zones
    (("+12125550100",), {"country": "US", "postal_code": "90012"}, {EASTERN, PACIFIC}, "US-CA+US-NY-NYC"),
    (("+12125550100", "+13035550100"), {}, {EASTERN, MOUNTAIN}, "US-NY-NYC+US-CO"),
    # area codes of which the library knows one zone only
    (("+14235550100",), {}, {EASTERN, CENTRAL}, "US-TN"),
    (("+12195550100",), {}, {CENTRAL, EASTERN, "America/Indiana/Indianapolis"}, "US-IN"),
    # a postal code gives its whole state
    (("+16175550100",), {"postal_code": "32501"}, {EASTERN, CENTRAL}, "US-FL+US-MA"),
    (("+16175550100",), {"address": {"country": "US", "postal_code": "10001-1234"}}, {EASTERN},
     "US-NY-NYC+US-MA"),
    # a device adds, a statement replaces
    (("+12125550100",), {"device_timezone": PACIFIC}, {EASTERN, PACIFIC}, "US-NY-NYC"),
    (("+12125550100",), {"stated_timezone": PACIFIC}, {PACIFIC}, "US-NY-NYC"),
    # mobiles that tell no place may be anywhere in their country
    (("+6281234567890",), {}, set(country_zones()["ID"]), "ID"),
    (("+18005550100",), {"country": "US"}, set(country_zones()["US"]), "US"),
    (("+18005550100",), {"postal_code": "02108"}, set(country_zones()["US"]), "US-MA"),
    ((), {"country": "ID"}, set(country_zones()["ID"]), "ID"),
    (("+2348031234567",), {}, {"Africa/Lagos"}, "NG"),
    (("+18765550100",), {}, {"America/Jamaica"}, "JM"),
    (("+16845550100",), {}, {"Pacific/Pago_Pago"}, "US-AS"),
    (("+12425550100",), {}, {"America/Nassau"}, "BS"),
    ((), {"country": "US", "postal_code": "00901"}, {"America/Puerto_Rico"}, "US-PR"),
    ((), {"timezone": "Pacific/Guam"}, {"Pacific/Guam"}, "US-GU"),
    ((), {"region": "us-ma"}, {EASTERN}, "US-MA"),
    # what the ledger names itself: zones are all of them, a region decides the country
    (("+12125550100",), {"timezone": "Asia/Jakarta"}, {"Asia/Jakarta"}, "US-NY-NYC+ID"),
    (("+16175550100",), {"region": "US-NY"}, {EASTERN}, "US-NY+US-MA"),
    (("+2348031234567",), {"region": "US-MA"}, {EASTERN, "Africa/Lagos"}, "US-MA"),
    # nobody knows: nobody contacts them
    ((), {}, set(), None),
    (("08031234567",), {}, set(), None),
    (("+18005550100",), {}, set(), None),
    (("+12125550100",), {"country": "United States of America", "address": "1 Main St"}, {EASTERN},
     "US-NY-NYC"),
]  # fmt: skip


@pytest.mark.parametrize(("phones", "said", "zones", "region"), CASES)
async def test_evidence_becomes_zones_and_places(
    pool: Any, keyring: Any, phones: tuple[str, ...], said: Any, zones: set[str], region: str | None
) -> None:
    done = await give(desk(pool, keyring), opened("L", borrower=somebody(*phones, **said)))
    assert done.applied == 1
    found = await placed(pool)
    assert (set(found[0]), found[1]) == (zones, region)
    # the same said in two events is the same
    again = updated(
        "2024-01-02", contacts=[{"channel": "sms", "address": p} for p in phones], **said
    )
    await give(desk(pool, keyring), again)
    assert await placed(pool) == found


async def test_where_others_live_is_no_clue(pool: Any, keyring: Any) -> None:
    """A portfolio lends in several countries: its first borrower says nothing of the others."""
    lagos = {**somebody("+2348031234567"), "id": "first", "timezone": "Africa/Lagos"}
    ann = somebody()
    kenyan = {**somebody("+254712345678"), "id": "ken"}
    await give(
        desk(pool, keyring),
        opened("L1", borrower=lagos), opened("L2", borrower=ann), opened("L3", borrower=kenyan),
    )  # fmt: skip
    assert await placed(pool) == ([], None)
    zones = await pool.fetchval("select zones from borrower where ref = 'ken'")
    assert zones == ["Africa/Nairobi"]


@pytest.mark.parametrize(
    ("phones", "said", "zones"),
    [
        ((), {}, set(country_zones()["ID"])),
        (("08031234567",), {}, set(country_zones()["ID"])),
        # what is told of a person is worth more
        (("+254712345678",), {}, {"Africa/Nairobi"}),
        ((), {"country": "KE"}, {"Africa/Nairobi"}),
        ((), {"timezone": "Asia/Tokyo"}, {"Asia/Tokyo"}),
        ((), {"device_timezone": "Asia/Tokyo"}, {"Asia/Tokyo"}),
    ],
)
async def test_a_lender_may_say_where_its_people_live(
    pool: Any, keyring: Any, phones: tuple[str, ...], said: Any, zones: set[str]
) -> None:
    at_home = desk(pool, keyring, home="Asia/Jakarta")
    await give(at_home, opened("L", borrower=somebody(*phones, **said)))
    assert set((await placed(pool))[0]) == zones


async def test_no_address_stays_readable(pool: Any, keyring: Any) -> None:
    told = somebody(
        "+12125550199", postal_code="90012", address={"street": "12 Elm", "country": "US"}
    )
    await give(desk(pool, keyring), opened("L", borrower=told))
    for table in ("borrower", "contact_point", "ledger_event"):
        text = await pool.fetchval(f"select string_agg(t::text, ' ') from {table} t")
        assert "90012" not in text
        assert "Elm" not in text
        assert "5550199" not in text
    assert await pool.fetchval("select number_block from contact_point") == "+12125550000"


async def test_a_number_that_comes_or_goes_weighs_anew_and_the_past_stays_known(
    pool: Any, keyring: Any
) -> None:
    await give(desk(pool, keyring), opened("L", borrower=somebody("+12125550100")))
    both = [{"channel": "sms", "address": a} for a in ("+12125550100", "+13035550100")]
    await give(desk(pool, keyring), updated("2024-02-01", contacts=both))
    assert await placed(pool) == ([EASTERN, MOUNTAIN], "US-NY-NYC+US-CO")
    await give(desk(pool, keyring), updated("2024-03-01", contacts=both[1:]))
    assert await placed(pool) == ([MOUNTAIN], "US-CO")
    await give(desk(pool, keyring), updated("2024-02-15", contacts=both[:1], postal_code="60601"))
    assert await placed(pool) == ([CENTRAL, MOUNTAIN], "US-IL+US-CO"), "the old list is over"
    rows = await pool.fetch("select rev, zones, region from place_before order by rev")
    assert [(r["zones"], r["region"]) for r in rows] == [
        ([EASTERN], "US-NY-NYC"), ([EASTERN, MOUNTAIN], "US-NY-NYC+US-CO"), ([MOUNTAIN], "US-CO"),
    ]  # fmt: skip
    assert [r["rev"] for r in rows] == [1, 2, 3]


async def test_a_newer_word_that_points_elsewhere_ends_what_a_statement_replaced(
    pool: Any, keyring: Any
) -> None:
    await give(desk(pool, keyring), opened("L", borrower=somebody("+12125550100")))
    await give(desk(pool, keyring), updated("2024-02-01", stated_timezone=PACIFIC))
    assert (await placed(pool))[0] == [PACIFIC]
    await give(desk(pool, keyring), updated("2024-02-02", device_timezone=PACIFIC))
    assert (await placed(pool))[0] == [PACIFIC], "it confirms the statement"
    await give(desk(pool, keyring), updated("2024-01-15", device_timezone=MOUNTAIN))
    assert (await placed(pool))[0] == [PACIFIC], "an older word says nothing new"
    await give(desk(pool, keyring), updated("2024-03-01", device_timezone=MOUNTAIN))
    assert set((await placed(pool))[0]) == {EASTERN, MOUNTAIN, PACIFIC}
    await give(desk(pool, keyring), updated("2024-03-02", stated_timezone=PACIFIC))
    assert (await placed(pool))[0] == [PACIFIC], "said again, it counts again"
    await give(desk(pool, keyring), updated("2024-03-03", postal_code="60601"))
    assert set((await placed(pool))[0]) == {EASTERN, CENTRAL, MOUNTAIN, PACIFIC}


async def test_zones_that_the_ledger_names_move_the_days_of_loans_others_do_not(
    pool: Any, keyring: Any
) -> None:
    await give(desk(pool, keyring), opened("L", borrower=somebody("+12125550100")))
    zone = "select zone from loan"
    home = await pool.fetchval(zone)
    await give(desk(pool, keyring), updated("2024-02-01", device_timezone=PACIFIC))
    assert await pool.fetchval(zone) == home
    await give(desk(pool, keyring), updated("2024-02-02", timezone="Asia/Jakarta"))
    assert await pool.fetchval(zone) == "Asia/Jakarta"
    assert await placed(pool) == (["Asia/Jakarta"], "US-NY-NYC+ID")


async def test_a_zone_that_is_none_is_refused(pool: Any, keyring: Any) -> None:
    told = somebody("+12125550100", device_timezone="America/Nowhere")
    done = await give(desk(pool, keyring), opened("L", borrower=told))
    assert done.applied == 0
    kept = await pool.fetchval("select reason from rejected_line")
    assert kept == "unknown-zone: borrower.device_timezone"


def test_packs_of_every_place_bind_together() -> None:
    bound = binding(installed(("house",)), ("house", "by-place"), "US-NY-NYC+US-MA")
    ids = {pack.id for pack in bound.packs}
    assert {"house", "us-ma", "us-nyc-pre2027", "us-fed-regf"} <= ids
    assert len(ids) == len(bound.packs)
    assert bound.missing == ()
    assert f"tzdata@{ZONE_DATA}" in bound.versions
    assert binding((), ("by-place",), "US-MA+NG").missing == ("NG",)
    assert binding((), ("by-place",), None).missing == ("place-unknown",)


@pytest.mark.parametrize(
    "number", ["+999123456789", "+1", "+15550000000", "+12000000000", "+4420000000", "+0000000000"]
)
def test_whatever_a_number_is_its_clue_is_safe(number: str) -> None:
    clue = clue_of_number(number)
    assert clue.zones or clue.place is None or clue.place == "GB"
