"""What borrowers read: the grammar of texts, the shipped texts, amounts and dates in words."""

import tomllib
from dataclasses import replace
from datetime import date, timedelta

import pytest
from babel.localedata import locale_identifiers
from hypothesis import given
from hypothesis import strategies as st

import schedules
import templates
from agent.domain import spelling
from agent.domain.frame import (
    MessageClass,
    Role,
    Setting,
    compile_countries,
    compile_frame,
    country_of,
)
from agent.domain.ladder import Action, Ladder, Problem, Stage, compile_ladder
from agent.domain.message import (
    AMOUNT_FORMATS,
    DATE_FORMATS,
    NAMES,
    Composed,
    Template,
    Texts,
    Wording,
    chain,
    compile_texts,
    compose,
    misfits,
    parse,
    parse_push,
    render,
)
from agent.domain.money import minor_units
from agent.domain.segments import Encoding, segments
from agent.domain.spelling import amount_text, date_text
from agent.flows import rules


def shipped_ladder() -> Ladder:
    found = compile_ladder(tomllib.loads(schedules.ladder_text("consumer-instalment")))
    assert isinstance(found, Ladder)
    return found


def texts_of(raw: dict[tuple[str, str], str]) -> Texts:
    found = compile_texts(raw)
    assert isinstance(found, Texts)
    return found


LADDER = shipped_ladder()
TEXTS = rules.texts()
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
        "{amount:}",
        "{amount:big}",
        "{due_date:unit}",
        "{lender:code}",
        "{amount:unit:unit}",
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
    assert TEXTS.locales() == LANGUAGES


def test_misfits_are_named() -> None:
    late = replace(MESSAGES[0], message="late")
    ladder = replace(LADDER, stages=(late, replace(MESSAGES[3], message="lost")))
    texts = texts_of({("en", "late"): "{days_late} days"})
    found = [problem.where for problem in misfits(ladder, texts)]
    assert found == ["en/neutral.push", "en/late", "en/lost"]


