"""The invented ledger: the same for a seed, readable throughout, as bad as asked when it is disordered."""

import json
from collections import Counter
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.calendar import known_zone
from agent.domain.event import Event, Rejected
from agent.domain.event_reading import KINDS, parse_event
from agent.domain.invented import HOMES, LOANS_A_PERSON, Chance, disordered, ledger
from agent.domain.money import minor_units

SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS, loans=st.integers(1, 40), days=st.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_every_event_is_a_fact_and_stands_in_order(seed: int, loans: int, days: int) -> None:
    events = ledger(seed, loans, days)
    assert [read for event in events if isinstance(read := parse_event(event), Rejected)] == []
    times = [datetime.fromisoformat(event["time"]) for event in events]
    assert times == sorted(times)
    assert len({event["id"] for event in events}) == len(events)
    opened = [event["subject"] for event in events if event["type"] == "loan.opened"]
    assert sorted(opened) == sorted(f"L{number}" for number in range(loans))


def test_a_seed_gives_one_ledger_and_another_seed_another() -> None:
    assert ledger(4, 50, 100) == ledger(4, 50, 100)
    assert ledger(4, 50, 100) != ledger(5, 50, 100)


def test_every_kind_of_event_and_every_home_comes_up() -> None:
    events = ledger(1, 800, 200)
    assert {event["type"] for event in events} == set(KINDS)
    zones = {z for e in events for z in e["data"].get("borrower", {}).get("timezones", ())}
    assert zones == {home.zone for home in HOMES}
    people = {e["data"]["borrower"]["id"] for e in events if e["type"] == "loan.opened"}
    assert len(people) < 800 / LOANS_A_PERSON


def test_homes_are_real() -> None:
    for home in HOMES:
        assert known_zone(home.zone)
        assert minor_units(home.currency) is not None
    assert {minor_units(home.currency) for home in HOMES} == {0, 2, 3}


def test_a_disordered_ledger_has_every_fact_and_more_lines() -> None:
    events = ledger(2, 300, 200)
    lines = Counter(disordered(2, events))
    whole = [json.dumps(event, ensure_ascii=False).encode() for event in events]
    assert set(whole) <= set(lines)
    assert any(lines[line] == 2 for line in whole)
    others = [line for line in lines if line not in set(whole)]
    broken = [line for line in others if not line.endswith(b"}}")]
    assert broken
    assert len(others) > len(broken)


def test_disorder_changes_no_fact_that_can_be_read() -> None:
    events = ledger(3, 200, 200)
    read = []
    for line in disordered(3, events):
        try:
            event = parse_event(json.loads(line))
        except json.JSONDecodeError:
            continue
        if isinstance(event, Event) and not event.id.endswith(":impossible"):
            read.append(event.id)
    assert list(dict.fromkeys(read)) == [event["id"] for event in events]


@pytest.mark.parametrize(("low", "high"), [(0, 0), (1, 6), (-9, -1)])
def test_draws_stay_within_their_bounds_and_reach_them(low: int, high: int) -> None:
    drawn = {Chance(9).whole(low, high, number) for number in range(400)}
    assert drawn == set(range(low, high + 1))
