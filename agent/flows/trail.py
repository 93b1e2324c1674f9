"""`why`: the trail of a loan or of one notice, told from the rows in order of time.

What was decided, by which rules, on which facts. Texts of messages are opened only when asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import asyncpg

from agent.domain.calendar import local_date, local_time
from agent.domain.conduct import Pack
from agent.domain.money import decimal_text
from agent.domain.report_words import OUTCOMES, meaning
from agent.store.keyring import Keyring, Unreadable, body_place, unseal
from agent.store.trail import LoanRecords, loans_named, records, waiting

Notice = tuple[str, date]
MARKS = {
    "read": "read in the source",
    "quoted": "read as others quote it",
    "secondary": "from a report; the source itself was not read",
    "memory": "not checked in any text",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A failing rule in words, with its source if a pack states it."""

    id: str
    words: str
    clause: str = ""
    # how far the source was read: `MARKS` has it in words
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `notice` is set for what belongs to one notice."""

    at: datetime
    kind: str
    text: str
    notice: Notice | None = None
    rules: tuple[Rule, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trail:
    """A loan as it stands, and how it came there."""

    portfolio: str
    loan: str
    borrower: str
    zone: str
    currency: str
    status: str
    anchor: date | None
    balance: str
    contact_ended_at: datetime | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class NoTrail:
    """Why there is none, and what to do."""

    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a loan, or one of its notices."""

    loan: str
    stage: str | None = None
    anchor: date | None = None
    portfolio: str | None = None


async def trail(
    pool: "asyncpg.Pool[asyncpg.Record]",
    asked: Question,
    *,
    packs: Sequence[Pack],
    keyring: Keyring | None = None,
) -> Trail | NoTrail:
    """The trail of a loan or notice; with a keyring the texts of its messages are opened."""
    async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        named = await loans_named(conn, asked.loan)
        loan = _chosen(named, asked) if named else _unknown(await waiting(conn, asked.loan), asked)
        if isinstance(loan, NoTrail):
            return loan
        found = await records(conn, loan)
    missing = _unplanned(found, asked)
    if missing is not None:
        return missing
    entries = sorted(_entries(found, _sources(packs), keyring), key=lambda entry: entry.at)
    return Trail(
        loan["portfolio"],
        loan["ref"],
        loan["borrower"],
        loan["zone"],
        loan["currency"],
        loan["status"],
        loan["anchor"],
        decimal_text(loan["balance_minor"], loan["currency"]),
        loan["contact_ended_at"],
        tuple(_about(entries, asked)),
    )


def _unknown(told: Sequence[Any], asked: Question) -> NoTrail:
    """Of a loan that never came its events may be here."""
    if not told:
        fix = "give the reference that the ledger uses as `subject`"
        return NoTrail(f"no loan {asked.loan} is known", fix)
    shown = ", ".join(
        f"{row['type']} of {row['at']:%Y-%m-%d} ({row['reason']})" for row in told[:5]
    )
    more = f" and {len(told) - 5} more" if len(told) > 5 else ""
    return NoTrail(
        f"no loan {asked.loan} is known, but events about it are: {shown}{more}",
        "they wait for its `loan.opened`",
    )


def _chosen(loans: Sequence[Any], asked: Question) -> Any | NoTrail:
    named = [loan for loan in loans if asked.portfolio in (None, loan["portfolio"])]
    if len(named) == 1:
        return named[0]
    known = ", ".join(loan["portfolio"] for loan in loans)
    if not named:
        return NoTrail(
            f"portfolio {asked.portfolio} has no loan {asked.loan}", f"known in: {known}"
        )
    return NoTrail(
        f"several portfolios have a loan {asked.loan}", f"choose one with --portfolio: {known}"
    )


def _unplanned(found: LoanRecords, asked: Question) -> NoTrail | None:
    if asked.stage is None:
        return None
    stages = [row["stage"] for row in found.notices]
    if asked.stage not in stages:
        known = ", ".join(dict.fromkeys(stages)) or "none was planned yet"
        return NoTrail(f"no notice {asked.stage} was planned for loan {asked.loan}", known)
    anchors = [row["anchor"] for row in found.notices if row["stage"] == asked.stage]
    if asked.anchor is not None and asked.anchor not in anchors:
        days = ", ".join(map(str, anchors))
        return NoTrail(f"no notice {asked.stage} was planned for {asked.anchor}", f"known: {days}")
    return None


def _about(entries: Sequence[Entry], asked: Question) -> Iterator[Entry]:
    """For one notice: what is its own, and the facts that were there before its end."""
    if asked.stage is None:
        yield from entries
        return
    own = [entry for entry in entries if _is_of(entry, asked)]
    last = max(entry.at for entry in own)
    for entry in entries:
        if entry in own or (entry.notice is None and entry.at <= last):
            yield entry


