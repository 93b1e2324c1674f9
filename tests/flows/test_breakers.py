"""Breakers that receipts open, and what staff do to breakers and paces."""

import asyncio
import json
from datetime import date, datetime, time, timedelta
from typing import Any

import asyncpg
import pytest

from agent.clock import SystemClock, VirtualClock
from agent.domain.calendar import local_date
from agent.flows.dispatch import run_lane
from agent.flows.receipts import apply_receipts
from agent.flows.senders import Act, Forced, Known, NoSender, Order, force, list_senders
from agent.store.keyring import Keyring
from channels.base import Accepted, Answer, Listing, Message, Receipt
from channels.sms_twilio.wire import read_status
from tests.entry.command import duly
from tests.flows.test_carriers import Provider, carrier, dispatched
from tests.support.timeline import Timeline
from tests.support.waiting import until
from tests.support.world import World, ladder_toml, phone, sms, stage_toml, utc

DUE = date(2026, 3, 3)
SENDER = "+15005550006"
KNOWN = (Known("sms", SENDER, 1000.0),)


@pytest.fixture
def clock(pool: asyncpg.Pool) -> Timeline:
    return Timeline(utc("2026-03-02T09:00"), pool)


@pytest.fixture
async def world(pool: asyncpg.Pool, keyring: Keyring, clock: VirtualClock) -> World:
    stages = [stage_toml("due-today", 0, time(9), message="due-today")]
    return World(pool, keyring, clock, schedule=ladder_toml(*stages))


async def opened(world: World, *addresses: str, later: int = 0) -> None:
    """Somebody with a notice that is due now at each address, and `later` people for after `wake`."""
    behind = [phone(100 + number) for number in range(later)]
    for number, address in enumerate((*addresses, *behind)):
        await world.opens(f"loan-{number}", DUE, contacts=[sms(address)])
    await world.plan()
    world.wait_to(DUE, "09:05")
    await world.pool.execute(
        "update notice set next_at = due_at + interval '9 hours' where loan_id in"
        " (select id from loan where ref = any($1::text[]))",
        [f"loan-{len(addresses) + number}" for number in range(later)],
    )


async def say(world: World, message: Message, status: str, code: str | None = None) -> None:
    """A callback as Twilio posts it, for a message that our provider took."""
    said = {"MessageSid": f"SM{message.token}", "MessageStatus": status, "To": message.address,
            "From": SENDER}  # fmt: skip
    said |= {"ErrorCode": code} if code else {}
    receipt = read_status(said, message.token, world.clock.now(), SENDER)
    assert receipt is not None
    await apply_receipts(world.pool, await world.portfolio(), [receipt], world.clock.now())


async def look(world: World) -> list[tuple[Any, ...]]:
    return await world.rows(
        "select country, code, proof, closed_by from sender_halt order by halted_at, country"
    )


async def wake(world: World) -> None:
    await world.pool.execute("update notice set next_at = due_at where closed_at is null")


@pytest.mark.parametrize(
    ("code", "country"), [("30002", "*"), ("30033", "*"), ("30032", "NG"), ("30034", "NG")]
)
async def test_a_fault_of_sender_or_route_in_receipts_opens_one_breaker_with_one_case(
    world: World, clock: VirtualClock, code: str, country: str
) -> None:
    await opened(world, *(phone(n) for n in range(1, 9)), later=1)
    provider = Provider(clock)
    await dispatched(world, provider, carrier())
    for _, message in provider.took:
        await say(world, message, "undelivered", code)
        await say(world, message, "undelivered", code)
    where = "everywhere" if country == "*" else country
    assert await look(world) == [(country, code, "receipt", None)]
    assert await world.cases() == [("sender-halted", f"sms {SENDER} {where}")]
    assert await world.rows("select distinct status from contact_point") == [("active",)]
    # what comes due now is not sent to nowhere
    await wake(world)
    assert (await dispatched(world, provider, carrier())).sent == 0
    assert (await world.decisions())[-1][2] == ["route-halted"]


async def test_only_a_delivered_receipt_of_the_try_closes_what_receipts_opened(
    world: World, clock: VirtualClock
) -> None:
    await opened(world, phone(1), phone(2), later=4)
    provider = Provider(clock)
    await dispatched(world, provider, carrier())
    first, second = (message for _, message in provider.took)
    await say(world, first, "undelivered", "30002")
    tries = []
    for _ in range(3):
        clock.advance_to(clock.now() + timedelta(minutes=5))
        await wake(world)
        await dispatched(world, provider, carrier())
        tries.append(len(provider.took))
    # accepted is not proof: one message each time, the next after twice the wait
    assert tries == [3, 4, 5]
    assert await look(world) == [("*", "30002", "receipt", None)]
    # the code of a message that was begun before is no news; that one got through is
    await say(world, provider.took[-1][1], "delivered")
    await wake(world)
    await dispatched(world, provider, carrier())
    assert len(provider.took) == 6
    assert await look(world) == [("*", "30002", "receipt", "probe")]
    await say(world, second, "undelivered", "30002")
    assert len(await look(world)) == 1
    assert len(await world.cases()) == 1


