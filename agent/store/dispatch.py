"""A batch of notices with everything the gate needs, and what becomes of them: set-based."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from agent.domain.delivery import AttemptState, NextStep
from agent.domain.gate import Hold, Point
from agent.store.numbers import Number, NumberKey, lock_numbers
from agent.store.sql import Connection, fetch, fetch_row

NoticeKey = tuple[int, date, str]
# Which notice, when, by which channel.
PastContact = tuple[NoticeKey, datetime, str]
# What there is one of for every message is a named tuple: a frozen dataclass is slower to make.
# The longest period that a cap may look back over.
HISTORY = timedelta(days=32)


class NoticeRow(NamedTuple):
    loan_id: int
    anchor: date
    stage: str
    borrower_id: int
    version: int
    due_at: datetime
    not_after: datetime
    state: str
    route: int
    fence: int
    strandings: int

    @property
    def key(self) -> NoticeKey:
        return (self.loan_id, self.anchor, self.stage)


class PersonRow(NamedTuple):
    id: int
    ref: str
    rev: int
    locale: str
    zones: tuple[str, ...]
    data_key: bytes | None
    region: str | None = None


class PointRow(NamedTuple):
    """A contact point with its number's state; the address stays encrypted."""

    point: Point
    borrower_id: int
    provider: str | None
    address: bytes
    address_key: bytes
    rev: int
    busy_since: datetime | None
    told_at: datetime | None = None


class LoanRow(NamedTuple):
    id: int
    ref: str
    currency: str
    zone: str
    status: str
    anchor: date | None
    contact_ended: bool
    paid_minor: int
    parts: tuple[tuple[date, int], ...]

    def amount_due(self, today: date) -> int:
        """The unpaid part of all instalments due by the anchor or by today, as `standing` has it."""
        if self.anchor is None:
            return 0
        horizon = max(self.anchor, today)
        left = -self.paid_minor
        for due_on, amount in self.parts:
            if due_on <= horizon:
                left += amount
        return max(0, left)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything read for one batch, under the locks of its people and numbers."""

    rev: int
    # which set of own texts the portfolio has
    texts: str
    pauses: frozenset[tuple[str, str]]
    stopped_texts: frozenset[str]
    people: dict[int, PersonRow]
    points: dict[int, list[PointRow]]
    loans: dict[int, LoanRow]
    contacts: dict[int, list[PastContact]]
    holds: dict[int, list[tuple[int | None, Hold]]]
    delivered: frozenset[NoticeKey]


async def claim_due(
    conn: Connection, portfolio_id: int, now: datetime, batch: int
) -> list[NoticeRow]:
    """Up to `batch` notices whose time has come, locked; what others have locked is skipped."""
    rows = await fetch(conn, "claim_due", portfolio=portfolio_id, now=now, batch=batch)
    return [NoticeRow(*row) for row in rows]


async def read_facts(
    conn: Connection, portfolio_id: int, notices: Sequence[NoticeRow], now: datetime
) -> Facts:
    """Lock the people and numbers of a batch in their fixed order, then read what the gate asks."""
    people_ids = sorted({notice.borrower_id for notice in notices})
    home = await fetch_row(conn, "portfolio_shared", portfolio=portfolio_id)
    assert home is not None
    people = await fetch(conn, "lock_for_begin", portfolio=portfolio_id, ids=people_ids)
    points = await fetch(conn, "points_for_gate", portfolio=portfolio_id, ids=people_ids)
    numbers = await lock_numbers(conn, portfolio_id, points, now)
    loan_ids = sorted({notice.loan_id for notice in notices})
    loans = await fetch(conn, "loans_for_gate", portfolio=portfolio_id, ids=loan_ids)
    parts = await fetch(conn, "parts_for_gate", portfolio=portfolio_id, ids=loan_ids)
    contacts = await fetch(
        conn, "contacts_of", portfolio=portfolio_id, ids=people_ids, since=now - HISTORY
    )
    against = await fetch(
        conn, "what_stands_against", portfolio=portfolio_id, ids=people_ids, now=now
    )
    pauses = frozenset((row[2], row[3]) for row in against if row[0] is None)
    return Facts(
        rev=home["rev"],
        texts=home["texts"],
        pauses=pauses,
        stopped_texts=frozenset(subject for scope, subject in pauses if scope == "template"),
        people={person.id: person for person in map(_person, people)},
        points=_points(points, numbers),
        loans=_loans(loans, parts),
        contacts=_contacts(contacts),
        holds=_holds(against),
        delivered=await _delivered(conn, portfolio_id, notices),
    )


async def _delivered(
    conn: Connection, portfolio_id: int, notices: Sequence[NoticeRow]
) -> frozenset[NoticeKey]:
    """Those of which an earlier attempt has arrived after all, as a late receipt said."""
    again = [notice for notice in notices if notice.fence > 0]
    if not again:
        return frozenset()
    rows = await fetch(
        conn,
        "already_delivered",
        portfolio=portfolio_id,
        borrowers=[notice.borrower_id for notice in again],
        loans=[notice.loan_id for notice in again],
        anchors=[notice.anchor for notice in again],
        stages=[notice.stage for notice in again],
    )
    return frozenset((row["loan_id"], row["anchor"], row["stage"]) for row in rows)


def _person(row: Any) -> PersonRow:
    number, ref, rev, locale, zones, data_key, region = row
    return PersonRow(number, ref, rev, locale, tuple(zones), data_key, region)


def _points(rows: Sequence[Any], numbers: Mapping[NumberKey, Number]) -> dict[int, list[PointRow]]:
    found: defaultdict[int, list[PointRow]] = defaultdict(list)
    for row in rows:
        point_id, person_id, channel, provider, address, key, status, consented, told_at = row
        rev, opted_out, held, busy_since = numbers[channel, key]
        # whoever lets an app notify them has said yes to the operating system; a text needs its own yes
        point = Point(point_id, channel, status, opted_out, consented or channel == "push", held)
        found[person_id].append(
            PointRow(point, person_id, provider, address, key, rev, busy_since, told_at)
        )
    for points in found.values():
        if len(points) > 1:
            points.sort(key=_age)
    return found


def _age(row: PointRow) -> int:
    """Older points have lower numbers and come first."""
    return row.point.id


def _loans(rows: Sequence[Any], parts: Sequence[Any]) -> dict[int, LoanRow]:
    due: defaultdict[int, list[tuple[date, int]]] = defaultdict(list)
    for loan_id, due_on, amount in parts:
        due[loan_id].append((due_on, amount))
    return {row["id"]: _loan(row, tuple(due[row["id"]])) for row in rows}


def _loan(row: Any, parts: tuple[tuple[date, int], ...]) -> LoanRow:
    number, ref, currency, zone, status, anchor, ended, paid = row
    return LoanRow(number, ref, currency, zone, status, anchor, ended, paid, parts)


def _contacts(rows: Sequence[Any]) -> dict[int, list[PastContact]]:
    found: defaultdict[int, list[PastContact]] = defaultdict(list)
    for borrower_id, loan_id, anchor, stage, channel, at in rows:
        found[borrower_id].append(((loan_id, anchor, stage), at, channel))
    return found


def _holds(rows: Sequence[Any]) -> dict[int, list[tuple[int | None, Hold]]]:
    found: defaultdict[int, list[tuple[int | None, Hold]]] = defaultdict(list)
    for borrower_id, loan_id, scope, channel, reason, until_at, from_at in rows:
        if borrower_id is not None:
            hold = Hold(reason, until_at, channel, from_at)
            found[borrower_id].append((loan_id if scope == "loan" else None, hold))
    return found


class Move(NamedTuple):
    """A notice's next state, guarded by the fence it was read with."""

    key: NoticeKey
    fence: int
    state: str
    next_at: datetime | None
    route: int
    reason: str | None


