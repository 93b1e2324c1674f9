"""What must never happen, checked on the database (DESIGN §7). A row in the table is an invariant.

Most rows are one set-based statement. Some re-derive every loan from its stored events with the pure
domain code, one counts every contact again by the packs that decisions recorded. Rows about tables that
do not exist yet say so instead of claiming success.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any

import asyncpg

from agent.domain.conduct import ConductRule, ContactWindow, DailyCap, Pack, RollingCap, WeekWindow
from agent.domain.conduct_base import ALWAYS
from agent.domain.delivery import CLOSE_UNKNOWN_AFTER
from agent.domain.ladder import Ladder
from agent.domain.money import decimal_text
from agent.flows.hindsight import (
    Derived,
    Schedule,
    derive,
    with_time,
    wrong_amount,
    wrong_attempt,
    wrong_columns,
    wrong_outcomes,
)
from agent.flows.hindsight_caps import (
    Known,
    Tried,
    at_hand,
    caps_of,
    over_caps,
    unknown_packs,
)
from agent.flows.hindsight_rules import outside, sent_of, texts_of, unsaid, windows_of
from agent.flows.invariant_rows import INVARIANTS, Invariant
from agent.flows.portfolios import ladder_of
from agent.flows.rules import BY_PLACE
from agent.store.invariants import (
    History,
    StoredSchedule,
    Violations,
    contacted_people,
    histories,
    recorded_packs,
    schedules,
    violations,
)
from agent.store.keyring import Keyring, Unreadable, body_place, unseal
from agent.store.sql import Connection

# Every duty comes round within a minute; by now what a crash left behind is picked up.
RESCUE = timedelta(minutes=15)
# An unknown attempt is looked up again at most six hours apart, so its end may come that much later.
CLOSING = CLOSE_UNKNOWN_AFTER + timedelta(hours=6) + RESCUE
EXAMPLES = 5
# What stands between groups of three digits, if anything does.
_GROUPING = "[.,'\u2019\u00a0\u2009\u202f ]?"


@dataclass(frozen=True, slots=True)
class Finding:
    """What the check of one invariant found."""

    id: str
    title: str
    violations: int = 0
    examples: tuple[str, ...] = ()
    pending: str | None = None

    @property
    def violated(self) -> bool:
        return self.violations > 0


@dataclass(slots=True)
class _Tally:
    """Violations found by re-derivation, by invariant."""

    totals: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    # what could not be judged, in words
    unjudged: dict[str, str] = field(default_factory=dict)

    def add(self, invariant: str, subject: str, why: str | None) -> None:
        if why is None:
            return
        self.totals[invariant] = self.totals.get(invariant, 0) + 1
        found = self.examples.setdefault(invariant, [])
        if len(found) < EXAMPLES:
            found.append(f"{subject}: {why}")

    def of(self, invariant: str) -> Violations:
        return Violations(self.totals.get(invariant, 0), tuple(self.examples.get(invariant, ())))


async def check(
    pool: "asyncpg.Pool[asyncpg.Record]",
    keyring: Keyring | None,
    now: datetime,
    *,
    packs: Sequence[Pack],
) -> tuple[Finding, ...]:
    """Check every invariant at `now`, on one snapshot; without a keyring message texts are not read."""
    known = {"now": now, "grace": RESCUE, "closing": CLOSING, "examples": EXAMPLES, **_rules(packs)}
    async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        tally = await _rederive(conn, keyring, now)
        await _count_again(conn, packs, keyring, tally)
        return tuple([await _finding(conn, invariant, known, tally) for invariant in INVARIANTS])


async def _finding(
    conn: Connection, invariant: Invariant, known: Mapping[str, Any], tally: _Tally
) -> Finding:
    if invariant.pending is not None:
        return Finding(invariant.id, invariant.title, pending=invariant.pending)
    if invariant.statement is None:
        found, pending = tally.of(invariant.id), tally.unjudged.get(invariant.id)
        return Finding(invariant.id, invariant.title, found.total, found.examples, pending)
    found = await violations(conn, invariant.statement, known)
    return Finding(invariant.id, invariant.title, found.total, found.examples)


def _rules(packs: Iterable[Pack]) -> dict[str, Any]:
    """The clock rules of all packs as columns, for the statements to join."""
    ruled = [(pack, rule) for pack in packs for rule in pack.rules]
    hours = [(p, r, every_day(r)) for p, r in ruled]
    windows = [(p, r, found) for p, r, found in hours if found is not None]
    dates = [(p, r) for p, r in ruled if isinstance(r, DailyCap)]
    rolling = [(p, r) for p, r in ruled if isinstance(r, RollingCap)]
    return {
        "packs": [*(pack.id for pack in packs), BY_PLACE],
        **_heads("w", [(pack, rule) for pack, rule, _ in windows]),
        "w_opens": [opens for _, _, (opens, _) in windows],
        "w_closes": [closes for _, _, (_, closes) in windows],
        **_heads("d", dates),
        "d_counts": [rule.count for _, rule in dates],
        "d_days": [rule.days for _, rule in dates],
        **_heads("r", rolling),
        "r_counts": [rule.count for _, rule in rolling],
        "r_periods": [rule.period for _, rule in rolling],
    }


def every_day(rule: ConductRule) -> tuple[time, time] | None:
    """The hours of a window that are the same on all days and bind every contact; else None.

    Whatever binds only sometimes is not held against attempts here: that would be a guess.
    """
    if isinstance(rule, ContactWindow):
        return rule.opens, rule.closes
    if not isinstance(rule, WeekWindow) or not rule.holiday_same or rule.head.when is not ALWAYS:
        return None
    hours = set(rule.week)
    first = rule.week[0]
    if (
        len(hours) > 1
        or first is None
        or first[1] >= 24 * 60
        or rule.head.effective_from
        or rule.head.effective_to
    ):
        return None
    return time(*divmod(first[0], 60)), time(*divmod(first[1], 60))


def _heads(prefix: str, ruled: Sequence[tuple[Pack, Any]]) -> dict[str, list[Any]]:
    return {
        f"{prefix}_packs": [pack.id for pack, _ in ruled],
        f"{prefix}_rules": [rule.id for _, rule in ruled],
        f"{prefix}_channels": [",".join(rule.channels) for _, rule in ruled],
        f"{prefix}_froms": [pack.effective_from for pack, _ in ruled],
        f"{prefix}_tos": [pack.effective_to for pack, _ in ruled],
    }


async def _rederive(conn: Connection, keyring: Keyring | None, now: datetime) -> _Tally:
    tally = _Tally()
    found = await _schedules(conn)
    async for batch in histories(conn):
        for history in batch:
            _compare(history, found[history.row["portfolio_id"]], keyring, now, tally)
    return tally


async def _count_again(
    conn: Connection, packs: Sequence[Pack], keyring: Keyring | None, tally: _Tally
) -> None:
    """Hold every attempt against the caps, hours and texts of the packs that its own decision recorded."""
    known, recorded = at_hand(packs), await recorded_packs(conn)
    missing = sorted({name for text in recorded for name in unknown_packs(text, known)})
    if missing:
        why = f"not at hand in the version that was asked: {', '.join(missing)}"
        tally.unjudged |= dict.fromkeys(("5-law", "6-law", "12-text"), why)
    asked = [
        text
        for text in recorded
        if caps_of(text, known) or windows_of(text, known) or texts_of(text, known)
    ]
    if not asked:
        return
    found = await _schedules(conn)
    async for people in contacted_people(conn, asked):
        for rows in people:
            tried = [_tried(row) for row in rows]
            for attempt, why in over_caps(tried, known):
                tally.add("6-law", attempt.name, f"{attempt.channel} at {attempt.begun_at}: {why}")
            _look_again(rows, tried, known, found, keyring, tally)


def _look_again(
    rows: list[Any],
    tried: list[Tried],
    known: Known,
    found: Mapping[int, Schedule],
    keyring: Keyring | None,
    tally: _Tally,
) -> None:
    def ladder(row: Any) -> Ladder | None:
        return found[row["portfolio_id"]].ladders.get(row["schedule_version"])

    def reads(row: Any) -> str | None:
        wanted = keyring is not None and bool(texts_of(row["packs"], known))
        return _read(row, row["data_key"], keyring) if wanted else None

    for one in sent_of(rows, tried, ladder, reads):
        for why in outside(one, known):
            tally.add("5-law", one.tried.name, why)
        for why in unsaid(one, known):
            tally.add("12-text", one.tried.name, why)


def _read(row: Any, data_key: bytes | None, keyring: Keyring | None) -> str | None:
    """The text as it was sent; None if nobody can read it any more."""
    if data_key is None or keyring is None:
        return None
    try:
        key = keyring.person_key(data_key)
        return unseal(key, row["body"], body_place(row["token"])).decode()
    except Unreadable:
        return None


def _tried(row: Any) -> Tried:
    return Tried(
        row["begun_at"], row["channel"], row["loan_id"], row["anchor"], bytes(row["address_key"]),
        row["packs"], tuple(row["zones"]), row["loan_zone"], row["role"], row["name"],
    )  # fmt: skip


async def _schedules(conn: Connection) -> dict[int, Schedule]:
    stored: dict[int, list[StoredSchedule]] = {}
    for version in await schedules(conn):
        stored.setdefault(version.portfolio_id, []).append(version)
    return {
        portfolio: Schedule(
            {one.version: ladder_of(one.source) for one in versions},
            [(one.active_from, one.version) for one in versions],
        )
        for portfolio, versions in stored.items()
    }


def _compare(
    history: History, schedule: Schedule, keyring: Keyring | None, now: datetime, tally: _Tally
) -> None:
    """Hold one loan's rows against what follows from its events.

    A bucket that began within the rescue time may be told already or not yet: either is right.
    """
    subject = history.row["ref"]
    found = derive(history, schedule)
    for refused in found.refused:
        tally.add("10-loan", subject, f"applied, though refused when derived: {refused}")
    loan, told = with_time(found, now, schedule)
    if len(told) != len(history.outcomes):
        loan, told = with_time(found, now - RESCUE, schedule)
    tally.add("10-derived", subject, wrong_outcomes(history.outcomes, told))
    why = "it follows from no event" if loan is None else wrong_columns(history.row, loan)
    tally.add("10-loan", subject, why)
    _compare_attempts(history, found, keyring, tally)


def _compare_attempts(
    history: History, found: Derived, keyring: Keyring | None, tally: _Tally
) -> None:
    """What should not have gone out at all is not also asked about its amount."""
    for row in history.attempts:
        why = wrong_attempt(row, found)
        tally.add("3", history.row["ref"], why)
        if why is not None:
            continue
        why = wrong_amount(row, found)
        if why is None and keyring is not None:
            why = _wrong_text(row, history.row["data_key"], keyring)
        tally.add("12", history.row["ref"], why)


def _wrong_text(row: Any, data_key: bytes | None, keyring: Keyring) -> str | None:
    """A text that does not say the amount of its row; an erased person's text cannot be read.

    A push may keep silent about the debt, for it shows on a locked screen: then it names no number.
    """
    if data_key is None:
        return None
    where = f"{row['stage']} {row['anchor']} at {row['begun_at']}"
    try:
        body = unseal(keyring.person_key(data_key), row["body"], body_place(row["token"])).decode()
    except Unreadable:
        return f"{where}: the text cannot be decrypted"
    discreet = row["channel"] == "push" and not any(map(str.isdigit, body))
    if discreet or says_amount(body, row["amount_minor"], row["currency"]):
        return None
    return f"{where}: the text does not say {row['amount_minor']} {row['currency']}"


def says_amount(text: str, minor: int, currency: str) -> bool:
    """Whether a text names an amount, however a language groups digits and whether or not .00 is shown.

    Half of the world writes 6,500.00 and the other half 6.500,00; a number that goes on is another one.
    """
    whole, _, fraction = decimal_text(minor, currency).partition(".")
    first = len(whole) % 3 or 3
    groups = [whole[:first], *(whole[at : at + 3] for at in range(first, len(whole), 3))]
    cents = rf"[.,]{fraction}" if fraction.strip("0") else rf"(?:[.,]{fraction})?"
    spelled = _GROUPING.join(groups) + (cents if fraction else "")
    return re.search(rf"(?<!\d)(?<!\d[.,]){spelled}(?![.,]?\d)", text) is not None
