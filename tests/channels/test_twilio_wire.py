"""Signatures and forms: Twilio's own signer agrees with what we believe, and nothing else does."""

import hmac
import os
import shutil
import subprocess
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from channels.sms_twilio.wire import FIELDS_MAX, mac_of, read_form, signed
from tests.support.places import ROOT

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


@given(
    st.sampled_from(["https", "http"]),
    st.sampled_from(["", ":443", ":80", ":8470"]),
    st.dictionaries(TEXT.filter(bool), TEXT, max_size=8),
    st.lists(st.text("abc0", min_size=1, max_size=4), min_size=1, max_size=3),
    st.booleans(),
)
def test_we_believe_what_twilios_validator_believes(
    scheme: str, port: str, said: dict[str, str], secrets: list[str], tamper: bool
) -> None:
    """With and without port, whichever of the secrets signed: the reference says the same."""
    path = "/webhooks/twilio/status/1/x"
    ours = f"{scheme}://duly.example{port}{path}"
    for signed_port in ("", ":443", ":80", ":8470"):
        signer = RequestValidator(secrets[-1])
        signature = signer.compute_signature(f"{scheme}://duly.example{signed_port}{path}", said)
        claimed = {**said, "Tampered": "1"} if tamper else said
        expected = any(RequestValidator(one).validate(ours, claimed, signature) for one in secrets)
        assert signed(secrets, ours, claimed, signature) == expected


PARTS = st.lists(
    st.sampled_from(
        [*"ab=&+%", "%2", "%41", "%26", "%3D", "%3d", "%C3%A9", "%ff", "%e4", "é", ";", " "]
    )
)


@given(PARTS)
def test_a_form_is_read_as_the_standard_library_reads_it(parts: list[str]) -> None:
    body = "".join(parts).encode()
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        pairs = None
    once = pairs is not None and len({name for name, _ in pairs}) == len(pairs)
    assert read_form(body) == (dict(pairs or ()) if once else None)


def test_what_twilios_node_library_signs_is_believed() -> None:
    folder, node = os.environ.get("DULY_TWILIO_NODE", ""), shutil.which("node")
    if not folder or node is None:
        pytest.skip("DULY_TWILIO_NODE names no folder with npm twilio")
    texts = ("", "欠款 ✓", "a+b %2B&=", "😀" * 70, 'O\'Neil "x"\r\n\t')
    urls = ("https://duly.example/webhooks/twilio/inbound", "http://127.0.0.1:8470/x?a=%20b")
    asked = [
        (url, {"Body": text, "From": "+1", "MessageSid": "SM1"}) for text in texts for url in urls
    ]
    lines = [orjson.dumps({"token": TOKEN, "url": url, "params": said}) for url, said in asked]
    told = subprocess.run(
        [node, str(ROOT / "tests" / "support" / "twilio_sign.cjs")],
        cwd=folder,
        input=b"\n".join(lines),
        capture_output=True,
        check=True,
    )
    for (url, said), line in zip(asked, told.stdout.splitlines(), strict=True):
        form = read_form(urlencode(said).encode())
        assert form == said
        assert signed((OTHER, TOKEN), url, form, orjson.loads(line))
        assert not signed((OTHER,), url, form, orjson.loads(line))


def test_a_form_says_everything_once() -> None:
    assert read_form(b"a=1&b=") == {"a": "1", "b": ""}
    assert read_form(b"a=1&a=1") is None
    assert read_form(b"a=%ff") is None
    assert read_form("a=é".encode()) is None
    assert read_form(b"") == {}
    assert read_form(b"&".join(b"k%d=1" % n for n in range(FIELDS_MAX))) is not None
    assert read_form(b"&".join(b"k%d=1" % n for n in range(FIELDS_MAX + 1))) is None


def test_what_is_no_text_at_all_is_signed_by_nobody() -> None:
    """Bytes that are no UTF-8 come as lone surrogates from whoever reads heads and addresses."""
    assert not signed((TOKEN,), "https://duly.example/\udcff", {}, "x")
    assert not signed((TOKEN,), "https://duly.example/", {"Body": "x"}, "\udcff")


def test_secrets_of_any_length_are_keys() -> None:
    for length in (1, 63, 64, 65, 200):
        secret, key = "s" * length, b"k" * length
        signature = RequestValidator(secret).compute_signature("https://a.example/", {"a": "1"})
        assert signed((secret,), "https://a.example/", {"a": "1"}, signature)
        assert mac_of("1", "a", key) == hmac.new(key, b"1/a", "sha256").hexdigest()[:32]


def test_a_token_is_tied_to_its_lane() -> None:
    assert mac_of("1", "a", b"k") != mac_of("2", "a", b"k")
    assert mac_of("1", "a", b"k") != mac_of("1", "a", b"l")
