"""Intake on a real database: nothing is lost, every refusal has a reason, the rest goes on."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from agent.flows.passing import lift_holds, pass_time
from tests.support.intake import (
    NOW,
    PHONE,
    desk,
    event,
    facts,
    give,
    loan,
    opened,
    paid,
    person,
    reversed_,
    told,
)


async def test_the_same_event_twice_is_a_no_op(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    events = [opened("L"), paid("L", "p", "500.00", "2024-01-20")]
    first = await give(at, *events, events[1])
    assert (first.applied, first.duplicates, dict(first.rejected)) == (2, 1, {})
    before = await facts(pool)
    again = await give(at, *events)
    assert (again.applied, again.duplicates) == (0, 2)
    assert await facts(pool) == before


async def test_another_order_of_keys_is_the_same_event(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    one = opened("L")
    assert (await give(at, one, dict(reversed(one.items())))).duplicates == 1


async def test_an_id_with_another_content_is_kept_apart(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    first = paid("L", "p", "500.00", "2024-01-20")
    other = {**first, "data": {**first["data"], "amount": "400.00", "payer": "Canary Jane"}}
    taken = await give(at, opened("L"), first, other)
    assert dict(taken.rejected) == {"id-reused": 1}
    assert (await loan(pool, "L"))["paid_minor"] == 50_000
    row = await pool.fetchrow("select reason, sha256, body from rejected_line")
    assert row["reason"] == "id-reused: id"
    place = b"rejected_line/body/" + row["sha256"].hex().encode()
    assert b"Canary Jane" in keyring.open_loose(row["body"], place)
    assert dict((await give(at, other)).rejected) == {"id-reused": 1}


async def test_a_payment_waits_for_its_loan(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    early = await give(at, paid("L", "p", "1000.00", "2024-01-20"))
    assert dict(early.rejected) == {"unknown-loan": 1}
    late = await give(at, opened("L"))
    assert (late.applied, late.unparked) == (2, 1)
    assert (await loan(pool, "L"))["status"] == "paid"
    assert await pool.fetchval("select count(*) from ledger_event where state = 'rejected'") == 0


async def test_what_waits_may_come_again_with_its_loan(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    payment = paid("L", "p", "1000.00", "2024-01-20")
    await give(at, payment)
    assert dict((await give(at, payment)).rejected) == {"unknown-loan": 1}
    whole = await give(at, opened("L"), payment)
    assert (whole.applied, whole.unparked, whole.duplicates) == (2, 1, 1)
    assert dict(whole.rejected) == {}
    assert (await give(at, payment)).duplicates == 1


async def test_a_reversal_waits_for_its_payment(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    await give(at, opened("L"), reversed_("L", "p", "2024-01-21"))
    await give(at, paid("L", "p", "1000.00", "2024-01-20"))
    assert (await loan(pool, "L"))["status"] == "open"
    assert await pool.fetchval("select reversed_at is not null from payment") is True


async def test_an_event_that_waits_elsewhere_is_not_pulled_in(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    await give(at, opened("X", portfolio="b"), opened("Y", portfolio="a"))
    await give(at, paid("L", "p", "10.00", "2024-01-20", portfolio="b"))
    await give(at, paid("L", "q", "10.00", "2024-01-20", portfolio="never-seen"))
    taken = await give(at, opened("L", portfolio="a"))
    assert (taken.applied, taken.unparked) == (1, 0)
    assert (await loan(pool, "L"))["paid_minor"] == 0
    assert (await give(at, opened("L", "2024-01-02", portfolio="b"))).unparked == 1


async def test_a_loan_that_two_portfolios_know_is_not_guessed(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    payment = paid("L", "p", "10.00", "2024-01-20")
    await give(at, opened("L", portfolio="a"), opened("L", "2024-01-02", portfolio="b"))
    assert dict((await give(at, payment)).rejected) == {"ambiguous-loan": 1}
    named = paid("L", "q", "10.00", "2024-01-20", portfolio="b")
    assert (await give(at, named)).applied == 1


async def test_reversal_after_payoff_opens_the_loan_and_takes_back(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    await give(at, opened("L"), paid("L", "p", "1000.00", "2024-01-20"))
    assert await told(pool, "L") == ["paid_off"]
    await give(at, event("loan.closed", "L", "2024-01-21", reason="paid_off"))
    await give(at, reversed_("L", "p", "2024-01-25"))
    row = await loan(pool, "L")
    assert (row["status"], row["anchor"], row["balance_minor"]) == (
        "open",
        date(2024, 2, 1),
        100_000,
    )
    assert await told(pool, "L") == ["paid_off", "retracted 1", "current > 91+"]


async def test_a_late_payment_takes_back_the_delinquency_it_disproves(
    pool: Any, keyring: Any
) -> None:
    at = desk(pool, keyring)
    await give(at, opened("L"), now=NOW.replace(month=1, day=2))
    await pass_time(pool, NOW.replace(month=2, day=10))
    assert await told(pool, "L") == ["current > 1-7", "1-7 > 8-30"]
    await give(at, paid("L", "p", "500.00", "2024-01-30"), now=NOW.replace(month=2, day=11))
    assert (await told(pool, "L"))[2:] == ["retracted 1", "retracted 2"]
    assert (await loan(pool, "L"))["bucket"] == 0


async def test_part_payments_move_the_anchor_only_when_they_cover(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    await give(at, opened("L"), paid("L", "p1", "499.99", "2024-01-20"))
    assert (await loan(pool, "L"))["anchor"] == date(2024, 2, 1)
    await give(at, paid("L", "p2", "0.01", "2024-01-21"))
    assert (await loan(pool, "L"))["anchor"] == date(2024, 3, 1)


async def test_overpayment_is_a_negative_balance(pool: Any, keyring: Any) -> None:
    await give(desk(pool, keyring), opened("L"), paid("L", "p", "1000.01", "2024-01-20"))
    row = await loan(pool, "L")
    assert (row["status"], row["balance_minor"], row["paid_minor"]) == ("paid", -1, 100_001)
    assert await told(pool, "L") == ["paid_off"]


async def test_several_loans_of_one_person(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    await give(at, opened("L1"), opened("L2", "2024-01-05"))
    await give(at, opened("L3", "2024-01-06", borrower=person(phone="+2347010000009")))
    assert await pool.fetchval("select count(distinct borrower_id) from loan") == 1
    assert await pool.fetchval("select count(*) from contact_point where status = 'active'") == 2


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        ("0", "amount-not-positive"),
        ("0.00", "amount-not-positive"),
        ("-5.00", "amount-not-positive"),
        ("NaN", "bad-amount"),
        ("Infinity", "bad-amount"),
        ("1e309", "bad-amount"),
        ("1,5", "bad-amount"),
        ("1.234", "bad-amount"),
        ("", "bad-amount"),
        (" 5.00", "bad-amount"),
        ("٥.00", "bad-amount"),
        (None, "bad-amount"),
        (5.0, "bad-amount"),
        (True, "bad-amount"),
        (2**63, "bad-amount"),
        (str(2**63), "bad-amount"),
        (["5.00"], "bad-amount"),
        ({"Canary": "Jane"}, "bad-amount"),
    ],
)
async def test_bad_amounts(pool: Any, keyring: Any, amount: object, reason: str) -> None:
    taken = await give(
        desk(pool, keyring),
        opened("L"),
        paid("L", "bad", amount, "2024-01-20"),
        event("fee.assessed", "L", "2024-01-21", amount=amount),
        paid("L", "good", "1.00", "2024-01-22"),
    )
    assert dict(taken.rejected) == {reason: 2}
    assert (await loan(pool, "L"))["paid_minor"] == 100
    assert await pool.fetchval("select count(*) from ledger_event where data::text ~ 'Canary'") == 0


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [
        ("JPY", "1500", 1500),
        ("JPY", "1500.00", None),
        ("KWD", "1.234", 1234),
        ("KWD", "1", 1000),
        ("USD", "0.01", 1),
        ("XXX", "1", None),
        ("ngn", "1", None),
    ],
)
async def test_digits_are_those_of_the_currency(
    pool: Any, keyring: Any, currency: str, amount: str, minor: int | None
) -> None:
    parts = [{"number": 1, "due_on": "2024-02-01", "amount": amount}]
    taken = await give(desk(pool, keyring), opened("L", currency=currency, installments=parts))
    assert taken.applied == (minor is not None)
    if minor is not None:
        assert (await loan(pool, "L"))["balance_minor"] == minor


async def test_another_currency_is_refused(pool: Any, keyring: Any) -> None:
    taken = await give(
        desk(pool, keyring), opened("L"), paid("L", "p", "5.00", "2024-01-20", currency="USD")
    )
    assert dict(taken.rejected) == {"wrong-currency": 1}


async def test_fees_are_parts_of_the_debt(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    fee = event("fee.assessed", "L", "2024-01-21", amount="25.00", due_on="2024-02-10")
    await give(at, opened("L"), fee, paid("L", "p", "500.00", "2024-01-30"))
    row = await loan(pool, "L")
    assert (row["anchor"], row["balance_minor"]) == (date(2024, 2, 10), 52_500)


async def test_a_reschedule_replaces_from_its_first_number(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    await give(at, opened("L"), paid("L", "p", "500.00", "2024-01-30"), now=NOW.replace(month=2))
    parts = [
        {"number": 2, "due_on": "2024-07-01", "amount": "300.00"},
        {"number": 3, "due_on": "2024-08-01", "amount": "250.00"},
    ]
    await give(at, event("loan.rescheduled", "L", "2024-02-15", installments=parts))
    row = await loan(pool, "L")
    assert (row["anchor"], row["balance_minor"]) == (date(2024, 7, 1), 55_000)
    assert await pool.fetchval("select count(*) from instalment") == 3


async def test_closing_unpaid_and_closing_as_paid(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    closing = event("loan.closed", "L", "2024-01-21", reason="sold")
    await give(at, opened("L"), closing)
    assert (await loan(pool, "L"))["status"] == "closed"
    assert await told(pool, "L") == []
    await give(at, opened("M"), event("loan.closed", "M", "2024-01-21", reason="paid_off"))
    assert (await loan(pool, "M"))["status"] == "closed"
    assert await told(pool, "M") == ["paid_off"]


async def test_a_second_opening_says_nothing(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    other = opened("L", "2024-01-03", borrower=person(phone="+2347010000009"))
    assert dict((await give(at, opened("L"), other)).rejected) == {"loan-exists": 1}
    assert await pool.fetchval("select count(*) from contact_point") == 1


async def numbers(pool: Any, keyring: Any) -> set[str]:
    rows = await pool.fetch(
        "select address_key, channel from contact_point where status = 'active'"
    )
    known = {keyring.blind("sms", f"+234701000000{n}"): str(n) for n in range(10)}
    return {known[bytes(row["address_key"])] for row in rows}


async def test_a_new_number_replaces_the_old_one_and_raises_revs(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    await give(at, opened("L"))
    before = await pool.fetchrow("select b.rev, n.rev as number_rev from borrower b, number n")
    update = event("borrower.updated", "ann", "2024-02-01", borrower=person(phone=PHONE[:-1] + "2"))
    await give(at, update)
    assert await numbers(pool, keyring) == {"2"}
    assert await pool.fetchval("select rev from borrower") > before["rev"]
    old = keyring.blind("sms", PHONE)
    revs = await pool.fetchval("select rev from number where address_key = $1", old)
    assert revs > before["number_rev"]


async def test_an_old_word_on_a_person_changes_nothing(pool: Any, keyring: Any) -> None:
    """A number that was given up must not come back because its event was slow."""
    new = person(phone=PHONE[:-1] + "3", timezone="Africa/Lagos", locale="en-NG")
    old = person(phone=PHONE[:-1] + "2", timezone="Asia/Tokyo", locale="ja")
    events = [
        opened("L"),
        event("borrower.updated", "ann", "2024-02-05", borrower=new),
        event("borrower.updated", "ann", "2024-02-01", borrower=old),
        opened("K", "2024-01-15", borrower=person(phone=PHONE[:-1] + "4")),
        opened("M", "2024-02-07", borrower={"id": "ann", **new, "contacts": []}),
    ]
    for one in events:
        await give(desk(pool, keyring), one)
    row = await pool.fetchrow("select zones, locale from borrower")
    assert (row["zones"], row["locale"]) == (["Africa/Lagos"], "en-NG")
    assert await numbers(pool, keyring) == {"3"}


async def test_a_move_counts_days_in_the_new_zone(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    await give(at, opened("L"), now=NOW.replace(month=1, day=2))
    assert (await loan(pool, "L"))["next_bucket_at"].isoformat() == "2024-02-02T00:00:00+00:00"
    moved = event("borrower.updated", "ann", "2024-01-05", timezone="Asia/Tokyo")
    await give(at, moved, now=NOW.replace(month=1, day=6))
    row = await loan(pool, "L")
    assert row["zone"] == "Asia/Tokyo"
    assert row["next_bucket_at"].isoformat() == "2024-02-01T15:00:00+00:00"


async def test_a_flag_holds_ends_and_is_lifted(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    until = NOW + timedelta(days=3)
    flag = event("borrower.flagged", "ann", "2024-05-30", flag="hardship", until=until.isoformat())
    await give(at, opened("L"))
    rev = await pool.fetchval("select rev from borrower")
    await give(at, flag)
    assert (await loan(pool, "L"))["held_until"] == until
    assert await pool.fetchval("select placed_rev from hold") > rev
    await give(at, opened("M", "2024-05-31"))
    assert (await loan(pool, "M"))["held_until"] == until
    assert await lift_holds(pool, until - timedelta(seconds=1)) == 0
    assert await lift_holds(pool, until) == 1
    assert (await loan(pool, "L"))["held_until"] is None


async def test_a_flag_is_taken_back_and_the_last_word_of_a_batch_counts(
    pool: Any, keyring: Any
) -> None:
    at = desk(pool, keyring)
    raised = event("borrower.flagged", "ann", "2024-05-30", "f1", flag="dispute")
    taken_back = event("borrower.flagged", "ann", "2024-05-31", "f2", flag="dispute", active=False)
    await give(at, opened("L"), raised)
    assert await pool.fetchval("select count(*) from hold where lifted_at is null") == 1
    await give(at, taken_back)
    assert await pool.fetchval("select count(*) from hold where lifted_at is null") == 0
    assert (await loan(pool, "L"))["held_until"] is None
    again = event("borrower.flagged", "ann", "2024-06-01", "f3", flag="hardship")
    gone = event("borrower.flagged", "ann", "2024-06-02", "f4", flag="hardship", active=False)
    await give(at, again, gone)
    assert await pool.fetchval("select count(*) from hold where lifted_at is null") == 0


async def test_a_flag_or_an_update_waits_for_its_person(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    flag = event("borrower.flagged", "ann", "2024-05-30", flag="deceased")
    by_loan = event("borrower.flagged", "L", "2024-05-30", "by-loan", flag="dispute")
    update = event("borrower.updated", "ann", "2024-05-30", borrower=person(phone=PHONE[:-1] + "2"))
    early = await give(at, flag, by_loan, update)
    assert dict(early.rejected) == {"unknown-borrower": 3}
    assert (await give(at, opened("L"))).unparked == 3
    assert (await loan(pool, "L"))["held_until"] is not None
    assert await pool.fetchval("select count(*) from hold") == 2
    assert await numbers(pool, keyring) == {"2"}


async def test_a_flag_may_name_a_loan_of_the_same_batch(pool: Any, keyring: Any) -> None:
    flag = event("borrower.flagged", "L", "2024-05-30", flag="dispute")
    assert (await give(desk(pool, keyring), opened("L"), flag)).applied == 2
    assert await pool.fetchval("select reason from hold") == "dispute"


async def test_a_portfolio_name_is_plain(pool: Any, keyring: Any) -> None:
    bad = [
        opened(f"L{i}", portfolio=name) for i, name in enumerate(["a b", "(unassigned)", "é", 5])
    ]
    taken = await give(desk(pool, keyring), *bad, opened("L"))
    assert dict(taken.rejected) == {"bad-portfolio": 4}
    assert taken.applied == 1


async def test_broken_lines_stop_nothing(pool: Any, keyring: Any) -> None:
    broken = [
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"\xff\xfe{}",
        b'{"id": "a\\u0000b"}',
        b"{}\x00",
        b"NaN",
    ]
    taken = await give(desk(pool, keyring), *broken, b"", b"  ", opened("L"))
    assert (taken.applied, dict(taken.rejected)) == (1, {"not-an-event": len(broken)})
    assert await pool.fetchval("select count(*) from rejected_line") == len(broken)


async def test_personal_data_is_readable_nowhere(pool: Any, keyring: Any) -> None:
    at = desk(pool, keyring)
    who = person(
        "ann", "+99900canary1", name="Canary Jane", note="canary note", address="canary st"
    )
    events: list[Any] = [
        opened("L", borrower=who, payer="canary payer"),
        opened(
            "M", "2024-01-02", installments=[{"due_on": "2024-02-01", "amount": "1", "x": "canary"}]
        ),
        paid("L", "p", "canary amount", "2024-01-20", payer={"name": "Canary Jane"}),
        paid("none", "p", "1.00", "2024-01-20", memo="canary memo", currency="NGN"),
        reversed_("L", "p", "2024-01-21", reason="canary said so"),
        event("borrower.updated", "ann", "2024-02-01", name="Canary June", phone="+99900canary2"),
        event(
            "borrower.updated", "who", "2024-02-01", borrower={"id": "who", "name": "canary who"}
        ),
        event("borrower.flagged", "ann", "2024-02-01", flag="dispute", comment="canary comment"),
        event(
            "loan.rescheduled",
            "L",
            "2024-02-02",
            installments=[{"amount": "canary", "due_on": "?"}],
        ),
        event("fee.assessed", "L", "2024-02-02", amount="1.00", why="canary why"),
        b'{"name": "canary broken"',
        {
            **paid("L", "p", "1.00", "2024-01-20"),
            "data": {"payment_id": "p", "memo": "canary reused"},
        },
    ]
    await give(at, *events)
    columns = await pool.fetch(
        "select table_name, column_name from information_schema.columns"
        " where table_schema = 'public' and data_type in ('text', 'jsonb', 'bytea', 'ARRAY')"
    )
    assert len(columns) > 50
    for table, column in columns:
        text = f"coalesce(encode({column}::text::bytea, 'escape'), '')"
        seen = await pool.fetchval(
            f"select count(*) from {table} where {column}::text ilike '%canary%'"
        )
        raw = await pool.fetchval(
            f"select count(*) from {table} where {text} ilike '%' || encode('anary', 'hex') || '%'"
        )
        assert (table, column, seen, raw) == (table, column, 0, 0)


async def test_two_overlapping_imports_end_as_one(pool: Any, keyring: Any) -> None:
    events = []
    for n in range(120):
        name = f"L{n}"
        events += [
            opened(name, borrower=person(f"p{n % 40}", f"+23470200{n % 40:05d}")),
            paid(name, "p", "500.00", "2024-01-20"),
            paid(name, "q", "500.00", "2024-02-20"),
            reversed_(name, "q", "2024-02-21"),
        ]
    at = desk(pool, keyring)
    halves = events[:320], list(reversed(events[160:]))
    await asyncio.gather(
        *(give(at, *half[i : i + 40]) for half in halves for i in range(0, len(half), 40))
    )
    at_once = await facts(pool)
    assert not [row for row in at_once["events"] if "rejected" in row]
    await pool.execute("truncate ledger_event, payment, instalment, outcome, loan cascade")
    await give(at, *events)
    assert await facts(pool) == at_once
