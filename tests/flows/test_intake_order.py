"""Whatever the order and the batches in which events come, the loans end the same.

What must be equal: facts and derived columns of every loan (bucket and next crossing included), payments,
instalments, people, active numbers, holds, stored events with their states. What may differ is the course
of outcomes, because each order learns things at other times; but the claims that stand in the end, after
retractions, must tell the same bucket and the same payoff, and they must equal the loan's own columns.

Not equal by nature, and so not in here: a fee without a date (it falls due with the anchor of the moment
it is learned), two openings of one loan, a payment or closing told twice under other ids: the first stands.
"""

import asyncio
from typing import Any

import asyncpg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from tests.support.intake import (
    Event,
    desk,
    event,
    facts,
    give,
    opened,
    paid,
    person,
    reversed_,
    standing_claims,
    wipe,
)

DAYS = [
    f"2024-{month:02}-{day:02}T{hour:02}:30:00+00:00"
    for month in (1, 2, 3, 4, 5)
    for day in (3, 12, 25)
    for hour in (9, 18)
]


@st.composite
def lives(draw: st.DrawFn) -> list[Event]:
    """The events of up to three loans of two people, no two at one instant for one subject."""
    events: list[Event] = []
    for number in range(draw(st.integers(1, 3))):
        loan, who = f"L{number}", draw(st.sampled_from(["ann", "bob"]))
        phone = f"+234701000000{draw(st.integers(1, 4))}"
        at = f"2024-01-0{number + 1}T08:0{number}:00+00:00"
        # days are counted where the loan was opened unless its person moves: here everybody stays
        zone = "Africa/Lagos"
        events.append(opened(loan, at, borrower=person(who, phone, timezone=zone)))
        for index in range(draw(st.integers(0, 4))):
            ref, day = f"p{index}", draw(st.sampled_from(DAYS))
            amount = draw(st.sampled_from(["100.00", "250.50", "500.00", "1000.00", "0.00"]))
            events.append(paid(loan, ref, amount, day))
            if draw(st.booleans()):
                events.append(
                    reversed_(loan, ref, draw(st.sampled_from([d for d in DAYS if d >= day])))
                )
        if draw(st.integers(0, 3)) == 0:
            reason = draw(st.sampled_from(["paid_off", "sold"]))
            events.append(event("loan.closed", loan, draw(st.sampled_from(DAYS)), reason=reason))
        if draw(st.integers(0, 3)) == 0:
            fee = {"amount": "25.00", "due_on": "2024-02-20"}
            events.append(event("fee.assessed", loan, draw(st.sampled_from(DAYS)), **fee))
    for who in ("ann", "bob"):
        for day in draw(st.lists(st.sampled_from(DAYS), max_size=2, unique=True)):
            phone = f"+234701000000{draw(st.integers(1, 4))}"
            told = person(who, phone, timezone="Africa/Lagos")
            events.append(event("borrower.updated", who, day, borrower=told))
        if draw(st.integers(0, 3)) == 0:
            events.append(
                event("borrower.flagged", who, draw(st.sampled_from(DAYS)), flag="dispute")
            )
    return sorted(events, key=lambda one: one["time"])


@st.composite
def mixed(draw: st.DrawFn) -> tuple[list[Event], list[list[Event]]]:
    """A history in order, and the same one shuffled, cut into batches, some events twice."""
    events = draw(lives())
    again = draw(st.lists(st.sampled_from(events), max_size=4))
    shuffled = draw(st.permutations([*events, *again]))
    batches: list[list[Event]] = [[]]
    for one in shuffled:
        if draw(st.integers(0, 2)) == 0:
            batches.append([])
        batches[-1].append(one)
    return events, batches


async def _taken(pool: "asyncpg.Pool[Any]", batches: list[list[Event]]) -> Any:
    await wipe(pool)
    where = desk(pool, Keyring(bytes(range(32))), default_portfolio="p")
    for batch in batches:
        await give(where, *batch)
    stored, claims = await facts(pool), await standing_claims(pool)
    columns = {
        row["ref"]: (row["bucket"], row["paid"])
        for row in await pool.fetch(
            "select ref, bucket, status = 'paid' as paid from loan where status <> 'closed'"
        )
    }
    assert claims == columns
    return stored, claims


def _differences(one: Any, other: Any) -> dict[str, Any]:
    found = {
        name: set(rows) ^ set(other[0][name])
        for name, rows in one[0].items()
        if rows != other[0][name]
    }
    return found if one[1] == other[1] else {**found, "claims": (one[1], other[1])}


def test_any_order_and_any_batches_end_the_same(database_url: str) -> None:
    runner = asyncio.Runner()
    pool = runner.run(open_pool(database_url, max_size=2))

    @settings(
        max_examples=40, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate],  # a failure is shown as it was found: each try costs a database
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(mixed())
    def check(case: tuple[list[Event], list[list[Event]]]) -> None:
        events, batches = case
        in_order = runner.run(_taken(pool, [events]))
        one_by_one = runner.run(_taken(pool, [[one] for one in events]))
        assert _differences(one_by_one, in_order) == {}
        assert _differences(runner.run(_taken(pool, batches)), in_order) == {}

    try:
        check()
    finally:
        runner.run(pool.close())
        runner.close()
