"""Rule test vectors: all that came with the rules pass, and what is wrong is told."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agent.flows.conduct_lint import lint
from agent.flows.conduct_vectors import BadVectors, Ran, run, run_file, shipped_shelf
from agent.flows.rules import line_of, problems_of, read_pack
from schedules import conduct_text

FILE = Path(__file__).parents[1] / "support" / "vectors" / "conduct.json"
VECTORS = json.loads(FILE.read_text("utf-8"))["vectors"]
SHELF = shipped_shelf()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_vector(vector: dict[str, Any]) -> None:
    if vector["kind"] == "sms_length" and find_spec("agent.domain.segments") is None:
        pytest.skip("lengths of texts are counted by another module")
    ran = run(vector, SHELF)
    assert ran.passed, (ran.expected, ran.got)


def wrong(changes: dict[str, Any], number: int = 1) -> Ran:
    return run(VECTORS[number] | {"expect": VECTORS[number]["expect"] | changes}, SHELF)


def test_a_difference_is_a_failure() -> None:
    assert VECTORS[1]["id"] == "W02"
    assert not wrong({"decision": "allow"}).passed
    assert not wrong({"until": "2026-11-23T13:02:00Z"}).passed
    assert not wrong({"rules": []}).passed
    assert not wrong({"rules": ["REGF-6B1-TIME", "US-MA"]}).passed
    assert not wrong({"unheard_of": 1}).passed
    assert not run(VECTORS[1] | {"kind": "dance"}, SHELF).passed
    assert "unknown kind" in run(VECTORS[1] | {"kind": "dance"}, SHELF).got["problem"]


def test_a_pack_that_is_not_there_is_a_hold() -> None:
    vector = VECTORS[0] | {"packs": ["US-FED-REGF", "US-ATLANTIS"]}
    assert run(vector, SHELF).got["decision"] == "hold"
    assert "ENGINE-PACK-MISSING" in run(vector, SHELF).got["rules"]


def test_a_file_may_bring_packs_and_calendars(tmp_path: Path) -> None:
    window = {"all_days": ["10:00", "12:00"], "holiday": None}
    rule = {"id": "MINE", "type": "contact_window", "who": ["first_party"], "channels": ["sms"],
            "windows": window, "calendar": "MINE-2026", "source": "a test", "verified": "policy"}  # fmt: skip
    off = {"covers": ["2026-01-01", "2026-12-31"], "off": ["2026-11-24"]}
    file = tmp_path / "own.json"
    own = {
        "calendars": {"MINE-2026": off},
        "packs": [{"id": "MINE", "rules": [rule]}],
        "vectors": [{
            "id": "X1", "kind": "contact", "packs": ["MINE"],
            "given": {"role": "first_party", "zones": ["Africa/Lagos"]},
            "action": {"channel": "sms", "at": "2026-11-24T09:30:00Z"},
            "expect": {"decision": "defer", "until": "2026-11-25T09:01:00Z", "rules": ["MINE"]},
        }],
    }  # fmt: skip
    file.write_text(json.dumps(own))
    (ran,) = run_file(file)
    assert ran.passed, ran.got


ONE = {"id": "W", "kind": "sms_length", "given": {"text": "abc"}, "expect": {"units": 3}}


ODD_VECTORS: list[dict[str, object]] = [
    {"given": [1]}, {"expect": []}, {"id": None}, {"kind": ["contact"]},
]  # fmt: skip
ODD_FILES: list[dict[str, object]] = [
    {"calendars": {"X": {}}}, {"calendars": [1]}, {"packs": ["x"]},
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"vectors": 1}', '{"vectors": [{"id": "W"}]}',
        *(json.dumps({"vectors": [ONE | odd]}) for odd in ODD_VECTORS),
        *(json.dumps({"vectors": [ONE], **odd}) for odd in ODD_FILES),
    ],
)  # fmt: skip
def test_a_file_without_vectors_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(BadVectors):
        run_file(file)


def test_only_what_differs_is_told(tmp_path: Path) -> None:
    file = tmp_path / "with a mark.json"
    asked = {"id": "W", "kind": "contact", "expect": {"decision": "allow"}}
    file.write_text(json.dumps({"vectors": [ONE | {"expect": {"units": 3, "segments": 2}}, asked]}))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    short, silent = run_file(file)
    assert (short.passed, short.differing()) == (False, ["segments"])
    assert (silent.passed, silent.differing()) == (False, ["decision", "problem"])
    assert silent.got == {"problem": "it does not say 'action'"}


def test_all_shipped_packs_pass_lint_and_ask_for_review() -> None:
    found = lint()
    assert found.problems == ()
    assert found.packs >= 20
    assert any("us-fed-regf.toml: reviewed by nobody yet" in note for note in found.warnings)


def test_a_bad_rule_refuses_its_pack_with_file_line_and_fix() -> None:
    text = conduct_text("us-dc").replace("count = 4", 'count = "four"')
    found = read_pack(text, {})
    assert isinstance(found, tuple)
    (told,) = problems_of("us-dc.toml", text, found)
    line = line_of(text, "DC-3814-D4A")
    assert told == f"us-dc.toml:{line}: DC-3814-D4A: no count (write count = 1 or more)"
    assert text.splitlines()[line - 1] == 'id = "DC-3814-D4A"'
    unwarned = conduct_text("us-dc").replace("not legal advice", "advice")
    assert isinstance(read_pack(unwarned, {}), tuple)