LANGUAGES = ("en", "es", "id", "zh-CN", "zh-TW")
# longest plausible values: a long name, a large sum, the longest dates of the language
READERS = {"en": "en-NG", "es": "es-CO", "id": "id-ID", "zh-CN": "zh-CN", "zh-TW": "zh-TW"}
OPT_OUTS = {
    "en": "Reply STOP to opt out.",
    "es": "Responda STOP para darse de baja.",
    "id": "Balas STOP untuk berhenti.",
    "zh-CN": "回T退订",
    "zh-TW": "回T退訂",
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("stage", MESSAGES, ids=lambda stage: stage.id)
def test_shipped_message_is_short_signed_and_offers_a_way_out(stage: Stage, language: str) -> None:
    assert stage.message is not None
    due = date(2026, 9, 28)
    today = due + timedelta(days=stage.offset_days)
    long = Wording("Superlender Ltd", "L" * 20, 123456789, "NGN", due, today)
    found = composed(stage.message, "sms", READERS[language], long)
    assert found.locale == language
    measured = segments(found.body)
    assert measured.count <= 2, found.body
    chinese = language.startswith("zh")
    assert (measured.encoding is Encoding.UCS_2) == chinese, measured.forced
    assert found.body.startswith("【Superlender Ltd】" if chinese else "Superlender Ltd: ")
    assert found.body.endswith(OPT_OUTS[language])
    assert amount_text(123456789, "NGN", READERS[language]) in found.body
    shown = date_text(due, READERS[language])
    assert shown in found.body or (stage.offset_days > 0 and str(stage.offset_days) in found.body)


@pytest.mark.parametrize("stage", MESSAGES, ids=lambda stage: stage.id)
def test_push_says_nothing_of_the_debt(stage: Stage) -> None:
    assert stage.message is not None
    push = composed(stage.message, "push", "en-NG")
    told = "You have a new message. Open the app to read it."
    assert push == Composed("Quick Cash", told, "en", push.version)
    assert composed(stage.message, "push", "zh-TW").body == "您有一則新訊息，請開啟應用程式查看。"


def test_every_language_has_every_text() -> None:
    assert templates.locales() == LANGUAGES
    for language in LANGUAGES:
        assert templates.names(language) == templates.names("en")
        assert templates.frame_text(language) is not None


def test_traditional_and_simplified_texts_use_their_own_characters() -> None:
    for (locale, name), text in templates.all_texts().items():
        if locale.startswith("zh"):
            text.encode("gb2312" if locale == "zh-CN" else "big5"), (locale, name)


def test_no_text_signs_or_offers_the_way_out_itself() -> None:
    for (_, name), text in templates.all_texts().items():
        if not name.endswith(".push"):
            assert not text.startswith(("{lender}", "【"))
            assert "STOP" not in text
            assert "退" not in text


def test_no_text_threatens_or_shames() -> None:
    western = ("legal action", "lawsuit", "court", "police", "arrest", "employer", "defaulter")
    spanish = ("demanda", "juicio", "embargo", "moroso", "abogado", "familia", "jefe")
    malay = ("hukum", "polisi", "pengadilan", "keluarga", "atasan", "disita", "malu")
    chinese = (
        "起诉",
        "法院",
        "上门",
        "家人",
        "单位",
        "黑名单",
        "后果",
        "起訴",
        "上門",
        "黑名單",
        "後果",
    )
    for text in templates.all_texts().values():
        assert not any(word in text.lower() for word in western + spanish + malay + chinese), text


def test_notice_before_reporting_says_so_and_only_that_one() -> None:
    words = ("bureau", "征信", "徵信", "central de riesgo", "biro kredit")
    telling = [
        key for key, text in templates.all_texts().items() if any(word in text for word in words)
    ]
    assert telling == [(language, "final-61") for language in LANGUAGES]


# ---- what stands around a text


def framed_as(locale: str, **setting: object) -> str:
    found = compose(TEXTS, "overdue-3", "sms", locale, NAIRA, Setting(**setting))  # type: ignore[arg-type]
    assert isinstance(found, Composed)
    return found.body


def test_signature_stands_first_in_china_whatever_the_language() -> None:
    assert framed_as("en", country="CN").startswith("【Quick Cash】your payment")
    assert framed_as("zh-CN", country="CN").startswith("【Quick Cash】您")
    assert framed_as("en", country="NG").startswith("Quick Cash: your payment")
    assert framed_as("en").startswith("Quick Cash: your payment")


def test_way_out_follows_country_and_class() -> None:
    assert framed_as("zh-CN").endswith("请回复本消息。回T退订")
    assert framed_as("zh-CN", country="CN").endswith("请回复本消息。")
    sales = framed_as("zh-CN", country="CN", message_class=MessageClass.COMMERCIAL)
    assert sales.endswith("拒收请回复R")
    assert framed_as("es", country="CO").endswith("darse de baja.")


def test_third_party_says_what_it_is_in_the_language_of_the_text() -> None:
    third = {"country": "US", "role": Role.THIRD_PARTY}
    later = " This is from a debt collector. Reply STOP to opt out."
    assert framed_as("en", **third).endswith(later)
    assert "any information obtained will be used for that purpose. Reply" in framed_as(
        "en-US", first=True, **third
    )
    assert " Este mensaje es de un cobrador de deudas. Responda" in framed_as("es-US", **third)
    assert "debt collector" not in framed_as("en", country="US")
    assert "debt collector" not in framed_as("en", country="NG", role=Role.THIRD_PARTY)


def test_lender_s_name_is_never_read_as_a_placeholder() -> None:
    sly = NAIRA._replace(lender="{amount}{lender}")
    found = compose(TEXTS, "overdue-3", "sms", "en", sly)
    assert isinstance(found, Composed)
    assert found.body.startswith("{amount}{lender}: your payment")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Quick\nCash\r\nhttps://evil.example", "Quick Cash https://evil.example"),
        ("Quick\u200bCash\u202e", "QuickCash"),
        ("  Quick\t\u00a0Cash ", "Quick Cash"),
        ("Quick\u2028Cash\x1b[1m", "Quick Cash [1m"),
    ],
)
def test_names_and_references_stay_on_one_line(name: str, told: str) -> None:
    found = composed("overdue-3", "sms", "en", NAIRA._replace(lender=name))
    assert found.body.startswith(f"{told}: your payment")
    assert composed("overdue-3", "push", "en", NAIRA._replace(lender=name)).title == told


def test_reference_is_no_link_and_no_placeholder() -> None:
    texts = texts_of({("en", "ref"): "loan {loan}: {amount}"})
    for reference, told in (
        ("https://evil.com/x", "https-evil-com-x"),
        ("evil.com", "evil-com"),
        ("A/1.2", "A/1.2"),
        ("{amount}\n{lender}", "{amount} {lender}"),
        ("L\u200b-1", "L-1"),
    ):
        found = compose(texts, "ref", "sms", "en", NAIRA._replace(loan=reference))
        assert isinstance(found, Composed)
        assert found.body == f"loan {told}: NGN 6,500.00"


def test_brackets_of_a_name_do_not_end_the_signature() -> None:
    found = composed("overdue-3", "sms", "zh-CN", NAIRA._replace(lender="【快】贷】"))
    assert found.body.startswith("【快)贷】您")


