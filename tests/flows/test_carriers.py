"""A sender's pace, its patience and its breaker: one row each, shared by all workers."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.carriers import Carrier
from agent.flows.dispatch import LaneCounts, run_lane
from agent.store.keyring import Keyring
from channels.base import Accepted, Answer, Listing, Message, Refused
from channels.sms_twilio.codes import refusal
from channels.sms_twilio.countries import (
    BadProfile,
    country_of,
    no_route,
    profiles,
    text_refused,
)
from channels.sms_twilio.segments import segments
from tests.support.world import World, ladder_toml, phone, sms, stage_toml

DUE = date(2026, 3, 3)
NIGERIA, KENYA = "+23480", "+25471"


@dataclass
class Provider:
    """Answers what a test says, and keeps what it took, with the clock's time."""

    clock: VirtualClock
    answers: dict[str, Answer] = field(default_factory=dict)
    took: list[tuple[datetime, Message]] = field(default_factory=list)
    asked: int = 0

    async def send(self, message: Message) -> Answer:
        self.asked += 1
        for prefix, answer in self.answers.items():
            if message.address.startswith(prefix):
                return answer
        self.took.append((self.clock.now(), message))
        return Accepted(f"SM{message.token}")

    async def listing(self, _address: str, _since: datetime) -> Listing:
        return Listing(complete=True)


def carrier(parts_per_second: float = 1000.0) -> Carrier:
    known = profiles('[[country]]\ncode="KE"\nloan_content=true\ntwo_way=true\nlinks=false\n'
                     'senders=["number"]\nsource="test"\nchecked_on=2026-01-01\n')  # fmt: skip
    return Carrier(
        "sms", "+15005550006", parts_per_second, segments, country_of,
        lambda country: no_route(known.get(country or ""), "+15005550006"),
        lambda country, text: text_refused(known[country], text),
    )  # fmt: skip


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))


@pytest.fixture
def world(pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock) -> World:
    schedule = ladder_toml(stage_toml("due-today", 0, time(9), message="due-today"))
    return World(pool, keyring, clock, schedule=schedule)


async def town(world: World, *addresses: str) -> None:
    for number, address in enumerate(addresses):
        await world.opens(f"loan-{number}", DUE, contacts=[sms(address)])
    await world.plan()
    world.wait_to(DUE, "09:05")


async def dispatched(world: World, provider: Provider, carried: Carrier) -> LaneCounts:
    lane = await world.lane(channels={"sms": provider}, carriers={"sms": carried})
    return await run_lane(lane)


async def test_a_lane_takes_no_more_of_the_line_than_its_share(
    world: World, clock: VirtualClock
) -> None:
    await town(world, *(phone(n) for n in range(1, 13)))
    provider, slow = Provider(clock), carrier(4.0)
    counts = await dispatched(world, provider, slow)
    # two seconds of four parts a second, two parts guessed for each
    assert (counts.sent, counts.snoozed) == (4, 8)
    assert {rules[0] for _, verdict, rules in await world.decisions() if verdict == "snooze"} == {
        "pace"
    }
    for _ in range(40):
        clock.advance_to(clock.now() + timedelta(seconds=1))
        await dispatched(world, provider, slow)
    assert len(provider.took) == 12
    # never faster than the sender may: parts sent in any five seconds, and the share that may be ahead
    times = [at for at, _ in provider.took]
    for start in times:
        inside = [at for at in times if start <= at < start + timedelta(seconds=5)]
        assert sum(segments(m.body) for at, m in provider.took if at in inside) <= 5 * 4 + 8


async def test_one_line_for_all_portfolios_and_workers(world: World, clock: VirtualClock) -> None:
    await town(world, phone(1), phone(2))
    busy = clock.now() + timedelta(seconds=9)
    await world.pool.execute(
        "insert into sender_pace values (0, 'sms', '+15005550006', $1, 'epoch', 0)", busy
    )
    provider = Provider(clock)
    counts = await dispatched(world, provider, carrier(10.0))
    assert (counts.sent, counts.snoozed) == (0, 2)
    clock.advance_to(busy + timedelta(seconds=5))
    assert (await dispatched(world, provider, carrier(10.0))).sent == 2


async def test_too_many_is_heard_by_all_and_once(world: World, clock: VirtualClock) -> None:
    await town(world, *(phone(n) for n in range(1, 31)))
    provider = Provider(clock, {NIGERIA: Refused("429", refusal(20429).kind, None, 60.0)})
    await dispatched(world, provider, carrier())
    asked = provider.asked
    # those in flight together, not each of the thirty
    assert asked <= 8
    until = await world.value("select not_before from sender_pace")
    assert until == clock.now() + timedelta(seconds=60)
    provider.answers.clear()
    await world.pool.execute("update notice set next_at = due_at")
    assert (await dispatched(world, provider, carrier())).sent == 0
    clock.advance_to(until + timedelta(minutes=2))
    assert (await dispatched(world, provider, carrier())).sent == 30
    assert len(provider.took) == 30
    assert await world.value("select strikes from sender_pace") == 0