async def test_a_try_that_fails_again_keeps_it_open(world: World, clock: VirtualClock) -> None:
    await opened(world, phone(1), phone(2), phone(3), later=3)
    provider = Provider(clock)
    await dispatched(world, provider, carrier())
    await say(world, provider.took[0][1], "failed", "30002")
    clock.advance_to(clock.now() + timedelta(seconds=61))
    await wake(world)
    await dispatched(world, provider, carrier())
    assert len(provider.took) == 4
    await say(world, provider.took[3][1], "failed", "30002")
    await wake(world)
    await dispatched(world, provider, carrier())
    assert len(provider.took) == 4
    assert await look(world) == [("*", "30002", "receipt", None)]
    assert len(await world.cases()) == 1


async def test_of_several_workers_one_tries_whether_it_works_again(
    world: World, clock: Timeline
) -> None:
    """Half-open is one message, whoever comes first, not one a worker."""
    await opened(world, phone(1), later=12)
    provider = Provider(clock)
    await dispatched(world, provider, carrier())
    await say(world, provider.took[0][1], "failed", "30002")
    for tries in (2, 3):
        clock.advance_to(clock.now() + timedelta(minutes=5))
        await wake(world)
        lanes = [
            await world.lane(channels={"sms": provider}, carriers={"sms": carrier()})
            for _ in range(4)
        ]
        await clock.live(*(run_lane(lane) for lane in lanes))
        assert len(provider.took) == tries
    await say(world, provider.took[-1][1], "delivered")
    await wake(world)
    await clock.live(*(run_lane(lane) for lane in lanes))
    assert len(provider.took) == 13


@pytest.mark.parametrize(
    ("code", "seconds"),
    [("30001", 600), ("30022", 3600), ("30023", 3600), ("30027", 3600), ("63018", 600),
     ("63038", 86_400), ("21611", 600)],
)  # fmt: skip
async def test_a_receipt_that_says_slow_down_is_heard_by_the_sender(
    world: World, clock: VirtualClock, code: str, seconds: int
) -> None:
    await opened(world, phone(1), later=1)
    provider = Provider(clock)
    await dispatched(world, provider, carrier())
    await say(world, provider.took[0][1], "undelivered", code)
    wanted = clock.now() + timedelta(seconds=seconds)
    assert await world.value("select not_before from sender_pace") == wanted
    assert await look(world) == []
    assert await world.cases() == []
    await wake(world)
    assert (await dispatched(world, provider, carrier())).sent == 0


# ---- staff


async def staff(world: World, act: Act, **order: Any) -> Forced:
    done = await force(
        world.pool, KNOWN, Order(act, "sms", SENDER, **order), reason="because", by="ann",
        clock=world.clock,
    )  # fmt: skip
    assert isinstance(done, Forced)
    return done


async def test_staff_open_and_close_a_breaker_and_each_act_is_kept(
    world: World, clock: VirtualClock
) -> None:
    await opened(world, phone(1), phone(2))
    provider = Provider(clock)
    assert (await staff(world, Act.OPEN)).changed
    assert not (await staff(world, Act.OPEN)).changed
    await dispatched(world, provider, carrier())
    clock.advance_to(clock.now() + timedelta(hours=3))
    await wake(world)
    await dispatched(world, provider, carrier())
    assert provider.took == []  # nobody tries what staff stopped
    (seen,) = (await list_senders(world.pool, KNOWN, clock.now())).senders
    assert (seen.state, seen.breakers[0].reason, seen.breakers[0].by) == ("open", "because", "ann")
    assert (await list_senders(world.pool, KNOWN, clock.now())).waiting_for_route == 2
    assert await staff(world, Act.CLOSE) == Forced(Order(Act.CLOSE, "sms", SENDER), True, 2)
    assert not (await staff(world, Act.CLOSE)).changed
    await dispatched(world, provider, carrier())
    assert len(provider.took) == 2
    assert await look(world) == [("*", "staff", "staff", "ann")]
    acts = await world.rows("select act, reason, acted_by, changed from sender_act order by id")
    assert acts == [("open", "because", "ann", True), ("open", "because", "ann", False),
                    ("close", "because", "ann", True), ("close", "because", "ann", False)]  # fmt: skip


