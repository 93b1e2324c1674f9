"""What an error code means beyond its own message: for the number, the route, the sender, a person.

What it means for the text is in `filtered`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from agent.flows.breakers import EVERYWHERE, Proof, Route, open_breaker
from agent.flows.portfolios import Portfolio
from agent.flows.sender_answers import be_patient
from agent.store.sql import Connection, execute, fetch
from channels.base import Fault, Halt, Receipt


class Subject(NamedTuple):
    """What a case is about. Two of the same are one case."""

    kind: str
    about: str
    person: int | None


# One case for each: thousands of messages may fail for the same reason.
_CASES = {
    Fault.CONFIGURATION: "configuration",
    Fault.OURS: "configuration",
    Fault.ACCOUNT: "provider-account",
    Fault.UNKNOWN: "provider-code",
    Fault.BLOCKED: "blocked",
}


def case_for(fault: Fault, channel: str, code: str, person: int) -> Subject | None:
    """The case that a code opens: of a person, or of all that goes by the channel and gets this code."""
    kind = _CASES.get(fault)
    if kind is None:
        return None
    if fault is Fault.BLOCKED:
        return Subject(kind, f"borrower-id {person}", person)
    return Subject(kind, f"{channel} {code}", None)


async def open_code_cases(
    conn: Connection, portfolio_id: int, codes: Mapping[Subject, str], now: datetime
) -> None:
    """Work for a person, once for each subject however many messages tell of it."""
    if codes:
        await execute(
            conn,
            "open_cases",
            portfolio=portfolio_id,
            now=now,
            kinds=[one.kind for one in codes],
            subjects=[one.about for one in codes],
            loans=[None for _ in codes],
            borrowers=[one.person for one in codes],
            details=[orjson.dumps({"code": code}).decode() for code in codes.values()],
        )


async def follow_faults(
    conn: Connection, portfolio: Portfolio, receipts: Sequence[Receipt], now: datetime
) -> None:
    """Act on receipts that bring a fault and are new, before they are stored as known."""
    faulty = [receipt for receipt in receipts if receipt.fault is not None]
    if not faulty:
        return
    rows = await fetch(
        conn,
        "unknown_faults",
        portfolio=portfolio.id,
        channels=[receipt.channel for receipt in faulty],
        providers=[receipt.provider_id for receipt in faulty],
        statuses=[receipt.status.value for receipt in faulty],
        tokens=[receipt.token for receipt in faulty],
    )
    told = [(faulty[row["ord"] - 1], row) for row in rows]
    unwanted = [row for one, row in told if one.fault in {Fault.OPT_OUT, Fault.BLOCKED}]
    await _suppress(conn, portfolio, unwanted, now)
    await _open_cases(conn, portfolio, told, now)
    await _stop_senders(conn, portfolio, told, now)


async def _suppress(
    conn: Connection, portfolio: Portfolio, rows: Sequence[Any], now: datetime
) -> None:
    numbers = sorted({(row["channel"], bytes(row["address_key"])) for row in rows})
    if numbers:
        await execute(
            conn,
            "suppress",
            portfolio=portfolio.id,
            now=now,
            reason="provider-opt-out",
            channels=[number[0] for number in numbers],
            keys=[number[1] for number in numbers],
        )


async def _open_cases(
    conn: Connection, portfolio: Portfolio, told: Sequence[tuple[Receipt, Any]], now: datetime
) -> None:
    codes: dict[Subject, str] = {}
    for receipt, row in told:
        if receipt.fault is None or (
            receipt.beyond is not None and receipt.beyond.halt is not None
        ):
            continue  # a breaker opens its own case
        code = receipt.code or ""
        about = case_for(receipt.fault, receipt.channel, code, row["borrower_id"])
        if about is not None:
            codes[about] = code
    await open_code_cases(conn, portfolio.id, codes, now)


async def _stop_senders(
    conn: Connection, portfolio: Portfolio, told: Sequence[tuple[Receipt, Any]], now: datetime
) -> None:
    """Open breakers and be patient as a code asks, each once; only its receipt proves a route well again."""
    halts: dict[Route, tuple[str, datetime]] = {}
    waits: dict[tuple[str, str], float] = {}
    for receipt, row in told:
        if (beyond := receipt.beyond) is None:
            continue
        if beyond.halt is not None:
            country = beyond.country if beyond.halt is Halt.ROUTE else None
            route = Route(receipt.channel, beyond.sender, country or EVERYWHERE)
            known = halts.get(route)
            begun = max(row["begun_at"], known[1]) if known else row["begun_at"]
            halts[route] = receipt.code or "", begun
        if beyond.wait is not None:
            who = receipt.channel, beyond.sender
            waits[who] = max(beyond.wait, waits.get(who, 0.0))
    for route, (code, begun) in sorted(halts.items()):
        await open_breaker(conn, portfolio.id, route, code, now, proof=Proof.RECEIPT, begun=begun)
    for (channel, sender), seconds in sorted(waits.items()):
        await be_patient(conn, channel, sender, seconds, now)


async def retire_numbers(
    conn: Connection, portfolio: Portfolio, receipts: Sequence[Receipt]
) -> None:
    """A number is believed to be no good when a code proves it or a second message says so.

    Asked after the receipts are in.
    """
    faulty = [one for one in receipts if one.fault is Fault.NUMBER and one.token is not None]
    if not faulty:
        return
    rows = await fetch(
        conn,
        "unretired_points",
        portfolio=portfolio.id,
        tokens=[one.token for one in faulty],
        proven=[one.beyond is not None and one.beyond.gone for one in faulty],
    )
    if rows:
        await execute(
            conn,
            "point_status",
            portfolio=portfolio.id,
            ids=[row["contact_point_id"] for row in rows],
            status="disconnected",
        )