def _is_of(entry: Entry, asked: Question) -> bool:
    if entry.notice is None:
        return False
    stage, anchor = entry.notice
    return stage == asked.stage and asked.anchor in (None, anchor)


def _sources(packs: Sequence[Pack]) -> dict[str, Rule]:
    stated = [
        (rule.id, rule.source)
        for pack in packs
        for rules in (pack.rules, pack.states)
        for rule in rules
    ]
    return {
        identity: Rule(identity, source.phrase or meaning(identity, {}), source.clause, source.mark)
        for identity, source in stated
    }


def _entries(
    found: LoanRecords, sources: Mapping[str, Rule], keyring: Keyring | None
) -> Iterator[Entry]:
    zone = found.loan["zone"]
    yield from (_event(row, zone) for row in found.events)
    yield from (_hold(row, zone) for row in found.holds)
    for row in found.pauses:
        yield from _pause(row)
    yield from (_suppression(row, zone) for row in found.suppressions)
    for row in found.notices:
        yield from _notice(row, zone)
    for row in found.decisions:
        yield _decision(row, sources, zone)
    before: dict[Notice, Any] = {}
    for row in found.attempts:
        own = (row["stage"], row["anchor"])
        yield _attempt(row, _because(before.get(own)), found.loan["data_key"], keyring)
        before[own] = row
    yield from _receipts(found)
    yield from (_outcome(row, sources, zone) for row in found.outcomes)
    yield from (_case(row, zone) for row in found.cases)
    yield from (_keeping(row, sources) for row in found.keeping)


def _clock(at: datetime, zone: str) -> str:
    """As the loan's own wall clock shows it."""
    return f"{local_date(at, zone)} {local_time(at, zone):%H:%M}"


def _event(row: Any, zone: str) -> Entry:
    data = row["data"]
    words = {"amount", "currency", "reason", "value_date", "payment_id", "due_on", "flag", "until"}
    said = " ".join(f"{key} {data[key]}" for key in data if key in words)
    if "installments" in data:
        parts = [f"{part['due_on']} {part['amount']}" for part in data["installments"]]
        said = f"{said} due {', '.join(parts)}".strip()
    refused = f" — refused: {row['reason']}" if row["state"] == "rejected" else ""
    late = f" (of {_clock(row['at'], zone)})" if row["at"] != row["received_at"] else ""
    detail = {"id": row["id"], "state": row["state"], "data": data}
    return Entry(
        row["received_at"], "event", f"{row['type']} {said}{late}{refused}", None, (), detail
    )


def _hold(row: Any, zone: str) -> Entry:
    until = _clock(row["until_at"], zone) if row["until_at"] else "lifted by hand"
    lifted = f", lifted {_clock(row['lifted_at'], zone)}" if row["lifted_at"] else ""
    text = f"{row['reason']} holds the {row['scope']} until {until}{lifted} (by {row['placed_by']})"
    return Entry(row["from_at"], "hold", text)


def _pause(row: Any) -> Iterator[Entry]:
    what = " ".join(filter(None, (row["scope"], row["subject"])))
    yield Entry(row["paused_at"], "pause", f"{what}: {row['reason']} (by {row['paused_by']})")
    if row["resumed_at"] is not None:
        why = f"{row['resume_reason'] or 'resumed'} (by {row['resumed_by']})"
        yield Entry(row["resumed_at"], "pause", f"{what} ends: {why}")


def _suppression(row: Any, zone: str) -> Entry:
    lifted = f", lifted {_clock(row['lifted_at'], zone)}" if row["lifted_at"] else ""
    return Entry(row["stored_at"], "opt-out", f"{row['channel']}: {row['reason']}{lifted}")


def _notice(row: Any, zone: str) -> Iterator[Entry]:
    own = (row["stage"], row["anchor"])
    detail = {"schedule_version": row["schedule_version"], "state": row["state"]}
    due, ends = _clock(row["due_at"], zone), _clock(row["not_after"], zone)
    text = f"{own[0]} for {own[1]} planned: due {due}, useful until {ends}"
    yield Entry(row["planned_at"], "notice", text, own, (), detail)
    if row["closed_at"] is not None:
        reason = f": {meaning(row['reason'], _CLOSING)}" if row["reason"] else ""
        yield Entry(
            row["closed_at"], "notice", f"{own[0]} is {row['state']}{reason}", own, (), detail
        )


_CLOSING = {
    "refused": "Every channel refused it",
    "stranded": "Sending it failed in the middle again and again",
    "no-text": "There is no text for it in this language and channel",
}