@pytest.mark.parametrize("closes", [None, "NG", "KE"])
async def test_closing_a_breaker_closes_the_case_that_it_opened(
    world: World, clock: VirtualClock, closes: str | None
) -> None:
    await opened(world, phone(1), phone(2))
    provider = Provider(clock)
    await dispatched(world, provider, carrier())
    for (_, message), code in zip(provider.took, ("30034", "30002"), strict=True):
        await say(world, message, "undelivered", code)
    names = [f"sms {SENDER} NG", f"sms {SENDER} everywhere"]
    assert sorted(await world.cases()) == [("sender-halted", name) for name in names]
    clock.advance_to(clock.now() + timedelta(hours=1))
    assert (await staff(world, Act.CLOSE, country=closes)).changed is (closes != "KE")
    done = {None: names, "NG": names[:1], "KE": []}[closes]
    rows = await world.rows(
        "select subject, closed_at, closed_by, detail->>'reason' from case_item"
        " where closed_at notnull order by subject"
    )
    assert rows == [(name, clock.now(), "ann", "because") for name in done]
    assert not (await staff(world, Act.CLOSE, country=closes)).changed


async def test_half_open_lets_one_message_try_and_its_acceptance_closes(
    world: World, clock: VirtualClock
) -> None:
    await opened(world, phone(1), phone(2), phone(3))
    provider = Provider(clock)
    await staff(world, Act.OPEN)
    await dispatched(world, provider, carrier())
    clock.advance_to(clock.now() + timedelta(minutes=1))
    assert (await staff(world, Act.HALF_OPEN)).woken == 3
    (seen,) = (await list_senders(world.pool, KNOWN, clock.now())).senders
    assert seen.state == "half-open"
    await dispatched(world, provider, carrier())
    assert len(provider.took) == 1
    assert await look(world) == [("*", "staff", "answer", "probe")]
    await dispatched(world, provider, carrier())
    assert len(provider.took) == 3


async def test_a_country_is_stopped_by_itself(world: World, clock: VirtualClock) -> None:
    await opened(world, phone(1), "+254712000001")
    provider = Provider(clock)
    await staff(world, Act.OPEN, country="KE")
    await dispatched(world, provider, carrier())
    assert [message.address for _, message in provider.took] == [phone(1)]
    assert (await staff(world, Act.CLOSE, country="NG")).changed is False
    assert (await staff(world, Act.CLOSE)).woken == 1
    await dispatched(world, provider, carrier())
    assert len(provider.took) == 2


async def test_staff_take_over_a_breaker_that_an_answer_opened(
    world: World, clock: VirtualClock
) -> None:
    await world.pool.execute(
        "insert into sender_halt (portfolio_id, channel, sender, country, code, halted_at, probe_at)"
        " values (0, 'sms', $1, '*', '20003', $2, $2)",
        SENDER, clock.now(),
    )  # fmt: skip
    assert (await staff(world, Act.OPEN)).changed
    await opened(world, phone(1))
    assert (await dispatched(world, Provider(clock), carrier())).sent == 0
    assert await look(world) == [("*", "20003", "staff", None)]


async def test_a_pace_that_staff_set_binds_every_worker_until_given_back(
    world: World, clock: VirtualClock
) -> None:
    await opened(world, *(phone(n) for n in range(1, 10)))
    assert (await staff(world, Act.PACE, parts_per_second=4.0)).changed
    assert not (await staff(world, Act.PACE, parts_per_second=4.0)).changed
    provider, began = Provider(clock), clock.now()
    await dispatched(world, provider, carrier())
    assert [at - began for at, _ in provider.took] == [
        timedelta(seconds=n * 0.51) for n in range(9)
    ]
    (seen,) = (await list_senders(world.pool, KNOWN, clock.now())).senders
    assert (seen.parts_per_second, seen.pace_by) == (4.0, "staff")
    assert 0 < seen.line_seconds <= 0.51
    assert (await staff(world, Act.PACE)).changed
    (seen,) = (await list_senders(world.pool, KNOWN, clock.now())).senders
    assert (seen.parts_per_second, seen.pace_by) == (1000.0, "settings")


async def test_nobody_of_that_name(world: World) -> None:
    order = Order(Act.OPEN, "sms", "+1")
    done = await force(world.pool, KNOWN, order, reason="r", by="b", clock=world.clock)
    assert done == NoSender((f"sms {SENDER}",))
    assert await world.value("select count(*) from sender_act") == 0


