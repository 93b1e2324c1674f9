"""Rule test vectors: all that came with the rules pass, and what is wrong is told."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agent.flows.calendars import shipped_calendars
from agent.flows.conduct_lint import lint
from agent.flows.conduct_vectors import BadVectors, Ran, run, run_file, shipped_shelf
from agent.flows.rules import line_of, problems_of, read_pack
from schedules import conduct_text

FILE = Path(__file__).parents[1] / "support" / "vectors" / "conduct.json"
VECTORS = json.loads(FILE.read_text("utf-8"))["vectors"]
# ours: every window's boundary minutes, clocks that change, caps by date, maps at every edge
EDGES = json.loads((FILE.parent / "edges.json").read_text("utf-8"))["vectors"]
SHELF = shipped_shelf()


@pytest.mark.parametrize("vector", [*VECTORS, *EDGES], ids=lambda vector: vector["id"])
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
    {"given": [1]}, {"expect": []}, {"expect": {}}, {"id": None}, {"kind": ["contact"]},
]  # fmt: skip
ODD_FILES: list[dict[str, object]] = [
    {"calendars": {"X": {}}}, {"calendars": [1]}, {"packs": ["x"]},
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"vectors": 1}', '{"vectors": []}', '{"vectors": [{"id": "W"}]}',
        *(json.dumps({"vectors": [ONE | odd]}) for odd in ODD_VECTORS),
        *(json.dumps({"vectors": [ONE], **odd}) for odd in ODD_FILES),
    ],
)  # fmt: skip
def test_a_file_without_vectors_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(BadVectors):
        run_file(file)


def test_one_bad_file_hides_no_other(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps({"vectors": [ONE]}))
    bad.write_text("{")
    asked = ["conduct", "vectors", str(bad), str(good)]
    command = [sys.executable, "-m", "agent", *asked]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "1 of 1 passed" in done.stdout
    assert "bad.json is no JSON" in done.stderr


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
    assert any("CFPB-1041.8B: before a debit" in note for note in found.warnings)


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


PAST, DEBIT = 'level = "city"\neffective_to = "2026-01-01"', 'before = "debit"'
HOURS, ATTORNEY = '["08:00", "21:00"]', 'reasons = ["attorney"]'
SLIPS = [
    ("us-dc", HOURS, "[08:00:00, 21:00:00]", "are no hours"),
    ("us-dc", HOURS, '["8:00", "21:00"]', "are no hours"),
    ("us-dc", HOURS, '["21:00", "08:00"]', "closes before it opens"),
    ("us-dc", 'id = "DC-3814-K"', "id = 3814", "id is no string"),
    ("us-dc", 'clause = "D.C. Code 28-3814(k)"', "clause = 2026-01-01", "its source has no clause"),
    ("us-dc", 'channels = ["sms", "call", "ai_voice"]', 'channels = ["sms", true]', "no string"),
    ("us-dc", 'channels = ["sms", "call", "ai_voice"]', 'channels = ["smss"]', "is not known"),
    ("us-dc", 'who = ["third_party", "first_party"]', 'who = ["thirdparty"]', "is not known"),
    ("us-dc", 'who = ["third_party", "first_party"]', "who = []", "who is empty"),
    ("us-dc", "count = 4", "count = true", "no count"),
    ("us-dc", "count = 4", "count = 4.0", "no count"),
    ("us-dc", "count = 4", "count = 4\nlimit = 3", "frequency_cap has no limit"),
    ("us-dc", 'counts = ["sent"]', 'counts = ["snet"]', "is not known"),
    ("us-dc", 'scope = "debt"', 'scope = "loan"', "scope 'loan' is not known"),
    ("us-dc", 'mark = "read"', 'mark = "seen"', "mark = 'seen' is not known"),
    ("us-dc", 'before = "electronic_contact"', 'before = "texting"', "is not known"),
    ("us-dc", 'level = "state"', 'level = "county"', "level = 'county' is not known"),
    ("us-dc", 'level = "state"', 'level = "state"\ncountry = "US"', "a pack has no country"),
    ("us-dc", 'places = ["US-DC"]', 'places = "US-DC"', "is no list of strings"),
    ("us-dc", 'checked_on = "2026-11-21"', "checked_on = 2026-11-21", "checked_on is no string"),
    ("us-dc", 'reviewed_by = ""', "reviewed_by = false", "reviewed_by is no string"),
    ("us-dc", "[[rule]]", "[[rule", "at the end of an array"),
    ("us-nyc-shield", 'effective_from = "2027-01-01"', 'effective_from = "2027-13-01"', "is no date"),
    ("us-nyc-shield", 'level = "city"', PAST, "ends before it begins"),
    ("us-fed-regf", ATTORNEY, "reasons = []", "is not of its type"),
    ("us-fed-regf", ATTORNEY, ATTORNEY + '\neffect = "block"', "effect = 'block' is not known"),
    ("us-fed-regf", "time_barred = true", "time_barred = 2026-01-01", "is not of its type"),
    ("us-fed-regf", 'element = "opt_out_line"', 'element = "optout"', "no text can be read"),
    ("us-fed-regf", "max = 1", "max = -1", "is not of its type"),
    ("co-ley2300", 'calendar = "co-sample"', "", "hours of holidays, and no calendar"),
    ("us-fed-payday", DEBIT, DEBIT + '\ncounts = ["sent"]\nmax = 2', "only messages are counted"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "said", "slip", "told"), SLIPS)
def test_a_slip_of_the_pen_refuses_the_whole_pack(
    name: str, said: str, slip: str, told: str
) -> None:
    text = conduct_text(name)
    assert said in text
    bad = text.replace(said, slip, 1)
    found = read_pack(bad, shipped_calendars())
    assert isinstance(found, tuple), "it was taken"
    problems = problems_of(f"{name}.toml", bad, found)
    assert any(told in problem for problem in problems), problems
    assert all(
        problem.startswith(f"{name}.toml:") and problem.endswith(")") for problem in problems
    )
