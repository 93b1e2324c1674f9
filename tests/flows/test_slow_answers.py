"""An answer that does not come keeps nobody else waiting."""

from datetime import date, time

import asyncpg
import pytest
from aiohttp.test_utils import TestServer

from agent.clock import SystemClock, VirtualClock
from agent.entry.worker import Lanes
from agent.flows.dispatch import Stop, run_lane
from agent.store.keyring import Keyring
from channels.handover import open_session
from channels.sms_twilio.channel import Account, TwilioSms
from tests.support.twilio_stand_in import ACCOUNT, AUTH_TOKEN, Script, StandIn
from tests.support.waiting import until
from tests.support.world import World, ladder_toml, sms, stage_toml, utc

DUE = date(2026, 3, 5)


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    ladder = ladder_toml(stage_toml("one", 1, time(10)))
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ladder)


async def test_what_is_due_next_leaves_while_an_answer_is_still_waited_for(town: World) -> None:
    await town.opens("L1", DUE, contacts=[sms("+2348010000001")])
    town.wait_to(date(2026, 3, 6), "10:00")
    await town.plan()
    server = StandIn()
    server.script = Script(hang=1.0, statuses=())
    async with TestServer(server.app()) as running, open_session() as session:
        account = Account(
            ACCOUNT, AUTH_TOKEN, "+15005550006", "https://duly.example", b"k" * 32,
            str(running.make_url("/")),
        )  # fmt: skip
        channels = {"sms": TwilioSms(session, account, SystemClock().monotonic)}

        async def run(_lane: int, stop: Stop) -> None:
            lane = await town.lane(channels=channels)
            await run_lane(lane, stop)

        lanes = Lanes(run, at_once=1, drain_seconds=0.1)

        async def heard(messages: int) -> None:
            async def enough() -> bool:
                lanes.wake(1)
                return len(server.messages) == messages

            await until(enough, 5, f"{messages} messages have left")

        await heard(1)
        server.script = Script(statuses=())
        await town.opens("L2", DUE, contacts=[sms("+2348010000002")])
        await town.plan()
        await heard(2)

        async def recorded() -> bool:
            return [state for *_, state in await town.attempts()] == ["begun", "accepted"]

        await until(recorded, 5, "the second is recorded, the first is still open")
        # nothing is lost by going away now: the first is settled by its receipt or the list
        assert not await lanes.drain()
    assert [state for *_, state in await town.attempts()] == ["begun", "accepted"]
