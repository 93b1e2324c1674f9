"""State rules at the moment of sending: what is not known holds, and no rule opens what another closes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.conduct import ContactFacts, Pack
from agent.domain.conduct_asked import facts_asked
from agent.domain.conduct_ruling import Ruling
from agent.domain.conduct_ways import (
    Objection,
    Tried,
    Way,
    closed_by_opt_out,
    days_since,
    failed_in_a_row,
    held_by,
    objections,
)
from agent.domain.gate import Hold, Verdict, decide
from agent.flows.rules import every_pack, pack
from tests.support.conduct import pack_of
from tests.unit.test_gate import APP, FACTS, NOON, TEXT

NOW = datetime(2026, 3, 6, 11, tzinfo=UTC)
LAGOS = ("Africa/Lagos",)
CONSENT = {"id": "CONSENT", "type": "consent_required", "channels": ["sms"], "fact": "agreed"}
KIND_UNKNOWN = Objection("CONSENT", Ruling.HOLD, None, "kind")
THIRD = {**CONSENT, "who": ["third_party"]}


def against(
    rule: dict[str, Any], role: str | None = "first_party", **facts: Any
) -> list[Objection]:
    way = Way(1, tuple(facts.items()))
    return list(objections((pack_of(rule),), "sms", role, way, LAGOS, NOW))


@pytest.mark.parametrize(
    ("rule", "facts", "expected"),
    [
        (CONSENT, {"agreed": True}, []),
        (CONSENT, {"agreed": False}, [Objection("CONSENT", Ruling.DENY)]),
        (CONSENT, {}, [Objection("CONSENT", Ruling.HOLD, None, "agreed")]),
        ({**CONSENT, "when": {"kind": "ad"}}, {"agreed": False, "kind": "word"}, []),
        ({**CONSENT, "when": {"kind": "ad"}}, {"agreed": True}, []),
        ({**CONSENT, "when": {"kind": "ad"}}, {"agreed": False}, [KIND_UNKNOWN]),
        ({**CONSENT, "channels": ["push"]}, {"agreed": False}, []),
        ({**CONSENT, "before": "bureau_report"}, {}, []),
        ({**CONSENT, "effective_from": "2026-03-06"}, {"agreed": False}, [Objection("CONSENT", Ruling.DENY)]),
        ({**CONSENT, "effective_from": "2026-03-07"}, {"agreed": False}, []),
        ({**CONSENT, "effective_to": "2026-03-06"}, {"agreed": False}, [Objection("CONSENT", Ruling.DENY)]),
        ({**CONSENT, "effective_to": "2026-03-05"}, {"agreed": False}, []),
    ],
)  # fmt: skip
def test_a_consent_is_there_or_not_or_nobody_knows(
    rule: dict[str, Any], facts: dict[str, Any], expected: list[Objection]
) -> None:
    assert against(rule, **facts) == expected


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("third_party", [Objection("CONSENT", Ruling.DENY)]),
        ("first_party", []),
        (None, [Objection("CONSENT", Ruling.HOLD, None, "role")]),
    ],
)
def test_a_rule_for_one_side_binds_who_may_be_on_it(
    role: str | None, expected: list[Objection]
) -> None:
    assert against(THIRD, role, agreed=False) == expected


@pytest.mark.parametrize(
    ("days", "allowed"), [((60, None), True), ((61, None), False), ((None, 0), True), ((None, None), False)]
)  # fmt: skip
def test_the_newest_evidence_counts(days: tuple[int | None, int | None], allowed: bool) -> None:
    rule = {
        "id": "R", "type": "revalidate", "channels": ["sms"], "max_age_days": 60, "needs": "x",
        "evidence_days": ["a", "b"],
    }  # fmt: skip
    assert (against(rule, a=days[0], b=days[1]) == []) is allowed


def test_no_evidence_comes_from_the_future() -> None:
    today = NOW.date()
    assert [days_since(today - timedelta(n), today) for n in (0, 3, -1)] == [0, 3, None]
    assert days_since(None, today) is None


def test_a_hold_is_judged_by_every_rule_that_knows_its_reason() -> None:
    regf = (pack("us-fed-regf"), pack("uk-drs"))
    held = [{"type": "attorney"}]
    assert list(held_by(regf, "sms", "third_party", held, LAGOS, NOW)) == [
        Objection("REGF-6B2-ATTORNEY", Ruling.DENY)
    ]
    assert list(held_by(regf, "sms", "first_party", held, LAGOS, NOW)) == []
    assert list(held_by(regf, "sms", None, held, LAGOS, NOW)) == [
        Objection("REGF-6B2-ATTORNEY", Ruling.HOLD, None, "role")
    ]
    resting = [{"type": "breathing_space", "from": NOW.date() - timedelta(10)}]
    (one,) = held_by(regf, "sms", "first_party", resting, LAGOS, NOW)
    assert (one.rule, one.ruling) == ("UK-DRS-60D", Ruling.DEFER)
    # the first minute after opening on the day after the sixtieth, by British summer time
    assert one.until == datetime(2026, 4, 26, 7, 1, tzinfo=UTC)


def test_packs_say_what_they_ask() -> None:
    assert facts_asked((pack("house"),), None) == frozenset()
    assert "quiet" in facts_asked((pack("uk-conc"),), "first_party")
    assert "waivers" in facts_asked((pack("us-fl"),), "first_party")
    third, first = (
        facts_asked((pack("us-fed-regf"),), role) for role in ("third_party", "first_party")
    )
    assert "reassigned_number_check_days" in third - first
    assert "written_consent_to_report" not in facts_asked((pack("cn-credit"),), None)


WAYS = st.builds(
    lambda consented, age, scope: (
        *((("sms_consent", consented),) if consented is not None else ()),
        ("express_consent", scope), ("days_since_consent", age),
    ),
    st.sampled_from((True, False, None)), st.sampled_from((None, 0, 60, 61)), st.booleans(),
)  # fmt: skip
HELD = st.lists(
    st.sampled_from(("attorney", "bankruptcy", "breathing_space", "dispute", "unheard-of")),
    max_size=2,
).map(lambda reasons: tuple(Hold(reason, None) for reason in reasons))


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(every_pack()), unique=True, max_size=5),
    st.sampled_from(every_pack()),
    st.lists(WAYS, min_size=2, max_size=2),
    st.sampled_from(("first_party", "third_party", None)),
    HELD,
    st.integers(0, 14 * 24 * 60),
)
def test_what_goes_out_under_more_rules_would_go_out_under_fewer(
    some: list[Pack],
    more: Pack,
    ways: list[Any],
    role: str | None,
    holds: tuple[Hold, ...],
    minute: int,
) -> None:
    """Asked of each way by itself: a rule that closes one way may make another the next to try."""
    now = NOON + timedelta(minutes=minute)
    told = FACTS._replace(
        ways=(Way(TEXT.id, ways[0]), Way(APP.id, ways[1])),
        contact=ContactFacts(LAGOS, (), role=role, dpd=3),
        holds=holds,
        due_at=now, not_after=now + timedelta(days=3), superseded_at=None,
    )  # fmt: skip
    for channel in ("sms", "push"):
        one = told._replace(route=(channel,))
        before, after = (decide(one, packs, now) for packs in (some, [*some, more]))
        assert set(before.rules) - {"not-after"} <= set(after.rules) | {"not-after"}
        order = [Verdict.SEND, Verdict.SNOOZE, Verdict.CANCEL]
        assert order.index(after.verdict) >= order.index(before.verdict)
    both = decide(told, [*some, more], now)
    if both.verdict is Verdict.SEND:
        assert both.point is not None
        alone = decide(told._replace(route=(both.point.channel,)), some, now)
        assert alone.verdict is Verdict.SEND


LETTER = {"id": "LETTER", "type": "prior_notice", "before": "electronic_contact", "fact": "mailed"}
AGENT = {"id": "AGENT", "type": "prior_notice", "before": "agent_contact", "fact": "told"}
TOMORROW = datetime(2026, 3, 6, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "facts", "expected"),
    [
        (LETTER, {"mailed": True}, []),
        (LETTER, {"mailed": NOW.date()}, []),
        (LETTER, {"mailed": NOW.date() + timedelta(1)}, [Objection("LETTER", Ruling.DEFER, TOMORROW)]),
        (LETTER, {"mailed": False}, [Objection("LETTER", Ruling.DENY)]),
        (LETTER, {"mailed": None}, [Objection("LETTER", Ruling.HOLD, None, "mailed")]),
        (LETTER, {}, [Objection("LETTER", Ruling.HOLD, None, "mailed")]),
        # where days are given, somebody has to say since when
        ({**LETTER, "min_days": 3}, {"mailed": True}, [Objection("LETTER", Ruling.HOLD, None, "mailed")]),
        ({**LETTER, "min_days": 3}, {"mailed": NOW.date() - timedelta(3)}, []),
        (
            {**LETTER, "min_days": 3}, {"mailed": NOW.date() - timedelta(2)},
            [Objection("LETTER", Ruling.DEFER, TOMORROW)],
        ),
        ({**LETTER, "channels": ["email"]}, {}, []),
        ({**LETTER, "before": "bureau_report"}, {}, []),
        ({**LETTER, "before": "debit"}, {}, []),
    ],
)  # fmt: skip
def test_a_contact_waits_for_what_comes_before_it(
    rule: dict[str, Any], facts: dict[str, Any], expected: list[Objection]
) -> None:
    assert against(rule, **facts) == expected


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("first_party", []),
        ("third_party", [Objection("AGENT", Ruling.HOLD, None, "told")]),
        (None, [Objection("AGENT", Ruling.HOLD, None, "role")]),
    ],
)
def test_only_an_agent_makes_an_agents_contact(role: str | None, expected: list[Objection]) -> None:
    assert against(AGENT, role) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, 2),
        ({"scope": "debt"}, 1),
        ({"scope": "number"}, 2),
        ({"reset_by": ["connected"]}, 3),
        ({"counts": ["unknown"]}, 0),
    ],
)
def test_tries_are_counted_one_after_the_other(more: dict[str, Any], expected: int) -> None:
    rule = {"id": "R", "type": "attempt_limit", "max": 3, "counts": ["not_connected"], **more}
    tries = (
        Tried("not_connected"), Tried("sent"), Tried("not_connected", this_debt=False),
        Tried("not_connected"),
    )  # fmt: skip
    (compiled,) = pack_of(rule).states
    assert failed_in_a_row(compiled, tries) == expected
    facts = against(rule, tries=tries)
    assert bool(facts) is (expected >= 3)
    assert against(rule) == [Objection("R", Ruling.HOLD, None, "tries")]


def test_an_opt_out_is_named_where_its_rule_is_in_force() -> None:
    rule = {"id": "EFFECT", "type": "opt_out_effect", "scope": "address_any_debt"}
    for dates, expected in (({}, ["EFFECT"]), ({"effective_from": "2026-03-07"}, [])):
        packs = (pack_of({**rule, **dates}),)
        found = closed_by_opt_out(packs, "sms", "first_party", LAGOS, NOW)
        assert [one.rule for one in found] == expected
