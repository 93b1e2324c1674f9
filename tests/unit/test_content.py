"""What a text says: words that matter to conduct, links, and the facts that rules ask for."""

import pytest

from agent.domain.content import MARKS, facts_said
from agent.domain.links import links
from agent.domain.wordlists import said
from agent.flows.rules import frames, shorteners, word_lists
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
    assert facts_said("Quick Cash: thank you.", "sms", english) == {
        "content_class": "collection", "threatens_suit": False, "threatens_action": False,
        "overshadows": False, "deadline_hours": None, "lockscreen_shows_debt": False,
        "discloses_debt_to_others": False,
    }  # fmt: skip
    suing = facts_said("Pay within 24 hours or we sue.", "sms", english)
    assert suing["threatens_suit"] is True
    assert (suing["deadline_hours"], suing["overshadows"]) == (24, True)
    assert facts_said("You owe 5", "push", english)["lockscreen_shows_debt"] is True
    assert facts_said("You owe 5", "sms", english)["lockscreen_shows_debt"] is False
    assert facts_said("A discount for you", "sms", english)["content_class"] == "solicitation"
    # in a language that nobody wrote lists for, nobody can say what a text threatens or sells
    assert facts_said("Kami akan menuntut", "sms", ()) == {}


@pytest.mark.parametrize("locale", locales())
def test_what_the_frame_adds_is_found_in_every_language(locale: str) -> None:
    frame = frames()[locale]
    assert MARKS["opt_out_line"](frame.opt_out)
    assert MARKS["initial_disclosure"](frame.first_disclosure)
    assert MARKS["collector_disclosure"](frame.disclosure)
    assert MARKS["sender_name"](frame.signature.replace("{lender}", "Quick Cash") + "Hello")
    for text in (frame.signature + "Hello", "Gracias, nos vemos", "您的账单已到期"):
        assert not any(
            MARKS[element](text) for element in MARKS if element.startswith(("o", "i", "c"))
        )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("To stop: lender.example/stop", True),
        ("To opt out call 0800 123 456", True),
        ("Opt out in the app", True),
        ("Unsubscribe: help@lender.com", True),
        # a sender that takes no replies cannot be answered
        ("Reply STOP to opt out.", False),
        ("See lender.example/loan", False),
    ],
)
def test_another_way_out_needs_no_answer_to_the_sender(text: str, found: bool) -> None:
    assert MARKS["other_opt_out_route"](text) is found
