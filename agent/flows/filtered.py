"""Texts that a carrier filtered: each is stopped in its portfolio until staff let it go on.

What is stopped is one version of a text. The version tells apart its words and what the country of the
number wants around them, so other texts, languages and channels go on, and so does a new text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from agent.flows.pause import Scope, raise_portfolio
from agent.store.sql import Connection, execute, fetch, fetch_value
from channels.base import Fault, Receipt, Refused

CASE = "filtered"
BY = "provider"


@dataclass(frozen=True, slots=True)
class StoppedText:
    """A text that does not go out, by a carrier's word or by staff's; no portfolio: everywhere."""

    portfolio: str | None
    text: str
    reason: str
    by: str
    since: datetime


async def stopped_texts(conn: Connection) -> tuple[StoppedText, ...]:
    """Every text that is stopped, the longest first."""
    return tuple([StoppedText(*row) for row in await fetch(conn, "stopped_texts")])


def filtered_by_receipt(receipts: Iterable[Receipt]) -> dict[str, str]:
    """The messages that receipts say were filtered, by token: the code that says so."""
    return {
        one.token: one.code or ""
        for one in receipts
        if one.fault is Fault.FILTERED and one.token is not None
    }


def filtered_by_answer(refusals: Iterable[tuple[str, Refused]]) -> dict[str, str]:
    """The same of refusals of attempts, which are named by their tokens."""
    return {token: told.code for token, told in refusals if told.fault is Fault.FILTERED}


async def stop_filtered(
    conn: Connection, portfolio_id: int, codes: Mapping[str, str], now: datetime
) -> None:
    """Stop the texts of these messages, one case each; doing it again changes nothing.

    Before what is told of the messages is written, and in a transaction of its own: it waits for begins
    under way, and they may wait for numbers that the same word is about to suppress.
    """
    if not codes:
        return
    async with conn.transaction():
        told = {"tokens": list(codes), "codes": list(codes.values())}
        rows = await fetch(conn, "texts_filtered", portfolio=portfolio_id, **told)
        if rows:
            texts = {row["template"]: row["code"] for row in rows}
            await _stop(conn, portfolio_id, texts, now)


async def _stop(
    conn: Connection, portfolio_id: int, texts: Mapping[str, str], now: datetime
) -> None:
    rev = await raise_portfolio(conn, portfolio_id)
    stopped = {}
    for text, code in texts.items():
        reason = f"a carrier filtered it ({code})"
        opened = await fetch_value(
            conn, "insert_pause", portfolio=portfolio_id, scope=Scope.TEMPLATE.value, subject=text,
            reason=reason, by=BY, now=now, rev=rev,
        )  # fmt: skip
        if opened is not None:  # else another worker heard the same a moment ago
            stopped[text] = code
    await execute(
        conn, "open_cases", portfolio=portfolio_id, now=now, kinds=[CASE for _ in stopped],
        subjects=[f"text {text}" for text in stopped], loans=[None for _ in stopped],
        borrowers=[None for _ in stopped],
        details=[orjson.dumps({"code": code}).decode() for code in stopped.values()],
    )  # fmt: skip
