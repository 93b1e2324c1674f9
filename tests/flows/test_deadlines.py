"""What the law gives days for becomes a case, once, due by its rule, and closed when it is done."""

import tomllib
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.calendar import BusinessCalendar, instant
from agent.domain.conduct import Pack, compile_pack
from agent.domain.deadlines import Due, duties, ends_at
from agent.flows.deadlines import begin_duties
from agent.flows.inbound import take_inbound
from agent.flows.rules import pack
from agent.store.keyring import Keyring
from channels.base import Inbound
from tests.support.intake import PHONE, desk, event, give, opened

Pool: TypeAlias = "asyncpg.Pool[Any]"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def stated(at: str, **facts: Any) -> dict[str, Any]:
    return event("borrower.updated", "ann", at, borrower={"id": "ann", "facts": facts})


async def home(pool: Pool, keyring: Keyring, *named: str, role: str | None = None) -> Any:
    where = desk(pool, keyring, packs=("house", *named))
    await give(where, opened("L"))
    await pool.execute("update portfolio set role = $1", role)
    return where


async def cases(pool: Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch(
        "select kind, subject, due_at, closed_by, detail from case_item order by id"
    )
    return [
        (r["kind"], r["subject"], r["due_at"], r["closed_by"], r["detail"].get("rule"))
        for r in rows
    ]


def midnight(day: date, zone: str = "UTC") -> datetime:
    return instant(day + timedelta(days=1), time(0), zone)


async def test_an_objection_has_its_case_once_and_the_ledger_closes_it(
    pool: Pool, keyring: Keyring
) -> None:
    where = await home(pool, keyring, "cn-credit")
    await give(where, stated("2026-03-01", objection_received="2026-03-01"))
    assert await begin_duties(pool, keyring, NOW) == {"opened": 1, "done": 0, "dated": 0}
    subject = "person ann: CN-ZXTL-25 since 2026-03-01"
    due = midnight(date(2026, 3, 21))
    assert await cases(pool) == [("duty", subject, due, None, "CN-ZXTL-25")]
    assert await begin_duties(pool, keyring, NOW) == {"opened": 0, "done": 0, "dated": 0}

    # staff close it: it does not come back; another objection is another duty
    await pool.execute("update case_item set closed_at = $1, closed_by = 'ana'", NOW)
    assert (await begin_duties(pool, keyring, NOW))["opened"] == 0
    await give(where, stated("2026-03-05", objection_received="2026-03-04"))
    assert (await begin_duties(pool, keyring, NOW))["opened"] == 1
    await give(where, stated("2026-03-06", objection_answered=True))
    assert (await begin_duties(pool, keyring, NOW))["done"] == 1
    assert [row[3] for row in await cases(pool)] == ["ana", "ledger"]


async def test_flags_and_first_words_start_duties_too(pool: Pool, keyring: Keyring) -> None:
    where = await home(pool, keyring, "cn-credit", "us-fed-regf", role="third_party")
    flag = event("borrower.flagged", "ann", "2026-03-01", flag="dispute")
    await give(where, flag, now=datetime(2026, 3, 1, 9, tzinfo=UTC))
    await pool.execute(
        "insert into attempt (portfolio_id, token, loan_id, anchor, stage, borrower_id, contact_point_id,"
        " channel, address_key, fence, state, begun_at, deadline_at, person_rev, number_rev, portfolio_rev,"
        " amount_minor, currency, template, body, settled_at)"
        " select portfolio_id, md5('x'), id, '2024-02-01', 's', borrower_id, 1, 'sms', '\\x00', 1,"
        " 'accepted', $1, $1::timestamptz + interval '15 s', 1, 1, 1, 1, 'NGN', 't', '\\x00', $1 from loan",
        datetime(2026, 3, 1, 10, tzinfo=UTC),
    )
    assert (await begin_duties(pool, keyring, NOW, batch=1))["opened"] == 2
    assert [row[1:3] for row in await cases(pool)] == [
        ("person ann: CN-ZXTL-25 since 2026-03-01", midnight(date(2026, 3, 21))),
        ("loan L: REGF-34A-5D since 2026-03-01", midnight(date(2026, 3, 6))),
    ]
    await pool.execute("update portfolio set role = 'first_party'")
    await pool.execute("delete from case_item")
    await pool.execute("delete from duty_begun")
    # who collects its own debt owes no validation information
    assert (await begin_duties(pool, keyring, NOW))["opened"] == 1


async def test_business_days_of_a_calendar_nobody_confirmed_end_early(
    pool: Pool, keyring: Keyring
) -> None:
    where = await home(pool, keyring, "us-fed-payday")
    await give(where, stated("2026-11-24", second_failed_debit="2026-11-24"))
    assert (await begin_duties(pool, keyring, NOW))["opened"] == 1
    ((_, _, due, _, _),) = await cases(pool)
    assert due == midnight(date(2026, 11, 27))
    note = await pool.fetchval("select detail ->> 'calendar' from case_item")
    assert note == "not confirmed: no holiday was counted"


@pytest.mark.parametrize("named", [("us-ma",), ("us-fed-payday",)])
async def test_what_no_pack_counts_from_opens_nothing(
    pool: Pool, keyring: Keyring, named: tuple[str, ...]
) -> None:
    where = await home(pool, keyring, *named)
    await give(
        where, stated("2026-03-01", objection_received="2026-03-01", second_failed_debit=True)
    )
    assert await begin_duties(pool, keyring, NOW) == {"opened": 0, "done": 0, "dated": 0}


@pytest.mark.parametrize(
    ("named", "text", "due"),
    [
        (("cn-credit",), "I dispute this debt, it is not mine", midnight(date(2026, 3, 22))),
        (("cn-credit",), "What is my balance?", NOW + timedelta(days=1)),
        (("us-ma",), "I dispute this debt, it is not mine", NOW + timedelta(days=1)),
    ],
)
async def test_a_reply_is_due_by_the_rule_it_starts(
    pool: Pool, keyring: Keyring, named: tuple[str, ...], text: str, due: datetime
) -> None:
    await home(pool, keyring, *named)
    said = Inbound("sms", "SM1", PHONE, "+15005550006", text, None, 0, NOW)
    await take_inbound(pool, keyring, [said], NOW)
    dated = [(await begin_duties(pool, keyring, NOW))["dated"] for _ in range(2)]
    assert dated == [int(due > NOW + timedelta(days=1)), 0], "it is read once"
    assert [row[:3] for row in await cases(pool)] == [("reply", "message SM1", due)]


# ---- the rule by itself

HOLIDAYS = frozenset({date(2026, 11, 26), date(2026, 12, 25)})
CALENDAR = BusinessCalendar(
    "c", frozenset({6, 7}), HOLIDAYS, frozenset(), (date(2026, 1, 1), date(2026, 12, 31))
)


def law(days: int, **more: str) -> Pack:
    said = "".join(f"{key} = {value}\n" for key, value in more.items())
    found = compile_pack(
        tomllib.loads(
            f'[pack]\nid = "law"\n[[rule]]\nid = "R"\ntype = "deadline"\nfrom = "began"\nduty = "act"\n'
            f"days = {days}\n{said}"
        ),
        "1",
        {"c": CALENDAR},
    )
    assert isinstance(found, Pack)
    return found


def test_ten_business_days_around_thanksgiving() -> None:
    ten = law(10, business="true", calendar='"c"')
    assert list(duties([ten], None, "began", date(2026, 11, 13), {})) == [
        Due("R", "act", "duty_done", date(2026, 11, 30))
    ]


@given(st.dates(date(2026, 1, 1), date(2027, 6, 1)), st.integers(1, 30))
def test_an_unknown_calendar_never_makes_it_later(began: date, days: int) -> None:
    (due,) = duties([law(days, business="true", calendar='"c"')], None, "began", began, {})
    (plain,) = duties([law(days)], None, "began", began, {})
    assert due.on >= plain.on
    assert not due.guessed or due.on == plain.on
    assert due.guessed or due.on.year == 2026


def test_conditions_dates_and_roles_decide_whether_it_binds() -> None:
    began = date(2026, 3, 1)
    assert not list(duties([law(5, when="{ big = true }")], None, "began", began, {"big": False}))
    assert list(duties([law(5, when="{ big = true }")], None, "began", began, {"big": True}))
    assert not list(duties([law(5, effective_to='"2026-02-28"')], None, "began", began, {}))
    assert not list(duties([law(5, who='["third_party"]')], "first_party", "began", began, {}))
    assert not list(duties([law(5)], None, "ended", began, {}))
    assert list(duties([pack("us-fed-tcpa")], None, "received", began, {}))


def test_the_last_day_ends_where_it_ends_first() -> None:
    day = date(2026, 3, 1)
    assert ends_at(day, ("America/New_York", "Asia/Shanghai")) == midnight(day, "Asia/Shanghai")
    assert ends_at(day, ()) == midnight(day)