def _decision(row: Any, sources: Mapping[str, Rule], zone: str) -> Entry:
    own = (row["stage"], row["anchor"])
    rules = tuple(sources.get(rule) or Rule(rule, meaning(rule, {})) for rule in row["rules"])
    until = f" until {_clock(row['until_at'], zone)}" if row["until_at"] else ""
    detail = {"verdict": row["verdict"], "packs": row["packs"], "facts_hash": row["facts_hash"]}
    return Entry(
        row["decided_at"], "decision", f"{own[0]}: {row['verdict']}{until}", own, rules, detail
    )


def _because(before: Any | None) -> str:
    """Why there was another attempt: what became of the one before it."""
    if before is None:
        return ""
    channel, code = before["channel"], f" ({before['code']})" if before["code"] else ""
    match before["state"]:
        case "refused":
            return f", because {channel} refused it{code}"
        case "undelivered" | "failed":
            return f", because {channel} did not deliver it{code}"
        case "absent":
            return ", because the attempt before never reached its provider"
        case _:
            return f", because no receipt of {channel} came in time"


def _attempt(row: Any, because: str, data_key: bytes | None, keyring: Keyring | None) -> Entry:
    amount = f"{decimal_text(row['amount_minor'], row['currency'])} {row['currency']}"
    code = f" ({row['code']})" if row["code"] else ""
    text = f"{row['stage']} by {row['channel']}, {amount}{because}: now {row['state']}{code}"
    detail = {
        key: row[key]
        for key in ("token", "channel", "state", "template", "words", "provider_id", "code")
    }
    if keyring is not None:
        detail["text"] = _opened(row, data_key, keyring)
    return Entry(row["begun_at"], "attempt", text, (row["stage"], row["anchor"]), (), detail)


def _opened(row: Any, data_key: bytes | None, keyring: Keyring) -> str:
    if data_key is None:
        return "(erased)"
    try:
        body = unseal(keyring.person_key(data_key), row["body"], body_place(row["token"]))
    except Unreadable:
        return "(cannot be decrypted with this master key)"
    return body.decode()


def _receipts(found: LoanRecords) -> Iterator[Entry]:
    owners = {
        (row["channel"], row["provider_id"]): (row["stage"], row["anchor"])
        for row in found.attempts
    }
    for row in found.receipts:
        own = owners[row["channel"], row["provider_id"]]
        code = f" ({row['code']})" if row["code"] else ""
        text = f"{own[0]} by {row['channel']}: {row['status']}{code}{_effect(row['effect'])}"
        yield Entry(row["received_at"], "receipt", text, own, (), {"said_at": row["at"]})


def _effect(effect: str) -> str:
    match effect:
        case "moved":
            return ""
        case "behind":
            return ", nothing new"
        case "contradiction":
            return ", contradicts an earlier receipt: ignored"
        case "unmatched":
            return ", of no attempt known then"
        case _:
            raise AssertionError(effect)


def _outcome(row: Any, sources: Mapping[str, Rule], zone: str) -> Entry:
    words = OUTCOMES.get(row["type"], row["type"])
    data = row["data"]
    moved = f": {data['from']} → {data['to']}" if "to" in data else ""
    corrects = f" (number {row['corrects']})" if row["corrects"] else ""
    text = f"number {row['seq']}, {words}{moved}{corrects}; {_told(row, zone)}"
    rules = tuple(sources.get(rule) or Rule(rule, meaning(rule, {})) for rule in _holding(row))
    return Entry(
        row["occurred_at"], "outcome", text, None, rules, {"type": row["type"], "data": data}
    )


def _holding(row: Any) -> Sequence[str]:
    return () if row["acked_at"] else row["held_by"] or ()


def _told(row: Any, zone: str) -> str:
    """How far it came on its way to the ledger."""
    why = "a rule forbids to report it" if row["held_by"] else "it was taken back in time"
    withheld = f", without what it said: {why}" if row["withheld_at"] else ""
    if row["acked_at"]:
        return f"acknowledged {_clock(row['acked_at'], zone)}{withheld}"
    if _holding(row) and not withheld:
        return "held back for its prior notice"
    return f"not acknowledged yet{withheld}"


def _case(row: Any, zone: str) -> Entry:
    closed = (
        f"closed {_clock(row['closed_at'], zone)} by {row['closed_by']}"
        if row["closed_at"]
        else "open"
    )
    due = _clock(row["due_at"], zone)
    return Entry(
        row["opened_at"], "case", f"{row['kind']}, due {due}, {closed}", None, (), row["detail"]
    )


def _keeping(row: Any, sources: Mapping[str, Rule]) -> Entry:
    """Until when and by which rules the person's data is kept, or that it was erased."""
    through = f", through {row['kept_through']}" if row["kept_through"] else ""
    limit = f", to be deleted by {row['delete_by']}" if row["delete_by"] else ""
    rules = tuple(sources.get(rule) or Rule(rule, meaning(rule, {})) for rule in row["rules"])
    return Entry(
        row["at"], "retention", f"personal data {row['word']}{through}{limit}", None, rules
    )
