"""A replay that stops somewhere is the beginning of the whole one: what had happened by then is known."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.entry.replay_command import _until
from agent.flows.reading import read_lines
from agent.flows.replay import History, Replay, in_time
from agent.flows.replay_report import Told, write_out
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from channels.sandbox.network import SandboxNetwork
from tests.support.intake import SCHEDULE, event, lines, opened, paid, person
from tests.support.stores import SessionStores

TICK = timedelta(microseconds=1)
FOR_EVER = datetime.max.replace(tzinfo=UTC)


def _people() -> list[dict[str, object]]:
    """Five people around the world: two pay late, one never, one is held for days, one for good."""
    at = "2024-01-20T12:00:00+00:00"

    def loan(name: str, zone: str, phone: str) -> dict[str, object]:
        return opened(name, at, borrower=person(f"of-{name}", phone, timezone=zone))

    return [
        loan("lagos", "Africa/Lagos", "+2347010000001"),
        loan("york", "America/New_York", "+12125550101"),
        loan("india", "Asia/Kolkata", "+919810000001"),
        loan("apia", "Pacific/Apia", "+6857200001"),
        paid("lagos", "p1", "500.00", "2024-02-04T23:30:00+00:00"),
        event("borrower.flagged", "of-india", "2024-02-05T06:00:00+00:00", flag="hardship",
              until="2024-02-12T18:30:00+00:00"),
        loan("cairo", "Africa/Cairo", "+201001234567"),
        event("borrower.flagged", "of-cairo", "2024-02-03T06:00:00+00:00", flag="deceased"),
        paid("york", "p1", "1000.00", "2024-03-11T03:59:59.999999+00:00"),
        paid("apia", "p1", "200.00", "2024-03-02T05:00:00+00:00"),
    ]  # fmt: skip


@dataclass(frozen=True)
class Run:
    violated: dict[str, tuple[str, ...]]
    messages: list[dict[str, str]]
    decisions: list[dict[str, Any]]
    outcomes: list[dict[str, Any]]

    def before(self, until: datetime) -> "tuple[list[str], list[str], list[str]]":
        """What this run had said by an instant."""
        return (
            [_text(one) for one in self.messages if _at(one["sent_at"]) <= until],
            [_text(one) for one in self.decisions if _at(one["decided_at"]) <= until],
            [_text(one) for one in self.outcomes if _at(one["time"]) <= until],
        )


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _play(
    stores: SessionStores, history: History, folder: Path, until: datetime | None = None
) -> Run:
    url = stores.create_database()
    try:
        return asyncio.run(_run(url, history, folder, until))
    finally:
        stores.drop_database(url)


async def _run(url: str, history: History, out: Path, until: datetime | None) -> Run:
    pool, keyring = await open_pool(url), Keyring(bytes(32))
    try:
        game = Replay(
            pool, keyring, history, schedule=SCHEDULE, pack_names=("house",),
            network=SandboxNetwork(),
        )  # fmt: skip
        played = await game.run(until, lambda _taken, _at: None)
        told = Told("x", "0", history.first, history.events, game.packs, game.ladder, 0.0)
        _, findings = await write_out(pool, keyring, played, told, out)
    finally:
        await pool.close()
    return Run(
        {one.id: one.examples for one in findings if one.violations},
        _read(out / "messages.ndjson"),
        _read(out / "decisions.ndjson"),
        _read(out / "outcomes.ndjson"),
    )


@pytest.fixture(scope="module")
def history() -> History:
    return in_time(*read_lines(lines(_people())))


@pytest.fixture(scope="module")
def whole(stores: SessionStores, history: History, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = _play(stores, history, tmp_path_factory.mktemp("whole"))
    assert run.violated == {}
    assert len(run.messages) > 20
    assert {"hold:hardship", "hold:deceased"} <= {
        one["rules"][0] for one in run.decisions if one["rules"]
    }
    return run


UNTILS = (
    # local midnights: Lagos, UTC (an hour into the day of Lagos), New York, Kolkata, Apia
    "2024-02-01T23:00:00+00:00",
    "2024-02-02",
    "2024-02-02T00:00:00-05:00",
    "2024-02-09T00:00:00+05:30",
    "2024-02-02T00:00:00+13:00",
    # half an hour after one, and after a payment that nothing else of that hour notices
    "2024-02-02T00:30:00+01:00",
    "2024-02-05T00:40:00",
    # days on which the clocks of New York change, at and after their midnights
    "2024-03-10T00:00:00-05:00",
    "2024-03-11T00:00:00-04:00",
    "2024-03-10T07:00:00+00:00",
    # a hold ends, the last fact, the first one
    "2024-02-12T18:30:00+00:00",
    "2024-03-11T03:59:59.999999+00:00",
    "2024-01-20T12:00:00+00:00",
    # midnight, at which held loans are looked at
    "2024-02-20T00:00:00+00:00",
    # a stage comes in Lagos
    "2024-02-02T10:00:00+01:00",
    "2024-02-08T10:00:00+01:00",
)


@pytest.mark.parametrize("text", UNTILS)
def test_it_is_the_beginning_of_the_whole(
    stores: SessionStores, history: History, whole: Run, tmp_path: Path, text: str
) -> None:
    at = _until(text)
    assert at is not None
    for until in (at - TICK, at, at + TICK):
        if until >= history.first:
            part = _play(stores, history, tmp_path, until)
            assert part.violated == {}, until
            assert part.before(FOR_EVER) == whole.before(until), until


def test_a_bucket_that_began_with_the_day_is_told(stores: SessionStores, tmp_path: Path) -> None:
    """A bare date is one hour into the day of Lagos, and nothing of that ladder comes at night."""
    lagos = person(timezone="Africa/Lagos")
    history = in_time(*read_lines(lines([opened("L", borrower=lagos)])))
    run = _play(stores, history, tmp_path, _until("2024-02-02"))
    assert run.violated == {}
    assert [(one["time"], one["data"]["to"]) for one in run.outcomes] == [
        ("2024-02-02T00:00:00+01:00", "1-7")
    ]


def test_before_the_first_fact_nothing_has_happened(
    stores: SessionStores, history: History, tmp_path: Path
) -> None:
    assert _play(stores, history, tmp_path, history.first - TICK) == Run({}, [], [], [])


def test_long_after_the_last_fact_everything_has(
    stores: SessionStores, history: History, whole: Run, tmp_path: Path
) -> None:
    assert _play(stores, history, tmp_path, datetime(2044, 1, 1, tzinfo=UTC)) == whole


def test_an_instant_without_offset_is_utc() -> None:
    assert _until("2024-02-02") == datetime(2024, 2, 2, tzinfo=UTC)
    assert _until("2024-02-02T10:00") == datetime(2024, 2, 2, 10, tzinfo=UTC)
    assert _until("2024-02-02T10:00:00+01:00") == datetime(2024, 2, 2, 9, tzinfo=UTC)
    assert _until(None) is None


def test_a_hold_of_many_years_is_not_lived_day_by_day(
    stores: SessionStores, tmp_path: Path
) -> None:
    held = event(
        "borrower.flagged", "ann", "2024-01-20", flag="dispute", until="2099-01-01T00:00:00+00:00"
    )
    history = in_time(*read_lines(lines([opened("L"), held])))
    run = _play(stores, history, tmp_path)
    assert run.violated == {}
    assert run.messages == []
    assert {one["rules"][0] for one in run.decisions} == {"hold:dispute"}
