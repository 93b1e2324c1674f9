"""The gate: may this notice go out now? Pure, and asked at the moment of sending.

It answers with every rule that fails, strictest effect first (deny > hold > snooze > send). A fact
that a rule needs and that is missing is a hold: never guess towards sending.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import NamedTuple

from agent.domain.calendar import local_date
from agent.domain.conduct import ContactFacts, Pack, consult
from agent.domain.conduct_base import MINUTE
from agent.domain.conduct_ruling import Ruling
from agent.domain.conduct_ways import Objection, Way, closed_by_opt_out, held_by, objections
from agent.domain.ladder import Action
from agent.domain.standing import Status

# The dispatch window (15 s) and 5 s more: nothing begins so late that it could leave after closing.
GUARD = timedelta(seconds=20)
RECHECK = timedelta(days=1)
# A new version of a text comes with a release too, and nothing wakes what waits for it.
TEXT_LOOK = timedelta(hours=1)
# The longest that a provider may keep a message before it must not be delivered any more.
KEPT_MAX = timedelta(minutes=15)
DELIVERED = "delivered"


class Verdict(StrEnum):
    SEND = "send"
    SNOOZE = "snooze"
    CANCEL = "cancel"


class Effect(IntEnum):
    """What a failing rule asks for; the highest wins."""

    SNOOZE = 1
    HOLD = 2
    DENY = 3


@dataclass(frozen=True, slots=True)
class Failing:
    rule: str
    effect: Effect
    until: datetime | None = None
    # the text that breaks it, where it is the text that does
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    reason: str
    until: datetime | None
    channel: str | None = None
    # when it began, for rules that count its days
    since: datetime | None = field(default=None, compare=False)


class Point(NamedTuple):
    """A contact point as the gate sees it: no address, only what may be done with it."""

    id: int
    channel: str
    status: str
    opted_out: bool
    consented: bool
    held: bool = False
    # why no route leads there at all, and until when the route is out of order
    no_route: str | None = None
    halted_until: datetime | None = None
    # until when the route's own quiet hours last
    quiet_until: datetime | None = None
    # the text that would go there, if that is stopped
    stopped_text: str | None = None


class NoticeFacts(NamedTuple):
    """The facts of one decision, read in the transaction that acts on it."""

    loan: str
    stage: str
    action: Action
    anchor: date
    due_at: datetime
    not_after: datetime
    route: tuple[str, ...]
    status: Status
    loan_anchor: date | None
    contact_ended: bool
    superseded_at: datetime | None
    holds: tuple[Hold, ...]
    pauses: tuple[str, ...]
    points: tuple[Point, ...]
    contact: ContactFacts
    stage_known: bool = True
    paused_channels: tuple[str, ...] = ()
    missing_packs: tuple[str, ...] = ()
    # what state rules ask of each point; one that is not told of is not known
    ways: tuple[Way, ...] = ()
    # it has reached the person by an earlier attempt
    delivered: bool = False


class Decision(NamedTuple):
    verdict: Verdict
    rules: tuple[str, ...]
    until: datetime | None = None
    point: Point | None = None
    # texts that kept it from going a way, each with a rule that it breaks: work for whoever wrote them
    texts: tuple[tuple[str, str], ...] = ()


def decide(facts: NoticeFacts, packs: Sequence[Pack], now: datetime) -> Decision:
    """Decide one notice at `now`.

    A snooze that cannot end before `not_after` is a cancellation that says so. A hold with no known
    end snoozes to `not_after`; whoever lifts it has the notice looked at again at once.
    """
    point, closed = _route(facts, tuple(packs), now)
    texts = _texts(closed) if closed else ()
    failing = [*_standing(facts, now), *_holds(facts, now), *(() if point else closed)]
    if facts.action is Action.MESSAGE:
        channel = point.channel if point else (facts.route[0] if facts.route else "sms")
        failing += _held_by_rules(facts, tuple(packs), now, channel)
        failing += _clock(facts, packs, now, channel)
    if not failing:
        return Decision(Verdict.SEND, (), None, point, texts)
    failing.sort(key=lambda item: -item.effect)
    decision = _strictest(facts, failing, now)
    return decision._replace(texts=texts) if texts else decision


def _texts(closed: Iterable[Failing]) -> tuple[tuple[str, str], ...]:
    """The texts among what closed ways, each with a rule that it breaks."""
    return tuple(dict.fromkeys((item.text, item.rule) for item in closed if item.text is not None))


def _strictest(facts: NoticeFacts, failing: Sequence[Failing], now: datetime) -> Decision:
    rules = tuple(dict.fromkeys(item.rule for item in failing))
    if failing[0].effect is Effect.DENY:
        return Decision(Verdict.CANCEL, rules)
    until = max(item.until or facts.not_after for item in failing)
    if failing[0].effect is Effect.HOLD:
        # looked at again while it lasts: facts that lift it may come by a way we did not foresee
        until = min(until, facts.not_after, now + RECHECK)
        return Decision(Verdict.SNOOZE, rules, max(until, now + timedelta(seconds=1)))
    if until >= facts.not_after:
        return Decision(Verdict.CANCEL, (*rules, "not-after"))
    return Decision(Verdict.SNOOZE, rules, until)


def _standing(facts: NoticeFacts, now: datetime) -> Iterator[Failing]:
    if facts.delivered:
        yield Failing(DELIVERED, Effect.DENY)
    if facts.status is Status.PAID:
        yield Failing("paid", Effect.DENY)
    if facts.status is Status.CLOSED:
        yield Failing("closed", Effect.DENY)
    if facts.loan_anchor != facts.anchor and facts.status is Status.OPEN:
        yield Failing("wrong-anchor", Effect.DENY)
    if facts.contact_ended:
        yield Failing("contact-ended", Effect.DENY)
    if facts.superseded_at is not None and facts.superseded_at <= now:
        yield Failing("superseded", Effect.DENY)
    if now >= facts.not_after:
        yield Failing("not-after", Effect.DENY)
    if not facts.stage_known:
        yield Failing("stage-unknown", Effect.DENY)


def _holds(facts: NoticeFacts, now: datetime) -> Iterator[Failing]:
    for hold in facts.holds:
        if hold.channel is None and _in_force(hold, now):
            yield Failing(f"hold:{hold.reason}", Effect.HOLD, hold.until)
    for scope in facts.pauses:
        yield Failing(f"paused:{scope}", Effect.HOLD)


def _in_force(hold: Hold, now: datetime) -> bool:
    return hold.until is None or hold.until > now


def _held_by_rules(
    facts: NoticeFacts, packs: tuple[Pack, ...], now: datetime, channel: str
) -> Iterator[Failing]:
    """What packs make of the holds: the law may close for good what a hold only puts off."""
    whole = [hold for hold in facts.holds if hold.channel is None and _in_force(hold, now)]
    if whole:
        zones = facts.contact.zones
        held = [
            {"type": h.reason}
            | ({"from": local_date(h.since, zones[0])} if h.since is not None and zones else {})
            for h in whole
        ]
        stated = facts.ways[0].evidence if facts.ways else ()
        yield from _failing(held_by(packs, channel, facts.contact.role, held, zones, now, stated))


_EFFECT = {Ruling.DEFER: Effect.SNOOZE, Ruling.HOLD: Effect.HOLD, Ruling.DENY: Effect.DENY}


def _failing(against: Iterable[Objection], text: str | None = None) -> Iterator[Failing]:
    for one in against:
        for name in one.names:
            yield Failing(name, _EFFECT[one.ruling], one.until, text if one.of_text else None)


def _route(
    facts: NoticeFacts, packs: tuple[Pack, ...], now: datetime
) -> tuple[Point | None, list[Failing]]:
    """The first contact point that may be used, along the channels that are still to try.

    Ways out are alternatives: while one of them is only held, the notice waits for it, whatever the
    others say. With it comes what closed those before it, or all of them.
    """
    if facts.action is not Action.MESSAGE:
        return None, []
    closed: list[list[Failing]] = []
    for channel in facts.route:
        for point in facts.points:
            if point.channel != channel:
                continue
            against = _refusals(facts, packs, point, now)
            if not against:
                return point, [item for one in closed for item in one]
            closed.append(against)
    if not closed:
        return None, [Failing("no-contact-point", Effect.DENY)]
    effect, until = min(_weight(facts, against) for against in closed)
    return None, [replace(item, effect=effect, until=until) for one in closed for item in one]


def _weight(facts: NoticeFacts, against: Sequence[Failing]) -> tuple[Effect, datetime]:
    """What stands against one way: the strictest of it, and the last end of that."""
    effect = max(item.effect for item in against)
    return effect, max(item.until or facts.not_after for item in against if item.effect is effect)


def _refusals(
    facts: NoticeFacts, packs: tuple[Pack, ...], point: Point, now: datetime
) -> list[Failing]:
    """All that is against one way: its own state, and rules that look at consents and evidence."""
    own = _refusal(point, now) or _shut(facts, point.channel, now)
    against = [] if own is None else [own]
    way = next((way for way in facts.ways if way.point == point.id), None) or Way(point.id)
    told = facts.contact
    ruled = objections(packs, point.channel, told.role, way, told.zones, now)
    against += _failing(ruled, way.text)
    if point.opted_out:
        closed = closed_by_opt_out(packs, point.channel, told.role, told.zones, now)
        against += _failing(closed)
    return against


def _shut(facts: NoticeFacts, channel: str, now: datetime) -> Failing | None:
    """A kill switch or a hold on a whole channel."""
    if channel in facts.paused_channels:
        return Failing("paused:channel", Effect.HOLD)
    if not facts.holds:
        return None
    holds = [hold for hold in facts.holds if hold.channel == channel and _in_force(hold, now)]
    if not holds:
        return None
    longest = max(holds, key=lambda hold: hold.until or facts.not_after)
    return Failing(f"hold:{longest.reason}", Effect.HOLD, longest.until)


def _refusal(point: Point, now: datetime) -> Failing | None:
    if point.status != "active":
        return Failing(f"number:{point.status}", Effect.DENY)
    if point.opted_out:
        return Failing("opted-out", Effect.DENY)
    if not point.consented:
        return Failing("no-consent", Effect.DENY)
    if point.no_route is not None:
        return Failing(f"route:{point.no_route}", Effect.DENY)
    if point.held:
        return Failing("hold:number", Effect.HOLD)
    if point.stopped_text is not None:
        rule = f"paused:template:{point.stopped_text}"
        return Failing(rule, Effect.HOLD, now + TEXT_LOOK)
    if point.halted_until is not None:
        return Failing("route-halted", Effect.HOLD, point.halted_until)
    if point.quiet_until is not None:
        return Failing("route-quiet-hours", Effect.SNOOZE, point.quiet_until)
    return None


def _clock(
    facts: NoticeFacts, packs: Sequence[Pack], now: datetime, channel: str
) -> Iterator[Failing]:
    for name in facts.missing_packs:
        yield Failing(f"pack-missing:{name}", Effect.HOLD)
    contact = _contact(facts, channel)
    if not contact.zones:
        yield Failing("zone-unknown", Effect.HOLD)
        return
    answer = consult(tuple(packs), contact, now)
    effect = Effect.SNOOZE if answer.until is not None else Effect.HOLD
    for rule in answer.rules:
        yield Failing(rule, effect, answer.until)


def _contact(facts: NoticeFacts, channel: str) -> ContactFacts:
    """The contact that clock rules look at: by this channel, of the class that its text makes it."""
    if not facts.ways:
        same = facts.contact.channel == channel
        return facts.contact if same else facts.contact._replace(channel=channel)
    classes = {
        way.content_class
        for way in facts.ways
        if any(point.id == way.point and point.channel == channel for point in facts.points)
    } - {facts.contact.content_class}
    if not classes and facts.contact.channel == channel:
        return facts.contact
    content_class = min(classes, default=facts.contact.content_class)
    return facts.contact._replace(channel=channel, content_class=content_class)


def good_for(facts: NoticeFacts, packs: Sequence[Pack], now: datetime, channel: str) -> timedelta:
    """How long a message that may go out now may still be delivered: every rule holds until then.

    Looked for in whole minutes, which is what windows are made of.
    """
    contact = _contact(facts, channel)
    longest = min(KEPT_MAX, facts.not_after - now)

    def allowed(at: datetime) -> bool:
        return not consult(tuple(packs), contact, at).failing

    if allowed(now + longest):
        return longest
    short, long = 0, int(longest / MINUTE)
    while long - short > 1:
        middle = (short + long) // 2
        short, long = (middle, long) if allowed(now + middle * MINUTE) else (short, middle)
    return short * MINUTE
