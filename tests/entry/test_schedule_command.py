"""`duly schedule lint`: every mistake in a ladder with its file, line and fix."""

from pathlib import Path

import orjson
import pytest

from agent.flows.schedule_lint import lint
from schedules import ladder_names, ladder_text
from tests.entry.command import duly

GOOD = """name = "own"
buckets = [1, 8]

[[stage]]
id = "soon"
grade = "reminder"
offset_days = -1
at = 10:00:00
channels = ["sms"]
message = "due-soon"
catch_up = "skip"
not_after_hours = 12

[[stage]]
id = "end"
grade = "final"
offset_days = 91
at = 10:00:00
action = "outcome"
outcome = "account.charge_off_recommended"
ends_contact = true
catch_up = "latest"
not_after_hours = 800
"""


def test_what_ships_and_what_is_good_passes() -> None:
    assert lint("own.toml", GOOD.encode()) == ()
    assert lint("own.toml", b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()) == ()
    assert [lint(name, ladder_text(name).encode()) for name in ladder_names()] == [()]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("buckets = [1, 8]", "buckets = [1", 4, "not TOML"),
        ("buckets = [1, 8]", "buckets = [8, 1]", 2, "buckets: cannot use"),
        ('name = "own"', "", 1, "name: missing"),
        ("[1, 8]\n", '[1, 8]\ncalendar = "mars"\n', 3, "calendar: no calendar 'mars' (use one of"),
        ("[1, 8]\n", '[1, 8]\ncolour = "red"\n', 3, "colour: unknown key (use one of"),
        ('"reminder"', '"angry"', 6, "stage soon: grade: cannot use 'angry' (write grade = one of"),
        ("at = 10:00:00\nch", 'at = "10:00"\nch', 8, "a local time without quotes"),
        ('["sms"]', '["fax"]', 9, "channels from push, sms"),
        ('["sms"]', '["sms", "push"]', 4, "write fallback_after_minutes = 120"),
        ('"due-soon"', '"due-son"', 10, "there is no text 'due-son' (use one of: due-soon"),
        ("= 12", '= 12\nshift = "next"', 13, "the ladder has no calendar"),
        ("= 12", "= 12\nrepeat = {every_days = 5, until_offset_days = 3}", 13, "write at least 4"),
        ('id = "soon"', 'id = "Soon"', 5, "stage 1: id: cannot use 'Soon'"),
        ('id = "end"', 'id = "soon"', 15, "stage soon: id: used twice"),
        ("ends_contact = true", "ends_contact = 1", 21, "ends_contact = true or false"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_fix(old: str, new: str, line: int, says: str) -> None:
    assert old in GOOD
    (told,) = lint("own.toml", GOOD.replace(old, new, 1).encode())
    assert told.startswith(f"own.toml:{line}: ")
    assert says in told
    assert told.endswith(")")


def test_every_mistake_is_told_at_once_in_the_order_of_the_file() -> None:
    bad = GOOD.replace("= 12", "= 0").replace("[1, 8]", "[]").replace("91", '"91"')
    assert [told.split(": ")[0] for told in lint("own", bad.encode())] == [
        "own:2",
        "own:12",
        "own:17",
    ]
    assert lint("own", b"name = \xff\n") == ("own:1: not UTF-8 (save the file as UTF-8)",)


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(GOOD)
    assert duly("schedule", "lint", str(file)).code == 0
    file.write_text(GOOD.replace("due-soon", "due-son"))
    answer = duly("schedule", "lint", "--json", str(file))
    assert answer.code == 1
    assert [one.split(": ")[0] for one in orjson.loads(answer.out)["problems"]] == [f"{file}:10"]
    assert duly("schedule", "lint", str(tmp_path / "none.toml")).code == 2
    assert duly("schedule", "lint").code == 0
    history = tmp_path / "a.ndjson"
    history.write_text("{}")
    refused = duly("replay", str(history), "--schedule", str(file))
    assert refused.code == 2
    assert f"{file}:10: stage soon: message" in refused.err
