"""The lint of texts: the shipped ones pass, and everything that is wrong is named with a fix."""

from dataclasses import replace

import pytest

import templates
from agent.domain.ladder import Ladder
from agent.domain.text_lint import Finding, Rules, Severity, costs, finished, lint
from agent.flows.portfolios import ladder_of
from agent.flows.rules import shorteners, texts, word_lists
from schedules import ladder_text

RULES = Rules(word_lists(), shorteners())
LADDER: Ladder = ladder_of(ladder_text("consumer-instalment"))


def linted(rules: Rules = RULES, **changed: str) -> list[Finding]:
    """The findings with some shipped texts written anew: `en__due_soon` is en/due-soon."""
    raw = dict(templates.all_texts())
    for key, text in changed.items():
        locale, _, name = key.partition("__")
        raw[locale.replace("_", "-"), name.replace("_push", ".push").replace("_", "-")] = text
    return lint(raw, texts(), LADDER, rules)


def test_shipped_texts_have_nothing_wrong() -> None:
    assert linted() == []


def test_shipped_texts_keep_to_two_parts_at_the_longest_values() -> None:
    counted = list(costs(texts(), LADDER, RULES))
    assert len(counted) == 5 * 15
    assert max(parts for *_, parts in counted) == 2


@pytest.mark.parametrize(
    ("key", "text", "rule", "said"),
    [
        ("en__due_soon", "pay {amont} soon", "placeholder", "unknown {amont}"),
        ("en__due_soon", "pay {amount:huge}", "placeholder", "unknown format"),
        ("en__due_soon", "pay {amount", "placeholder", "brace"),
        ("en__due_soon", "please pay soon", "placeholder", "no {amount}"),
        ("en__due_soon", "{days_late} days: {amount}", "fit", "makes no sense"),
        ("en__overdue_7", "pay {amount} or we take legal action", "threat", "legal action"),
        ("zh_CN__overdue_7", "请还款{amount}，否则起诉", "threat", "起诉"),
        ("en__overdue_7", "pay {amount} immediately", "urgency", "immediately"),
        ("en__overdue_7", "PLEASE pay {amount}", "urgency", "shouts: PLEASE"),
        ("en__overdue_7", "pay {amount} and get a bonus", "solicitation", "bonus"),
        ("en__overdue_7", "pay {amount}. Reply STOP to end", "frame", "Reply STOP"),
        ("en__overdue_7", "{lender} asks for {amount}", "frame", "signs itself"),
        ("en__overdue_7", "pay {amount}: bit.ly/abc", "shortener", "bit.ly/abc"),
        ("en__overdue_7", "pay {amount}: https://evil.example/a", "link", "evil.example"),
        (
            "es__overdue_7",
            "pague {amount}: está vencido",
            "ucs2",
            "LATIN SMALL LETTER A WITH ACUTE",
        ),
        ("en__overdue_7", "don’t forget {amount}", "ucs2", "RIGHT SINGLE QUOTATION MARK"),
        ("en__overdue_7", "{amount} " + "x" * 290, "segments", "3 parts"),
        ("zh_CN__overdue_7", "請還款{amount}", "country", "請還"),
        ("zh_CN__overdue_7", "【注意】请还款{amount}", "country", "【 is refused"),
        ("zh_CN__overdue_7", "请还款{amount}{due_date}", "country", "touch"),
        ("zh_CN__overdue_7", "请还款{amount}，电13812345678", "country", "13812345678"),
        ("zh_TW__overdue_7", "請繳款{amount} https://a.example/b", "country", "no links"),
        ("en__neutral_push", "{lender}\nYour payment is late", "lock-screen", "payment"),
        ("en__neutral_push", "{lender}\nCode 4711", "lock-screen", "a number"),
        ("en__neutral_push", "{lender}\n{amount}", "placeholder", "lock screen"),
        ("zh_CN__neutral_push", "{lender}\n一千元", "lock-screen", "元"),
        ("zh_CN__neutral_push", "{lender}\n￥", "lock-screen", "a number or amount"),
        ("en__overdue_7", "PAY NOW {amount}", "urgency", "shouts: PAY NOW"),
        ("en__overdue_7", "pay {amount}!!", "urgency", "shouts: !!"),
        ("en__overdue_7", "pay {amount}: https://lender.example@evil.com/", "link", "evil.com"),
        ("en__overdue_7", "pay {amount}: https://{loan}/a", "link", "does not show"),
        ("zh_CN__overdue_7", "请于后天还款，應还{amount}", "country", "應 not in gb2312"),
        ("zh_CN__overdue_7", "请在到期後还款{amount}", "country", "後 not in gb2312"),
        ("zh_TW__overdue_7", "请還款{amount}", "country", "请 not in big5"),
        *(
            ("en__overdue_7", f"pay {{amount}} {odd}", "placeholder", "of another kind")
            for odd in ("%s", "%(name)s", "${amount}", "$amount", "<name>", "[[name]]", "｛name｝")
        ),
        *(
            ("en__overdue_7", f"pay {{amount}} {odd}", "placeholder", "")
            for odd in (
                "{a.b}",
                "{a[0]}",
                "{loan!r}",
                "{{loan}}",
                "{}",
                "{0}",
                "{ loan }",
                "{LOAN}",
                "{loan|upper}",
                "{% if x %}",
                "{loan()}",
                "{due_date:%Y}",
                "{аmount}",
            )
        ),
    ],
)
def test_what_is_wrong_is_named_with_a_fix(key: str, text: str, rule: str, said: str) -> None:
    everything = linted(RULES, **{key: text})
    found = [each for each in everything if each.rule == rule and said in each.what]
    assert found, everything
    assert all(each.fix for each in found)


