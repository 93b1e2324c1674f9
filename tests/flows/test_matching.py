"""Whose a message in the provider's list is: by its words, and by what other attempts claim or explain."""

from dataclasses import replace
from datetime import date, time, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.lane import Lane
from agent.flows.receipts import apply_receipts
from agent.store.keyring import Keyring
from channels.base import Answer, Channel, Listing, Message, Receipt, Status
from channels.sandbox.script import Act, Loss, Receipts, Rule
from tests.support.world import World, ladder_toml, phone, sms, stage_toml, utc

DUE, NEXT = date(2026, 3, 5), date(2026, 3, 6)
SCHEDULE = ladder_toml(stage_toml("one", 1, time(10), not_after_hours=40))
LOST = Rule(Act.LOSE_ANSWER, receipts=Receipts.LOST)
DROPPED = Rule(Act.DROP, loss=Loss.ERROR)


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), SCHEDULE)


@pytest.fixture
async def village(town: World) -> World:
    """Another portfolio of the same lender, by the same provider, with somebody at the same number."""
    other = World(town.pool, town.keyring, town.clock, SCHEDULE, name="village")
    other.network = town.network
    for one in (town, other):
        await one.opens("L1", DUE, contacts=[sms(phone(1))])
    town.wait_to(NEXT, "10:00")
    for one in (town, other):
        await one.plan()
    return other


async def settle(*worlds: World, hours: float = 2) -> None:
    """Only rescue runs, as often as it looks."""
    clock = worlds[0].clock
    for _ in range(int(hours * 10)):
        clock.advance_to(clock.now() + timedelta(minutes=6))
        for one in worlds:
            await one.rescue()


async def state(of: World) -> str:
    found: str = await of.value(
        "select state from attempt a join portfolio p on p.id = a.portfolio_id where p.name = $1"
        " order by begun_at limit 1", of.name,
    )  # fmt: skip
    return found


async def test_what_another_portfolio_sent_to_the_number_is_not_ours(
    town: World, village: World
) -> None:
    town.follow(DROPPED)
    await town.dispatch()
    town.follow()
    await village.dispatch()
    [theirs] = town.heard
    await settle(town)
    assert (await state(town), await state(village)) == ("absent", "accepted")
    await town.dispatch()
    assert [one.body for one in town.heard] == [theirs.body] * 2


async def test_one_message_and_two_who_may_have_sent_it_wait_for_word(
    town: World, village: World
) -> None:
    town.follow(DROPPED)
    await town.dispatch()
    town.follow(LOST)
    await village.dispatch()
    await settle(town, village)
    assert (await state(town), await state(village)) == ("unknown", "unknown")
    # a receipt names its attempt, and so says of the other one that it was not sent
    [heard] = town.heard
    receipt = Receipt("sms", heard.provider_id, Status.SENT, heard.token, None, town.clock.now())
    await apply_receipts(town.pool, await village.portfolio(), [receipt], town.clock.now())
    await settle(town, village)
    assert (await state(town), await state(village)) == ("absent", "sent")


async def test_a_message_for_each_of_two_is_found_for_both(town: World, village: World) -> None:
    town.follow(LOST)
    for one in (town, village):
        await one.dispatch()
    await settle(town, village, hours=0.5)
    assert (await state(town), await state(village)) == ("accepted", "accepted")
    ids = {row[0] for row in await town.rows("select provider_id from attempt")}
    assert ids == {one.provider_id for one in town.heard}


class Rewriting:
    """A provider that puts a sentence of its own before each text, and shows it so."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def send(self, message: Message) -> Answer:
        return await self._channel.send(message)

    async def listing(self, address: str, since: object) -> Listing:
        listed = await self._channel.listing(address, since)  # type: ignore[arg-type]
        said = [replace(one, body=f"Sent from a trial - {one.body}") for one in listed.messages]
        return Listing(listed.complete, tuple(said))


async def test_a_text_that_the_provider_changed_is_still_found_and_not_sent_again(
    town: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await town.opens("L1", DUE, contacts=[sms(phone(1))])
    town.wait_to(NEXT, "10:00")
    await town.plan()
    town.follow(LOST)
    plain = town.lane

    async def rewriting(**change: object) -> Lane:
        lane = await plain(**change)
        ways = {name: Rewriting(way) for name, way in lane.channels.items()}
        return replace(lane, channels=ways)

    monkeypatch.setattr(town, "lane", rewriting)
    await town.dispatch()
    await settle(town, hours=1)
    await town.dispatch()
    assert await town.attempts() == [("one", "sms", "accepted")]
    assert len(town.heard) == 1


async def test_a_damaged_row_keeps_no_other_from_being_settled(town: World) -> None:
    for number in (1, 2):
        await town.opens(f"L{number}", DUE, contacts=[sms(phone(number))])
    town.wait_to(NEXT, "10:00")
    await town.plan()
    town.follow(LOST)
    await town.dispatch()
    await town.pool.execute(
        "update attempt set body = $1 where token = (select min(token) from attempt)", b"x" * 40
    )
    await settle(town, hours=1)
    assert sorted(state for _, _, state in await town.attempts()) == ["accepted", "unknown"]
