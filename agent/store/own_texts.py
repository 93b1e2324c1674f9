"""A lender's own texts: what was stored, by whom, and which set is in force."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from agent.domain.text_change import Signed
from agent.domain.text_files import TextId
from agent.store.sql import Connection, execute, fetch, fetch_value


class TextVersion(NamedTuple):
    """One version of a text; without a source, the shipped one again."""

    locale: str
    message: str
    version: int
    source: str | None
    allowed_hosts: tuple[str, ...]
    author: str
    approved_by: str
    reason: str
    active_from: datetime

    @property
    def key(self) -> TextId:
        return (self.locale, self.message)


async def newest(conn: Connection, portfolio_id: int) -> dict[TextId, TextVersion]:
    """The newest version of every text that is or was the lender's own."""
    rows = await fetch(conn, "own_texts", portfolio=portfolio_id)
    return {one.key: one for one in map(_version, rows)}


async def history(conn: Connection, portfolio_id: int) -> list[TextVersion]:
    """Every version, the newest of each text first."""
    return [_version(row) for row in await fetch(conn, "text_history", portfolio=portfolio_id)]


def _version(row: Any) -> TextVersion:
    return TextVersion(
        row["locale"], row["message"], row["version"], row["source"], tuple(row["allowed_hosts"]),
        row["author"], row["approved_by"], row["reason"], row["active_from"],
    )  # fmt: skip


def sources(versions: Mapping[TextId, TextVersion]) -> dict[TextId, str]:
    """What is in force of them: a text that was withdrawn is not."""
    return {key: one.source for key, one in versions.items() if one.source is not None}


async def set_name(conn: Connection, portfolio_id: int) -> str:
    """The name of the set in force, as `digest_of` makes it; empty for none."""
    found: str = await fetch_value(conn, "texts_of_portfolio", portfolio=portfolio_id)
    return found


async def keep(
    conn: Connection,
    portfolio_id: int,
    key: TextId,
    version: int,
    source: str | None,
    hosts: Sequence[str],
    signed: Signed,
    *,
    rev: int,
    now: datetime,
) -> None:
    """Write a new version."""
    await execute(
        conn, "keep_text", portfolio=portfolio_id, locale=key[0], message=key[1], version=version,
        source=source, hosts=list(hosts), by=signed.by, approved_by=signed.approved_by,
        reason=signed.reason, now=now, rev=rev,
    )  # fmt: skip


async def set_in_force(conn: Connection, portfolio_id: int, name: str) -> None:
    """Let begins know which set they have."""
    await execute(conn, "set_texts", portfolio=portfolio_id, texts=name)


async def regions(conn: Connection, portfolio_id: int) -> list[str]:
    """Where the portfolio's people may be."""
    rows = await fetch(conn, "regions_of_people", portfolio=portfolio_id)
    return sorted(row["region"] for row in rows)
