"""What borrowers read: the grammar of texts, the shipped texts, amounts and dates in words."""

import tomllib
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schedules
import templates
from agent.domain import message
from agent.domain.ladder import Action, Ladder, Problem, Stage, compile_ladder
from agent.domain.message import (
    NAMES,
    Composed,
    Template,
    Texts,
    Wording,
    amount_text,
    chain,
    compile_texts,
    compose,
    date_text,
    misfits,
    parse,
    parse_push,
    render,
    worded,
)
from agent.domain.money import minor_units

GSM_7 = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


def shipped_ladder() -> Ladder:
    found = compile_ladder(tomllib.loads(schedules.ladder_text("consumer-instalment")))
    assert isinstance(found, Ladder)
    return found


def texts_of(raw: dict[tuple[str, str], str]) -> Texts:
    found = compile_texts(raw)
    assert isinstance(found, Texts)
    return found


LADDER = shipped_ladder()
TEXTS = texts_of(templates.all_texts())
MESSAGES = [stage for stage in LADDER.stages if stage.action is Action.MESSAGE]
NAIRA = Wording("Quick Cash", "L-1", 650000, "NGN", date(2026, 3, 12), date(2026, 3, 20))


def composed(message: str, channel: str, locale: str, wording: Wording = NAIRA) -> Composed:
    found = compose(TEXTS, message, channel, locale, wording)
    assert isinstance(found, Composed)
    return found


# ---- the grammar


def test_text_is_filled() -> None:
    template = parse("{lender}: pay {amount} by {due_date}.\n")
    assert template == Template(("", ": pay ", " by ", "."), ("lender", "amount", "due_date"))
    assert isinstance(template, Template)
    values = {"lender": "{loan}", "amount": "NGN 5.00", "due_date": "1 May"}
    assert render(template, values) == "{loan}: pay NGN 5.00 by 1 May."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n ",
        "{",
        "}",
        "{}",
        "{{lender}}",
        "{lender",
        "{ lender }",
        "{lender.name}",
        "{lender!r}",
        "{amount:>10}",
        "{amount}}",
        "{0}",
        "{name}",
        "{LENDER}",
        "a\x00b",
        "a\tb",
        "x" * 1001,
    ],
)
def test_anything_but_a_known_placeholder_is_refused(text: str) -> None:
    assert isinstance(parse(text), Problem)


@given(st.text("{}abmount_.! \n", max_size=40) | st.text(max_size=40))
def test_any_text_is_a_template_or_a_problem(text: str) -> None:
    found = parse(text)
    if isinstance(found, Template):
        assert render(found, {name: f"{{{name}}}" for name in NAMES}) == text.strip()


def test_push_may_not_tell_of_the_debt() -> None:
    assert not isinstance(parse_push("{lender}\nOpen the app."), Problem)
    for text in ("{lender}\nYou owe {amount}", "{due_date}\nPay", "only a title", "{lender}\n{x}"):
        assert isinstance(parse_push(text), Problem)


def test_every_wrong_text_is_named() -> None:
    found = compile_texts({("en", "a"): "{", ("en", "b.push"): "{loan}\nx", ("en", "c"): "fine"})
    assert isinstance(found, tuple)
    assert [problem.where for problem in found] == ["en/a", "en/b.push"]


# ---- ladder and texts


def test_shipped_texts_fit_the_shipped_ladder() -> None:
    assert list(misfits(LADDER, TEXTS)) == []
    assert TEXTS.locales() == ("en", "zh-CN")


def test_misfits_are_named() -> None:
    late = replace(MESSAGES[0], message="late")
    ladder = replace(LADDER, stages=(late, replace(MESSAGES[3], message="lost")))
    texts = texts_of({("en", "late"): "{days_late} days"})
    found = [problem.where for problem in misfits(ladder, texts)]
    assert found == ["en/neutral.push", "en/late", "en/lost"]


@pytest.mark.parametrize("stage", MESSAGES, ids=lambda stage: stage.id)
def test_shipped_message_is_short_signed_and_offers_a_way_out(stage: Stage) -> None:
    assert stage.message is not None
    long = replace(NAIRA, lender="Superlender Ltd", amount_minor=123456789, loan="L" * 20)
    english = composed(stage.message, "sms", "en-NG", long).body
    assert set(english) <= GSM_7
    assert len(english) <= 306, "more than two parts"
    assert english.startswith("Superlender Ltd: ")
    assert english.endswith("Reply STOP to opt out.")
    assert "NGN 1,234,567.89" in english
    assert "12 Mar 2026" in english or "days past due" in english
    chinese = composed(stage.message, "sms", "zh-CN", long).body
    assert len(chinese.encode("utf-16-be")) // 2 <= 134, "more than two parts"
    assert chinese.startswith("【Superlender Ltd】")
    assert chinese.endswith("回T退订")
    assert "NGN 1,234,567.89" in chinese


