"""Every request of the Twilio channel, judged by Twilio's own published description of its API."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from channels.base import Accepted, Message
from channels.handover import open_session
from channels.sms_twilio.channel import Account, TwilioSms
from tests.support.prism import judging, need_prism
from tests.support.twilio_stand_in import ACCOUNT, AUTH_TOKEN

SENDERS = ("+15005550006", "MG" + "b" * 32)
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
SID = "SM" + "a" * 32
BODIES = ("plain", "欠款 ✓ & +1 = 100 %", "x" * 1600, "[@] {} \n line two")


def account(url: str, sender: str) -> Account:
    return Account(ACCOUNT, AUTH_TOKEN, sender, "https://duly.example", b"k" * 32, url)


def message(body: str, **also: Any) -> Message:
    made = Message(
        "a" * 32, "sms", None, "+2348030000001", None, body, time.monotonic() + 15,
        "https://duly.example/webhooks/sandbox/3/" + "a" * 32,
    )  # fmt: skip
    return made._replace(**also)


@pytest.mark.parametrize("sender", SENDERS)
async def test_twilios_description_finds_every_request_valid(sender: str) -> None:
    await need_prism()
    async with judging() as judge, open_session() as session:
        plain = account(judge.url, sender)
        private = replace(plain, discard_content=True, obfuscate_addresses=True)
        for one in (plain, private):
            channel = TwilioSms(session, one, time.monotonic)
            for body in BODIES:
                for good_for in (None, 1, 900, 40_000):
                    answer = await channel.send(message(body, good_for=good_for))
                    assert isinstance(answer, Accepted), answer
            await channel.send(message("without a callback", status_url=None))
            await channel.listing("+2348030000001", SINCE)
            await channel.inbound(SINCE)
            await channel.told("a" * 32, SID, SINCE)
    assert judge.against == []
    messages = f"/2010-04-01/Accounts/{ACCOUNT}/Messages"
    sends = 2 * (len(BODIES) * 4 + 1)
    assert judge.asked.count(f"POST {messages}.json") == sends
    # the description's example of a list names a page after it, which is asked for too
    assert judge.asked.count(f"GET {messages}.json") >= 4
    assert judge.asked.count(f"GET {messages}/{SID}.json") == 2


async def test_the_judge_can_say_no() -> None:
    await need_prism()
    async with judging() as judge, open_session() as session:
        channel = TwilioSms(session, account(judge.url, "MG-nobody"), time.monotonic)
        await channel.send(message("hello"))
        await channel.told("a" * 32, "no-message-id", SINCE)
    assert len(judge.against) == 2