async def test_what_waits_in_the_line_of_a_running_worker_is_stopped_within_a_second(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """On the real clock: eight messages with half a second between them, stopped after the second."""
    now = SystemClock().now()
    # somewhere it is noon
    zone = f"Etc/GMT{now.hour - 12:+d}"
    world = World(pool, keyring, VirtualClock(now - timedelta(days=1)), zone=zone, schedule=ladder_toml(
        stage_toml("any", 0, time(10), message="due-today")))  # fmt: skip
    for number in range(8):
        await world.opens(f"loan-{number}", local_date(now, zone), contacts=[sms(phone(number))])
    await world.plan()
    world.clock.advance_to(now)
    phones = Phones()
    lane = await world.lane(
        channels={"sms": phones}, carriers={"sms": carrier(4.0)}, clock=SystemClock()
    )
    running = asyncio.create_task(run_lane(lane))
    await until(lambda: phones.got(2), 20, "two messages went out")
    order = Order(Act.OPEN, "sms", SENDER)
    await force(pool, KNOWN, order, reason="stop", by="ann", clock=SystemClock())
    stopped_at = SystemClock().now()
    counts = await running
    assert counts.sent == 4
    assert max(phones.times) - stopped_at < timedelta(seconds=1)
    assert len(phones.times) < 4


class Phones:
    """Accept everything and keep when."""

    def __init__(self) -> None:
        self.times: list[datetime] = []

    async def send(self, message: Message) -> Answer:
        self.times.append(SystemClock().now())
        return Accepted(f"SM{message.token}")

    async def listing(self, _address: str, _since: datetime) -> Listing:
        return Listing(complete=True)

    async def got(self, number: int) -> bool:
        return len(self.times) >= number


async def test_the_commands(database_url: str) -> None:
    def run(*args: str) -> tuple[int, Any]:
        answer = duly("senders", *args, DULY_DATABASE_URL=database_url, DULY_TWILIO_FROM=SENDER)
        return answer.code, json.loads(answer.out) if "--json" in args else answer.err or answer.out

    code, listed = await asyncio.to_thread(run, "--json")
    assert (code, listed["senders"][0]["state"]) == (0, "closed")
    code, done = await asyncio.to_thread(
        run,
        "open",
        "sms",
        SENDER,
        "--country",
        "NG",
        "--reason",
        "a fault",
        "--by",
        "ann",
        "--json",
    )
    assert (code, done["changed"], done["act"], done["country"]) == (0, True, "open", "NG")
    code, listed = await asyncio.to_thread(run, "--json")
    assert (code, listed["senders"][0]["state"]) == (1, "open")
    assert listed["senders"][0]["breakers"][0]["reason"] == "a fault"
    code, text = await asyncio.to_thread(run)
    assert (code, "NG: open since" in text, "ann: a fault; until staff end it" in text) == (
        1, True, True,
    )  # fmt: skip
    assert (await asyncio.to_thread(run, "close", "sms", SENDER, "--reason", "mended"))[0] == 0
    assert (await asyncio.to_thread(run, "pace", "sms", SENDER, "2.5", "--reason", "slow"))[0] == 0
    code, listed = await asyncio.to_thread(run, "--json")
    assert (code, listed["senders"][0]["parts_per_second"]) == (0, 2.5)
    for wrong in (
        ("open", "sms", SENDER),
        ("open", "sms", "+1", "--reason", "x"),
        ("close", "sms", SENDER, "--reason", "x", "--country", "Nigeria"),
        ("pace", "sms", SENDER, "fast", "--reason", "x"),
    ):
        code, said = await asyncio.to_thread(run, *wrong)
        assert (code, said[:6]) == (2, "duly: "), wrong


def test_a_receipt_says_who_its_sender_is() -> None:
    said = {"MessageSid": "SM1", "MessageStatus": "failed", "To": phone(1), "ErrorCode": "30002"}
    service = "MG" + "a" * 32

    def sender(own: str, **also: str) -> str | None:
        receipt = read_status({**said, **also}, "t", utc("2026-03-02T09:00"), own)
        assert isinstance(receipt, Receipt)
        return receipt.beyond.sender if receipt.beyond else None

    assert sender(SENDER, From=SENDER) == SENDER
    assert sender(SENDER[1:], From=SENDER) == SENDER[1:]
    assert sender(SENDER, From="+1999") == "+1999"
    assert sender(service, From="+1999") == service
    assert sender(service, From="+1999", MessagingServiceSid=service) == service
    assert sender(SENDER, ErrorCode="30003") is None