@pytest.mark.parametrize("stage", MESSAGES, ids=lambda stage: stage.id)
def test_push_says_nothing_of_the_debt(stage: Stage) -> None:
    assert stage.message is not None
    push = composed(stage.message, "push", "en-NG")
    assert push == Composed("Quick Cash", "You have a new message. Open the app to read it.", "en")
    assert composed(stage.message, "push", "zh-TW").body == "您有一条新消息，请打开应用查看。"


def test_no_text_threatens_or_shames() -> None:
    english = ("legal action", "lawsuit", "court", "police", "arrest", "employer", "defaulter")
    chinese = ("起诉", "法院", "上门", "家人", "单位", "黑名单", "后果")
    for text in templates.all_texts().values():
        assert not any(word in text.lower() for word in english + chinese)


def test_notice_before_reporting_says_so_and_only_that_one() -> None:
    telling = [
        key for key, text in templates.all_texts().items() if "bureau" in text or "征信" in text
    ]
    assert telling == [("en", "final-61"), ("zh-CN", "final-61")]


def test_unknown_message_is_a_problem() -> None:
    assert isinstance(compose(TEXTS, "no-such", "sms", "en", NAIRA), Problem)


# ---- locales


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en-NG", ("en-NG", "en")),
        ("en_ng", ("en-NG", "en")),
        ("zh", ("zh-CN", "en")),
        ("zh-TW", ("zh-TW", "zh-CN", "en")),
        ("zh-Hant-HK", ("zh-HK", "zh-CN", "en")),
        ("fil-PH", ("fil-PH", "fil", "en")),
        ("sw", ("sw", "en")),
        ("", ("en",)),
        ("../../x", ("en",)),
        ("en-NG\n", ("en",)),
    ],
)
def test_chain_of_locales(locale: str, expected: tuple[str, ...]) -> None:
    assert chain(locale) == expected


def test_numbers_and_dates_follow_the_language_of_the_text() -> None:
    values = worded(NAIRA, "fr-CI", "en")
    assert (values["amount"], values["due_date"]) == ("NGN 6,500.00", "Mar 12, 2026")
    assert worded(NAIRA, "en-NG", "en")["due_date"] == "12 Mar 2026"
    assert worded(NAIRA, "fil-PH", "fil")["due_date"] == date_text(NAIRA.due_on, "fil-PH")
    assert set(values) == set(NAMES)
    assert (values["days_late"], values["days_left"]) == ("8", "0")
    early = worded(replace(NAIRA, today=date(2026, 3, 9)), "en", "en")
    assert (early["days_late"], early["days_left"]) == ("0", "3")


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "text"),
    [
        (650000, "NGN", "en-NG", "NGN 6,500.00"),
        (123456789, "INR", "en-IN", "INR 12,34,567.89"),
        (650000, "UGX", "en", "UGX 650,000"),
        (1234567, "KWD", "en", "KWD 1,234.567"),
        (650000, "XOF", "fr", "XOF 650 000"),
        (650000, "CHF", "de-CH", "CHF 6'500.00"),
        (-5, "SEK", "sv", "SEK -0,05"),
        (650000, "CNY", "zh-CN", "CNY 6,500.00"),
        (650000, "NGN", "xx-YY", "NGN 6,500.00"),
    ],
)
def test_amount_in_plain_characters(minor: int, currency: str, locale: str, text: str) -> None:
    assert amount_text(minor, currency, locale) == text


@given(st.sampled_from(["en", "fr", "pl", "de-CH", "ar-EG", "zh-TW", "th", "vi", "hi", "bad one"]))
def test_no_invisible_character_in_amounts_and_dates(locale: str) -> None:
    text = amount_text(123456789, "EUR", locale) + date_text(date(2026, 3, 2), locale)
    assert not set(text) & set("\u00a0\u202f\u200e\u200f\u2212")


def test_date_has_its_month_in_words() -> None:
    for locale in ("en", "es-CO", "de-CH", "pt-BR", "ar-EG", "it"):
        assert any(c.isalpha() for c in date_text(date(2026, 3, 2), locale))


# ---- leaf access


def test_texts_are_reached_by_plain_names_only() -> None:
    assert templates.locales() == ("en", "zh-CN")
    assert templates.names("en") == templates.names("zh-CN")
    assert templates.text("en", "due-soon") is not None
    for locale, name in (("en", "no"), ("..", "due-soon"), ("en", "../zh-CN/due-soon"), ("", "")):
        assert templates.text(locale, name) is None


@pytest.mark.parametrize(
    "locale", ["en", "en-NG", "de", "fr", "es", "pl", "hi", "ar", "zh-CN", "sw"]
)
@pytest.mark.parametrize("currency", ["NGN", "JPY", "KWD"])
def test_the_quick_way_to_write_an_amount_is_the_long_one(locale: str, currency: str) -> None:
    exponent = minor_units(currency)
    assert exponent is not None
    for minor in (0, 7, 99, 100, 1_000, 99_999, 100_000, 1_234_567, 10**12 + 5):
        long = f"{currency} {message._spelled(minor, locale, exponent)}".translate(message._PLAIN)
        assert message.amount_text(minor, currency, locale) == long
