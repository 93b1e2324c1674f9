"""`duly replay` reads what `duly import` reads, and tells what did not fit."""

import gzip
import json
from pathlib import Path

import orjson
import pytest

from tests.entry.command import Answer, duly
from tests.support.intake import opened, paid

EVENTS = [
    paid("L", "early", "1.00", "2023-12-31"),
    opened("L"),
    paid("L", "all", "1000.00", "2024-01-20"),
    paid("L", "all", "1000.00", "2024-01-20"),
    paid("L", "bad", "1,0", "2024-01-21"),
]
NDJSON = b"\n".join(json.dumps(event).encode() for event in EVENTS) + b"\n{broken\n"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("bom.ndjson", b"\xef\xbb\xbf" + NDJSON.replace(b"\n", b"\r\n")),
        ("packed", gzip.compress(NDJSON)),
        ("array.json", json.dumps([*EVENTS, {}]).encode()),
    ],
)
def test_every_shape_of_file(database_url: str, tmp_path: Path, name: str, body: bytes) -> None:
    file, out = tmp_path / name, tmp_path / "out"
    file.write_bytes(body)
    answer = duly("replay", str(file), "--out", str(out), "--json", DULY_DATABASE_URL=database_url)
    assert answer.code == 0, answer.err
    said = orjson.loads(answer.out)
    run = said["run"]
    assert (run["events"], run["events_applied"], run["events_duplicate"]) == (6, 3, 1)
    assert sum(line["count"] for line in said["rejected"]) == 2
    listed = [orjson.loads(line) for line in (out / "errors.ndjson").read_bytes().splitlines()]
    assert [(one["line"], one["reason"]) for one in listed][:1] == [(5, "bad-amount")]
    assert listed[1]["line"] == 6


def test_a_cut_gzip_is_played_as_far_as_it_goes_and_told(database_url: str, tmp_path: Path) -> None:
    whole = gzip.compress(NDJSON, mtime=0)
    file = tmp_path / "cut.ndjson.gz"
    file.write_bytes(whole[:-12])
    answer = duly("replay", str(file), DULY_DATABASE_URL=database_url)
    assert answer.code == 1, answer.err
    assert "The file breaks off" in answer.out
    assert "invariants hold" in answer.out


def test_a_message_that_fell_back_at_once_is_one_message(database_url: str, tmp_path: Path) -> None:
    file, out, phones = tmp_path / "a.ndjson", tmp_path / "out", tmp_path / "phones.toml"
    push = {"channel": "push", "provider": "fcm", "address": "token"}
    text = {"channel": "sms", "address": "+2347010687970", "consent": {"source": "application"}}
    who = {"id": "p", "locale": "en", "timezone": "Africa/Lagos", "contacts": [push, text]}
    file.write_text(json.dumps(opened("L", borrower=who)))
    phones.write_text('[[rule]]\nact = "refuse"\nchannel = "push"\nrefusal = "permanent"\n')
    answer = duly(
        "replay", str(file), "--phones", str(phones), "--out", str(out), "--until", "2024-02-01",
        "--json", DULY_DATABASE_URL=database_url,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    sent = [orjson.loads(line) for line in (out / "messages.ndjson").read_bytes().splitlines()]
    assert [(one["stage"], one["channel"]) for one in sent] == [
        ("due-in-3-days", "sms"),
        ("due-tomorrow", "sms"),
    ]
    assert orjson.loads(answer.out)["headline"]["messages"] == 2


def test_a_file_without_an_event_says_why(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text('{"id": "x"}\n')
    answer = duly("replay", str(file))
    assert answer.code == 2
    assert "line 1 is refused: missing-field, type" in answer.err


def test_a_loan_is_planned_from_its_first_instant_wherever_it_is(
    database_url: str, tmp_path: Path
) -> None:
    # the first event falls on a step's time; Apia's next morning comes before St. John's evening
    file, out = tmp_path / "a.ndjson", tmp_path / "out"
    sms = {"channel": "sms", "consent": {"source": "application"}}
    first, later = "2024-03-04T18:00:00-03:30", "2024-03-06T07:16:00+13:00"
    events = [
        opened(ref, at, borrower={"id": ref, "timezone": zone, "contacts": [sms | {"address": to}]},
               installments=[{"number": 1, "due_on": due, "amount": "10.00"}])
        for ref, at, zone, to, due in (
            ("J", first, "America/St_Johns", "+17095550101", "2024-03-05"),
            ("A", later, "Pacific/Apia", "+6857700001", "2024-03-06"),
        )
    ]  # fmt: skip
    file.write_text("\n".join(map(json.dumps, events)))
    answer = duly(
        "replay", str(file), "--until", "2024-03-07", "--out", str(out),
        DULY_DATABASE_URL=database_url,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    sent = [orjson.loads(line) for line in (out / "messages.ndjson").read_bytes().splitlines()]
    assert [(one["loan"], one["stage"], one["sent_at"]) for one in sent][:3] == [
        ("J", "due-tomorrow", first),
        ("J", "due-today", "2024-03-05T09:00:00-03:30"),
        ("A", "due-today", "2024-03-06T09:00:00+13:00"),
    ]


def test_an_end_before_the_beginning_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(NDJSON)
    answer = duly("replay", str(file), "--until", "2023-12-30")
    assert answer.code == 2
    assert "begins at 2023-12-31T09:00:00+00:00" in answer.err


def test_texts_of_one_s_own_are_tried_on_a_history(database_url: str, tmp_path: Path) -> None:
    file, out, folder = tmp_path / "a.ndjson", tmp_path / "out", tmp_path / "texts" / "en"
    file.write_text(json.dumps(opened("L")))
    folder.mkdir(parents=True)
    text = folder / "due-soon.txt"

    def run() -> Answer:
        return duly(
            "replay", str(file), "--texts", str(folder.parent), "--out", str(out),
            DULY_DATABASE_URL=database_url,
        )  # fmt: skip

    text.write_text("Soon {amount} is due.\nOr we sue.")
    answer = run()
    assert answer.code == 2
    assert "en/due-soon.txt:2: “sue” threatens a legal step" in answer.err
    text.write_text("Soon {amount} is due. Ask us anything.")
    assert run().code == 0
    bodies = [orjson.loads(line) for line in (out / "messages.ndjson").read_bytes().splitlines()]
    assert sum("Ask us anything." in str(one) for one in bodies) == 1


def test_a_folder_that_cannot_be_one_is_told_before_anything_is_started(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text(json.dumps(opened("L")))
    answer = duly("replay", str(file), "--out", str(file))
    assert answer.code == 2
    assert "cannot be a folder" in answer.err
