"""Deciding a kind of notice once gives every notice the answer that it would get alone."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.alike import Kinds
from agent.domain.conduct import Contact, ContactFacts, ContactWindow, DailyCap, Pack, Source
from agent.domain.conduct_ways import Way
from agent.domain.gate import GUARD, Hold, NoticeFacts, Point, decide
from agent.domain.ladder import Action
from agent.domain.standing import Status
from agent.flows.rules import granted_packs

NOW = datetime(2026, 3, 6, 11, 30, tzinfo=UTC)
DAY = date(2026, 3, 5)
HOUR = timedelta(hours=1)
SAID = Source("house policy", "…", "house")
HOUSE = Pack(
    "house", "1", None, None,
    (ContactWindow("WINDOW", ("sms", "push"), SAID, time(8), time(20)),
     DailyCap("DAY", ("sms", "push"), SAID, 1, 1)),
)  # fmt: skip
PACKS = st.sampled_from([(), (HOUSE,), granted_packs()])


@st.composite
def noticed(draw: st.DrawFn) -> NoticeFacts:
    """Few values of each fact, so that many notices are alike in all that counts."""
    first = draw(st.integers(1, 1_000))
    states = st.sampled_from([("active", False), ("active", True), ("disconnected", False)])
    points = [
        Point(first + at, channel, status, out, consented=draw(st.booleans()))
        for at, channel in enumerate(draw(st.sampled_from([("sms",), ("push", "sms"), ()])))
        for status, out in [draw(states)]
    ]
    debt = str(draw(st.integers(1, 3)))
    contacts = draw(st.lists(st.sampled_from("123"), max_size=2))
    holds = (Hold("dispute", None, None, draw(st.sampled_from([None, NOW - 3 * HOUR]))),)
    return NoticeFacts(
        loan=draw(st.sampled_from(["L1", "L2", "L3"])),
        stage="overdue-1",
        action=Action.MESSAGE,
        anchor=DAY,
        due_at=NOW - HOUR,
        not_after=NOW + draw(st.sampled_from([3, 30])) * HOUR,
        route=("push", "sms"),
        status=draw(st.sampled_from([Status.OPEN, Status.OPEN, Status.PAID])),
        loan_anchor=DAY,
        contact_ended=False,
        superseded_at=None,
        holds=draw(st.sampled_from([(), (), holds])),
        pauses=draw(st.sampled_from([(), (), ("stage",)])),
        points=tuple(points),
        contact=ContactFacts(
            draw(st.sampled_from([("Africa/Lagos",), ("Asia/Tokyo",), ()])),
            tuple(NOW - draw(st.sampled_from([2, 40])) * HOUR for _ in contacts),
            GUARD,
            tuple(Contact(int(NOW.timestamp()) - 7_200, "sms", debt=one) for one in contacts),
            dpd=draw(st.sampled_from([1, None])),
            debt=debt,
        ),
        ways=tuple(Way(p.id, (("sms_consent", p.consented),)) for p in points if draw(st.booleans())),
    )  # fmt: skip


@given(st.lists(noticed(), min_size=1, max_size=12), PACKS)
def test_a_notice_is_decided_as_if_it_were_alone(
    notices: list[NoticeFacts], packs: tuple[Pack, ...]
) -> None:
    kinds = Kinds(NOW)
    for facts in notices:
        alone = decide(facts, packs, NOW)
        found = kinds.of(facts, packs).decide(facts)
        assert found == alone
        assert found.point is alone.point


@given(st.lists(noticed(), min_size=2, max_size=2), st.sampled_from([(), (HOUSE,)]))
def test_a_fingerprint_is_that_of_all_facts_whatever_came_before(
    two: list[NoticeFacts], packs: tuple[Pack, ...]
) -> None:
    kinds, (one, other) = Kinds(NOW), two
    first, second = (kinds.of(facts, packs).fingerprint(facts) for facts in two)
    assert (first == second) is (repr(one) == repr(other))
    assert second == Kinds(NOW).of(other, packs).fingerprint(other)


ALIKE: list[dict[str, Any]] = [{}, {"loan": "L2"}]
OTHER: list[dict[str, Any]] = [
    {"holds": (Hold("dispute", None),)}, {"not_after": NOW + HOUR}, {"pauses": ("all",)},
    {"delivered": True}, {"missing_packs": ("us",)},
]  # fmt: skip


@pytest.mark.parametrize("change", ALIKE + OTHER)
def test_only_what_is_alike_is_decided_together(change: dict[str, Any]) -> None:
    facts = NoticeFacts(
        "L1", "overdue-1", Action.MESSAGE, DAY, NOW, NOW + 9 * HOUR, ("sms",), Status.OPEN, DAY,
        contact_ended=False, superseded_at=None, holds=(), pauses=(),
        points=(Point(7, "sms", "active", opted_out=False, consented=True),),
        contact=ContactFacts(("Africa/Lagos",), (), GUARD, debt="1"),
    )  # fmt: skip
    kinds = Kinds(NOW)
    together = kinds.of(facts, (HOUSE,)) is kinds.of(facts._replace(**change), (HOUSE,))
    assert together is (change in ALIKE)
    assert kinds.of(facts, ()) is not kinds.of(facts, (HOUSE,))
