"""Caps of the law, counted anew from the attempts and from the packs that their decisions recorded.

Counted here by calendar dates, one attempt after the other, and not by the code that the gate asks: a
mistake of one does not hide in the other. A pack whose recorded version is not at hand is not judged.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from agent.domain.calendar import local_date
from agent.domain.conduct import Pack
from agent.domain.conduct_base import Head
from agent.domain.conduct_caps import Cap, ChannelCap, Period, Scope, Span

SENT = "sent"
LawCap = Cap | ChannelCap
Known = tuple[tuple[str, Pack], ...]


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt that was not void, with what its decision went by."""

    begun_at: datetime
    channel: str
    loan_id: int
    anchor: date
    address_key: bytes
    packs: str
    zones: tuple[str, ...]
    loan_zone: str
    role: str | None
    name: str


@lru_cache(maxsize=4096)
def caps_of(recorded: str, known: Known) -> tuple[tuple[Pack, LawCap], ...]:
    """The caps of recorded packs that are at hand in the recorded version."""
    installed = dict(known)
    named = [installed[name] for name in recorded.split() if name in installed]
    return tuple(
        (pack, rule)
        for pack in named
        for rule in pack.rules
        if isinstance(rule, Cap | ChannelCap) and _counts_messages(rule)
    )


def _counts_messages(rule: LawCap) -> bool:
    return isinstance(rule, ChannelCap) or SENT in rule.counts


def at_hand(packs: Iterable[Pack]) -> Known:
    """Packs by the name under which decisions record them."""
    return tuple((f"{pack.id}@{pack.version}", pack) for pack in packs)


def unknown_packs(recorded: str, known: Known) -> tuple[str, ...]:
    """Recorded packs that are not at hand in their version; neither zone data nor a calendar is one."""
    names = dict(known)
    packs = (name for name in recorded.split() if not name.startswith(("tzdata@", "calendar:")))
    return tuple(name for name in packs if name not in names)


def over_caps(tried: Sequence[Tried], known: Known) -> Iterator[tuple[Tried, str]]:
    """Every attempt of a person that a cap should have kept back, with the rule and the count."""
    for place, attempt in enumerate(tried):
        for pack, rule in caps_of(attempt.packs, known):
            if binds(pack, rule.head, attempt):
                why = _over(rule, attempt, tried[:place])
                if why is not None:
                    yield attempt, f"{why}, rule {rule.id}"


def binds(pack: Pack, head: Head, attempt: Tried, *, waivable: bool = False) -> bool:
    """Whether a rule bound this attempt, by its side, class, days past due and dates."""
    if attempt.channel not in head.channels:
        return False
    if attempt.role is not None and attempt.role not in head.who:
        return False
    if head.when.content_class not in (None, "collection"):
        return False
    if head.waivable_by is not None and not waivable:
        # a waiver of that time may have been taken back since
        return False
    dpd = (local_date(attempt.begun_at, attempt.loan_zone) - attempt.anchor).days
    if head.when.dpd_gte is not None and dpd < head.when.dpd_gte:
        return False
    if head.when.dpd_lte is not None and dpd > head.when.dpd_lte:
        return False
    days = [local_date(attempt.begun_at, zone) for zone in attempt.zones]
    starts = [day for day in (pack.effective_from, head.effective_from) if day is not None]
    ends = [day for day in (pack.effective_to, head.effective_to) if day is not None]
    begun = not starts or max(days) >= max(starts)
    return begun and (not ends or min(days) <= min(ends))


def _over(rule: LawCap, attempt: Tried, earlier: Sequence[Tried]) -> str | None:
    concerned = [
        one
        for one in earlier
        if one.channel in rule.head.channels and _concerns(rule.scope, one, attempt)
    ]
    for zone in attempt.zones:
        inside = [one for one in concerned if _within(rule.period, one.begun_at, attempt, zone)]
        if isinstance(rule, Cap):
            if len(inside) >= rule.count:
                return f"{len(inside) + 1} contacts in the period in {zone}"
        elif len({attempt.channel, *(one.channel for one in inside)}) > rule.most:
            return f"more than {rule.most} channels in the period in {zone}"
    return None


def _concerns(scope: Scope, one: Tried, attempt: Tried) -> bool:
    match scope:
        case Scope.PERSON:
            return True
        case Scope.DEBT:
            return one.loan_id == attempt.loan_id
        case Scope.NUMBER:
            return (one.channel, one.address_key) == (attempt.channel, attempt.address_key)


def _within(period: Period, at: datetime, attempt: Tried, zone: str) -> bool:
    """Whether an earlier contact lies in the period that ends with this attempt."""
    if period.span is Span.ROLLING:
        since = attempt.begun_at.replace(microsecond=0) - at.replace(microsecond=0)
        return since < timedelta(seconds=period.length)
    today, day = local_date(attempt.begun_at, zone), local_date(at, zone)
    if period.span is Span.ISO_WEEK:
        return day.isocalendar()[:2] == today.isocalendar()[:2]
    return today - day < timedelta(days=period.length)