async def move_notices(
    conn: Connection, portfolio_id: int, moves: Sequence[Move], now: datetime
) -> list[Any]:
    """Write next states; a stale fence changes nothing. Returns what moved, with its strandings."""
    if not moves:
        return []
    return await fetch(
        conn,
        "move_notices",
        portfolio=portfolio_id,
        now=now,
        loans=[move.key[0] for move in moves],
        anchors=[move.key[1] for move in moves],
        stages=[move.key[2] for move in moves],
        fences=[move.fence for move in moves],
        states=[move.state for move in moves],
        nexts=[move.next_at for move in moves],
        routes=[move.route for move in moves],
        reasons=[move.reason for move in moves],
    )


class Ending(NamedTuple):
    """How attempts ended, and what becomes of their notices; `step` None leaves those as they are."""

    state: AttemptState
    code: str | None
    look_at: datetime | None
    step: NextStep | None
    next_at: datetime | None = None


class Settling(NamedTuple):
    """One attempt and how it ended."""

    token: str
    fence: int
    provider_id: str | None
    ending: Ending


async def settle(
    conn: Connection, portfolio_id: int, settlings: Sequence[Settling], now: datetime
) -> list[Any]:
    """Settle attempts by compare-and-set and move their notices; returns those that were ours to settle.

    Most of a batch end alike: an ending that they share is told once.
    """
    places: dict[int, int] = {}
    told: list[Ending] = []
    endings = []
    for one in settlings:
        place = places.get(id(one.ending))
        if place is None:
            told.append(one.ending)
            place = places[id(one.ending)] = len(told)
        endings.append(place)
    steps = [ending.step for ending in told]
    return await fetch(
        conn,
        "settle_attempts",
        portfolio=portfolio_id,
        now=now,
        tokens=[settling.token for settling in settlings],
        fences=[settling.fence for settling in settlings],
        providers=[settling.provider_id for settling in settlings],
        endings=endings,
        states=[ending.state.value for ending in told],
        codes=[ending.code for ending in told],
        looks=[ending.look_at for ending in told],
        notice_states=[step.state.value if step else None for step in steps],
        nexts=[ending.next_at for ending in told],
        routes=[step.route if step else 0 for step in steps],
        reasons=[step.reason if step else None for step in steps],
        stranded=[int(step.stranded) if step else 0 for step in steps],
    )
