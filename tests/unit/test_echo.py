"""Texts as providers hand them back are still ours; other texts are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.echo import is_echo

OURS = "Sunrise: “NGN 1,000.00” is due today – pay at https://pay.example/ä. 请还款 🙏 Reply STOP to end"


@pytest.mark.parametrize(
    "theirs",
    [
        OURS,
        'Sunrise: "NGN 1,000.00" is due today - pay at https://pay.example/a. 请还款 🙏 Reply STOP to end',
        f"Sent from your Twilio trial account - {OURS}",
        f"{OURS}\r\nSent by a gateway",
        OURS.replace(" ", "\u00a0").replace("STOP", "ＳＴＯＰ"),
        OURS.replace("🙏", "?"),
    ],
)
def test_these_are_ours(theirs: str) -> None:
    assert is_echo(OURS, theirs)


@pytest.mark.parametrize(
    "theirs",
    ["", "Your code is 123456", OURS.replace("1,000.00", "1,000.01"), OURS[:-4], OURS[4:]],
)
def test_these_are_not(theirs: str) -> None:
    assert not is_echo(OURS, theirs)


def test_a_text_without_a_letter_is_only_itself() -> None:
    assert is_echo("🙏", "🙏")
    assert not is_echo("🙏", "👍")
    assert not is_echo("…", "")


@given(st.text(max_size=200))
def test_every_text_is_its_own_echo(text: str) -> None:
    assert is_echo(text, text)
