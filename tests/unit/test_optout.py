"""STOP-like words in English and Chinese, however they are typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.optout import plain, wants_no_more


@pytest.mark.parametrize(
    "text",
    [
        "STOP", "stop", " Stop. ", "STOP!!!", "ＳＴＯＰ", "s\u200btop", "\u202estop\u202c", "STOP 🙏",
        "Stop please",
        "STOPALL", "Unsubscribe", "END", "quit", "cancel", "REVOKE", "OptOut", "opt-out", "opt out",
        "please stop texting me", "Don't text me again", "don\u2019t contact me", "do not message me",
        "no more texts!", "leave me alone", "remove my number",
        "退订", "退訂", "TD", "T", "n", "停止", "不要再发了", "别再给我发短信", "請不要再發了", "拒收",
        "停止骚扰我",
    ],
)  # fmt: skip
def test_these_stop(text: str) -> None:
    assert wants_no_more(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "yes", "I will pay on Friday", "how much is it?", "no", "nonstop", "the end of the month",
        "我明天还款", "什么时候发工资", "已经还了", "😀", "don't worry, I have paid",
        "YES STOPPED BY THE BANK",
    ],
)  # fmt: skip
def test_these_do_not(text: str) -> None:
    assert not wants_no_more(text)


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    assert wants_no_more(text) in {True, False}
    assert plain(plain(text)) == plain(text) or len(text) > 0
