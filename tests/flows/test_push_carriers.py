"""Push keeps a pace, a shared back-off and a breaker for each sender, as texts do."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.entry.pushing import PushCarriers
from agent.flows.dispatch import LaneCounts
from agent.flows.senders import Act, Forced, Known, Order, force, list_senders
from agent.store.keyring import Keyring
from channels.base import PUSH, Accepted, Answer, Listing, Message, Refusal, Refused
from channels.push import PushRouter, service_of
from tests.flows.test_carriers import lived
from tests.support.push_keys import subscription
from tests.support.timeline import Timeline
from tests.support.world import World, ladder_toml, phone, sms, stage_toml, utc

DUE = date(2026, 3, 3)
GOOGLE, MOZILLA = "https://fcm.googleapis.com/fcm/send/", "https://a.push.services.mozilla.com/"
CARRIERS = PushCarriers("loans", "com.app", ("fcm.googleapis.com", ".push.services.mozilla.com"))


@dataclass
class Service:
    """A push provider that answers by the beginning of the address, and keeps what it took."""

    answers: dict[str, Answer] = field(default_factory=dict)
    took: list[Message] = field(default_factory=list)
    asked: int = 0

    async def send(self, message: Message) -> Answer:
        self.asked += 1
        place = service_of(message.address) or message.address
        for prefix, answer in self.answers.items():
            if place.startswith(prefix):
                return answer
        self.took.append(message)
        return Accepted(f"m{message.token}")

    async def listing(self, _address: str, _since: datetime) -> Listing:
        return Listing(complete=False)


def app(provider: str, address: str) -> dict[str, Any]:
    return {"channel": "push", "provider": provider, "address": address}


@pytest.fixture
def clock(pool: asyncpg.Pool) -> Timeline:
    return Timeline(utc("2026-03-02T09:00"), pool)


@pytest.fixture
def world(pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock) -> World:
    stage = stage_toml("one", 0, time(9), message="due-today", channels=["push", "sms"],
                       fallback_after_minutes=60)  # fmt: skip
    return World(pool, keyring, clock, schedule=ladder_toml(stage))


async def town(world: World, *people: list[dict[str, Any]]) -> None:
    for number, contacts in enumerate(people):
        await world.opens(f"loan-{number}", DUE, contacts=contacts)
    await world.plan()
    world.wait_to(DUE, "09:05")


async def dispatched(world: World, service: Service, texts: Service | None = None) -> LaneCounts:
    router = PushRouter(dict.fromkeys(("fcm", "apns", "web"), service), world.clock.monotonic)
    ways: dict[str, Any] = {PUSH: router, "sms": texts or Service()}
    lane = await world.lane(channels=ways, carriers={PUSH: CARRIERS}, kept=frozenset({PUSH}))
    return await lived(world, lane)


def browsers(place: str, *numbers: int) -> list[list[dict[str, Any]]]:
    return [[app("web", subscription(f"{place}{number}"))] for number in numbers]


async def test_a_subscription_may_be_as_long_as_browsers_make_them(world: World) -> None:
    long = subscription(f"{GOOGLE}{'a' * 700}")
    await town(world, [app("web", long)])
    service = Service()
    await dispatched(world, service)
    assert [one.address for one in service.took] == [long]


async def test_one_service_that_has_too_many_does_not_hold_up_the_other(
    world: World, clock: VirtualClock
) -> None:
    await town(world, *browsers(GOOGLE, *range(20)), *browsers(MOZILLA, *range(20)))
    service = Service({"fcm.": Refused("429", Refusal.TRANSIENT, retry_after=90.0)})
    begun = clock.now()
    await dispatched(world, service)
    assert {service_of(one.address) for one in service.took} == {"a.push.services.mozilla.com"}
    assert len(service.took) == 20
    # those in flight together, not each of the twenty
    assert service.asked - 20 <= 8
    waits = await world.rows(
        "select sender, not_before from sender_pace where not_before > 'epoch'"
    )
    ((sender, not_before),) = waits
    assert sender == "web:fcm.googleapis.com"
    # the clock moves on while others wait for their place in the line
    assert begun <= not_before - timedelta(seconds=90) <= clock.now()
    service.answers.clear()
    await world.pool.execute("update notice set next_at = due_at where closed_at is null")
    assert (await dispatched(world, service)).sent == 0
    clock.advance_to(clock.now() + timedelta(seconds=91))
    await world.pool.execute(
        "update notice set next_at = due_at where state = 'waiting' and closed_at is null"
    )
    await dispatched(world, service)
    assert len(service.took) == 40


async def test_a_quota_of_the_project_is_heard_by_all_and_one_of_a_device_by_nobody_else(
    world: World, clock: VirtualClock
) -> None:
    await town(world, [app("apns", "busy")], *([app("apns", f"d{n}")] for n in range(5)))
    service = Service({"busy": Refused("TooManyRequests", Refusal.TRANSIENT, retry_after=60.0)})
    begun = clock.now()
    await dispatched(world, service)
    assert len(service.took) == 5
    assert await world.value("select not_before from sender_pace") < clock.now()
    ((next_at,),) = await world.rows("select next_at from notice where state = 'waiting'")
    assert begun <= next_at - timedelta(seconds=60) <= clock.now()


async def test_a_bad_key_opens_one_breaker_with_one_case_and_texts_go_instead(
    world: World,
) -> None:
    people = [[app("fcm", f"device-{n}"), sms(phone(n))] for n in range(12)]
    await town(world, *people)
    service, texts = (
        Service({"device": Refused("UNAUTHENTICATED", Refusal.CONFIGURATION)}),
        Service(),
    )
    await dispatched(world, service, texts)
    assert await world.cases() == [("sender-halted", "push fcm:loans everywhere")]
    asked = service.asked
    assert asked <= 8
    await world.pool.execute("update notice set next_at = due_at where closed_at is null")
    await dispatched(world, service, texts)
    assert service.asked == asked
    # the way that is left carries them: nothing is lost and nothing doubled
    assert len(texts.took) == len({one.address for one in texts.took}) == 12
    assert await world.rows("select distinct status from contact_point") == [("active",)]
    assert len(await world.cases()) == 1


async def test_while_a_service_is_away_for_long_texts_go_instead(world: World) -> None:
    both = [[app("fcm", f"app-{n}"), sms(phone(n))] for n in range(12)]
    await town(world, *both)
    away = Refused("UNAVAILABLE", Refusal.TRANSIENT, retry_after=3600.0)
    service, texts = Service({"app": away}), Service()
    await dispatched(world, service, texts)
    tried = service.asked
    assert 1 <= tried <= 8
    world.clock.advance_to(world.clock.now() + timedelta(minutes=1))
    await dispatched(world, service, texts)
    # who was told to wait for an hour does; the others need not, to hear the same
    assert (len(texts.took), service.asked, service.took) == (12 - tried, tried, [])
    world.clock.advance_to(world.clock.now() + timedelta(minutes=61))
    await dispatched(world, service, texts)
    assert len({one.address for one in texts.took}) == len(texts.took) == 12
    assert await world.value("select count(*) from case_item") == 0


async def test_an_app_without_another_way_waits_until_one_message_gets_through(
    world: World, clock: VirtualClock
) -> None:
    await town(world, *([app("apns", f"d{n}")] for n in range(6)))
    service = Service({"d": Refused("ExpiredProviderToken", Refusal.CONFIGURATION)})
    await dispatched(world, service)
    service.answers.clear()
    clock.advance_to(clock.now() + timedelta(seconds=61))
    await world.pool.execute("update notice set next_at = due_at where closed_at is null")
    await dispatched(world, service)
    assert len(service.took) == 1
    await dispatched(world, service)
    assert len(service.took) == len({one.address for one in service.took}) == 6
    assert await world.rows("select sender, closed_by from sender_halt") == [
        ("apns:com.app", "probe")
    ]


async def test_a_push_sender_keeps_the_pace_that_staff_set(
    world: World, clock: VirtualClock
) -> None:
    await town(world, *([app("fcm", f"device-{n}")] for n in range(12)))
    known = [Known(PUSH, one.sender, one.parts_per_second) for one in CARRIERS.all()]
    assert [one.sender for one in known] == ["fcm:loans", "apns:com.app"]
    order = Order(Act.PACE, PUSH, "fcm:loans", None, 3.0)
    done = await force(world.pool, known, order, reason="r", by="ann", clock=clock)
    assert isinstance(done, Forced)
    began = clock.now()
    assert (await dispatched(world, Service())).sent == 12
    assert abs(clock.now() - began - timedelta(seconds=11 * 0.34)) < timedelta(milliseconds=1)
    found = (await list_senders(world.pool, known, clock.now())).senders
    assert [(one.sender, one.parts_per_second) for one in found] == [
        ("apns:com.app", 2000.0), ("fcm:loans", 3.0),
    ]  # fmt: skip


def test_who_carries_what() -> None:
    def sender(provider: str | None, address: str = "x") -> str | None:
        found = CARRIERS.of(provider, address)
        return found.sender if found else None

    assert sender("fcm") == "fcm:loans"
    assert sender("apns") == "apns:com.app"
    assert sender("web", subscription(f"{MOZILLA}1")) == "web:a.push.services.mozilla.com"
    # a stranger's word makes no sender
    assert sender("web", subscription("https://evil.example/1")) is None
    assert sender("web", "nonsense") is None
    assert sender("pigeon") is None
    assert sender(None) is None
    assert PushCarriers("loans", None, None).of("web", subscription(f"{MOZILLA}1")) is None
