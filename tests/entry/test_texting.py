"""What the settings make of Twilio: the account, its sender, what binds it."""

import time

import pytest

from agent import config
from agent.config import BadSettings
from agent.entry.texting import texting, twilio_account
from agent.store.keyring import Keyring
from channels.handover import open_session

SID, TOKEN = "AC" + "0" * 32, "1" * 32
GIVEN = {
    "DULY_TWILIO_ACCOUNT_SID": SID,
    "DULY_TWILIO_AUTH_TOKEN": TOKEN,
    "DULY_TWILIO_FROM": "+15005550006",
}


def given(monkeypatch: pytest.MonkeyPatch, **more: str) -> config.Settings:
    for name, value in {**GIVEN, **more}.items():
        monkeypatch.setenv(name, value)
    return config.load()


def test_what_twilio_keeps_is_for_the_lender_to_say(
    monkeypatch: pytest.MonkeyPatch, keyring: Keyring
) -> None:
    account = twilio_account(given(monkeypatch), keyring)
    assert account is not None
    assert (account.discard_content, account.obfuscate_addresses) == (False, False)
    settings = given(
        monkeypatch, DULY_TWILIO_DISCARD_CONTENT="true", DULY_TWILIO_OBFUSCATE_ADDRESSES="true"
    )
    account = twilio_account(settings, keyring)
    assert account is not None
    assert (account.discard_content, account.obfuscate_addresses) == (True, True)
    assert TOKEN not in repr(account)


async def test_the_sender_is_bound_by_pace_countries_and_parts(
    monkeypatch: pytest.MonkeyPatch, keyring: Keyring
) -> None:
    settings = given(monkeypatch, DULY_TWILIO_PARTS_PER_SECOND="2.5")
    account = twilio_account(settings, keyring)
    assert account is not None
    async with open_session() as session:
        channel, carrier = texting(settings, account, session, time.monotonic)
    assert channel.sender == carrier.sender == "+15005550006"
    assert carrier.parts_per_second == 2.5
    assert (carrier.parts_of("a" * 161), carrier.parts_of("欠" * 71)) == (2, 2)
    assert carrier.no_route(carrier.country_of("+2348030000001")) is None
    assert carrier.no_route(carrier.country_of("+12125550123")) == "loan-content"
    assert carrier.no_route(carrier.country_of("+4915112345678")) == "no-profile"
    assert carrier.no_route(carrier.country_of("nonsense")) == "no-profile"
    quiet = carrier.quiet("TW")
    assert quiet is not None
    assert (quiet.starts.hour, quiet.ends.hour) == (22, 9)
    assert carrier.quiet("NG") is None


@pytest.mark.parametrize(
    "more",
    [
        {"DULY_TWILIO_AUTH_TOKEN": ""},
        {"DULY_TWILIO_FROM": ""},
        {"DULY_TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32},
        {"DULY_TWILIO_ACCOUNT_SID": ""},
    ],
)
def test_half_an_account_is_refused(
    monkeypatch: pytest.MonkeyPatch, keyring: Keyring, more: dict[str, str]
) -> None:
    with pytest.raises(BadSettings):
        twilio_account(given(monkeypatch, **more), keyring)
