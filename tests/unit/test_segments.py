"""Encoding, units and parts of texts, equal to Twilio's calculator."""

import json
import os
import random  # noqa: TID251 - seeded
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.graphemes import clusters
from agent.domain.segments import (
    BASIC,
    EXTENSION,
    Encoding,
    Forced,
    forcing,
    replacement,
    segments,
    units,
)
from tests.support.places import ROOT

SUPPORT = ROOT / "tests" / "support"
CASES = json.loads((SUPPORT / "twilio_segments.json").read_text("utf-8"))
HAN = "您的还款将于到期如已请忽略本消息谢回退订【】，。"
FAMILY = "👨\u200d👩\u200d👧"
HARD = (
    "🙏",
    FAMILY,
    "🇨🇳",
    "👍🏽",
    "e\u0301",
    "नि",
    "क्षि",
    "각",
    "\r\n",
    "\x1b",
    "`",
    "ç",
    "’",
    "Ç",
    "€",
)
PLAIN = st.text(sorted(BASIC), max_size=400)
GSM = st.text(sorted(BASIC | EXTENSION), max_size=400)
MIXED = st.lists(st.sampled_from((*HARD, *HAN, *"abc {}|")), max_size=300).map("".join)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
TEXTS = st.one_of(PLAIN, GSM, MIXED, ANY)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_stored_answers_of_the_calculator(case: dict[str, object]) -> None:
    text = str(case["text"])
    found = segments(text)
    assert [found.encoding.value, found.units, [len(part) for part in found.parts]] == case[
        "answer"
    ]


@pytest.mark.parametrize(
    ("text", "encoding", "length", "count"),
    [
        ("", "gsm7", 0, 1),
        ("A" * 160, "gsm7", 160, 1),
        ("A" * 161, "gsm7", 161, 2),
        ("A" * 306, "gsm7", 306, 2),
        ("A" * 307, "gsm7", 307, 3),
        ("A" * 158 + "€", "gsm7", 160, 1),
        ("A" * 159 + "€", "gsm7", 161, 2),
        ("A" * 152 + "€" + "A" * 152, "gsm7", 306, 3),
        ("逾" * 70, "ucs2", 70, 1),
        ("逾" * 71, "ucs2", 71, 2),
        ("逾" * 134, "ucs2", 134, 2),
        ("逾" * 135, "ucs2", 135, 3),
        ("逾" * 66 + "🙏" + "逾" * 66, "ucs2", 134, 3),
        ("Ç", "gsm7", 1, 1),
        ("ç", "ucs2", 1, 1),
        ("a\tb", "ucs2", 3, 1),
        ("\f", "gsm7", 2, 1),
    ],
)
def test_known_lengths(text: str, encoding: str, length: int, count: int) -> None:
    found = segments(text)
    assert (found.encoding, found.units, found.count) == (encoding, length, count)


def test_the_character_that_costs_is_named() -> None:
    found = segments("Don’t forget ₦5 • now")
    assert found.forced == Forced("’", 4, "U+2019 RIGHT SINGLE QUOTATION MARK", "'")
    assert [(each.position, each.replacement) for each in forcing("Don’t forget ₦5 • now")] == [
        (4, "'"),
        (14, "NGN"),
        (17, "-"),
    ]
    assert replacement("á") == "a"
    assert replacement("\u00a0") == " "
    assert replacement("款") is None
    assert segments("plain").forced is None


def test_a_cluster_that_no_part_can_hold_is_cut_between_characters() -> None:
    found = segments("e" + "\u0301" * 140)
    assert [len(part) for part in found.parts] == [67, 67, 7]


@given(TEXTS)
def test_parts_are_the_text_and_each_fits(text: str) -> None:
    found = segments(text)
    assert "".join(found.parts) == text
    assert found.units == sum(units(part, found.encoding) for part in found.parts)
    single, each = (160, 153) if found.encoding is Encoding.GSM_7 else (70, 67)
    limit = single if found.count == 1 else each
    assert all(units(part, found.encoding) <= limit for part in found.parts)
    assert (found.forced is None) == (found.encoding is Encoding.GSM_7)


@given(TEXTS)
def test_no_part_ends_inside_a_cluster(text: str) -> None:
    whole = list(clusters(text))
    assert "".join(whole) == text
    if any(units(cluster, Encoding.UCS_2) > 67 for cluster in whole):
        return
    ends, at = set(), 0
    for cluster in whole:
        at += len(cluster)
        ends |= {at, at - 1} if cluster == "\r\n" else {at}
    at = 0
    for part in segments(text).parts:
        at += len(part)
        assert at in ends or not text


@given(TEXTS, TEXTS)
def test_more_text_never_takes_fewer_parts(first: str, more: str) -> None:
    assert segments(first + more).count >= segments(first).count


def invented(count: int) -> list[str]:
    """Texts around the limits, of everything that is hard to cut."""
    dice = random.Random(20261124)  # noqa: S311 - texts, no secrets
    plain, hard = sorted(BASIC | EXTENSION), [*HARD, *HAN]

    def one() -> str:
        size = dice.choice([dice.randint(0, 30), dice.randint(60, 75), dice.randint(130, 170), 400])
        share = dice.choice([0, 0, 0.02, 0.3, 1])
        return "".join(dice.choice(hard if dice.random() < share else plain) for _ in range(size))

    return [one() for _ in range(count)]


def test_equal_to_the_calculator_itself() -> None:
    folder = os.environ.get("DULY_SEGMENTS_CALCULATOR", "")
    node = shutil.which("node")
    if not folder or node is None:
        pytest.skip("DULY_SEGMENTS_CALCULATOR names no folder with npm sms-segments-calculator")
    texts = invented(10_000)
    done = subprocess.run(
        [node, str(SUPPORT / "twilio_segments.cjs")],
        cwd=Path(folder),
        input="\n".join(json.dumps(text) for text in texts),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.rstrip("\n").split("\n")]
    for text, answer in zip(texts, answers, strict=True):
        found = segments(text)
        assert [found.encoding.value, found.units, list(found.parts)] == answer
