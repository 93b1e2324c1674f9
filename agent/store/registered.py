"""The ids under which gateways of a country know a lender's texts."""

from datetime import datetime
from typing import NamedTuple

from agent.store.sql import Connection, fetch, fetch_value


class TextKey(NamedTuple):
    """One text as a country's gateways tell texts apart."""

    country: str
    message: str
    locale: str


async def read_registered(conn: Connection, portfolio_id: int) -> dict[TextKey, str]:
    """The ids of a portfolio's texts, as they are now."""
    rows = await fetch(conn, "registered_texts", portfolio=portfolio_id)
    return {
        TextKey(row["country"], row["message"], row["locale"]): row["template_id"]
        for row in rows
        if row["template_id"] is not None
    }


async def register(
    conn: Connection,
    portfolio_id: int,
    key: TextKey,
    template_id: str | None,
    *,
    by: str,
    reason: str,
    now: datetime,
) -> None:
    """Keep the id of a text; None takes it back."""
    await fetch_value(
        conn, "register_text", portfolio=portfolio_id, country=key.country, message=key.message,
        locale=key.locale, template_id=template_id, by=by, reason=reason, now=now,
    )  # fmt: skip


async def may_write_to(conn: Connection, portfolio_id: int, country: str) -> bool:
    """Whether anybody of a portfolio may be in a country."""
    found: bool = await fetch_value(conn, "anybody_in", portfolio=portfolio_id, country=country)
    return found
