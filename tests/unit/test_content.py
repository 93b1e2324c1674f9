"""What a text says: words that matter to conduct, links, and the facts that rules ask for."""

import pytest

from agent.domain.content import links, said, text_facts
from agent.flows.rules import shorteners, word_lists
from templates import locales


@pytest.mark.parametrize(
    ("locale", "text", "tag"),
    [
        ("en", "We will take Legal  Action.", "suit"),
        ("en", "We will sue you", "suit"),
        ("en", "The police will come", "authority"),
        ("en", "We will call your employer", "shame"),
        ("en", "Pay IMMEDIATELY", "urgency"),
        ("en", "You can borrow again today", "solicitation"),
        ("en", "Reply STOP", "opt_out"),
        ("es", "Iniciaremos acciones legales", "suit"),
        ("es", "Llamaremos a su jefe", "shame"),
        ("es", "Pague de inmediato", "urgency"),
        ("id", "Kami akan tempuh jalur hukum", "suit"),
        ("id", "Kami hubungi keluarga Anda", "shame"),
        ("id", "Bayar sekarang juga", "urgency"),
        ("zh-CN", "我们将向法院起诉", "suit"),
        ("zh-CN", "将通知您的紧急联系人", "shame"),
        ("zh-CN", "请立即还款", "urgency"),
        ("zh-TW", "我們將提起訴訟", "suit"),
        ("zh-TW", "否則後果自負", "urgency"),
        ("zh-TW", "新額度開放", "solicitation"),
    ],
)
def test_words_that_matter_are_found_with_their_source(locale: str, text: str, tag: str) -> None:
    found = [each for each in said(text, word_lists()[locale]) if each.tag == tag]
    assert found
    assert text[found[0].position - 1 :].startswith(found[0].words)
    assert found[0].source


def test_words_inside_other_words_are_not_meant() -> None:
    harmless = "A courteous issue: pursue your courtyard plan, Sue-Ann."
    tags = [each.words for each in said(harmless, word_lists()["en"])]
    assert tags == ["Sue"]
    assert not list(said("necesita ayuda", word_lists()["id"]))


def test_every_language_has_every_list() -> None:
    tags = {each.tag for each in word_lists()["en"]}
    assert set(word_lists()) == set(locales())
    assert all({each.tag for each in lists} == tags for lists in word_lists().values())


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("See https://pay.lender.example/abc.", ["pay.lender.example"]),
        ("see bit.ly/x1 now", ["bit.ly"]),
        ("www.lender.com", ["www.lender.com"]),
        ("请打开t.cn/Ab3", ["t.cn"]),
        ("at 9 a.m. on 12.5.2026, Ltd. of N.Y.", []),
        ("mail us: help@lender.com", []),
        ("HTTP://LENDER.COM", ["lender.com"]),
    ],
)
def test_links_are_found_as_phones_find_them(text: str, hosts: list[str]) -> None:
    assert [link.host for link in links(text)] == hosts


def test_shorteners_are_known() -> None:
    assert {"bit.ly", "t.cn"} <= shorteners()


def test_facts_for_the_rules_come_from_the_text() -> None:
    english = word_lists()["en"]
    assert text_facts("Quick Cash: thank you.", "sms", english) == {
        "body": "Quick Cash: thank you."
    }
    suing = text_facts("Pay within 24 hours or we sue.", "sms", english)
    assert suing["threatens_suit"] is True
    assert (suing["deadline_hours"], suing["overshadows"]) == (24, True)
    assert text_facts("You owe 5", "push", english)["lockscreen_shows_debt"] is True
    assert "lockscreen_shows_debt" not in text_facts("You owe 5", "sms", english)
    assert text_facts("A discount for you", "sms", english)["content_class"] == "solicitation"
