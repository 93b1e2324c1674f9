"""What events say for conduct rules is stored by the newest word, whatever order it comes in."""

from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest

from tests.support.intake import PHONE, desk, event, give, opened, person


def consenting(at: str, /, **consent: Any) -> dict[str, Any]:
    contacts = [{"channel": "sms", "address": PHONE, "consent": {"source": "form", **consent}}]
    return event("borrower.updated", "ann", at, borrower={"id": "ann", "contacts": contacts})


def wishing(at: str, **wishes: Any) -> dict[str, Any]:
    return event("borrower.updated", "ann", at, borrower={"id": "ann", **wishes})


async def consent(pool: Any) -> tuple[Any, ...]:
    """What the gate reads of every portfolio, and what is kept besides."""
    row = await pool.fetchrow(
        "select c.consent_source, e.consent_source as told, e.given_to, e.scopes, e.revoked_at, e.checked_at"
        " from contact_point c left join contact_evidence e on e.portfolio_id = c.portfolio_id"
        " and e.contact_point_id = c.id"
    )
    return tuple(row)


async def test_a_plain_consent_needs_no_row_of_its_own(pool: Any, keyring: Any) -> None:
    await give(desk(pool, keyring), opened("L"), opened("M", "2024-01-05"))
    assert await consent(pool) == ("application", None, None, None, None, None)


GRANT = consenting(
    "2024-02-01", at="2024-02-01T09:00:00+00:00", given_to="lender", scope=["service"]
)
REVOKED = consenting(
    "2024-02-10", at="2024-02-01T09:00:00+00:00", revoked_at="2024-02-09T09:00:00+00:00"
)
ANEW = consenting("2024-02-20", at="2024-02-19T09:00:00+00:00", given_to="collector")


@pytest.mark.parametrize("order", list(permutations((GRANT, REVOKED))))
async def test_a_consent_that_was_taken_back_is_none_in_any_order(
    pool: Any, keyring: Any, order: tuple[dict[str, Any], ...]
) -> None:
    await give(desk(pool, keyring), opened("L"))
    for one in order:
        await give(desk(pool, keyring), one)
    source, told, _, _, revoked, _ = await consent(pool)
    assert (source, told, revoked) == (None, "form", datetime(2024, 2, 9, 9, tzinfo=UTC))


async def test_only_a_consent_given_later_brings_it_back(pool: Any, keyring: Any) -> None:
    await give(desk(pool, keyring), opened("L"), GRANT, REVOKED)
    # a second loan tells the old consent once more, as ledgers do
    await give(desk(pool, keyring), opened("M", "2024-02-15"))
    assert (await consent(pool))[0] is None
    await give(desk(pool, keyring), ANEW)
    assert (await consent(pool))[:3] == ("form", "form", "collector")


async def test_a_checked_number_changes_no_consent_and_the_latest_check_counts(
    pool: Any, keyring: Any
) -> None:
    def checked(at: str, then: str) -> dict[str, Any]:
        point = {"channel": "sms", "address": PHONE, "number_checked_at": f"{then}T00:00:00+00:00"}
        return event("borrower.updated", "ann", at, borrower={"id": "ann", "contacts": [point]})

    await give(desk(pool, keyring), opened("L"), checked("2024-02-01", "2024-02-01"))
    await give(desk(pool, keyring), checked("2024-02-02", "2024-01-20"))
    assert await consent(pool) == (
        "application", None, None, [], None, datetime(2024, 2, 1, tzinfo=UTC)
    )  # fmt: skip


async def test_wishes_are_replaced_by_newer_ones_each_for_itself(pool: Any, keyring: Any) -> None:
    hours = [{"days": ["fri"], "from": "22:00", "to": "09:00"}]
    waived = [
        {"waives": "consent_time", "given_to": "collector", "at": "2024-02-01T00:00:00+00:00"}
    ]
    await give(desk(pool, keyring), opened("L"), wishing("2024-02-02", quiet_hours=hours))
    await give(desk(pool, keyring), wishing("2024-02-03", waivers=waived))
    await give(desk(pool, keyring), wishing("2024-02-01", quiet_hours=[], waivers=[]))
    row = await pool.fetchrow("select quiet, waivers from preference")
    assert row["quiet"] == [[[4], 1320, 540]]
    assert row["waivers"] == [["consent_time", "collector", "2024-02-01T00:00:00+00:00"]]
    await give(desk(pool, keyring), wishing("2024-02-04", quiet_hours=[]))
    row = await pool.fetchrow("select quiet, waivers from preference")
    assert (row["quiet"], len(row["waivers"])) == ([], 1)


async def test_a_new_person_may_come_with_wishes(pool: Any, keyring: Any) -> None:
    ann = person(quiet_hours=[{"from": "12:00", "to": "13:00"}])
    await give(desk(pool, keyring), opened("L", borrower=ann))
    assert await pool.fetchval("select quiet from preference") == [[list(range(7)), 720, 780]]


async def test_a_bad_wish_is_kept_with_its_reason(pool: Any, keyring: Any) -> None:
    taken = await give(
        desk(pool, keyring), opened("L"), wishing("2024-02-02", quiet_hours=[{"from": "noon"}])
    )
    assert dict(taken.rejected) == {"bad-quiet-hours": 1}
    assert await pool.fetchval("select count(*) from preference") == 0


async def test_stated_facts_are_kept_by_the_newest_word_on_each(pool: Any, keyring: Any) -> None:
    events = [
        opened("L"),
        wishing("2024-02-02", facts={"time_barred": True}, loan_facts={"L": {"strikes": 1}}),
        wishing("2024-02-03", facts={"time_barred": None}),
        wishing("2024-02-01", facts={"time_barred": False}, loan_facts={"L": {"strikes": 0}}),
    ]
    for one in events:
        await give(desk(pool, keyring), one)
    rows = await pool.fetch("select loan_ref, name, value from stated_fact order by loan_ref")
    assert [tuple(row) for row in rows] == [("", "time_barred", None), ("L", "strikes", 1)]


async def test_an_address_of_somebody_else_is_no_way_to_the_borrower(
    pool: Any, keyring: Any
) -> None:
    """Named as a reference's, a number that was the borrower's is withdrawn."""
    await give(desk(pool, keyring), opened("L"))
    other = {
        "channel": "sms",
        "address": PHONE,
        "relation": "reference",
        "consent": {"source": "form"},
    }
    mine = {"channel": "sms", "address": PHONE[:-1] + "9", "consent": {"source": "form"}}
    points = [other, mine]
    update = event(
        "borrower.updated", "ann", "2024-02-02", borrower={"id": "ann", "contacts": points}
    )
    await give(desk(pool, keyring), update)
    rows = await pool.fetch("select status from contact_point order by id")
    assert [row["status"] for row in rows] == ["withdrawn", "active"]
