"""`duly outcomes` as a person runs it, against a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import orjson
import pytest
import typer
from typer.testing import CliRunner

from agent.entry.outcomes_command import register
from agent.store.connect import open_pool
from tests.support.ledger import NOW, make_outcomes, make_portfolio

T = TypeVar("T")


def with_pool(url: str, act: Callable[["asyncpg.Pool[Any]"], Awaitable[T]]) -> T:
    async def doing() -> T:
        pool = await open_pool(url)
        try:
            return await act(pool)
        finally:
            await pool.close()

    return asyncio.run(doing())


@pytest.fixture
def app(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DULY_DATABASE_URL", database_url)
    made = typer.Typer()
    register(made)
    return made


async def fill(pool: "asyncpg.Pool[Any]") -> None:
    await make_outcomes(pool, await make_portfolio(pool), [2, 3])
    await pool.execute("update outcome set acked_at = $1 where loan_id = 1", NOW)
    await pool.execute("update outcome set stuck_reason = 'http-422' where loan_id = 2 and seq = 1")


def test_export_writes_all_in_order(app: typer.Typer, database_url: str, tmp_path: Path) -> None:
    with_pool(database_url, fill)
    wanted = ["L0001/1", "L0001/2", "L0002/1", "L0002/2", "L0002/3"]
    printed = CliRunner().invoke(app, ["outcomes", "export"])
    ids = [orjson.loads(text)["id"] for text in printed.stdout.splitlines()]
    assert ids == [f"mobile-loans/{name}" for name in wanted]

    out = tmp_path / "o.ndjson"
    done = CliRunner().invoke(app, ["outcomes", "export", "--out", str(out), "--json"])
    assert orjson.loads(done.stdout) == {"outcomes": 5, "file": str(out)}
    assert out.read_text() == printed.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["o.ndjson"]

    one = CliRunner().invoke(app, ["outcomes", "export", "--loan", "L0002"])
    assert len(one.stdout.splitlines()) == 3


def test_replay_lets_a_stuck_loan_go_on(app: typer.Typer, database_url: str) -> None:
    with_pool(database_url, fill)
    done = CliRunner().invoke(app, ["outcomes", "replay", "L0002", "--actor", "ana", "--json"])
    assert done.exit_code == 0
    assert orjson.loads(done.stdout)["loans"] == [
        {"portfolio": "mobile-loans", "loan": "L0002", "reopened": 0, "waiting": True}
    ]
    again = CliRunner().invoke(app, ["outcomes", "replay", "L0001", "--from", "2", "--json"])
    assert orjson.loads(again.stdout)["loans"][0]["reopened"] == 1

    async def left(pool: "asyncpg.Pool[Any]") -> list[tuple[int, int, str | None]]:
        rows = await pool.fetch(
            "select loan_id, seq, stuck_reason from outcome where acked_at is null order by 1, 2"
        )
        return [tuple(row.values()) for row in rows]

    assert with_pool(database_url, left) == [(1, 2, None), (2, 1, None), (2, 2, None), (2, 3, None)]
    none = CliRunner().invoke(app, ["outcomes", "replay", "nobody"])
    assert none.exit_code == 1
