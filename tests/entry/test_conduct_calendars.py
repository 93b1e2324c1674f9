"""`duly conduct calendars`: the list, a confirmation, and what doctor says before and after."""

import json

from tests.entry.command import duly


def test_a_calendar_is_confirmed_and_doctor_says_so(database_url: str) -> None:
    at = {"DULY_DATABASE_URL": database_url}
    assert duly("conduct", "calendars", "confirm", "co-sample", "--year", "2026", **at).code == 2
    rows = json.loads(duly("conduct", "calendars", "--json", **at).out)["calendars"]
    assert {row["name"]: row["confirmed"] for row in rows}["co-sample"] == []
    before = duly("doctor", "--json", **at).out
    answer = duly(
        "conduct", "calendars", "confirm", "co-sample", "--year", "2026", "--year", "2027",
        "--reason", "decree 1", "--by", "ana", "--json", **at,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["confirmed"] == [2026, 2027]
    rows = json.loads(duly("conduct", "calendars", "--json", **at).out)["calendars"]
    told = {row["name"]: (row["by"], row["reason"]) for row in rows}
    assert told["co-sample"] == ("ana", "decree 1")
    after = duly("doctor", "--json", **at).out
    for found, level in ((before, "warning"), (after, "ok")):
        levels = {one["check"]: one["level"] for one in json.loads(found)["findings"]}
        assert levels["calendar co-sample"] == level
    assert "duly conduct calendars confirm" in before
