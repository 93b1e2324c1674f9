"""A replay's files: three of lines, a report for programs and a page for people."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from agent.adapters.report_page import report_html
from agent.clock import seconds
from agent.domain.calendar import local_date
from agent.domain.conduct import Pack
from agent.domain.ladder import Ladder
from agent.domain.report import Report, ReportBuilder, report_json
from agent.flows.growth import gather_statistics
from agent.flows.intake import Problem
from agent.flows.invariants import Finding, check
from agent.flows.replay import Played
from agent.flows.replay_records import decisions, messages, outcomes
from agent.store.keyring import Keyring
from agent.store.sql import Connection, fetch

_LINE = orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True, slots=True)
class Told:
    """What the command knows of a run and the database does not."""

    file: str
    version: str
    first: datetime
    events: int
    packs: tuple[Pack, ...]
    ladder: Ladder
    began: float


async def write_out(
    pool: "asyncpg.Pool[asyncpg.Record]", keyring: Keyring, played: Played, told: Told, out: Path
) -> tuple[Report, tuple[Finding, ...]]:
    """Check the invariants and write the five files into `out`, a folder that exists.

    What did not fit is listed in a sixth, `errors.ndjson`, if there is any.
    """
    assert played.until is not None
    began = seconds()
    await gather_statistics(pool)
    # nothing changes any more: one of the two works while PostgreSQL looks something up for the other
    checking = asyncio.create_task(check(pool, keyring, played.until, packs=told.packs))
    builder = ReportBuilder()
    try:
        async with pool.acquire() as conn, conn.transaction():
            facts = await _lines(conn, keyring, told.ladder, builder, out)
    finally:
        await asyncio.wait([checking])
    findings = checking.result()
    played.phases["invariants and files"] = seconds() - began
    report = builder.build(_run(played, told, findings, facts))
    options = orjson.OPT_INDENT_2 | _LINE
    (out / "report.json").write_bytes(orjson.dumps(report_json(report), option=options))
    (out / "report.html").write_text(report_html(report), "utf-8")
    _write_errors(played.taken.problems, out / "errors.ndjson")
    return report, findings


def _write_errors(problems: Sequence[Problem], path: Path) -> None:
    """As `duly import` lists them; a list of an earlier run does not stay."""
    path.unlink(missing_ok=True)
    if problems:
        rows = sorted(problems, key=lambda problem: problem.line)
        path.write_bytes(b"".join(orjson.dumps(row.as_json(), option=_LINE) for row in rows))


async def _lines(
    conn: Connection, keyring: Keyring, ladder: Ladder, builder: ReportBuilder, out: Path
) -> dict[str, Any]:
    portfolios = {row["id"]: row["name"] for row in await fetch(conn, "portfolio_names")}
    ladders = dict.fromkeys(portfolios, ladder)
    await _write(out / "messages.ndjson", messages(conn, keyring, ladders), builder.add_message)
    await _write(out / "decisions.ndjson", decisions(conn), builder.add_decision)
    await _write(out / "outcomes.ndjson", outcomes(conn), builder.add_outcome)
    openings = await fetch(conn, "replay_openings")
    for row in openings:
        builder.add_opening(row["loan"], local_date(row["opened_at"], row["zone"]))
    counts = await fetch(conn, "replay_counts")
    return {
        "portfolios": sorted(portfolios.values()),
        "loans": len(openings),
        "borrowers": counts[0]["borrowers"],
    }


async def _write(
    path: Path, records: AsyncIterator[dict[str, Any]], add: Callable[[dict[str, Any]], None]
) -> None:
    with path.open("wb") as file:
        async for record in records:
            file.write(orjson.dumps(record, option=_LINE))
            add(record)


def _run(
    played: Played, told: Told, findings: Sequence[Finding], facts: dict[str, Any]
) -> dict[str, Any]:
    assert played.until is not None
    return {
        "file": told.file,
        "version": told.version,
        "schedule": told.ladder.name,
        "packs": [pack.id for pack in told.packs],
        "from": told.first.isoformat(),
        "until": played.until.isoformat(),
        "virtual_days": (played.until - told.first) / timedelta(days=1),
        "events": told.events,
        "events_applied": played.taken.applied,
        "events_duplicate": played.taken.duplicates,
        "events_rejected": dict(played.taken.rejected),
        "invariants": [
            {"id": f.id, "title": f.title, "violations": f.violations}
            for f in findings
            if f.pending is None
        ],
        "stages": [
            {
                "id": stage.id,
                "grade": stage.grade.value,
                "offset_days": stage.offset_days,
                "action": stage.action.value,
            }
            for stage in told.ladder.stages
        ],
        "rules": {
            rule.id: rule.source.phrase
            for pack in told.packs
            for rules in (pack.rules, pack.states)
            for rule in rules
        },
        "packs_of_rules": {
            rule.id: pack.id
            for pack in told.packs
            for rules in (pack.rules, pack.states)
            for rule in rules
        },
        "wall_seconds": seconds() - told.began,
        "phases": played.phases,
        **facts,
    }
