"""What a push provider's refusal says of more than its message."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime

import pytest

from channels.base import PUSH, Accepted, Answer, Halt, Listing, Message, Refusal, Refused, Unknown
from channels.push import APNS, FCM, WEB, PushRouter, service_of
from tests.support.push_keys import subscription

OURS, LATER = Refusal.CONFIGURATION, Refusal.TRANSIENT


@dataclass
class Way:
    """Answers what it is told."""

    answer: Answer

    async def send(self, _message: Message) -> Answer:
        return self.answer

    async def listing(self, _address: str, _since: datetime) -> Listing:
        return Listing(complete=False)


async def said(
    provider: str, answer: Answer, address: str = "device", *, first: bool = True
) -> Answer:
    way = Way(answer if first else Accepted("m0"))
    router = PushRouter({provider: way}, time.monotonic)
    message = Message("t" * 32, PUSH, provider, address, "Title", "Body", 1e9)
    if not first:
        await router.send(message)
        way.answer = answer
    return await router.send(message)


@pytest.mark.parametrize(
    ("provider", "answer", "halt"),
    [
        (FCM, Refused("QUOTA_EXCEEDED", LATER, retry_after=5.0), Halt.AWHILE),
        (FCM, Refused("RESOURCE_EXHAUSTED", LATER, retry_after=5.0), Halt.AWHILE),
        (FCM, Refused("UNAVAILABLE", LATER), Halt.AWHILE),
        (FCM, Refused("oauth-away", LATER), Halt.AWHILE),
        (FCM, Refused("UNAUTHENTICATED", OURS), Halt.SENDER),
        (FCM, Refused("PERMISSION_DENIED", OURS), Halt.SENDER),
        (FCM, Refused("oauth-invalid_grant", OURS), Halt.SENDER),
        # the next one has another token
        (FCM, Refused("UNAUTHENTICATED", LATER), None),
        (APNS, Refused("ExpiredProviderToken", LATER), None),
        # about one phone or one text
        (FCM, Refused("SENDER_ID_MISMATCH", OURS), None),
        (FCM, Refused("UNREGISTERED", Refusal.PERMANENT), None),
        (FCM, Refused("THIRD_PARTY_AUTH_ERROR", OURS), None),
        (APNS, Refused("TooManyProviderTokenUpdates", LATER), Halt.AWHILE),
        (APNS, Refused("ServiceUnavailable", LATER), Halt.AWHILE),
        (APNS, Refused("not-processed", LATER), Halt.AWHILE),
        (APNS, Refused("TooManyRequests", LATER, retry_after=4.0), None),
        (APNS, Refused("ExpiredProviderToken", OURS), Halt.SENDER),
        (APNS, Refused("BadTopic", OURS), Halt.SENDER),
        (APNS, Refused("BadDeviceToken", OURS), None),
        (APNS, Refused("DeviceTokenNotForTopic", OURS), None),
    ],
)
async def test_a_refusal_of_the_sender_is_told_from_one_of_the_phone(
    provider: str, answer: Refused, halt: Halt | None
) -> None:
    found = await said(provider, answer)
    assert isinstance(found, Refused)
    assert found.halt is halt
    # a stopped sender loses nothing: the notice waits, or goes another way
    assert found.kind is (Refusal.TRANSIENT if halt is Halt.SENDER else answer.kind)
    assert (found.code, found.retry_after) == (answer.code, answer.retry_after)


@pytest.mark.parametrize("code", ["http-401", "http-403"])
async def test_a_browsers_service_that_took_one_of_ours_does_not_mean_all(code: str) -> None:
    refused, firefox = Refused(code, OURS), subscription("https://a.push.services.mozilla.com/x")
    stopped = await said(WEB, refused, firefox)
    assert isinstance(stopped, Refused)
    assert stopped.halt is Halt.SENDER
    assert await said(WEB, refused, firefox, first=False) == refused


async def test_an_unknown_answer_says_nothing_of_the_sender() -> None:
    assert await said(FCM, Unknown("http-500")) == Unknown("http-500")


@dataclass
class Crowd:
    """A service that bears so many at once and answers the others so."""

    bears: int
    too_many: Answer
    inside: int = 0
    most: int = 0

    async def send(self, message: Message) -> Answer:
        self.inside += 1
        self.most = max(self.most, self.inside)
        crowded = self.inside > self.bears
        for _ in range(5):
            await asyncio.sleep(0)
        self.inside -= 1
        return self.too_many if crowded else Accepted(message.token)

    async def listing(self, _address: str, _since: datetime) -> Listing:
        return Listing(complete=False)


CHROME = subscription("https://fcm.googleapis.com/fcm/send/a")
FIREFOX = subscription("https://a.push.services.mozilla.com/x")


async def sent_by_many(router: PushRouter, provider: str, address: str) -> list[Answer]:
    """Six hundred messages by sixty-four hands."""
    waiting, answers = deque(range(600)), list[Answer]()

    async def hand() -> None:
        while waiting:
            message = Message(f"{waiting.popleft():032x}", PUSH, provider, address, "", "Body", 1e9)
            answers.append(await router.send(message))

    await asyncio.gather(*(hand() for _ in range(64)))
    return answers


@pytest.mark.parametrize(
    ("provider", "address", "too_many"),
    [
        (FCM, "device", Refused("QUOTA_EXCEEDED", LATER)),
        (FCM, "device", Refused("UNAVAILABLE", LATER)),
        (FCM, "device", Unknown("http-503")),
        (APNS, "device", Refused("ServiceUnavailable", LATER)),
        (WEB, CHROME, Refused("429", LATER)),
        (WEB, CHROME, Unknown("http-503")),
    ],
)
async def test_a_service_that_bears_few_at_once_refuses_few(
    provider: str, address: str, too_many: Answer
) -> None:
    crowd = Crowd(6, too_many)
    answers = await sent_by_many(PushRouter({provider: crowd}, time.monotonic), provider, address)
    refused = [one for one in answers if not isinstance(one, Accepted)]
    # sixty-four hands would have had nine of ten refused
    assert len(answers) == 600
    assert 0 < len(refused) <= 0.3 * 600
    assert crowd.most <= 16


async def test_one_device_that_gets_too_many_narrows_nothing() -> None:
    crowd = Crowd(6, Refused("TooManyRequests", LATER))
    answers = await sent_by_many(PushRouter({APNS: crowd}, time.monotonic), APNS, "device")
    assert crowd.most > 16
    assert len(answers) == 600


async def test_each_browsers_service_has_a_width_of_its_own() -> None:
    crowd = Crowd(1, Refused("429", LATER))
    router = PushRouter({WEB: crowd}, time.monotonic)
    await sent_by_many(router, WEB, CHROME)
    crowd.most, crowd.bears = 0, 100
    await sent_by_many(router, WEB, FIREFOX)
    assert crowd.most >= 16


@pytest.mark.parametrize(
    ("address", "host"),
    [(subscription("https://fcm.googleapis.com/fcm/send/a"), "fcm.googleapis.com"), ("device", ""),
     ("{}", ""), ('{"endpoint": 1}', ""), ('{"endpoint": "https://["}', "")],
)  # fmt: skip
def test_the_service_of_a_subscription(address: str, host: str) -> None:
    assert service_of(address) == host
