"""The gate: every rule on both sides of its threshold, and what several failing rules add up to."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.calendar import instant, local_date, local_time
from agent.domain.conduct import (
    ConductRule,
    ContactFacts,
    ContactWindow,
    DailyCap,
    Pack,
    RollingCap,
    Source,
)
from agent.domain.gate import (
    GUARD,
    RECHECK,
    TEXT_LOOK,
    Decision,
    Hold,
    NoticeFacts,
    Point,
    Verdict,
    decide,
)
from agent.domain.ladder import Action
from agent.domain.standing import Status

LAGOS = "Africa/Lagos"
NEW_YORK = "America/New_York"
DAY = date(2026, 3, 6)
SAID = Source("house policy", "…", "house")
BOTH = ("sms", "push")
WINDOW = ContactWindow("WINDOW", BOTH, SAID, time(8), time(20))
ONE_A_DAY = DailyCap("DAY", BOTH, SAID, 1, 1)
FIVE_A_WEEK = DailyCap("WEEK", BOTH, SAID, 5, 7)
HOUSE = Pack("house", "1", None, None, (WINDOW, ONE_A_DAY, FIVE_A_WEEK))
TEXT = Point(1, "sms", "active", opted_out=False, consented=True)
APP = Point(2, "push", "active", opted_out=False, consented=True)


def at(clock: str, day: date = DAY, zone: str = LAGOS) -> datetime:
    return instant(day, time.fromisoformat(clock), zone)


NOON = at("12:00")
FACTS = NoticeFacts(
    loan="L1",
    stage="overdue-1",
    action=Action.MESSAGE,
    anchor=DAY - timedelta(days=1),
    due_at=at("10:00"),
    not_after=at("10:00") + timedelta(days=3),
    route=("push", "sms"),
    status=Status.OPEN,
    loan_anchor=DAY - timedelta(days=1),
    contact_ended=False,
    superseded_at=at("10:00") + timedelta(days=2),
    holds=(),
    pauses=(),
    points=(TEXT, APP),
    contact=ContactFacts((LAGOS,), (), GUARD),
)


def asked(now: datetime = NOON, *packs: Pack, **change: Any) -> Decision:
    return decide(FACTS._replace(**change), packs or (HOUSE,), now)


def test_nothing_stands_against_it() -> None:
    assert asked() == Decision(Verdict.SEND, (), None, APP)


HELD = (Hold("dispute", NOON + timedelta(seconds=1)),)
SOON = NOON + timedelta(hours=1)

# change of facts → verdict, rules, until
TABLE: list[tuple[str, dict[str, Any], Verdict, tuple[str, ...], datetime | None]] = [
    ("paid", {"status": Status.PAID, "loan_anchor": None}, Verdict.CANCEL, ("paid",), None),
    ("closed", {"status": Status.CLOSED}, Verdict.CANCEL, ("closed",), None),
    ("moved on", {"loan_anchor": DAY}, Verdict.CANCEL, ("wrong-anchor",), None),
    ("moved back", {"loan_anchor": DAY - timedelta(9)}, Verdict.CANCEL, ("wrong-anchor",), None),
    ("ended", {"contact_ended": True}, Verdict.CANCEL, ("contact-ended",), None),
    ("overtaken now", {"superseded_at": NOON}, Verdict.CANCEL, ("superseded",), None),
    ("overtaken soon", {"superseded_at": NOON + timedelta(seconds=1)}, Verdict.SEND, (), None),
    ("never overtaken", {"superseded_at": None}, Verdict.SEND, (), None),
    ("late", {"not_after": NOON}, Verdict.CANCEL, ("not-after",), None),
    ("in time", {"not_after": NOON + timedelta(seconds=1)}, Verdict.SEND, (), None),
    ("unknown stage", {"stage_known": False}, Verdict.CANCEL, ("stage-unknown",), None),
    ("held", {"holds": HELD}, Verdict.SNOOZE, ("hold:dispute",), HELD[0].until),
    ("hold is over", {"holds": (Hold("dispute", NOON),)}, Verdict.SEND, (), None),
    ("held open", {"holds": (Hold("dispute", None),)}, Verdict.SNOOZE, ("hold:dispute",), NOON + RECHECK),
    (
        "held open, little time", {"holds": (Hold("x", None),), "not_after": SOON},
        Verdict.SNOOZE, ("hold:x",), SOON,
    ),
    ("one channel held", {"holds": (Hold("x", None, "push"),)}, Verdict.SEND, (), None),
    (
        "both channels held", {"holds": (Hold("x", SOON, "push"), Hold("y", NOON + RECHECK, "sms"))},
        Verdict.SNOOZE, ("hold:x", "hold:y"), SOON,
    ),
    ("channel hold is over", {"holds": (Hold("x", NOON, "sms"),), "points": (TEXT,)}, Verdict.SEND, (), None),
    ("everything paused", {"pauses": ("all",)}, Verdict.SNOOZE, ("paused:all",), NOON + RECHECK),
    (
        "loan and person paused", {"pauses": ("loan", "person")},
        Verdict.SNOOZE, ("paused:loan", "paused:person"), NOON + RECHECK,
    ),
    ("push paused", {"paused_channels": ("push",)}, Verdict.SEND, (), None),
    (
        "push paused, nothing else", {"paused_channels": ("push",), "points": (APP,)},
        Verdict.SNOOZE, ("paused:channel",), NOON + RECHECK,
    ),
    (
        "push paused, text stopped",
        {"paused_channels": ("push",), "points": (APP, TEXT._replace(opted_out=True))},
        Verdict.SNOOZE, ("paused:channel", "opted-out"), NOON + RECHECK,
    ),
    (
        "its text is stopped", {"points": (TEXT._replace(stopped_text="en/x@1"),)},
        Verdict.SNOOZE, ("paused:template:en/x@1",), NOON + TEXT_LOOK,
    ),
    (
        "one text is stopped, the other goes out", {"points": (TEXT, APP._replace(stopped_text="en/x@2"))},
        Verdict.SEND, (), None,
    ),
    (
        "both texts are stopped, little time",
        {"points": (TEXT._replace(stopped_text="en/x@1"), APP._replace(stopped_text="en/x@2")),
         "not_after": NOON + timedelta(minutes=5)},
        Verdict.SNOOZE, ("paused:template:en/x@2", "paused:template:en/x@1"), NOON + timedelta(minutes=5),
    ),
    (
        "a text stopped for who opted out",
        {"points": (TEXT._replace(stopped_text="en/x@1", opted_out=True),)},
        Verdict.CANCEL, ("opted-out",), None,
    ),
    ("no phone", {"points": ()}, Verdict.CANCEL, ("no-contact-point",), None),
    ("way not taken", {"route": ("sms",), "points": (APP,)}, Verdict.CANCEL, ("no-contact-point",), None),
    ("stopped", {"points": (TEXT._replace(opted_out=True),)}, Verdict.CANCEL, ("opted-out",), None),
    ("no consent", {"points": (TEXT._replace(consented=False),)}, Verdict.CANCEL, ("no-consent",), None),
    (
        "not theirs", {"points": (TEXT._replace(status="wrong_number"),)},
        Verdict.CANCEL, ("number:wrong_number",), None,
    ),
    (
        "number held", {"points": (TEXT._replace(held=True),)},
        Verdict.SNOOZE, ("hold:number",), NOON + RECHECK,
    ),
    (
        "app gone, number held",
        {"points": (APP._replace(status="disconnected"), TEXT._replace( held=True))},
        Verdict.SNOOZE, ("number:disconnected", "hold:number"), NOON + RECHECK,
    ),
    (
        "both gone",
        {"points": (APP._replace(status="withdrawn"), TEXT._replace( opted_out=True))},
        Verdict.CANCEL, ("number:withdrawn", "opted-out"), None,
    ),
    ("zone unknown", {"contact": ContactFacts((), ())}, Verdict.SNOOZE, ("zone-unknown",), NOON + RECHECK),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "verdict", "rules", "until"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_each_rule_around_its_threshold(
    change: dict[str, Any], verdict: Verdict, rules: tuple[str, ...], until: datetime | None
) -> None:
    decision = asked(**change)
    assert (decision.verdict, decision.rules, decision.until) == (verdict, rules, until)


def test_the_first_way_that_is_open_is_taken() -> None:
    assert asked(points=(APP._replace(opted_out=True), TEXT)).point == TEXT
    assert asked(points=(TEXT,)).point == TEXT
    second = TEXT._replace(id=3)
    assert (
        asked(route=("sms",), points=(TEXT._replace(status="disconnected"), second)).point == second
    )


def test_work_and_facts_need_no_phone_and_no_hour() -> None:
    night = at("03:00")
    for action in (Action.CASE, Action.OUTCOME):
        assert asked(night, action=action, points=(), route=()).verdict is Verdict.SEND
        assert asked(night, action=action, status=Status.PAID).verdict is Verdict.CANCEL
        assert asked(night, action=action, pauses=("stage",)).verdict is Verdict.SNOOZE


# ---- hours


@pytest.mark.parametrize(
    ("clock", "allowed"),
    [
        ("07:59", False), ("08:00", False), ("08:00:59", False), ("08:01", True), ("13:00", True),
        ("19:59", True), ("19:59:39", True), ("19:59:40", False), ("20:00", False), ("23:30", False),
    ],
)  # fmt: skip
def test_hours_bounds_are_outside_and_nothing_begins_that_could_end_after_closing(
    clock: str, *, allowed: bool
) -> None:
    decision = asked(at(clock))
    assert (decision.verdict is Verdict.SEND) is allowed
    if not allowed:
        assert decision.rules == ("WINDOW",)
        opens = DAY if clock < "08:01" else DAY + timedelta(days=1)
        assert decision.until == at("08:01", opens)


def test_hours_hold_in_every_zone_where_the_person_may_be() -> None:
    contact = ContactFacts((LAGOS, NEW_YORK), (), GUARD)
    noon_in_lagos = asked(NOON, contact=contact)  # six in the morning in New York
    assert noon_in_lagos.until == at("08:01", zone=NEW_YORK)
    assert asked(at("08:01", zone=NEW_YORK), contact=contact).verdict is Verdict.SEND
    assert asked(at("15:00", zone=NEW_YORK), contact=contact).until == at(
        "08:01", DAY + timedelta(days=1), NEW_YORK
    )


def test_zones_that_are_never_awake_together_hold_the_notice() -> None:
    contact = ContactFacts((LAGOS, "Pacific/Pago_Pago"), (), GUARD)
    decision = asked(contact=contact)
    assert (decision.verdict, decision.rules) == (
        Verdict.SNOOZE,
        ("ENGINE-NO-COMMON-WINDOW", "WINDOW"),
    )
    assert decision.until == NOON + RECHECK


@pytest.mark.parametrize("day", [date(2026, 3, 7), date(2026, 10, 31)])
def test_the_morning_after_clocks_changed_opens_by_the_new_clock(day: date) -> None:
    morning = asked(at("21:00", day, NEW_YORK), not_after=at("23:00", day + timedelta(9)),
                    superseded_at=None, contact=ContactFacts((NEW_YORK,), (), GUARD))  # fmt: skip
    assert morning.until == at("08:01", day + timedelta(days=1), NEW_YORK)
    assert morning.until is not None
    assert local_time(morning.until, NEW_YORK) == time(8, 1)


# ---- caps


def history(*told: datetime, zones: tuple[str, ...] = (LAGOS,)) -> dict[str, Any]:
    return {"contact": ContactFacts(zones, tuple(told), GUARD)}


def test_one_a_day_is_a_local_day() -> None:
    assert asked(**history(at("08:01"))).rules == ("DAY",)
    assert asked(**history(at("08:01"))).until == at("08:01", DAY + timedelta(days=1))
    assert asked(**history(at("19:59", DAY - timedelta(days=1)))).verdict is Verdict.SEND


def test_a_day_is_a_day_in_every_zone_where_the_person_may_be() -> None:
    zones = (LAGOS, "Asia/Shanghai")
    # 19:00 in Shanghai yesterday, noon in Lagos; today both are awake at nine in Lagos
    assert asked(at("09:00"), **history(at("12:00", DAY - timedelta(1)), zones=zones)).rules == ()
    west = ("America/Los_Angeles", "America/New_York")
    last_night = at("19:30", DAY - timedelta(days=1), west[0])  # half past ten in New York
    morning = at("11:30", DAY, west[1])
    assert asked(morning, **history(last_night, zones=west)).rules == ()


def week(count: int) -> tuple[datetime, ...]:
    return tuple(at("10:00", DAY - timedelta(days=days)) for days in range(1, count + 1))


def test_five_in_seven_days() -> None:
    assert asked(**history(*week(4))).verdict is Verdict.SEND
    full = asked(not_after=at("23:00", DAY + timedelta(9)), superseded_at=None, **history(*week(5)))
    assert full.rules == ("WEEK",)
    # the oldest, of five days ago, leaves the seven days in two
    assert full.until == at("08:01", DAY + timedelta(days=2))
    eight_days = (*week(4), at("19:00", DAY - timedelta(days=7)))
    assert asked(**history(*eight_days)).verdict is Verdict.SEND
    six_days = (*week(4), at("08:01", DAY - timedelta(days=6)))
    assert asked(**history(*six_days)).rules == ("WEEK",)


def test_a_rolling_cap_counts_to_the_second() -> None:
    pack = Pack("p", "1", None, None, (RollingCap("ROLLING", BOTH, SAID, 2, timedelta(hours=24)),))
    first = NOON - timedelta(hours=24)
    told = (first, NOON - timedelta(hours=1))
    assert asked(NOON, pack, **history(*told)).verdict is Verdict.SEND
    before = asked(NOON - timedelta(seconds=1), pack, **history(*told))
    assert (before.rules, before.until) == (("ROLLING",), NOON)


def test_a_snooze_that_cannot_end_in_time_is_a_cancellation_that_says_so() -> None:
    late = at("21:00")
    tomorrow = at("08:01", DAY + timedelta(days=1))
    assert asked(late, not_after=tomorrow) == Decision(Verdict.CANCEL, ("WINDOW", "not-after"))
    assert asked(late, not_after=tomorrow + timedelta(seconds=1)).until == tomorrow


def test_all_failing_rules_are_told_the_strictest_wins() -> None:
    night = at("21:00")
    told = {"holds": (Hold("dispute", None),), "pauses": ("all",), **history(at("10:00"))}
    held = asked(night, **told)
    assert held.verdict is Verdict.SNOOZE
    assert held.rules == ("hold:dispute", "paused:all", "WINDOW", "DAY")
    paid = asked(night, status=Status.PAID, loan_anchor=None, **told)
    assert paid.verdict is Verdict.CANCEL
    assert paid.rules == ("paid", *held.rules)


def test_a_held_notice_is_not_looked_at_before_its_hours_come() -> None:
    night = at("21:00")
    held = asked(night, holds=(Hold("x", night + timedelta(minutes=5)),))
    assert held.until == at("08:01", DAY + timedelta(days=1))


# ---- always

ZONES = (LAGOS, NEW_YORK, "Asia/Shanghai", "Australia/Lord_Howe", "Pacific/Apia", "Europe/London")
INSTANTS = st.integers(0, 40 * 24 * 60).map(
    lambda minutes: datetime(2026, 2, 25, tzinfo=UTC) + timedelta(minutes=minutes)
) | st.integers(0, 8 * 24 * 60).map(
    lambda minutes: datetime(2011, 12, 27, tzinfo=UTC) + timedelta(minutes=minutes)
)
KNOWN: list[ConductRule] = [
    WINDOW,
    ONE_A_DAY,
    FIVE_A_WEEK,
    ContactWindow("NARROW", BOTH, SAID, time(9, 30), time(12)),
    ContactWindow("EVENING", BOTH, SAID, time(11), time(21)),
    DailyCap("TWO", BOTH, SAID, 2, 3),
    RollingCap("HOURS", BOTH, SAID, 1, timedelta(hours=30)),
]
RULES = st.lists(st.sampled_from(KNOWN), max_size=4, unique_by=lambda rule: rule.id)


@st.composite
def moments(draw: st.DrawFn) -> tuple[NoticeFacts, tuple[Any, ...], datetime]:
    now = draw(INSTANTS)
    told = draw(st.lists(st.integers(1, 9 * 24 * 60), max_size=6))
    zones = draw(st.lists(st.sampled_from(ZONES), min_size=1, max_size=2, unique=True))
    past = tuple(now - timedelta(minutes=minutes) for minutes in told)
    facts = FACTS._replace(
        not_after=now + timedelta(days=60),
        superseded_at=None,
        contact=ContactFacts(tuple(zones), past, draw(st.sampled_from([timedelta(0), GUARD]))),
    )
    return facts, tuple(draw(RULES)), now


def pack_of(*rules: Any) -> tuple[Pack, ...]:
    return (Pack("p", "1", None, None, tuple(rules)),)


@settings(deadline=None)
@given(moments())
def test_a_snooze_ends_at_the_first_minute_at_which_all_rules_pass(
    moment: tuple[NoticeFacts, tuple[Any, ...], datetime],
) -> None:
    facts, rules, now = moment
    decision = decide(facts, pack_of(*rules), now)
    if decision.verdict is Verdict.SEND:
        return
    assert decision.until is not None
    if decision.until == now + RECHECK:
        return  # the zones are never awake together
    assert decide(facts, pack_of(*rules), decision.until).verdict is Verdict.SEND
    minute = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    # every minute of the last day, and every quarter of an hour before it
    while minute < decision.until:
        assert decide(facts, pack_of(*rules), minute).verdict is not Verdict.SEND, minute
        last_day = decision.until - minute < timedelta(hours=13)
        minute += timedelta(minutes=1 if last_day else 15)


@given(moments(), st.data())
def test_one_rule_more_never_allows_more(
    moment: tuple[NoticeFacts, tuple[Any, ...], datetime], data: st.DataObject
) -> None:
    facts, rules, now = moment
    if not rules:
        return
    left = [rule for rule in rules if rule is not data.draw(st.sampled_from(rules))]
    with_all, with_fewer = decide(facts, pack_of(*rules), now), decide(facts, pack_of(*left), now)
    assert set(with_fewer.rules) <= set(with_all.rules)
    if with_all.verdict is Verdict.SEND:
        assert with_fewer.verdict is Verdict.SEND
    elif with_fewer.until is not None and with_all.until not in (None, now + RECHECK):
        assert with_all.until is not None
        assert with_fewer.until <= with_all.until


BLOCKS: list[dict[str, Any]] = [
    {"status": Status.PAID},
    {"contact_ended": True},
    {"holds": (Hold("x", None),)},
    {"pauses": ("all",)},
    {"points": ()},
    {"paused_channels": BOTH},
    {"stage_known": False},
]


@given(moments(), st.lists(st.sampled_from(BLOCKS), max_size=3), st.sampled_from(BLOCKS))
def test_one_obstacle_more_never_opens_the_way(
    moment: tuple[NoticeFacts, tuple[Any, ...], datetime],
    some: list[dict[str, Any]],
    more: dict[str, Any],
) -> None:
    facts, rules, now = moment
    order = [Verdict.SEND, Verdict.SNOOZE, Verdict.CANCEL]
    for change in some:
        facts = facts._replace(**change)
    before = decide(facts, pack_of(*rules), now)
    after = decide(facts._replace(**more), pack_of(*rules), now)
    assert order.index(after.verdict) >= order.index(before.verdict)
    assert after.verdict is not Verdict.SEND


@given(moments())
def test_what_is_sent_is_inside_every_window_and_under_every_cap(
    moment: tuple[NoticeFacts, tuple[Any, ...], datetime],
) -> None:
    """Counted by hand, not by the rules' own code."""
    facts, _, now = moment
    if decide(facts, (HOUSE,), now).verdict is not Verdict.SEND:
        return
    for zone in facts.contact.zones:
        assert time(8, 1) <= local_time(now, zone) < time(20)
        today = local_date(now, zone)
        days = [local_date(told, zone) for told in facts.contact.history]
        assert today not in days
        assert sum(0 <= (today - day).days < 7 for day in days) < 5
