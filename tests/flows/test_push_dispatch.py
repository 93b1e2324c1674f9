"""What dispatch gives a push channel, and what it does when a provider asks it to wait."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from agent.flows.dispatch import run_lane
from channels.base import PUSH, Accepted, Answer, Listing, Message, Refusal, Refused
from tests.flows.test_dispatch import TWO_WAYS, ready, town
from tests.support.world import World, push

__all__ = ["town"]


@dataclass(slots=True)
class Phone:
    """Answers in this order and keeps what it was given."""

    answers: list[Answer]
    given: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> Answer:
        self.given.append(message)
        return self.answers.pop(0)

    async def listing(self, address: str, since: datetime) -> Listing:
        raise AssertionError(f"nothing is unknown here: {address} {since}")


async def dispatch(town: World, phone: Phone) -> None:
    kept: dict[str, Any] = {"channels": {PUSH: phone}, "kept": frozenset({PUSH})}
    await run_lane(await town.lane(**kept))


@pytest.fixture
async def pushed(town: World) -> World:
    town.schedule = TWO_WAYS
    await ready(town, "L1", contacts=[push("app")])
    return town


async def test_a_provider_that_asks_to_wait_is_left_alone_for_so_long(pushed: World) -> None:
    phone = Phone([Refused("QUOTA_EXCEEDED", Refusal.TRANSIENT, retry_after=300.0)])
    await dispatch(pushed, phone)
    upcoming = await pushed.value("select next_at from notice")
    assert upcoming - pushed.clock.now() == timedelta(seconds=300)


async def test_a_second_attempt_has_another_token_and_the_same_notice(pushed: World) -> None:
    phone = Phone([Refused("busy", Refusal.TRANSIENT), Accepted("m1")])
    await dispatch(pushed, phone)
    pushed.clock.advance_to(await pushed.value("select next_at from notice"))
    await dispatch(pushed, phone)
    first, second = phone.given
    assert first.token != second.token
    assert first.notice == second.notice
    assert first.thread == second.thread
    assert first.notice != first.thread
    assert "L1" not in f"{first.notice}{first.thread}"
    assert first.registered_at == await pushed.value("select told_at from contact_point")


async def test_no_provider_may_keep_a_message_beyond_its_contact_window(pushed: World) -> None:
    phone = Phone([Accepted("m1")])
    await dispatch(pushed, phone)
    (message,) = phone.given
    assert message.good_for is not None
    ends = pushed.clock.now() + timedelta(seconds=message.good_for)
    closes = pushed.at(pushed.clock.now().date(), "21:00")
    assert pushed.clock.now() < ends < closes
