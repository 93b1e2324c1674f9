"""Counting caps again, attempt by attempt, finds exactly what the gate would have kept back."""

import tomllib
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.conduct import ContactFacts, Pack, compile_pack
from agent.domain.conduct_base import Contact
from agent.domain.zonetime import seconds_of
from agent.flows.hindsight_caps import Tried, at_hand, caps_of, over_caps, unknown_packs
from agent.flows.rules import every_pack

START = datetime(2026, 3, 1, tzinfo=UTC)
PERIODS = (
    "{ local_dates = 1 }", "{ local_dates = 7 }", '{ rolling = "PT24H" }', '{ rolling = "P3D" }',
    '"iso_week"',
)  # fmt: skip


def pack_of(kind: str, count: int, period: str, scope: str) -> Pack:
    most = "count" if kind == "frequency_cap" else "max_distinct"
    counts = 'counts = ["sent"]\n' if kind == "frequency_cap" else ""
    found = compile_pack(
        tomllib.loads(
            f'[pack]\nid = "law"\n[[rule]]\nid = "R"\ntype = "{kind}"\nchannels = ["sms", "push"]\n'
            f'{most} = {count}\nperiod = {period}\nscope = "{scope}"\n{counts}'
        ),
        "1",
    )
    assert isinstance(found, Pack)
    return found


def tried(at: datetime, channel: str, loan: int, number: int, zones: tuple[str, ...]) -> Tried:
    return Tried(
        at, channel, loan, date(2026, 2, 1), bytes([number]), "law@1 tzdata@2026a", zones, "UTC",
        None, "L",
    )  # fmt: skip


PLACES = st.sampled_from(
    [("UTC",), ("Asia/Shanghai",), ("America/New_York", "America/Los_Angeles"), ("Pacific/Apia",)]
)
CONTACTS = st.lists(
    st.tuples(
        st.integers(0, 20 * 1440), st.sampled_from(["sms", "push", "call"]), st.integers(1, 2),
        st.integers(1, 2),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=400)
@given(
    st.sampled_from(["frequency_cap", "channel_cap"]), st.integers(1, 3), st.sampled_from(PERIODS),
    st.sampled_from(["person", "debt", "number"]), PLACES, CONTACTS,
)  # fmt: skip
def test_counted_again_it_is_what_the_gate_says(
    kind: str, count: int, period: str, scope: str, zones: tuple[str, ...],
    contacts: list[tuple[int, str, int, int]],
) -> None:  # fmt: skip
    pack = pack_of(kind, count, period, scope)
    (rule,) = pack.rules
    all_tried = [
        tried(START + timedelta(minutes=minute), channel, loan, number, zones)
        for minute, channel, loan, number in sorted(contacts)
    ]
    expected = set()
    for place, one in enumerate(all_tried):
        facts = ContactFacts(
            zones, (), contacts=tuple(_past(earlier) for earlier in all_tried[:place]),
            channel=one.channel, debt=str(one.loan_id), number=one.channel + one.address_key.hex(),
        )  # fmt: skip
        bound = one.channel in rule.channels
        if bound and rule.first_allowed(facts, one.begun_at) != one.begun_at:
            expected.add(place)
    found = {all_tried.index(attempt) for attempt, _ in over_caps(all_tried, at_hand([pack]))}
    assert {all_tried[place] for place in expected} == {all_tried[place] for place in found}


def _past(one: Tried) -> Contact:
    return Contact(
        seconds_of(one.begun_at), one.channel, debt=str(one.loan_id),
        number=one.channel + one.address_key.hex(),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["us-ma", "co-ley2300", "th-dca", "vn-sbv", "us-dc", "us-wa"])
def test_the_caps_of_shipped_packs_are_found_by_their_recorded_version(name: str) -> None:
    known = at_hand(every_pack())
    recorded = next(recorded for recorded, pack in known if pack.id == name)
    assert caps_of(f"house@x {recorded} tzdata@2026a", known)
    assert unknown_packs(f"{name}@older {recorded} tzdata@2026a", known) == (f"{name}@older",)


def test_whose_debt_it_is_decides_which_rules_bind() -> None:
    known = at_hand(every_pack())
    recorded = next(recorded for recorded, pack in known if pack.id == "us-wa")
    zones = ("America/Los_Angeles",)
    four = [tried(START + timedelta(hours=h), "sms", 1, 1, zones) for h in (20, 44, 68, 92)]

    def judged(role: str | None) -> int:
        rows = [
            Tried(o.begun_at, o.channel, o.loan_id, o.anchor, o.address_key, recorded, o.zones,
                  o.loan_zone, role, o.name)
            for o in four
        ]  # fmt: skip
        return len(list(over_caps(rows, known)))

    assert [judged(role) for role in ("third_party", "first_party", None)] == [1, 0, 1]
