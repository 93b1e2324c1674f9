"""`duly doctor` on those who carry messages: what is wrong, what to do, and never a secret."""

from collections.abc import AsyncIterator, Mapping
from datetime import date

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from cryptography.hazmat.primitives.asymmetric import ec

from agent import config
from agent.entry.doctor_providers import examine_providers
from agent.entry.findings import Finding, Level
from tests.support.push_keys import p256_key, pem, rsa_key, service_account

TODAY = date(2026, 11, 24)
TOKEN = "0123456789abcdef" * 2
KEY = "ab" * 32


@pytest.fixture
async def provider() -> AsyncIterator[str]:
    """A server that answers, as little as it may."""
    async with TestServer(web.Application()) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
def twilio(provider: str) -> dict[str, str]:
    return {
        "DULY_MASTER_KEY": KEY,
        "DULY_TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "DULY_TWILIO_AUTH_TOKEN": TOKEN,
        "DULY_TWILIO_FROM": "+15005550006",
        "DULY_TWILIO_BASE_URL": provider,
        "DULY_PUBLIC_URL": "https://duly.example.com",
    }


async def examined(monkeypatch: pytest.MonkeyPatch, given: Mapping[str, str]) -> list[Finding]:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = await examine_providers(config.load(), TODAY)
    told = "\n".join(f"{each.check} {each.says} {each.do}" for each in found)
    assert TOKEN not in told
    assert KEY not in told
    assert "PRIVATE KEY" not in told
    assert all(each.do for each in found if each.level is not Level.OK)
    return found


def levels(found: list[Finding]) -> dict[str, Level]:
    worst: dict[str, Level] = {}
    for each in found:
        if worst.get(each.check) is not Level.PROBLEM:
            worst[each.check] = each.level
    return worst


async def test_nothing_set_up_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = await examined(monkeypatch, {})
    assert (found.check, found.level) == ("providers", Level.OK)


async def test_twilio_as_it_should_be(
    monkeypatch: pytest.MonkeyPatch, twilio: dict[str, str]
) -> None:
    found = await examined(monkeypatch, twilio)
    assert set(levels(found).values()) == {Level.OK}
    assert {"twilio", "twilio sender", "twilio callback key", "twilio country NG", "twilio countries",
            "twilio server"} <= levels(found).keys()  # fmt: skip
    (refused,) = [each.says for each in found if each.check == "twilio countries"]
    assert "US (loan-content)" in refused
    assert "IN (loan-content)" in refused


NOBODY = f"http://127.0.0.1:{unused_port()}"


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({"DULY_TWILIO_AUTH_TOKEN": "secret"}, "twilio", Level.PROBLEM),
        ({"DULY_TWILIO_AUTH_TOKEN": ""}, "twilio", Level.PROBLEM),
        ({"DULY_TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32}, "twilio", Level.PROBLEM),
        ({"DULY_TWILIO_FROM": "15005550006"}, "twilio sender", Level.PROBLEM),
        ({"DULY_TWILIO_FROM": "A name too long"}, "twilio sender", Level.PROBLEM),
        ({"DULY_TWILIO_FROM": "Sunrise"}, "twilio sender", Level.WARNING),
        ({"DULY_TWILIO_FROM": "12345"}, "twilio sender", Level.OK),
        ({"DULY_TWILIO_BASE_URL": NOBODY}, "twilio server", Level.PROBLEM),
        ({"DULY_TWILIO_COUNTRIES": "/no/such/file"}, "twilio countries", Level.PROBLEM),
        ({"DULY_TWILIO_BASE_URL": "https://twilio.invalid"}, "public address", Level.OK),
        ({"DULY_TWILIO_BASE_URL": "https://twilio.invalid", "DULY_PUBLIC_URL": "http://duly.example.com"},
         "public address", Level.PROBLEM),
        ({"DULY_TWILIO_BASE_URL": "https://twilio.invalid", "DULY_PUBLIC_URL": "https://localhost:1"},
         "public address", Level.PROBLEM),
        ({"DULY_TWILIO_BASE_URL": "https://twilio.invalid", "DULY_PUBLIC_URL": "https://du_ly.example.com"},
         "public address", Level.PROBLEM),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_twilio(
    monkeypatch: pytest.MonkeyPatch,
    twilio: dict[str, str],
    change: dict[str, str],
    check: str,
    level: Level,
) -> None:
    assert levels(await examined(monkeypatch, twilio | change))[check] is level


@pytest.mark.parametrize("today", [date(2027, 9, 1), date(2026, 11, 1)])
async def test_an_old_profile_is_a_warning_and_so_is_one_of_a_day_to_come(
    monkeypatch: pytest.MonkeyPatch, twilio: dict[str, str], today: date
) -> None:
    for name, value in twilio.items():
        monkeypatch.setenv(name, value)
    found = await examine_providers(config.load(), today)
    assert levels(found)["twilio country NG"] is Level.WARNING


async def test_push_keys_as_they_should_be(monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    found = await examined(
        monkeypatch,
        {
            "DULY_FCM_CREDENTIALS": service_account("https://oauth.example/token"),
            "DULY_FCM_BASE_URL": provider,
            "DULY_APNS_KEY": pem(p256_key()),
            "DULY_APNS_SENDER": "ABCDE12345/KEYID12345/com.example.app",
            "DULY_WEBPUSH_KEY": pem(p256_key("vapid")),
            "DULY_WEBPUSH_SUBJECT": "mailto:push@lender.example",
        },
    )
    assert {level for _, level in levels(found).items()} == {Level.OK}
    says = {each.check: each.says for each in found}
    assert says["fcm"] == "service account of project demo-loans, its key parses"
    assert says["apns"] == "ES256 key for com.example.app"
    # what a page has to subscribe with belongs to our private key
    shown = says["web push"].rpartition(" ")[2]
    assert len(shown) == 87
    assert shown[0] == "B"


P384 = ec.generate_private_key(ec.SECP384R1())


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ({"DULY_FCM_CREDENTIALS": "{}"}, "fcm"),
        ({"DULY_FCM_CREDENTIALS": "not json"}, "fcm"),
        ({"DULY_APNS_KEY": "not pem", "DULY_APNS_SENDER": "ABCDE12345/KEYID12345/com.a"}, "apns"),
        ({"DULY_APNS_KEY": pem(rsa_key()), "DULY_APNS_SENDER": "ABCDE12345/KEYID12345/com.a"}, "apns"),
        ({"DULY_APNS_KEY": pem(P384), "DULY_APNS_SENDER": "ABCDE12345/KEYID12345/com.a"}, "apns"),
        ({"DULY_APNS_KEY": pem(p256_key())}, "apns"),
        ({"DULY_APNS_SENDER": "ABCDE12345/KEYID12345/com.a"}, "apns"),
        ({"DULY_WEBPUSH_KEY": pem(P384), "DULY_WEBPUSH_SUBJECT": "mailto:a@b.example"}, "web push"),
        ({"DULY_WEBPUSH_KEY": pem(p256_key())}, "web push"),
        ({"DULY_WEBPUSH_SUBJECT": "mailto:a@b.example"}, "web push"),
        ({"DULY_WEBPUSH_KEY": pem(p256_key()), "DULY_WEBPUSH_SUBJECT": "mailto:nobody"}, "web push"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_push(
    monkeypatch: pytest.MonkeyPatch, provider: str, given: dict[str, str], check: str
) -> None:
    found = await examined(monkeypatch, {"DULY_FCM_BASE_URL": provider, **given})
    assert levels(found)[check] is Level.PROBLEM
