"""B8: CPU of one decision, with every shipped pack in force and a person with a history."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from time import process_time

from agent.domain.conduct import Contact, ContactFacts, Pack
from agent.domain.conduct_ways import Named, Way
from agent.domain.gate import GUARD, NoticeFacts, Point, Verdict, decide
from agent.domain.ladder import Action
from agent.domain.standing import Status
from agent.domain.zonetime import seconds_of
from agent.flows.rules import granted_packs
from benchmarks.bars import Shown, middles
from benchmarks.shop import Shop

_NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
_KINDS = 500


async def measure(shop: Shop, _wanted: set[str]) -> list[Shown]:
    """The same decisions, round after round; the facts differ from one to the next."""
    rules = granted_packs()
    facts = [_facts(number) for number in range(_KINDS)]
    times = shop.sized(1, 20, 100)
    shop.tell(f"gate: {times * _KINDS:,} decisions a round")
    rounds = [_round(facts, rules, times) for _ in range(shop.rounds)]
    also = middles(rounds)
    names = ", ".join(pack.id for pack in rules)
    note = f"packs there are: {names} ({sum(len(p.rules) for p in rules)} rules); history of 0 to 5 contacts"
    return [Shown("B8", also["decision_us"], note, rounds, also)]


def _facts(number: int) -> NoticeFacts:
    history = tuple(_NOW - timedelta(days=1 + day, minutes=number) for day in range(number % 6))
    return NoticeFacts(
        loan=f"loan-{number}",
        stage="overdue-3",
        action=Action.MESSAGE,
        anchor=date(2026, 3, 7),
        due_at=_NOW - timedelta(hours=1),
        not_after=_NOW + timedelta(hours=47),
        route=("push", "sms"),
        status=Status.OPEN,
        loan_anchor=date(2026, 3, 7),
        contact_ended=False,
        superseded_at=_NOW + timedelta(days=4),
        holds=(),
        pauses=(),
        points=(
            Point(1, "sms", "active", opted_out=False, consented=True),
            Point(2, "push", "active", opted_out=number % 3 == 0, consented=True),
        ),
        contact=ContactFacts(
            ("Africa/Lagos", "Europe/Madrid"),
            history,
            GUARD,
            contacts=tuple(Contact(seconds_of(at), "push", debt=f"{number}") for at in history),
            channel="push",
            dpd=3,
            debt=f"{number}",
            role="third_party",
        ),
        ways=tuple(
            Way(point, _evidence(number), _SAID[channel, number % len(_BODIES)])
            for point, channel in ((1, "sms"), (2, "push"))
        ),
    )


# Every rule about texts finds what it wants; the gate keeps its answers, of which there are few.
_BODIES = tuple(
    f"【Quick Cash】 NGN {amount}.00 was due. This is from a debt collector. Reply STOP to stop texts."
    for amount in range(40)
)
_SAID: Mapping[tuple[str, int], Named] = {
    (channel, at): (
        ("channel", channel), ("target", "borrower"), ("stage", "overdue-3"), ("grade", "friendly"),
        ("first_communication", False), ("role", "third_party"), ("sender_type", "number"),
        ("one_way_sender", False), ("gateway_bans", ()), ("route", "ng_sms" if channel == "sms" else "push"),
        ("body", body), ("content_class", "collection"), ("threatens_suit", False),
        ("threatens_action", False), ("overshadows", False), ("deadline_hours", None),
        ("lockscreen_shows_debt", False), ("discloses_debt_to_others", False),
        ("amount_agrees", True),
    )
    for channel in ("sms", "push")
    for at, body in enumerate(_BODIES)
}  # fmt: skip


def _evidence(number: int) -> Named:
    return (
        ("sms_consent", True), ("express_consent", False), ("days_since_consent", number % 60),
        ("days_since_consumer_text", None), ("reassigned_number_check_days", None),
        ("agent_details_sent", True), ("written_notice_mailed", True),
    )  # fmt: skip


def _round(facts: Sequence[NoticeFacts], rules: Sequence[Pack], times: int) -> dict[str, float]:
    begun = process_time()
    sends = 0
    for number in range(times):
        now = _NOW + timedelta(seconds=number)
        sends += sum(decide(each, rules, now).verdict is Verdict.SEND for each in facts)
    spent = process_time() - begun
    made = times * len(facts)
    return {"decision_us": spent / made * 1e6, "sent": sends / made}
