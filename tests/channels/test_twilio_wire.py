"""Signatures and forms: Twilio's own signer agrees with what we believe, and nothing else does."""

from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from channels.sms_twilio.wire import mac_of, read_form, signed

TOKEN, OTHER = "t" * 32, "o" * 32
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
URLS = st.sampled_from(
    [
        f"{host}/webhooks/twilio/inbound{query}"
        for host in ("https://duly.example", "http://127.0.0.1:8470", "https://duly.example/base")
        for query in ("", "?a=1&b=%20x")
    ]
)


@given(URLS, st.dictionaries(TEXT.filter(bool), TEXT, min_size=1, max_size=8))
def test_what_twilios_signer_signs_is_believed_and_nothing_beside_it(
    url: str, said: dict[str, str]
) -> None:
    form = read_form(urlencode(said).encode())
    assert form == said
    signature = RequestValidator(TOKEN).compute_signature(url, said)
    assert signed((OTHER, TOKEN), url, form, signature)
    assert not signed((OTHER,), url, form, signature)
    assert not signed((TOKEN,), url + "x", form, signature)
    assert not signed((TOKEN,), url, {**form, "Body!": "other"}, signature)
    assert not signed((), url, form, signature)


def test_a_form_says_everything_once() -> None:
    assert read_form(b"a=1&b=") == {"a": "1", "b": ""}
    assert read_form(b"a=1&a=1") is None
    assert read_form(b"a=%ff") is None
    assert read_form("a=é".encode()) is None
    assert read_form(b"&".join(b"k%d=1" % n for n in range(101))) is None


def test_a_token_is_tied_to_its_lane() -> None:
    assert mac_of("1", "a", b"k") != mac_of("2", "a", b"k")
    assert mac_of("1", "a", b"k") != mac_of("1", "a", b"l")
