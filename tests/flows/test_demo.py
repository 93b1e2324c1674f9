"""The demo: invented people, real flows, and a story that comes to its end by itself."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import orjson
import pytest

from agent.domain.demo_people import CAST, Habit, tell
from agent.flows.demo import Demo, Kind, News, Script
from agent.flows.demo_view import Phase, Phone, View
from agent.flows.reading import read_lines
from agent.store.keyring import Keyring

SEED = 3

Pool: TypeAlias = "asyncpg.Pool[Any]"


class Audience:
    """Keeps everything it was told."""

    def __init__(self) -> None:
        self.news: list[News] = []
        self.views: list[View] = []

    def hear(self, view: View, news: Sequence[News]) -> None:
        self.views.append(view)
        self.news.extend(news)


def of(view: View, habit: Habit) -> list[Phone]:
    return [phone for phone in view.phones if phone.players[0].habit is habit]


def test_one_seed_is_one_story() -> None:
    assert tell(SEED) == tell(SEED)
    assert tell(SEED).events != tell(SEED + 1).events


@pytest.mark.parametrize("seed", [0, 1, SEED, 2**40])
def test_every_event_is_one_that_a_ledger_could_send(seed: int) -> None:
    story = tell(seed)
    reads, unreads = read_lines((n, orjson.dumps(e)) for n, e in enumerate(story.events, start=1))
    assert unreads == []
    assert len({read.event.id for read in reads}) == len(reads)
    assert 100 < (story.ends - reads[0].event.at).days < 125


def test_everybody_is_there_and_nobody_can_be_called() -> None:
    players = tell(SEED).players
    assert Counter(player.habit for player in players) == Counter(dict(CAST))
    assert 30 <= len(players) <= 60
    assert {player.house.locale for player in players} == {"en", "zh-CN"}
    assert len({player.zones[0] for player in players}) == 3
    fiction = ("+1212555010", "+1212555011", "+1212555012", "+4477009001", "+86120")
    assert all(player.sms.startswith(fiction) for player in players)


async def test_the_whole_story(pool: Pool, keyring: Keyring) -> None:
    heard = Audience()
    demo = Demo(pool, keyring, Script(tell(SEED), speed=0.0, seed=SEED), heard.hear)
    view = await demo.run()

    assert view.phase is Phase.ENDED
    assert view.check is not None
    assert (view.check.violated, demo.violated) == ((), set())
    # nobody is left in between: paid off, or walked down the whole ladder
    over = dict(view.buckets)
    assert over["paid"] + over["91+"] == sum(over.values()) == 46
    assert all(step.waiting == 0 for step in view.steps)
    # the ledger has everything, in order, although it had its bad moments
    assert view.acked == view.told == len(demo.ledger.applied)
    assert view.ledger.complaints == ()
    assert view.ledger.again > 0
    # every phone's own log is what was told, each message once
    told = Counter(one.kind for one in heard.news)
    assert told[Kind.MESSAGE] == len(demo.network.accepted) == view.messages
    assert told[Kind.FACT] == len(tell(SEED).events)

    _check_each_situation(view)


def _check_each_situation(view: View) -> None:
    for phone in of(view, Habit.DEAF_PUSH):
        ways = Counter((b.loan, b.stage, b.channel) for b in phone.bubbles)
        # a push that nobody saw is followed by a text message of the same notice
        assert all(ways[loan, stage, "sms"] for loan, stage, way in ways if way == "push")
    for habit, code in ((Habit.OPTED_OUT, "21610"), (Habit.NUMBER_GONE, "21211")):
        for phone in of(view, habit):
            assert [b.code for b in phone.bubbles if b.body is None] == [code]
            # nothing is tried after the refusal
            assert phone.bubbles[0].body is None
    assert any(b.code == "found" for p in of(view, Habit.LOST_ANSWER) for b in p.bubbles)
    assert any(b.state == "absent" for p in of(view, Habit.NEVER_ARRIVED) for b in p.bubbles)
    for phone in of(view, Habit.NEVER):
        assert [b.stage for b in phone.bubbles][:2] == ["final-75", "final-61"]
    assert all(len(p.players) == 2 for p in of(view, Habit.SHARED_PHONE))
    rules = dict(view.rules)
    assert {"paid", "opted-out", "hold:dispute", "HOUSE-DAY", "HOUSE-WINDOW"} <= set(rules)


async def test_a_story_cut_short_is_the_same_story(pool: Pool, keyring: Keyring) -> None:
    story = tell(SEED)
    until = datetime.fromisoformat(story.events[0]["time"]) + timedelta(days=16)
    heard = Audience()
    demo = Demo(pool, keyring, Script(story, speed=0.0, until=until, seed=SEED), heard.hear)
    view = await demo.run()
    assert view.check is not None
    assert view.check.violated == ()
    assert view.messages > 0
    assert all(one.at <= until for one in demo.network.accepted)
    assert view.acked == view.told


async def test_virtual_days_pass_at_the_speed_that_was_asked_for(
    pool: Pool, keyring: Keyring
) -> None:
    story = tell(SEED)
    until = datetime.fromisoformat(story.events[0]["time"]) + timedelta(days=4)
    heard = Audience()
    await Demo(pool, keyring, Script(story, speed=4.0, until=until), heard.hear).run()
    # four days in a second: whoever looks on sees them come one after the other
    assert len({view.day for view in heard.views}) >= 3