def test_forcing_character_has_its_place_and_a_replacement() -> None:
    (found,) = linted(en__overdue_7="don’t forget {amount}")
    assert (found.position, found.fix, found.severity) == (4, 'write "\'"', Severity.PROBLEM)


def test_missing_message_of_a_language_is_named() -> None:
    raw = {key: text for key, text in templates.all_texts().items() if key != ("es", "overdue-7")}
    (found,) = lint(raw, texts(), LADDER, RULES)
    assert (found.rule, found.locale, found.message) == ("missing", "es", "overdue-7")
    raw["sw", "due-soon"] = "lipa {amount}"
    names = {
        (f.locale, f.message) for f in lint(raw, texts(), LADDER, RULES) if f.rule == "missing"
    }
    assert ("sw", "frame.toml") in names
    assert ("sw", "final-61") in names


def test_amount_that_other_languages_state_may_not_be_left_out() -> None:
    (found,) = linted(id__overdue_7="mohon hubungi kami")
    assert (found.rule, found.what, found.severity) == ("placeholder", "no {amount}", "problem")
    raw = {key: text.replace("{amount}", "it").replace("{amount:unit}", "it")
           for key, text in templates.all_texts().items()}  # fmt: skip
    assert {f.severity for f in lint(raw, texts(), LADDER, RULES) if f.what == "no {amount}"} == {
        "warning"
    }


def test_language_that_readers_must_find_is_missing_as_a_whole() -> None:
    raw = {key: text for key, text in templates.all_texts().items() if key[0] != "id"}
    assert lint(raw, texts(), LADDER, RULES) == []
    wanted = replace(RULES, locales=frozenset({"en", "id", "zh-HK", "es-MX"}))
    (found,) = lint(raw, texts(), LADDER, wanted)
    assert (found.rule, found.locale, found.message) == ("missing", "id", "*")
    push = {
        key: text for key, text in templates.all_texts().items() if key != ("es", "neutral.push")
    }
    (found,) = lint(push, texts(), LADDER, RULES)
    assert (found.rule, found.locale, found.message) == ("missing", "es", "neutral.push")


def test_regional_text_is_read_and_signed_as_its_language() -> None:
    assert linted(es_MX__overdue_7="pague {amount}, gracias") == []
    found = {one.rule for one in linted(es_MX__overdue_7="pague {amount} o lo embargamos, urgente")}
    assert found == {"urgency"}
    assert {one.rule for one in linted(zh_HK__overdue_7="請繳款{amount}，否則起訴")} >= {"threat"}
    (found_one,) = [one for one in linted(sw__due_soon="lipa {amount}") if one.rule == "words"]
    assert found_one.severity is Severity.WARNING


def test_signature_has_the_length_that_a_country_takes() -> None:
    held = replace(
        RULES, longest=RULES.longest._replace(lender="一家名字非常非常非常非常非常长的小额贷款公司")
    )
    found = [one for one in linted(held) if "a signature of" in one.what]
    assert {one.locale for one in found} == {"zh-CN"}
    marked = replace(RULES, longest=RULES.longest._replace(lender="【Quick】"))
    assert any("【 in the signature" in one.what for one in linted(marked))


def test_signature_that_costs_every_message_is_named() -> None:
    costly = replace(RULES, longest=RULES.longest._replace(lender="Fácil"))
    found = [one for one in linted(costly) if one.rule == "signature"]
    assert {one.locale for one in found} == {"en", "es", "id"}
    assert found[0].what.startswith("á (U+00E1 LATIN SMALL LETTER A WITH ACUTE) of the signature")
    assert found[0].fix == "sign with 'a'"


def test_longest_values_have_the_longest_date_of_the_language() -> None:
    assert "年10月22日" in finished(texts(), "zh-CN", "due-soon", None, RULES)
    assert "septiembre" in finished(texts(), "es", "due-soon", None, RULES)


def test_lender_s_own_links_may_stand_if_they_are_secure() -> None:
    own = replace(RULES, allowed=frozenset({"lender.example"}))
    assert linted(own, en__overdue_7="see https://pay.lender.example/a for {amount}") == []
    (found,) = linted(own, en__overdue_7="see http://pay.lender.example/a for {amount}")
    assert found.what.endswith("is not https")
    (found,) = linted(own, en__overdue_7="see https://notlender.example/a for {amount}")
    assert found.rule == "link"


def test_every_text_can_be_held_to_another_country() -> None:
    found = linted(replace(RULES, countries=("CN",)))
    assert {each.rule for each in found} == {"country"}
    assert {each.locale for each in found} == {"zh-TW"}
