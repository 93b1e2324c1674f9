"""A sender's pace, its patience and its breaker: one row each, shared by all workers."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.quiet import QuietHours
from agent.flows.carriers import Carrier
from agent.flows.dispatch import LaneCounts, run_lane
from agent.flows.lane import Lane
from agent.store.keyring import Keyring
from channels.base import Accepted, Answer, Listing, Message, Refused
from channels.sms_twilio.codes import refusal
from channels.sms_twilio.countries import (
    Profile,
    country_of,
    no_route,
    profiles,
    text_refused,
)
from channels.sms_twilio.segments import segments
from tests.support.timeline import Timeline
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
        lambda country, text: text_refused(known[country], text, "+15005550006"),
    )  # fmt: skip


@pytest.fixture
def clock(pool: asyncpg.Pool) -> Timeline:
    return Timeline(datetime(2026, 3, 2, 9, 0, tzinfo=UTC), pool)


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
    return await lived(world, lane)


async def lived(world: World, lane: Lane) -> LaneCounts:
    """One run of a lane, on a clock that moves on while it waits."""
    assert isinstance(world.clock, Timeline)
    (counts,) = await world.clock.live(run_lane(lane))
    return counts


async def test_a_lane_sends_at_the_pace_of_its_sender_and_no_faster(
    world: World, clock: VirtualClock
) -> None:
    await town(world, *(phone(n) for n in range(1, 31)))
    provider, slow = Provider(clock), carrier(4.0)
    began = clock.now()
    counts = await dispatched(world, provider, slow)
    assert counts.sent == 30
    assert {rules[0] for _, verdict, rules in await world.decisions() if verdict == "snooze"} == {
        "pace"
    }
    # each has its place in the line: the parts before it, a quarter of a second for each, and a little
    # more so that no second holds a fifth one
    before = 0
    for at, message in provider.took:
        assert at - began == timedelta(seconds=before * 0.255)
        before += segments(message.body)
    # a share is looked at as it comes up, not the whole backlog each time
    assert len(await world.decisions()) < 30 * 4


async def test_a_text_of_three_parts_takes_three_places(world: World, clock: VirtualClock) -> None:
    await town(world, *(phone(n) for n in range(1, 7)))
    provider, slow = Provider(clock), replace(carrier(4.0), parts_of=lambda _text: 3)
    began = clock.now()
    await dispatched(world, provider, slow)
    assert [at - began for at, _ in provider.took] == [
        timedelta(seconds=n * 1.02)
        for n in range(6)  # two of them in one second were six parts
    ]


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


async def test_a_countrys_own_quiet_hours_bind_the_text_and_its_validity(
    world: World, clock: VirtualClock
) -> None:
    """Eleven to four are quiet on the way to this country; the house window is open all the while."""
    hours = QuietHours(time(11), time(16))
    quiet = replace(carrier(), quiet=lambda country: hours if country == "NG" else None)
    await town(world, phone(1), phone(2), "+254712000001")
    provider = Provider(clock)
    world.wait_to(DUE, "10:52")
    lane = await world.lane(channels={"sms": provider}, carriers={"sms": quiet})
    await world.pool.execute(
        "update notice set next_at = next_at + interval '3 hours' where loan_id > 1"
    )
    await lived(world, lane)
    ((_, message),) = provider.took
    # it ends a minute before the quiet begins
    assert message.good_for is not None
    assert 6 * 60 <= message.good_for <= 7 * 60
    world.wait_to(DUE, "12:10")
    await lived(world, lane)
    assert [m.address for _, m in provider.took] == [phone(1), "+254712000001"]
    (held,) = await world.rows(
        "select rules, until_at from decision where verdict = 'snooze' order by id desc limit 1"
    )
    assert held == (["route-quiet-hours"], world.at(DUE, "16:00"))
    world.wait_to(DUE, "16:00")
    await lived(world, lane)
    assert len(provider.took) == 3


async def test_a_text_that_its_country_would_refuse_fails_with_a_case(
    world: World, clock: VirtualClock
) -> None:
    """Nobody can answer there, and the text names no other way to opt out."""
    known = profiles('[[country]]\ncode="KE"\nloan_content=true\ntwo_way=false\nlinks=false\n'
                     'senders=["number"]\nsource="test"\nchecked_on=2026-01-01\n')  # fmt: skip
    one_way = replace(
        carrier(), text_refused=lambda c, text: text_refused(known[c], text, "+15005550006")
    )
    await town(world, "+254712000001", phone(1))
    provider = Provider(clock)
    await dispatched(world, provider, one_way)
    assert [m.address for _, m in provider.took] == [phone(1)]
    assert ("failed", "text-one-way") in await world.rows("select state, reason from notice")
    assert len(await world.cases()) == 1


def profile(**keys: Any) -> Profile:
    given: dict[str, Any] = {
        "code": "XX", "loan_content": True, "two_way": True, "links": True,
        "senders": frozenset({"number", "name", "service"}), "source": "test",
        "checked_on": date(2026, 1, 1),
    }  # fmt: skip
    return Profile(**(given | keys))


@pytest.mark.parametrize(
    ("keys", "text", "sender", "why"),
    [
        ({}, "pay", "+1500", None),
        ({"links": False}, "pay at https://a.example", "+1500", "links"),
        ({"links": False}, "pay at www.a.example", "+1500", "links"),
        ({"opt_out_footer": True}, "pay", "+1500", "opt-out"),
        ({"opt_out_footer": True}, "pay. Reply STOP to opt out.", "+1500", None),
        ({"opt_out_footer": True}, "请还款，回T退订", "+1500", None),
        ({"opt_out_footer": True}, "please stopgap", "+1500", "opt-out"),
        ({"two_way": False}, "pay", "+1500", "one-way"),
        ({"two_way": False}, "pay. Stop: call 0800 123 4567", "+1500", None),
        ({"two_way": False}, "pay. Stop: https://a.example/stop", "+1500", None),
        # nobody can answer a name, whatever the country
        ({}, "pay", "Sunrise", "one-way"),
        ({}, "pay. Stop: call 08001234567", "Sunrise", None),
    ],
)
def test_what_a_profile_says_of_a_text(
    keys: dict[str, Any], text: str, sender: str, why: str | None
) -> None:
    assert text_refused(profile(**keys), text, sender) == why


@pytest.mark.parametrize(
    ("keys", "sender", "why"),
    [
        ({}, "+1500", None),
        ({"loan_content": False}, "+1500", "loan-content"),
        ({"senders": frozenset({"number"})}, "Sunrise", "sender-kind"),
        ({"senders": frozenset({"name"})}, "MG" + "a" * 32, "sender-kind"),
        ({"registration": ("sender", "template")}, "+1500", "registration"),
        ({"registration": ("sender", "template"), "registered": ("sender",)}, "+1500", "registration"),
        ({"registration": ("sender",), "registered": ("sender",)}, "+1500", None),
        ({"quiet_hours": "21:00-08:00"}, "+1500", None),
    ],
)  # fmt: skip
def test_what_a_profile_says_of_a_route(keys: dict[str, Any], sender: str, why: str | None) -> None:
    assert no_route(profile(**keys), sender) == why


def test_every_profile_names_its_source_and_day() -> None:
    shipped = profiles()
    # the countries that the research covers; what nobody read up on is refused
    assert shipped.keys() == {"US", "CA", "PR", "CN", "HK", "TW", "IN", "ID", "PH", "TH", "VN", "MX",
                              "CO", "KE", "GB", "NG"}  # fmt: skip
    assert all(one.source and one.checked_on for one in shipped.values())
    assert not any(one.loan_content for one in shipped.values() if one.basis == "unread")
    assert shipped["TW"].quiet == (time(22), time(9))
    assert {code for code in shipped if no_route(shipped[code], "+1") is None} == {"NG"}
    assert no_route(None, "+1") == "no-profile"


@pytest.mark.parametrize(
    ("text", "parts"),
    [("", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("€" * 80, 1),
     ("欠" * 70, 1), ("欠" * 71, 2), ("€" * 81, 2), ("😀" * 35, 1), ("😀" * 36, 2), ("ç", 1),
     ("a" * 152 + "€" + "a" * 10, 2)],
)  # fmt: skip
def test_parts(text: str, parts: int) -> None:
    assert segments(text) == parts
