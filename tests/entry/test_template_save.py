"""`duly template save`, `list` and `withdraw`, as staff run them."""

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.store.keyring import Keyring
from tests.entry.command import Answer, duly
from tests.support.world import World, utc

OWN = "Your instalment of {amount} was due on {due_date}.\nReply here if you need more time.\n"
BY = ("--portfolio", "town", "--by", "ana", "--approved-by", "ben", "--reason", "clearer")


@pytest.fixture
async def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    world = World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")))
    await world.opens("L1", date(2026, 3, 5))
    return world


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "texts" / "en").mkdir(parents=True)
    (tmp_path / "texts" / "en" / "overdue-7.txt").write_text(OWN, "utf-8")
    return tmp_path / "texts"


async def template(database_url: str, *args: str) -> Answer:
    def run() -> Answer:
        return duly("template", *args, DULY_DATABASE_URL=database_url)

    return await asyncio.to_thread(run)


async def told(database_url: str, *args: str) -> Any:
    return json.loads((await template(database_url, *args, "--json")).out)


@pytest.mark.usefixtures("town")
async def test_texts_are_saved_listed_and_withdrawn(folder: Path, database_url: str) -> None:
    plan = await template(database_url, "save", str(folder), *BY, "--dry-run")
    assert (plan.code, plan.out) == (0, "en/overdue-7 would be version 1\n")
    done = await told(database_url, "save", str(folder), *BY)
    assert done["stored"]
    assert done["written"] == [
        {"locale": "en", "message": "overdue-7", "version": 1, "own": True}
    ]  # fmt: skip
    again = await template(database_url, "save", str(folder), *BY)
    assert (again.code, again.out) == (0, "en/overdue-7 says what it said: no new version\n")
    listing = await template(database_url, "list")
    assert "town: en/overdue-7@" in listing.out
    assert "own, version 1 since" in listing.out
    assert "by ana, approved by ben: clearer" in listing.out
    assert "79 shipped texts that nobody changed" in listing.out
    gone = await template(database_url, "withdraw", "overdue-7", *BY)
    assert gone.out == "en/overdue-7 version 2: the shipped text again\n"
    rows = await told(database_url, "list", "--portfolio", "town")
    assert {row["own"] for row in rows["texts"]} == {False}
    versions = await told(database_url, "list", "--portfolio", "town", "--history")
    assert [(row["version"], row["text"]) for row in versions["texts"]] == [(2, None), (1, OWN)]


async def test_what_a_portfolio_says_is_shown_counted_and_checked(
    town: World, folder: Path, database_url: str
) -> None:
    await template(database_url, "save", str(folder), *BY)
    where = ("--portfolio", "town")
    shown = await told(database_url, "render", "overdue-7", "--locale", "en-NG", *where)
    assert shown["body"].startswith("Sunrise: Your instalment of NGN 6,500.00 was due on")
    counted = await told(database_url, "segments", "overdue-7", "--locale", "en", *where)
    assert "Reply here if you need more time." in "".join(counted["parts"])
    checked = await template(database_url, "lint", *where)
    assert (checked.code, checked.out) == (0, "nothing wrong\n")
    assert (await template(database_url, "lint", str(folder), *where)).code == 2
    assert (await template(database_url, "render", "x", "--portfolio", "no")).code == 2
    doctor = await asyncio.to_thread(duly, "doctor", DULY_DATABASE_URL=database_url)
    assert "own texts town: 1, as good as when they were saved" in doctor.out
    await town.pool.execute("update text_version set source = 'Pay {amount} or we sue'")
    checked = await template(database_url, "lint", *where)
    assert checked.code == 1
    assert "en/overdue-7:1: threat “sue” threatens a legal step" in checked.out
    doctor = await asyncio.to_thread(duly, "doctor", DULY_DATABASE_URL=database_url)
    assert "duly template lint --portfolio town names all" in doctor.out


async def test_a_refused_save_names_file_line_and_fix_and_stores_nothing(
    town: World, folder: Path, database_url: str
) -> None:
    (folder / "en" / "overdue-10.txt").write_text("Dear reader,\npay {amount.value}", "utf-8")
    (folder / "en" / "frame.toml").write_text("", "utf-8")
    (folder / "en" / ".hidden.txt").write_text("", "utf-8")
    (folder / "readme.txt").write_text("what these are", "utf-8")
    found = await template(database_url, "save", str(folder), *BY)
    assert found.code == 1
    assert "en/overdue-10.txt:2: placeholder {amount.value}: a brace" in found.out
    assert "en/frame.toml: file not read" in found.out
    assert "readme.txt: file not in a folder of a locale" in found.out
    assert ".hidden" not in found.out
    assert found.out.endswith("Refused; nothing was stored.\n")
    assert await town.value("select count(*) from text_version") == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ben": "Ana"}, "let another person approve it"),
        ({"clearer": " "}, "say why"),
        ({"town": "village"}, "there is no portfolio village; use one of: town"),
    ],
)
async def test_bad_use_says_what_to_do(
    town: World, folder: Path, database_url: str, change: dict[str, str], said: str
) -> None:
    options = [change.get(word, word) for word in BY]
    found = await template(database_url, "save", str(folder), *options)
    assert found.code == 2
    assert said in found.err
    assert (await template(database_url, "save", str(folder / "no"), *BY)).code == 2
    assert (await template(database_url, "withdraw", "overdue-7", *BY)).code == 2
    assert await town.value("select count(*) from text_version") == 0
