"""`duly doctor`: finds what is wrong, says what to do, exits 1 only for problems."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.clock import SystemClock, VirtualClock
from agent.entry.doctor import _calendar, examine
from agent.entry.findings import Finding, Level
from agent.flows.calendars import shipped_calendars
from agent.store.keyring import Keyring
from tests.conftest import TEST_MASTER_KEY
from tests.entry.command import duly

Settings = Mapping[str, str]


@pytest.fixture
async def settings(database_url: str, redis_url: str) -> Settings:
    """Settings with which everything is well."""
    return {
        "DULY_DATABASE_URL": database_url,
        "DULY_REDIS_URL": redis_url,
        "DULY_MASTER_KEY": TEST_MASTER_KEY.hex(),
        "DULY_PUBLIC_URL": "https://duly.example.com",
    }


def findings(**settings: str) -> tuple[int, dict[str, dict[str, Any]]]:
    answer = duly("doctor", "--json", **settings)
    return answer.code, {each["check"]: each for each in json.loads(answer.out)["findings"]}


def test_all_is_well(settings: Settings) -> None:
    code, found = findings(**settings)
    bad = {name: each for name, each in found.items() if each["level"] == "problem"}
    assert (code, bad) == (0, {})
    assert {"database", "database writes", "clock", "schema", "master key", "queue"} <= found.keys()
    assert "schedule consumer-instalment" in found


def test_embedded_stores_are_well_after_migrate(tmp_path: Path) -> None:
    place = {"DULY_DATA_DIR": str(tmp_path / "data")}
    code, found = findings(**place)
    assert (code, found["schema"]["do"]) == (1, "run `duly migrate`")
    assert duly("migrate", **place).code == 0
    assert findings(**place)[0] == 0


def test_the_pleasant_form_says_what_to_do(settings: Settings) -> None:
    answer = duly("doctor", **{**settings, "DULY_REDIS_URL": "redis://127.0.0.1:1"})
    assert answer.code == 1
    assert "problem  queue: " in answer.out
    assert "→ start it, or correct DULY_REDIS_URL" in answer.out


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({"DULY_DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "database", "problem"),
        ({"DULY_REDIS_URL": "redis://127.0.0.1:1"}, "queue", "problem"),
        ({"DULY_REDIS_URL": "nonsense"}, "queue", "problem"),
        ({"DULY_MASTER_KEY": ""}, "configuration", "problem"),
        ({"DULY_LEDGER_URL": "https://ledger.example.com"}, "ledger", "problem"),
        (
            {"DULY_LEDGER_URL": "http://127.0.0.1:1/x", "DULY_LEDGER_SECRET": "whsec_?"},
            "ledger",
            "problem",
        ),
        (
            {"DULY_LEDGER_URL": "http://127.0.0.1:1/x", "DULY_LEDGER_SECRET": "whsec_AAAA"},
            "ledger address",
            "warning",
        ),
        ({"DULY_LEDGER_FILE": "/none/outcomes.ndjson"}, "ledger file", "problem"),
        ({"DULY_PUBLIC_URL": "http://localhost:1"}, "public address", "warning"),
        ({"DULY_PROT": "1"}, "configuration", "warning"),
    ],
)
def test_what_is_wrong_is_found(
    settings: Settings, change: Settings, check: str, level: str
) -> None:
    answer = duly("doctor", "--json", **{**settings, **change})
    found = [each for each in json.loads(answer.out)["findings"] if each["check"] == check]
    assert level in {each["level"] for each in found}
    assert all(each["do"] for each in found if each["level"] != "ok")
    assert answer.code == (1 if level == "problem" else 0)


async def test_another_master_key_is_found(settings: Settings, pool: Any) -> None:
    wrapped = Keyring(bytes(32)).new_person_key().wrapped
    await pool.execute(
        """
        insert into portfolio (id, name, lender, zone, locale, created_at)
        values (1, 'p', 'l', 'UTC', 'en', $1)
        """,
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    await pool.execute(
        """
        insert into borrower (portfolio_id, id, ref, locale, zones, data_key, updated_at)
        values (1, 1, 'b', 'en', '{UTC}', $1, $2)
        """,
        wrapped,
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    code, found = findings(**settings)
    assert (code, found["master key"]["level"]) == (1, "problem")
    assert findings(**{**settings, "DULY_MASTER_KEY": bytes(32).hex()})[0] == 0


async def test_an_evicting_queue_is_a_problem(settings: Settings) -> None:
    import redis.asyncio as redis  # noqa: PLC0415

    client = redis.Redis.from_url(settings["DULY_REDIS_URL"])
    await client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        code, found = findings(**settings)
    finally:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.aclose()
    assert (code, found["queue"]["says"]) == (1, "maxmemory-policy is allkeys-lru")


async def test_a_clock_that_is_wrong_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    ahead = VirtualClock(SystemClock().now() + timedelta(seconds=5))
    assert level_of(await examine(ahead), "clock") is Level.PROBLEM
    assert level_of(await examine(SystemClock()), "clock") is Level.OK


async def test_a_year_that_no_calendar_covers_is_a_warning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    far = VirtualClock(datetime(2040, 1, 1, tzinfo=UTC))
    assert level_of(await examine(far), "calendar us-federal") is Level.WARNING
    assert level_of(await examine(far), "time zones") is Level.WARNING


@pytest.mark.parametrize(
    ("name", "today", "says"),
    [
        ("cn-state-council", date(2026, 6, 1), ""),
        ("cn-state-council", date(2026, 11, 1), ""),
        ("cn-state-council", date(2026, 11, 2), "2027 is missing: it knows holidays only until 2026-12-31"),
        ("us-federal", date(2026, 6, 1), "2026 was computed or sampled, and nobody has confirmed it"),
        ("id-sample", date(2026, 12, 31),
         "; ".join(f"{y} was computed or sampled, and nobody has confirmed it" for y in (2026, 2027))),
        ("us-federal", date(2028, 2, 1), "2028 is missing: it knows holidays only until 2027-12-31"),
    ],
)  # fmt: skip
def test_a_calendar_names_the_year_that_is_not_known_ahead_of_time(
    name: str, today: date, says: str
) -> None:
    found = _calendar(name, shipped_calendars()[name], today)
    assert found.level is (Level.WARNING if says else Level.OK)
    assert found.says == (says or "covers 2026")
    assert ("until then rules that need them hold" in found.do) == bool(says)


def level_of(found: list[Finding], check: str) -> Level:
    return next(finding.level for finding in found if finding.check == check)