def test_version_changes_with_the_words_and_with_what_is_around_them_and_nothing_else() -> None:
    def version(texts: Texts = TEXTS, country: str | None = None, wording: Wording = NAIRA) -> str:
        found = compose(texts, "overdue-3", "sms", "en", wording, Setting(country))
        assert isinstance(found, Composed)
        return found.version

    assert version() == version(wording=NAIRA._replace(lender="Other", amount_minor=1))
    other = parse("pay {amount}")
    assert isinstance(other, Template)
    reworded = {**TEXTS.sms, ("en", "overdue-3"): other}
    assert version(replace(TEXTS, sms=reworded)) != version()
    frame = replace(TEXTS.frames["en"], opt_out="Text STOP to end.")
    assert version(replace(TEXTS, frames={**TEXTS.frames, "en": frame})) != version()
    assert version(country="CN") != version()


def test_regional_text_is_signed_as_its_language_is() -> None:
    texts = replace(texts_of({("es-MX", "a"): "pague {amount}"}), frames=TEXTS.frames)
    found = compose(texts, "a", "sms", "es-MX", NAIRA)
    assert isinstance(found, Composed)
    assert found.body == "Quick Cash: pague NGN 6,500.00 Responda STOP para darse de baja."


@pytest.mark.parametrize(
    ("number", "country"),
    [("+8613800000000", "CN"), ("+886912345678", "TW"), ("+85298765432", "HK"), ("+12025550123", "US"),
     ("+2348012345678", "NG"), ("+491511234567", None), ("", None), ("token", None)],
)  # fmt: skip
def test_country_of_a_number(number: str, country: str | None) -> None:
    assert country_of(number, TEXTS.countries.values()) == country


def test_wrong_keys_in_the_country_list_are_refused() -> None:
    with pytest.raises(TypeError):
        compile_countries({"XX": {"calling_code": "99", "colour": "red"}})
    with pytest.raises(KeyError):
        compile_frame({"signature": "{lender}: "})


def test_unknown_message_is_a_problem() -> None:
    assert isinstance(compose(TEXTS, "no-such", "sms", "en", NAIRA), Problem)


# ---- locales


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en-NG", ("en-NG", "en")),
        ("en_ng", ("en-NG", "en")),
        ("zh", ("zh-CN", "zh-TW", "en")),
        ("zh-CN", ("zh-CN", "zh-TW", "en")),
        ("zh-TW", ("zh-TW", "zh-CN", "en")),
        ("zh-HK", ("zh-HK", "zh-TW", "zh-CN", "en")),
        ("zh_hk", ("zh-HK", "zh-TW", "zh-CN", "en")),
        ("zh-Hant", ("zh-TW", "zh-CN", "en")),
        ("zh-Hant-HK", ("zh-HK", "zh-TW", "zh-CN", "en")),
        ("zh-Hans-HK", ("zh-HK", "zh-CN", "zh-TW", "en")),
        ("zh-SG", ("zh-SG", "zh-CN", "zh-TW", "en")),
        ("es-MX", ("es-MX", "es", "en")),
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
    every = "{lender} {loan}: {amount}, {due_date}, {days_late} late, {days_left} left"
    texts = texts_of({("en", "a"): every, ("fil", "a"): "{due_date}"})

    def body(locale: str, wording: Wording = NAIRA) -> str:
        found = compose(texts, "a", "sms", locale, wording)
        assert isinstance(found, Composed)
        return found.body

    assert body("fr-CI") == "Quick Cash L-1: NGN 6,500.00, Mar 12, 2026, 8 late, 0 left"
    assert "12 Mar 2026" in body("en-NG")
    assert body("fil-PH") == date_text(NAIRA.due_on, "fil-PH")
    assert body("en", NAIRA._replace(today=date(2026, 3, 9))).endswith("0 late, 3 left")


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


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "form", "text"),
    [
        (650000, "CNY", "zh-CN", "unit", "6,500.00元"),
        (650000, "TWD", "zh-TW", "unit", "6,500.00元"),
        (650000, "HKD", "zh-HK", "unit", "6,500.00港元"),
        # the same word means other money to other readers
        (650000, "TWD", "zh-CN", "unit", "新台币6,500.00元"),
        (650000, "CNY", "zh-TW", "unit", "人民幣6,500.00元"),
        (650000, "CNY", "zh-Hans-HK", "unit", "6,500.00元"),
        (650000, "USD", "zh", "unit", "6,500.00美元"),
        (650000, "NGN", "zh-CN", "unit", "NGN 6,500.00"),
        (650000, "USD", "en-US", "unit", "$6,500.00"),
        (650000, "USD", "en-CA", "unit", "USD 6,500.00"),
        (160000, "JPY", "zh-TW", "unit", "160,000日圓"),
        (160000, "KWD", "en", "unit", "KWD 160.000"),
        (650000, "IDR", "id-ID", "unit", "Rp6.500,00"),
        (650000, "NGN", "en-NG", "unit", "NGN 6,500.00"),
        (650000, "NGN", "en-NG", "whole", "NGN 6,500"),
        (650001, "NGN", "en-NG", "whole", "NGN 6,500.01"),
        (650000, "COP", "es-CO", "code", "COP 6.500,00"),
    ],
)
def test_amount_formats(minor: int, currency: str, locale: str, form: str, text: str) -> None:
    assert amount_text(minor, currency, locale, form) == text


