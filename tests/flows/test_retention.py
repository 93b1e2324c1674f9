"""Data ends with the longest duty to keep it, and not a day before; what holds it, keeps it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import VirtualClock
from agent.domain.conduct import Pack
from agent.domain.retention import Kept, months_after, retention_rules, upkeep
from agent.flows.invariants import check
from agent.flows.retention import end_of_keeping
from agent.flows.rules import every_pack, packs
from agent.flows.ticks import DUTIES, Ran, Taken, tick
from agent.flows.trail import Question, Trail, trail
from agent.store.keyring import Keyring
from tests.support.intake import desk, event, give, opened, paid, person
from tests.support.rows import World, healthy

Pool: TypeAlias = "asyncpg.Pool[Any]"
DONE = datetime(2024, 3, 2, 12, tzinfo=UTC)
OVER = datetime(2027, 3, 5, 12, tzinfo=UTC)


async def settled(pool: Pool, keyring: Keyring, named: Sequence[str]) -> None:
    """Ann has paid back; Bob has not. Both have told their names and numbers."""
    where = desk(pool, keyring, packs=tuple(named))
    await give(
        where,
        opened("L", borrower=person("ann", name="Ann Example", postal_code="02108")),
        paid("L", "p1", "1000.00", "2024-03-02"),
        opened("M", borrower=person("bob", "+2347010000002", name="Bob Example")),
    )
    await pool.execute("update outcome set acked_at = $1", DONE)
    await pool.execute(
        "insert into inbound values (0, 'sms', 'in1', $1, 'x', '', 'secret', null, 0, $2, $2,"
        " 'webhook', 'opt_out')",
        keyring.blind("sms", "+2347010000001"),
        DONE,
    )


async def personal(pool: Pool) -> dict[str, Any]:
    """What is left of Ann that somebody could read."""
    return dict(
        await pool.fetchrow(
            """select b.data_key is not null as key, b.personal is not null as name, b.clues <> '{}' as clues,
                      (select count(*) from contact_point c where c.borrower_id = b.id) as addresses,
                      (select count(*) from ledger_event e where e.subject in ('L', 'ann')
                         and e.personal is not null) as events,
                      (select count(*) from inbound where length(body) > 0) as words
               from borrower b where b.ref = 'ann'"""
        )
    )


NOTHING = {"key": False, "name": False, "clues": False, "addresses": 0, "events": 0, "words": 0}


async def test_what_is_over_is_erased_and_what_is_not_stays(pool: Pool, keyring: Keyring) -> None:
    await settled(pool, keyring, ("house", "us-fed-payday"))
    before = await personal(pool)
    assert before == {
        "key": True, "name": True, "clues": True, "addresses": 1, "events": 1, "words": 1,
    }  # fmt: skip
    # 36 months after the loan ended: its last day is kept, everywhere on earth
    assert await end_of_keeping(pool, datetime(2027, 3, 3, 11, tzinfo=UTC)) == {
        "erased": 0, "addresses": 0, "kept_duty": 1,
    }  # fmt: skip
    assert await personal(pool) == before
    kept = await pool.fetchrow("select reason, kept_through, rules from retention")
    assert tuple(kept) == ("duty", date(2027, 3, 2), ["CFPB-1041.12"])

    assert (await end_of_keeping(pool, OVER))["erased"] == 1
    assert await personal(pool) == NOTHING
    assert await pool.fetchval("select personal is not null from borrower where ref = 'bob'")
    noted = await pool.fetchrow("select rules, kept_through, erased, packs from erasure")
    assert tuple(noted)[:3] == (["CFPB-1041.12"], date(2027, 3, 2), {"addresses": 1})
    assert "us-fed-payday@" in noted["packs"]
    # nothing is left to do
    assert await end_of_keeping(pool, OVER + timedelta(days=1)) == {"erased": 0, "addresses": 0}


HOLDERS = {
    "held": "insert into hold (portfolio_id, reason, scope, borrower_id, from_at, placed_by, placed_rev)"
    " select portfolio_id, 'legal_hold', 'person', id, updated_at, 'ledger', 1 from borrower"
    " where ref = 'ann'",
    "open_case": "insert into case_item (portfolio_id, kind, subject, loan_id, detail, opened_at, due_at)"
    " select portfolio_id, 'dispute', 'loan L', id, '{}', opened_at, opened_at from loan where ref = 'L'",
    "unfinished": "insert into attempt (portfolio_id, token, loan_id, anchor, stage, borrower_id,"
    " contact_point_id, channel, address_key, fence, state, begun_at, deadline_at, person_rev, number_rev,"
    " portfolio_rev, amount_minor, currency, template, body)"
    " select l.portfolio_id, md5('x'), l.id, '2024-02-01', 's', l.borrower_id, 1, 'sms', '\\x00', 1,"
    " 'unknown', l.opened_at, l.opened_at + interval '1 hour', 1, 1, 1, 1, 'NGN', 't', '\\x00'"
    " from loan l where l.ref = 'L'",
}


@pytest.mark.parametrize("why", HOLDERS)
async def test_nothing_is_erased_while_something_stands_against_it(
    pool: Pool, keyring: Keyring, why: str
) -> None:
    await settled(pool, keyring, ("house", "us-fed-payday"))
    before = await personal(pool)
    await pool.execute(HOLDERS[why])
    assert await end_of_keeping(pool, OVER) == {"erased": 0, "addresses": 0, f"kept_{why}": 1}
    assert await personal(pool) == before
    await pool.execute("update hold set lifted_at = from_at, lifted_rev = 2")
    await pool.execute("update case_item set closed_at = opened_at, closed_by = 'ana'")
    await pool.execute("update attempt set state = 'absent', settled_at = begun_at")
    assert (await end_of_keeping(pool, OVER))["erased"] == 0, "not looked at again so soon"
    assert (await end_of_keeping(pool, OVER + timedelta(days=1)))["erased"] == 1


@pytest.mark.parametrize(
    ("named", "why"),
    [
        (("house",), "kept_no_rule"),
        (("house", "us-fed-payday", "atlantis"), "kept_pack_missing"),
        (("house", "us-fed-payday", "by-place"), "kept_pack_missing"),
    ],
)
async def test_where_nobody_says_how_long_it_is_kept(
    pool: Pool, keyring: Keyring, named: tuple[str, ...], why: str
) -> None:
    await settled(pool, keyring, named)
    await pool.execute("update borrower set region = null")
    assert await end_of_keeping(pool, OVER) == {"erased": 0, "addresses": 0, why: 1}


async def test_a_duty_longer_than_the_limit_is_for_a_person(pool: Pool, keyring: Keyring) -> None:
    await settled(pool, keyring, ("house", "us-fed-payday", "cn-credit"))
    # arrears that were cured long before the loan ended
    await pool.execute(
        "insert into outcome (portfolio_id, loan_id, seq, type, occurred_at, recorded_at, data,"
        " next_try_at, acked_at) select portfolio_id, id, 90, 'account.cured', '2020-01-01', $1, '{}', $1, $1"
        " from loan where ref = 'L'",
        DONE,
    )
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert await end_of_keeping(pool, at) == {"erased": 0, "addresses": 0, "kept_conflict": 1}
    case = await pool.fetchrow("select kind, subject, detail from case_item")
    assert case["kind"] == "retention-conflict"
    assert case["detail"]["rules"][0] == "ENGINE-RETENTION-CONFLICT"


async def test_invariants_hold_and_the_trail_copes_after_erasure(
    pool: Pool, keyring: Keyring
) -> None:
    world: World = await healthy(pool, keyring)
    await world.sql("update portfolio set packs = '{house,us-fed-payday}'")
    now = datetime(2020, 1, 1, tzinfo=UTC)
    assert (await end_of_keeping(pool, now))["erased"] == 1
    assert await pool.fetchval("select data_key is null from borrower where ref = 'ann'")
    findings = await check(pool, keyring, datetime(2016, 3, 21, 12, tzinfo=UTC), packs=every_pack())
    assert [(f.id, f.examples) for f in findings if f.violated] == []
    told = await trail(pool, Question("L1"), packs=every_pack(), keyring=keyring)
    assert isinstance(told, Trail)
    texts = [e.detail.get("text") for e in told.entries if e.kind == "attempt"]
    assert set(texts) == {"(erased)"}
    (entry,) = [e for e in told.entries if e.kind == "retention"]
    assert entry.text == "personal data erased, through 2019-03-21"
    assert [rule.id for rule in entry.rules] == ["CFPB-1041.12"]


async def test_whoever_was_erased_may_come_back_as_somebody_new(
    pool: Pool, keyring: Keyring
) -> None:
    await settled(pool, keyring, ("house", "us-fed-payday"))
    await end_of_keeping(pool, OVER)
    where = desk(pool, keyring)
    flag = event("borrower.flagged", "ann", "2027-04-01", flag="vip", note="private")
    assert (await give(where, flag, now=OVER)).applied == 1
    assert not (await personal(pool))["key"]
    back = opened("N", "2027-04-02", borrower=person("ann", name="Ann Again"))
    assert (await give(where, back, now=OVER)).applied == 1
    assert {key: bool(value) for key, value in (await personal(pool)).items()} == {
        "key": True, "name": True, "clues": False, "addresses": True, "events": True, "words": False,
    }  # fmt: skip
    key = keyring.person_key(await pool.fetchval("select data_key from borrower where ref = 'ann'"))
    assert key is not None


async def test_it_claims_its_slot_and_two_schedulers_do_no_harm(
    pool: Pool, keyring: Keyring
) -> None:
    await settled(pool, keyring, ("house", "us-fed-payday"))
    duty = next(duty for duty in DUTIES if duty.name == "retention")
    clock = VirtualClock(OVER)

    async def work(now: datetime) -> Any:
        return await end_of_keeping(pool, now)

    first = await tick(pool, clock, duty, work, "one")
    second = await tick(pool, clock, duty, work, "two")
    assert isinstance(first, Ran)
    assert (first.counts["erased"], second) == (1, Taken(first.slot))


async def test_many_people_go_in_batches(pool: Pool, keyring: Keyring) -> None:
    where = desk(pool, keyring, packs=("house", "us-fed-payday"))
    for number in range(7):
        who = person(f"p{number}", f"+23470100001{number:02}")
        await give(
            where,
            opened(f"L{number}", borrower=who),
            paid(f"L{number}", "p", "1000.00", "2024-03-02"),
        )
    counts = await end_of_keeping(pool, OVER, batch=2)
    assert (counts["erased"], counts["addresses"]) == (7, 7)


def rules(*named: Pack, role: str | None = None) -> Any:
    return retention_rules(named, role)


@given(
    st.dates(date(2020, 1, 1), date(2026, 1, 1)), st.dates(date(2020, 1, 1), date(2026, 1, 1)),
    st.dates(date(2020, 1, 1), date(2040, 1, 1)),
    st.sets(st.sampled_from(["us-fed-regf", "us-fed-payday", "cn-credit"])),
    st.sampled_from([None, Kept.HELD, Kept.OPEN_CASE, Kept.UNFINISHED]),
)  # fmt: skip
def test_never_before_the_longest_duty_is_over(
    ended: date, cured: date, today: date, named: set[str], standing: Kept | None
) -> None:
    anchors = {"loan_ended": ended, "last_activity": ended, "event_ended": cured}
    found = upkeep(rules(*packs(sorted(named))), anchors, today, standing)
    least = months_after(ended, 36) if named & {"us-fed-regf", "us-fed-payday"} else None
    most = months_after(cured, 60) if "cn-credit" in named else None
    over = found.kept is None
    if over:
        assert standing is None
        assert least is None or today > least
        assert least is not None or (most is not None and today >= most)
        assert least is None or most is None or least <= most
    if not named:
        assert found.kept is Kept.NO_RULE
    # a duty added never erases more
    every = upkeep(
        rules(*packs(["us-fed-payday", *sorted(named - {"us-fed-payday"})])),
        anchors,
        today,
        standing,
    )
    assert not (every.kept is None and least is not None and not over)


def test_a_rule_for_collectors_for_others_binds_only_them_once_that_is_known() -> None:
    named = packs(("us-fed-regf",))
    assert [len(rules(*named, role=r)) for r in (None, "third_party", "first_party")] == [2, 2, 0]
