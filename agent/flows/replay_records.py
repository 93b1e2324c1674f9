"""What a replay leaves behind: messages, decisions and outcomes as lines, in an order that never varies."""

from collections.abc import AsyncIterator, Mapping
from datetime import date
from typing import Any

from agent.domain.feed import Told, cloud_event, local_stamp
from agent.domain.ladder import Ladder
from agent.domain.money import decimal_text
from agent.store.keyring import Keyring, body_place, unseal
from agent.store.sql import Connection, stream

Record = dict[str, Any]


async def messages(
    conn: Connection, keyring: Keyring, ladders: Mapping[int, Ladder]
) -> AsyncIterator[Record]:
    """Every message that went out, or may have: what cannot be ruled out counts."""
    async for row in stream(conn, "replay_messages"):
        stage = ladders[row["portfolio_id"]].stage(row["stage"])
        sent_at = local_stamp(row["begun_at"], row["zone"])
        yield {
            "portfolio": row["portfolio"],
            "loan": row["loan"],
            "borrower": row["borrower"],
            "stage": row["stage"],
            "grade": stage.grade.value if stage else None,
            "channel": row["channel"],
            "sent_at": sent_at,
            "anchor": row["anchor"].isoformat(),
            "dpd": (date.fromisoformat(sent_at[:10]) - row["anchor"]).days,
            "amount": decimal_text(row["amount_minor"], row["currency"]),
            "currency": row["currency"],
            "text": _text(keyring, row),
        }


def _text(keyring: Keyring, row: Any) -> str:
    key = keyring.person_key(row["data_key"])
    return unseal(key, row["body"], body_place(row["token"])).decode()


async def decisions(conn: Connection) -> AsyncIterator[Record]:
    """Every answer of the gate, with all rules that failed."""
    async for row in stream(conn, "replay_decisions"):
        record: Record = {
            "portfolio": row["portfolio"],
            "loan": row["loan"],
            "stage": row["stage"],
            "anchor": row["anchor"].isoformat(),
            "due_at": local_stamp(row["due_at"], row["zone"]),
            "decided_at": local_stamp(row["decided_at"], row["zone"]),
            "decision": row["verdict"],
            "rules": list(row["rules"]),
        }
        if row["until_at"] is not None:
            record["until"] = local_stamp(row["until_at"], row["zone"])
        yield record


async def outcomes(conn: Connection) -> AsyncIterator[Record]:
    """Everything the ledger was told, worded as it is fed."""
    async for row in stream(conn, "replay_outcomes"):
        yield cloud_event(
            Told(
                row["portfolio"],
                row["loan"],
                row["zone"],
                row["seq"],
                row["type"],
                row["occurred_at"],
                row["data"],
                row["corrects"],
            )
        )