async def test_an_account_failure_opens_one_breaker_with_one_case_and_loses_nothing(
    world: World, clock: VirtualClock
) -> None:
    await town(world, *(phone(n) for n in range(1, 41)))
    provider = Provider(clock, {"+": refusal(20003)})
    await dispatched(world, provider, carrier())
    assert await world.cases() == [("sender-halted", "sms +15005550006 everywhere")]
    assert await world.rows("select country, code, closed_by from sender_halt") == [
        ("*", "20003", None)
    ]
    refused = provider.asked
    clock.advance_to(clock.now() + timedelta(seconds=45))
    await dispatched(world, provider, carrier())
    assert provider.asked == refused
    # a minute later one message tries it, and finds it still out of order
    clock.advance_to(clock.now() + timedelta(seconds=20))
    await world.pool.execute("update notice set next_at = due_at where closed_at is null")
    await dispatched(world, provider, carrier())
    assert provider.asked == refused + 1
    # then it works again: one message, and after it all
    provider.answers.clear()
    for _ in range(6):
        clock.advance_to(clock.now() + timedelta(seconds=61))
        await world.pool.execute("update notice set next_at = due_at where closed_at is null")
        await dispatched(world, provider, carrier())
    assert len(provider.took) == len({m.address for _, m in provider.took}) == 40
    assert await world.rows("select closed_by from sender_halt") == [("probe",)]
    assert set(await world.rows("select state, reason from notice")) == {("sent", None)}


async def test_a_route_that_is_not_enabled_stops_for_its_country_only(
    world: World, clock: VirtualClock
) -> None:
    await town(world, phone(1), "+254712000001", "+254712000002")
    provider = Provider(clock, {KENYA: refusal(21408)})
    await dispatched(world, provider, carrier())
    assert [m.address for _, m in provider.took] == [phone(1)]
    assert await world.rows("select country, code from sender_halt") == [("KE", "21408")]
    assert ("sender-halted", "sms +15005550006 KE") in await world.cases()
    assert await world.rows("select distinct status from contact_point") == [("active",)]
    await world.opens("later", date(2026, 3, 4), contacts=[sms("+254712000003")])
    await world.plan()
    asked = provider.asked
    world.wait_to(DUE, "09:30")
    await world.pool.execute("update notice set next_at = $1 where closed_at is null", clock.now())
    await dispatched(world, provider, carrier())
    assert provider.asked == asked
    assert (await world.decisions())[-1][2] == ["route-halted"]


async def test_a_country_that_nobody_vouched_for_gets_nothing(
    world: World, clock: VirtualClock
) -> None:
    await town(world, "+8613800138000", "+4915112345678", phone(1))
    provider = Provider(clock)
    await dispatched(world, provider, carrier())
    assert [m.address for _, m in provider.took] == [phone(1)]
    rules = {rules[0] for _, verdict, rules in await world.decisions() if verdict == "cancel"}
    assert rules == {"route:loan-content", "route:no-profile"}


async def test_the_provider_may_keep_a_message_only_while_the_window_is_open(
    world: World, clock: VirtualClock
) -> None:
    await town(world, phone(1), phone(2))
    provider = Provider(clock)
    world.wait_to(DUE, "19:52")
    await dispatched(world, provider, carrier())
    kept = {message.good_for for _, message in provider.took}
    # the house window admits up to 19:59, less the time that a send may take
    assert kept
    assert all(good_for is not None and 60 <= good_for <= 7 * 60 for good_for in kept)


@pytest.mark.parametrize(
    ("number", "country"),
    [("+2348030000001", "NG"), ("+8613800138000", "CN"), ("+12125550123", "US"), ("+16135550123", "CA"),
     ("+85251234567", "HK"), ("12345", None), ("", None), ("+999", None)],
)  # fmt: skip
def test_countries_of_numbers(number: str, country: str | None) -> None:
    assert country_of(number) == country


def test_every_profile_names_its_source_and_day() -> None:
    shipped = profiles()
    assert {"US", "CA", "CN", "HK", "TW", "NG"} <= shipped.keys()
    assert all(one.source and one.checked_on for one in shipped.values())
    assert {code for code in shipped if no_route(shipped[code], "+1") is None} == {"NG"}
    assert no_route(None, "+1") == "no-profile"


@pytest.mark.parametrize(
    "text",
    [
        "not toml [",
        '[[country]]\ncode = "DE"',
        '[[country]]\ncode="de"\nloan_content=true\ntwo_way=true\nlinks=true\nsenders=["number"]\nsource="x"\nchecked_on=2026-01-01',
        '[[country]]\ncode="DE"\nloan_content=true\ntwo_way=true\nlinks=true\nsenders=["fax"]\nsource="x"\nchecked_on=2026-01-01',
        '[[country]]\ncode="DE"\nloan_content=true\ntwo_way=true\nlinks=true\nsenders=["number"]\nsource=""\nchecked_on=2026-01-01',
    ],
)
def test_a_profile_that_says_too_little_is_refused(text: str) -> None:
    with pytest.raises(BadProfile):
        profiles(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("€" * 80, 1),
     ("欠" * 70, 1), ("欠" * 71, 2), ("€" * 81, 2), ("😀" * 35, 1), ("😀" * 36, 2), ("ç", 1),
     ("a" * 152 + "€" + "a" * 10, 2)],
)  # fmt: skip
def test_parts(text: str, parts: int) -> None:
    assert segments(text) == parts
