"""A folder of texts is read whole; what cannot be kept is named with its file, its line and a fix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.message import fault_at, line_at
from agent.domain.text_change import Signed, unsigned
from agent.domain.text_files import (
    BYTES_MAX,
    KnownTexts,
    TextFile,
    digest_of,
    read_folder,
)
from agent.domain.text_lint import Severity

KNOWN = KnownTexts({"due-soon", "neutral.push", "due-soon.push"}, {"en", "es", "zh-CN", "zh-TW"})


def read(path: str, content: str | bytes) -> tuple[dict[tuple[str, str], str], list[str]]:
    """The texts that came of one file, and what is said of it."""
    raw = content.encode() if isinstance(content, str) else content
    found = read_folder([TextFile(path, raw)], KNOWN)
    said = [f"{one.file}:{one.line}: {one.what}" for one in found.told if one.file]
    assert all(one.fix for one in found.told)
    return dict(found.texts), said


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("en/due-soon.txt", ("en", "due-soon")),
        ("en/neutral.push.txt", ("en", "neutral.push")),
        ("es-MX/due-soon.txt", ("es-MX", "due-soon")),
        ("zh-HK/due-soon.txt", ("zh-HK", "due-soon")),
    ],
)
def test_a_file_is_a_text_by_its_folder_and_name(path: str, key: tuple[str, str]) -> None:
    assert read(path, " Pay {amount}.\n") == ({key: " Pay {amount}.\n"}, [])


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("due-soon.txt", "x", "due-soon.txt:None: not in a folder of a locale"),
        ("a/en/due-soon.txt", "x", "a/en/due-soon.txt:None: not in a folder of a locale"),
        ("EN/due-soon.txt", "x", "EN/due-soon.txt:None: EN is no locale"),
        ("zh-Hant/due-soon.txt", "x", "zh-Hant/due-soon.txt:None: zh-Hant is no locale"),
        ("sw/due-soon.txt", "x",
         "sw/due-soon.txt:None: there is nothing to sign a text in sw with, or to say how to stop it"),
        ("en/Due-Soon.txt", "x", "en/Due-Soon.txt:None: there is no message Due-Soon"),
        ("en/due-sooon.txt", "x", "en/due-sooon.txt:None: there is no message due-sooon"),
        ("en/due-soon.txt", b"\xef\xbb\xbfPay", "en/due-soon.txt:1: a byte order mark before the text"),
        ("en/due-soon.txt", "a\nb\r\nc", "en/due-soon.txt:2: a carriage return (CR) in the text"),
        ("en/due-soon.txt", b"a\n\xff", "en/due-soon.txt:2: not UTF-8"),
        ("en/due-soon.txt", "", "en/due-soon.txt:1: empty"),
        ("en/due-soon.txt", " \n\n", "en/due-soon.txt:1: empty"),
        ("en/due-soon.txt", "x" * (BYTES_MAX + 1),
         f"en/due-soon.txt:None: too long: more than {BYTES_MAX} bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_named(path: str, content: str | bytes, said: str) -> None:
    assert read(path, content) == ({}, [said])


def test_all_that_is_wrong_with_a_folder_is_told_at_once() -> None:
    files = [TextFile("en/due-soon.txt", b"a\r\n\xff"), TextFile("xx/nothing.txt", b"")]
    found = read_folder(files, KNOWN)
    assert len(found.told) == 5
    assert found.texts == {}


def test_a_file_that_is_no_text_is_left_out_and_told() -> None:
    files = [TextFile("en/frame.toml", b""), TextFile("en/due-soon.txt", b"Pay {amount}")]
    found = read_folder(files, KNOWN)
    assert [(one.file, one.severity) for one in found.told] == [
        ("en/frame.toml", Severity.WARNING)
    ]  # fmt: skip
    (alone,) = [one for one in read_folder(files[:1], KNOWN).told if not one.file]
    assert (alone.what, alone.severity) == ("it holds no text", Severity.PROBLEM)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("Pay {amount}", None),
        ("Pay {amount.value}", 4),
        ("Pay {{amount}}", 4),
        ("Pay {amount[0]} or {due}", 4),
        ("Pay {amount} by {due}", 16),
        ("Pay {amount", 4),
        ("Pay amount}", 10),
        ("Pay {amount|upper}", 4),
        ("Pay {amount!r}", 4),
        ("Pay {1+1}", 4),
        ("{amount} %s", 9),
        ("a\tb", 1),
        ("x" * 1001, 0),
    ],
)
def test_a_place_that_cannot_be_read_is_found(text: str, at: int | None) -> None:
    assert fault_at(text) == at
    assert fault_at(f"\n  {text}\n") == at


@pytest.mark.parametrize(
    ("text", "position", "push", "line"),
    [
        ("Pay {x}", 5, False, 1),
        ("\n\nPay\nthen {x}", 10, False, 4),
        ("Title\nBody {x}", 12, True, 2),
        ("\nTitle\n\n\nBody {x}", 12, True, 5),
        ("Ti {x}\nBody", 4, True, 1),
    ],
)
def test_its_line_is_that_of_the_file(text: str, position: int, push: bool, line: int) -> None:
    assert line_at(text, position, push=push) == line
    assert fault_at(text, push=push) == position - 1


TEXTS = st.dictionaries(st.tuples(st.text(max_size=4), st.text(max_size=4)), st.text(max_size=8))


@given(TEXTS, TEXTS)
def test_two_sets_of_texts_have_one_name_only_if_they_are_the_same(
    one: dict[tuple[str, str], str], other: dict[tuple[str, str], str]
) -> None:
    assert (digest_of(one) == digest_of(other)) is (one == other)
    assert digest_of(dict(reversed(one.items()))) == digest_of(one)


@given(st.binary(max_size=60), st.sampled_from(["en/due-soon.txt", "en/x.txt", "a.txt", "b"]))
def test_any_bytes_are_a_text_or_are_named(content: bytes, path: str) -> None:
    found = read_folder([TextFile(path, content)], KNOWN)
    assert bool(found.texts) is not any(one.severity is Severity.PROBLEM for one in found.told)


@pytest.mark.parametrize(
    ("by", "approver", "reason", "fix"),
    [
        ("ana", "ben", "why", None),
        ("ana", "ana", "why", "--approved-by"),
        ("Ana  Lee", "ana lee ", "why", "--approved-by"),
        ("ana", " ", "why", "--approved-by"),
        ("", "ben", "why", "--by"),
        ("a" * 201, "ben", "why", "--by"),
        ("ana", "ben", " ", "--reason"),
    ],
)
def test_a_change_is_signed_by_two(by: str, approver: str, reason: str, fix: str | None) -> None:
    lacking = unsigned(Signed(by, approver, reason))
    assert (lacking is None) is (fix is None)
    assert fix is None or (lacking is not None and fix in lacking[1])
