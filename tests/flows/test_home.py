"""Where days are counted when a ledger names no time zone."""

from typing import Any

import pytest

from agent.flows.intake import take
from tests.support.intake import NOW, desk, lines, opened


@pytest.mark.parametrize(
    ("said", "home"),
    [
        ({"timezone": "Asia/Manila"}, "Asia/Manila"),
        ({"contacts": [{"channel": "sms", "address": "+2347010687970"}]}, "Africa/Lagos"),
        ({"contacts": [{"channel": "sms", "address": "+8613800138000"}]}, "Asia/Shanghai"),
        ({"contacts": [{"channel": "sms", "address": "+12125550100"}]}, "America/New_York"),
        # sixteen zones; most of them keep the time of Brasilia
        ({"contacts": [{"channel": "sms", "address": "+5511987654321"}]}, "America/Belem"),
        ({"region": "US-TX", "stated_timezone": "America/Denver"}, "America/Denver"),
        ({"contacts": [{"channel": "push", "provider": "fcm", "address": "t"}]}, "UTC"),
    ],
)
async def test_a_portfolio_is_at_home_where_its_first_person_is(
    pool: Any, keyring: Any, said: dict[str, Any], home: str
) -> None:
    one = opened("L", borrower={"id": "p", "locale": "en", **said})
    await take(desk(pool, keyring), lines([one]), NOW)
    row = await pool.fetchrow(
        "select p.zone as home, l.zone from loan l join portfolio p on p.id = l.portfolio_id"
    )
    assert (row["home"], row["zone"]) == (home, home)
