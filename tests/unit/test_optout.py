"""STOP-like words in English and Chinese, however they are typed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.inbound import STOP_WORDS, Intent, read_reply
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
        "S T O P", "S.T.O.P.", "STOPP", "stop stop STOP", "plz stop", "STOP NOW",
        "\u0405\u0422\u041e\u0420", "退 訂", "退  订",
        "ALTO", "PARAR", "BAJA", "dar de baja",
        "NO MÁS", "no mas", "ARRET", "Arrêt!", "BERHENTI", "Hentikan",
        "Dừng", "หยุด", "बंद", "توقف", "СТОП", "수신거부", "配信停止", "UNREG", "R", "TDZD",
        "Detener", "CANCELAR",
        "no me envíen más mensajes", "arrêtez de m'envoyer des messages", "jangan kirim lagi", "去掉我, 退订",
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
        "don't stop", "I stopped working", "non", "oui", "da", "sí", "ok ok", "s t u", "R2",
        "please", "thanks", ".",
    ],
)  # fmt: skip
def test_these_do_not(text: str) -> None:
    assert not wants_no_more(text)


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    assert wants_no_more(text) in {True, False}
    assert plain(plain(text)) == plain(text) or len(text) > 0


WORDS = st.sampled_from(
    [
        *sorted(STOP_WORDS),
        "please",
        "don't",
        "i",
        "will",
        "pay",
        "stop",
        "me",
        "texting",
        "不要",
        "发",
        "短信",
        ".",
    ]
)


@given(st.lists(WORDS, max_size=4), st.sampled_from(["en", "zh-CN", "es", "id", "zh-TW"]))
@settings(max_examples=1000)
def test_what_a_reading_calls_an_opt_out_stops(words: list[str], locale: str) -> None:
    text = " ".join(words)
    if read_reply(text, locale).intent is Intent.OPT_OUT:
        assert wants_no_more(text)


@pytest.mark.parametrize("word", sorted(STOP_WORDS))
def test_every_word_of_the_other_list_stops_alone(word: str) -> None:
    for said in (word, word.upper(), f"{word}!", f" {word} \u200b"):
        assert wants_no_more(said), said
