"""Push first, a text when nobody says that it arrived: one of them, whatever is late, lost or refused.

The phone's push is the sandbox's, the text goes to a Twilio stand-in, whose log is the witness.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from random import Random  # noqa: TID251 - seeded

import asyncpg
import pytest
from aiohttp.test_utils import TestServer

from agent.clock import VirtualClock
from agent.domain.delivery import CLOSE_UNKNOWN_AFTER
from agent.flows.dispatch import run_lane
from agent.flows.invariants import check
from agent.flows.lane import Lane
from agent.flows.passing import pass_time
from agent.flows.receipts import apply_receipts
from agent.flows.rescue import rescue
from agent.flows.rules import packs
from agent.store.keyring import Keyring
from channels.base import Receipt, Refusal, Status
from channels.handover import open_session
from channels.sandbox.script import Act, Rule
from channels.sms_twilio.channel import Account, TwilioSms
from tests.support.twilio_office import twilio_office
from tests.support.twilio_stand_in import ACCOUNT, AUTH_TOKEN, Script, StandIn
from tests.support.waiting import until
from tests.support.world import World, ladder_toml, push, sms, stage_toml, utc

DUE = date(2026, 3, 5)
WAIT = timedelta(minutes=120)
LADDER = ladder_toml(
    stage_toml(
        "one", 1, time(10), channels=["push", "sms"], fallback_after_minutes=120, not_after_hours=30
    )
)
QUIET = Script(statuses=())


@dataclass(frozen=True, slots=True)
class Town:
    """One portfolio with both ways out."""

    world: World
    twilio: StandIn
    lane: Lane

    async def opens(self, *loans: str) -> None:
        """Each has an app and a number; their notice is due now."""
        for loan in loans:
            points = [push(f"app-of-{loan}"), sms(f"+234801{int(loan[1:]):07d}")]
            await self.world.opens(loan, DUE, contacts=points)
        self.world.wait_to(date(2026, 3, 6), "10:00")
        await self.world.plan()

    async def dispatch(self) -> None:
        await run_lane(self.lane)

    async def later(self, by: timedelta) -> None:
        """Time passes, and everybody does what is due."""
        self.world.clock.advance_to(self.world.clock.now() + by)
        await pass_time(self.world.pool, self.world.clock.now())
        await rescue(self.lane)
        await self.dispatch()

    async def pushed(self, status: Status, loan: str = "L1") -> None:
        """Somebody says what became of the push."""
        row = await self.world.pool.fetchrow(
            "select token, provider_id from attempt a join loan l on l.id = a.loan_id"
            " where channel = 'push' and l.ref = $1",
            loan,
        )
        assert row is not None
        provider_id = row["provider_id"] or f"push-of-{loan}"
        receipt = Receipt("push", provider_id, status, row["token"], None, self.world.clock.now())
        await apply_receipts(
            self.world.pool, self.lane.portfolio, [receipt], self.world.clock.now()
        )

    @property
    def texts(self) -> int:
        """How many texts the provider has accepted."""
        return len(self.twilio.messages)

    async def checked(self) -> None:
        """No invariant is violated, and nobody was texted twice."""
        world = self.world
        await pass_time(world.pool, world.clock.now())
        found = await check(
            world.pool, world.keyring, world.clock.now(), packs=packs(self.lane.portfolio.packs)
        )
        assert [(one.id, one.examples) for one in found if one.violated] == []
        assert all(n == 1 for n in Counter(one["to"] for one in self.twilio.messages).values())


@pytest.fixture
async def town(pool: asyncpg.Pool, keyring: Keyring) -> AsyncIterator[Town]:
    world = World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), LADDER)
    await world.opens("L0", date(2027, 1, 1))  # the portfolio is there before anybody is due
    portfolio = await world.portfolio()
    server = StandIn(now=world.clock.now)
    server.script = QUIET
    async with (
        TestServer(server.app()) as running,
        open_session() as session,
        twilio_office(pool, keyring, world.clock, lambda: portfolio) as office,
    ):
        account = Account(
            ACCOUNT, AUTH_TOKEN, "+15005550006", office.public, keyring.callback_key,
            str(running.make_url("/")),
        )  # fmt: skip
        ways = (await world.lane()).channels
        lane = await world.lane(
            channels={**ways, "sms": TwilioSms(session, account, world.clock.monotonic)},
            status_url=f"{office.public}/webhooks/sandbox/{portfolio.id}",
        )
        yield Town(world, server, lane)


async def test_a_push_that_arrived_in_time_is_all(town: Town) -> None:
    await town.opens("L1")
    await town.dispatch()
    await town.later(WAIT - timedelta(seconds=1))
    await town.pushed(Status.DELIVERED)
    for _ in range(4):
        await town.later(WAIT)
    assert town.texts == 0
    assert await town.world.notices("L1") == {"one": "sent"}
    await town.checked()


async def test_nobody_says_that_it_arrived_so_one_text_follows_and_its_receipts_end_it(
    town: Town,
) -> None:
    await town.opens("L1")
    await town.dispatch()
    await town.later(WAIT - timedelta(seconds=1))
    assert town.texts == 0
    town.twilio.script = Script(double_callback=1.0, shuffle=True, delay=0.0)
    await town.later(timedelta(seconds=1))
    assert town.texts == 1

    async def delivered() -> bool:
        return ("one", "sms", "delivered") in await town.world.attempts()

    await until(delivered, 10, "the text's receipts are applied")
    assert await town.world.notices("L1") == {"one": "sent"}
    await town.checked()


@pytest.mark.parametrize("status", [Status.SENT, Status.DELIVERED, Status.FAILED])
async def test_what_is_said_of_the_push_after_the_text_has_gone_changes_nothing(
    town: Town, status: Status
) -> None:
    await town.opens("L1")
    await town.dispatch()
    await town.later(WAIT)
    assert town.texts == 1
    await town.pushed(status)
    for _ in range(4):
        await town.later(WAIT)
    assert town.texts == 1
    assert await town.world.notices("L1") == {"one": "sent"}
    assert await town.world.attempts() == [
        ("one", "push", status.value),
        ("one", "sms", "accepted"),
    ]
    await town.checked()


@pytest.mark.parametrize("status", [Status.UNDELIVERED, Status.FAILED])
async def test_a_push_that_failed_is_followed_at_once_and_not_again_at_its_deadline(
    town: Town, status: Status
) -> None:
    await town.opens("L1")
    await town.dispatch()
    await town.pushed(status)
    await town.later(timedelta(seconds=1))
    assert town.texts == 1
    await town.later(WAIT)
    assert town.texts == 1
    await town.checked()


async def test_a_push_of_which_nothing_is_known_is_never_followed_by_a_text(town: Town) -> None:
    town.world.follow(Rule(act=Act.LOSE_ANSWER))
    await town.opens("L1")
    await town.dispatch()
    for _ in range(6):
        await town.later(CLOSE_UNKNOWN_AFTER / 4)
    assert town.texts == 0
    await town.checked()


async def test_a_push_that_its_service_never_took_is_followed_by_a_text_in_time(town: Town) -> None:
    busy = Rule(Act.REFUSE, refusal=Refusal.TRANSIENT, code="UNAVAILABLE")
    town.world.follow(busy)
    await town.opens("L1")
    await town.dispatch()
    for _ in range(11):
        await town.later(timedelta(minutes=10))
    assert town.texts == 0
    tried = await town.world.value("select count(*) from attempt where channel = 'push'")
    assert tried > 3
    for _ in range(6):
        await town.later(timedelta(minutes=10))
    assert town.texts == 1
    assert await town.world.notices() == {"one": "sent"}
    assert town.world.heard == ()
    # the service is well again: nothing is left for it to do
    town.world.follow()
    await town.later(timedelta(hours=2))
    assert (town.texts, town.world.heard) == (1, ())
    await town.checked()


async def test_whoever_has_no_number_goes_on_waiting_for_the_push(town: Town) -> None:
    busy = Rule(Act.REFUSE, refusal=Refusal.TRANSIENT, code="UNAVAILABLE")
    town.world.follow(busy)
    await town.world.opens("L1", DUE, contacts=[push("app-of-L1")])
    town.world.wait_to(date(2026, 3, 6), "10:00")
    await town.world.plan()
    for _ in range(18):
        await town.later(timedelta(minutes=10))
    town.world.follow()
    for _ in range(7):
        await town.later(timedelta(minutes=10))
    assert len(town.world.heard) == 1
    assert (town.texts, await town.world.notices()) == (0, {"one": "awaiting_receipt"})
    await town.later(WAIT)
    assert len(town.world.heard) == 1
    await town.checked()


async def test_it_arrived_after_all_while_the_text_waits_for_another_try(town: Town) -> None:
    await town.opens("L1")
    await town.dispatch()
    town.twilio.script = Script(too_many=1.0, statuses=())
    await town.later(WAIT)
    assert await town.world.notices("L1") == {"one": "waiting"}
    town.twilio.script = QUIET
    await town.pushed(Status.DELIVERED)
    for _ in range(4):
        await town.later(timedelta(hours=1))
    assert town.texts == 0
    assert await town.world.notices("L1") == {"one": "sent"}
    await town.checked()


async def test_it_arrived_after_all_while_it_is_open_whether_the_text_left(town: Town) -> None:
    await town.opens("L1")
    await town.dispatch()
    town.twilio.script = Script(drop=1.0, statuses=())
    await town.later(WAIT)
    await town.pushed(Status.DELIVERED)
    assert await town.world.notices("L1") == {"one": "sending"}
    town.twilio.script = QUIET
    for _ in range(4):
        await town.later(timedelta(minutes=10))
    assert await town.world.attempts() == [("one", "push", "delivered"), ("one", "sms", "absent")]
    assert town.texts == 0
    assert await town.world.notices("L1") == {"one": "sent"}
    await town.checked()


async def test_a_receipt_and_the_fallback_at_the_same_moment_either_is_first(town: Town) -> None:
    loans = [f"L{number}" for number in range(1, 31)]
    await town.opens(*loans)
    await town.dispatch()
    town.world.clock.advance_to(town.world.clock.now() + WAIT)
    await asyncio.gather(town.dispatch(), *(town.pushed(Status.DELIVERED, loan) for loan in loans))
    for _ in range(4):
        await town.later(WAIT)
    texted = {one["to"] for one in town.twilio.messages}
    rows = await town.world.rows(
        "select l.ref, n.state, n.fence from notice n join loan l on l.id = n.loan_id"
        " where l.ref <> 'L0'"
    )
    assert len(rows) == len(loans)
    for loan, state, fence in rows:
        assert state == "sent"
        # the second attempt has the second fence: it left, or it was never begun
        assert (fence == 2) == (f"+234801{int(loan[1:]):07d}" in texted)
    await town.checked()


@pytest.mark.parametrize("seed", range(12))
async def test_in_whatever_order_it_happens_one_way_is_enough(town: Town, seed: int) -> None:
    rng = Random(seed)  # noqa: S311
    town.world.follow(
        Rule(act=Act.LOSE_ANSWER, share=0.1), Rule(act=Act.REFUSE, share=0.2, code="gone")
    )
    town.twilio.script = Script(
        lose_answer=0.2, drop=0.2, too_many=0.2, retry_after=None, statuses=()
    )
    loans = [f"L{number}" for number in range(1, 9)]
    await town.opens(*loans)
    await town.dispatch()
    for _ in range(30):
        match rng.randrange(3):
            case 0:
                await town.later(timedelta(minutes=rng.choice([1, 7, 30, 90])))
            case 1:
                said = rng.choice([Status.SENT, Status.DELIVERED, Status.UNDELIVERED])
                await town.pushed(said, rng.choice(loans))
            case _:
                await town.dispatch()
    town.twilio.script = QUIET
    for _ in range(10):
        await town.later(timedelta(hours=3))
    await town.checked()
