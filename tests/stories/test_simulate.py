"""`duly simulate`: a bad half-year leaves all as it must be, is repeatable, and finds a planted bug."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from agent.domain.delivery import Proof
from agent.domain.invented import ledger
from agent.flows import rescue
from agent.flows.reading import read_lines
from agent.flows.replay import Hooks, Replay, in_time
from agent.flows.simulate import Fault, Witness, Workers, hear, script_for
from agent.store.keyring import Keyring
from channels.sandbox.network import SandboxNetwork
from schedules import ladder_text
from tests.entry.command import duly

FILES = ("ledger.ndjson", "messages.ndjson", "decisions.ndjson", "outcomes.ndjson")


def simulate(url: str, *args: str) -> tuple[int, dict[str, object]]:
    answer = duly("simulate", *args, "--json", DULY_DATABASE_URL=url)
    assert answer.out, answer.err
    return answer.code, json.loads(answer.out)


async def test_a_seed_gives_the_same_bad_weeks_twice(database_url: str, tmp_path: Path) -> None:
    asked = ("--seed", "11", "--loans", "24", "--days", "50")
    runs = [simulate(database_url, *asked, "--out", str(tmp_path / name)) for name in ("a", "b")]
    for code, told in runs:
        assert (code, told["violated"], told["phones_agree"]) == (0, [], True)
        assert told["seed"] == 11
        assert told["workers_died"]
        assert told["rejected"]
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_what_is_no_fault_is_refused() -> None:
    answer = duly(
        "simulate", "--faults", "network,earthquake", DULY_DATABASE_URL="postgresql://x/y"
    )
    assert answer.code == 2
    assert "earthquake" in answer.err
    assert "network, deaths, ledger" in answer.err


async def played(database_url: str, pool: asyncpg.Pool, keyring: Keyring) -> Witness:
    """Weeks of lost answers and dying workers, and what the phones say of them."""
    lines = [json.dumps(event).encode() for event in ledger(5, 24, 50)]
    history = in_time(*read_lines(enumerate(lines, start=1)))
    network = SandboxNetwork(script_for([Fault.NETWORK]), 5)
    workers = Workers(database_url, 5)
    game = Replay(
        pool, keyring, history, schedule=ladder_text("consumer-instalment"),
        pack_names=("house",), network=network, hooks=Hooks(dispatch=workers.run),
    )  # fmt: skip
    await game.run(history.first + timedelta(days=50), lambda _done, _at: None)
    assert workers.died
    return await hear(pool, network)


async def test_the_phones_agree(database_url: str, pool: asyncpg.Pool, keyring: Keyring) -> None:
    witness = await played(database_url, pool, keyring)
    assert witness.content
    assert witness.accepted > 40


async def test_taking_unknown_for_absent_is_seen_by_the_phones(
    database_url: str, pool: asyncpg.Pool, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hasty(**_facts: datetime | bool | None) -> Proof:
        return Proof.ABSENT

    monkeypatch.setattr(rescue, "prove", hasty)
    witness = await played(database_url, pool, keyring)
    assert witness.twice
