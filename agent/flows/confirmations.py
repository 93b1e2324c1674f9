"""The answer to an opt-out: only where a rule allows it, as it says, in its time, and at most once.

It is written down before it is sent and never sent again: what became of it may stay unknown, and counts as
sent then. No receipt is asked for and no list is read; a second try would be the second message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from agent.clock import Clock, new_token
from agent.domain.calendar import local_date
from agent.domain.delivery import DISPATCH_WINDOW
from agent.domain.message import Texts, chain
from agent.domain.optout_effect import ANSWERED, EVENT, GATEWAY, answer_allowed
from agent.flows.calendars import take_over
from agent.flows.rules import binding, installed
from agent.store import confirmations
from agent.store.confirmations import Decided, Number, Owner
from agent.store.keyring import Keyring, Unreadable, inbound_place
from agent.store.sql import Connection
from channels.base import Accepted, Answer, Channel, Message, Refused

# What came in longer ago is not answered any more: it would be a surprise and no answer.
LATEST = timedelta(hours=1)
BATCH = 100
UNPLACED = "nobody-is-known-at-this-number"
STOPPED = "contact-is-stopped"
PAUSED = "paused"
# What a lender is called is not what an answer says.
_NAMELESS = "\ufffc"


@dataclass(frozen=True, slots=True)
class _Planned:
    decided: Decided
    message: Message | None = None


async def confirm_opt_outs(
    pool: "asyncpg.Pool[asyncpg.Record]",
    keyring: Keyring,
    clock: Clock,
    channels: Mapping[str, Channel],
    texts: Texts,
) -> Mapping[str, int]:
    """Decide on every opt-out that came in, and send the answers that are allowed."""
    now, monotonic = clock.now(), clock.monotonic()
    async with pool.acquire() as conn:
        await confirmations.strand(conn, now - DISPATCH_WINDOW, now)
        async with conn.transaction():
            planned = await _decide(conn, keyring, now, monotonic, channels, texts)
    outgoing = [one.message for one in planned if one.message is not None]
    for message in outgoing:
        answer = await channels[message.channel].send(message)
        async with pool.acquire() as conn:
            state, sent_as = _became(answer)
            await confirmations.settle(conn, message.token, state, sent_as, clock.now())
    return {"decided": len(planned), "answered": len(outgoing)}


def _became(answer: Answer) -> tuple[str, str | None]:
    match answer:
        case Accepted(provider_id):
            return "accepted", provider_id
        case Refused(code=code):
            return "refused", code
        case _:
            return "unknown", None


async def _decide(
    conn: Connection,
    keyring: Keyring,
    now: datetime,
    monotonic: float,
    channels: Mapping[str, Channel],
    texts: Texts,
) -> list[_Planned]:
    rows = await confirmations.unanswered(conn, now - LATEST, BATCH)
    if not rows:
        return []
    await take_over(conn)
    numbers = sorted({(row["channel"], bytes(row["sender_key"])) for row in rows})
    owners = await confirmations.owners(conn, numbers)
    answered: dict[Number, int] = {}
    kept = []
    for row in rows:
        number = (row["channel"], bytes(row["sender_key"]))
        before = answered.setdefault(number, row["answered"])
        one = _plan(row, owners.get(number, []), before, keyring, now, monotonic, texts)
        if one.message is not None and one.message.channel not in channels:
            one = _Planned(one.decided._replace(token=None, body=None, deadline=None))
        if await confirmations.keep(conn, one.decided, now):
            kept.append(one)
            answered[number] += one.message is not None
    return kept


def _plan(
    row: Any,
    owners: Sequence[Owner],
    answered: int,
    keyring: Keyring,
    now: datetime,
    monotonic: float,
    texts: Texts,
) -> _Planned:
    """One opt-out: why it is not answered, or the answer."""
    key = bytes(row["sender_key"])
    allowed, rules, packs = _allowed(row, owners, answered, now, texts)
    decided = Decided(row["channel"], row["provider_id"], key, rules, packs)
    place = inbound_place("sender", row["channel"], row["provider_id"])
    if not allowed:
        return _Planned(decided)
    try:
        address = keyring.open_loose(row["sender"], place).decode()
    except Unreadable:
        return _Planned(decided._replace(rules=(UNPLACED,)))
    owner, token = owners[0], new_token(now)
    body = _text(texts, owner.locale, owner.lender)
    message = Message(
        token, row["channel"], owner.provider, address, None, body,
        monotonic + DISPATCH_WINDOW.total_seconds(), good_for=_KEPT,
    )  # fmt: skip
    sealed = keyring.seal_loose(body.encode(), f"confirmation/{token}".encode())
    return _Planned(
        decided._replace(token=token, body=sealed, deadline=now + DISPATCH_WINDOW), message
    )


# Seconds that a provider may keep it: within the five minutes that the law gives.
_KEPT = 60


def _allowed(
    row: Any, owners: Sequence[Owner], answered: int, now: datetime, texts: Texts
) -> tuple[bool, tuple[str, ...], str]:
    """Every rule of everybody who may be behind the number has to allow it."""
    stop = _stop(row, owners, answered)
    if stop is not None:
        return False, (stop,), ""
    allowed: dict[str, None] = {}
    denied: dict[str, None] = {}
    versions: dict[str, None] = {}
    for owner in owners:
        bound = binding(installed(owner.packs), owner.packs, owner.region)
        versions |= dict.fromkeys(bound.versions.split())
        facts = {
            "event": EVENT,
            "message": _text(texts, owner.locale, _NAMELESS),
            "confirmations_sent": answered,
            "seconds_since": (now - row["at"]).total_seconds(),
        }
        day = local_date(now, owner.zones[0] if owner.zones else "UTC")
        may, rules = answer_allowed(bound.packs, owner.role, row["channel"], day, facts)
        if may and not bound.missing:
            allowed |= dict.fromkeys(rules)
        else:
            denied |= dict.fromkeys(rules if not may else bound.missing)
    return not denied, tuple(denied or allowed), " ".join(versions)


def _stop(row: Any, owners: Sequence[Owner], answered: int) -> str | None:
    """What keeps any answer back before a rule is asked."""
    if not owners:
        return UNPLACED
    if row["paused"]:
        return PAUSED
    if any(owner.stopped for owner in owners):
        return STOPPED
    if row["provider_reading"] == "STOP":
        # the gateway knows the word and has said so to the person: ours would be the second answer
        return GATEWAY
    return ANSWERED if answered else None


def _text(texts: Texts, locale: str, lender: str) -> str:
    """The answer in the person's language, signed."""
    frame = next(texts.frames[one] for one in chain(locale) if one in texts.frames)
    return frame.signature.replace("{lender}", lender) + frame.opted_out