@pytest.mark.parametrize(
    ("locale", "form", "text"),
    [
        ("en-NG", "iso", "2026-03-12"),
        ("en-NG", "weekday", "Thu 12 Mar 2026"),
        ("es-CO", "weekday", "jue 12 de marzo de 2026"),
        ("id", "weekday", "Kam 12 Mar 2026"),
        ("zh-CN", "weekday", "2026年3月12日(周四)"),
        ("zh-TW", "weekday", "2026年3月12日(週四)"),
        ("en-NG", "long", "12 March 2026"),
    ],
)
def test_date_formats(locale: str, form: str, text: str) -> None:
    assert date_text(date(2026, 3, 12), locale, form) == text


WESTERN = sorted(
    tag.replace("_", "-") for tag in locale_identifiers() if tag.split("_")[0] in {"en", "es", "id"}
)


@given(
    st.integers(-(2**53), 2**53),
    st.sampled_from(["NGN", "COP", "MXN", "USD", "EUR", "IDR", "PHP", "KWD", "CLF", "JPY", "INR"]),
    st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    st.sampled_from(WESTERN),
    st.sampled_from(AMOUNT_FORMATS),
    st.sampled_from(DATE_FORMATS),
)
def test_amounts_and_dates_never_force_the_costlier_encoding(
    minor: int, currency: str, day: date, locale: str, amount: str, form: str
) -> None:
    said = amount_text(minor, currency, locale, amount) + date_text(day, locale, form)
    assert segments(said).encoding is Encoding.GSM_7, said


@given(
    st.integers(0, 2**53), st.sampled_from(["NGN", "KWD", "JPY", "COP"]), st.sampled_from(WESTERN)
)
def test_amount_says_exactly_the_ledger_s_minor_units(
    minor: int, currency: str, locale: str
) -> None:
    for form in AMOUNT_FORMATS:
        digits = "".join(c for c in amount_text(minor, currency, locale, form) if c.isdigit())
        exponent = minor_units(currency) or 0
        shortened = form == "whole" and minor % 10**exponent == 0
        assert int(digits) == (minor // 10**exponent if shortened else minor)


@given(
    st.sampled_from([stage.message for stage in MESSAGES]),
    st.sampled_from([*LANGUAGES, "zh-HK", "es-MX", "en-IN", "fr", "th"]),
    st.integers(1, 10**10),
    st.dates(date(2024, 1, 1), date(2030, 1, 1)),
    st.integers(-5, 400),
    st.sampled_from([None, *TEXTS.countries]),
    st.sampled_from(list(Role)),
    st.sampled_from(list(MessageClass)),
)
def test_every_text_renders_with_nothing_left_open(
    message: str,
    locale: str,
    minor: int,
    due: date,
    late: int,
    country: str | None,
    role: Role,
    message_class: MessageClass,
) -> None:
    wording = Wording("Quick Cash", "L-1", minor, "NGN", due, due + timedelta(days=late))
    setting = Setting(country, role, message_class)
    found = compose(TEXTS, message, "sms", locale, wording, setting)
    assert isinstance(found, Composed)
    assert not set(found.body) & set("{}")
    assert "Quick Cash" in found.body[:11]
    assert found.body == found.body.strip()


# ---- leaf access


def test_texts_are_reached_by_plain_names_only() -> None:
    assert templates.text("en", "due-soon") is not None
    for locale, name in (("en", "no"), ("..", "due-soon"), ("en", "../zh-CN/due-soon"), ("", "")):
        assert templates.text(locale, name) is None
    for locale in ("..", "", "fr", "../schedules"):
        assert templates.frame_text(locale) is None


@pytest.mark.parametrize(
    "locale", ["en", "en-NG", "de", "fr", "es", "pl", "hi", "ar", "zh-CN", "sw"]
)
@pytest.mark.parametrize("currency", ["NGN", "JPY", "KWD"])
def test_the_quick_way_to_write_an_amount_is_the_long_one(locale: str, currency: str) -> None:
    exponent = minor_units(currency)
    assert exponent is not None
    for minor in (0, 7, 99, 100, 1_000, 99_999, 100_000, 1_234_567, 10**12 + 5):
        long = f"{currency} {spelling._spelled(minor, locale, exponent)}".translate(spelling._PLAIN)
        assert spelling.amount_text(minor, currency, locale) == long
