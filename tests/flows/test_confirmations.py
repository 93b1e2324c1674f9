"""An opt-out is answered once, where a rule allows it; it closes what rules name, never less."""

from datetime import date, time, timedelta
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.conduct import Pack
from agent.domain.content import confirmation_parts
from agent.domain.optout_effect import ANSWERED, GATEWAY, NO_RULE
from agent.flows.confirmations import LATEST, PAUSED, STOPPED, UNPLACED, confirm_opt_outs
from agent.flows.inbound import close_beyond, take_inbound
from agent.flows.pause import Scope, Switch, pause
from agent.flows.rules import frames, texts
from agent.store.keyring import Keyring
from channels.base import Inbound
from channels.sandbox.channel import SandboxChannel
from tests.support.conduct import decided, pack_of
from tests.support.world import World, ladder_toml, phone, push, sms, stage_toml, utc

DUE = date(2026, 3, 5)
TCPA = ("house", "us-fed-tcpa")


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    ladder = ladder_toml(stage_toml("day-1", 1, time(10), not_after_hours=47))
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ladder)


async def lives(
    town: World, named: tuple[str, ...] = TCPA, role: str | None = "first_party"
) -> None:
    await town.opens("L1", DUE, person="ann", contacts=[sms(phone(1)), push("app")])
    await town.pool.execute("update portfolio set packs = $1, role = $2", list(named), role)


async def writes(
    town: World, body: str = "STOP", *, id_: str = "SM1", ago: int = 0, provider: str | None = None
) -> None:
    """A text from the phone, so many seconds ago."""
    at = town.clock.now() - timedelta(seconds=ago)
    message = Inbound("sms", id_, phone(1), "+1555", body, provider, 0, at)
    await take_inbound(town.pool, town.keyring, [message], town.clock.now())


async def confirms(town: World) -> list[str]:
    """One run of the duty; the texts that phones have now."""
    channels = {"sms": SandboxChannel(town.network, "sms", town.clock.now, town.clock.monotonic)}
    await confirm_opt_outs(town.pool, town.keyring, town.clock, channels, texts())
    return [heard.body for heard in town.heard]


async def kept(town: World) -> list[tuple[str, list[str]]]:
    rows = await town.pool.fetch(
        "select state, rules from confirmation order by decided_at, provider_id"
    )
    return [(row["state"], row["rules"]) for row in rows]


SAID = "Sunrise: You have opted out. You will get no more texts from us at this number."


async def test_an_opt_out_is_confirmed_once_however_often_it_is_said_and_delivered(
    town: World,
) -> None:
    await lives(town)
    for _ in range(3):
        await writes(town)
    assert await confirms(town) == [SAID]
    assert await confirms(town) == [SAID]
    await writes(town, "please stop", id_="SM2")
    await writes(town, "unsubscribe", id_="SM3")
    assert await confirms(town) == [SAID]
    assert await kept(town) == [
        ("accepted", ["TCPA-A12-CONFIRM"]), ("none", [ANSWERED]), ("none", [ANSWERED]),
    ]  # fmt: skip
    packs = await town.value("select packs from confirmation where provider_id = 'SM1'")
    assert "us-fed-tcpa@" in packs


@pytest.mark.parametrize(
    ("named", "ago", "provider", "expected"),
    [
        (TCPA, 300, None, ("accepted", ["TCPA-A12-CONFIRM"])),
        (TCPA, 301, None, ("none", ["TCPA-A12-CONFIRM"])),
        (TCPA, 0, "STOP", ("none", [GATEWAY])),
        # no rule speaks of answers: there is none
        (("house",), 0, None, ("none", [NO_RULE])),
        (("house", "cn-sms2026"), 0, None, ("none", [NO_RULE])),
        (("house", "us-fed-tcpa", "atlantis"), 0, None, ("none", ["atlantis"])),
    ],
)
async def test_it_is_answered_as_a_rule_allows(
    town: World, named: tuple[str, ...], ago: int, provider: str | None, expected: tuple[str, list[str]]
) -> None:  # fmt: skip
    await lives(town, named)
    await writes(town, ago=ago, provider=provider)
    assert len(await confirms(town)) == (expected[0] == "accepted")
    assert await kept(town) == [expected]


async def test_a_collector_for_others_says_nothing_but_the_confirmation(town: World) -> None:
    await lives(town, ("house", "us-fed-tcpa", "us-fed-regf"), "third_party")
    await writes(town)
    assert await confirms(town) == [SAID]
    assert await kept(town) == [("accepted", ["TCPA-A12-CONFIRM", "REGF-14H2-I"])]


@pytest.mark.parametrize("stop", ["hold", "pause", "stranger", "wrong number"])
async def test_nobody_is_answered_whom_nothing_may_reach(town: World, stop: str) -> None:
    await lives(town)
    match stop:
        case "hold":
            await town.flags("ann", "attorney")
        case "pause":
            switch = Switch(Scope.ALL)
            await pause(town.pool, switch, reason="drill", by="ana", now=town.clock.now())
        case "stranger":
            pass
        case _:
            await town.pool.execute("update contact_point set status = 'wrong_number'")
    if stop == "stranger":
        other = Inbound("sms", "SM9", phone(77), "+1555", "STOP", None, 0, town.clock.now())
        await take_inbound(town.pool, town.keyring, [other], town.clock.now())
    else:
        await writes(town)
    assert await confirms(town) == []
    reason = {"pause": PAUSED, "stranger": UNPLACED}.get(stop, STOPPED)
    assert await kept(town) == [("none", [reason])]


async def test_what_is_old_is_not_answered_and_what_was_not_settled_is_not_sent_again(
    town: World,
) -> None:
    await lives(town)
    await writes(town)
    town.clock.advance_to(town.clock.now() + LATEST)
    assert await confirms(town) == []
    assert await kept(town) == []
    await writes(town, id_="SM2")
    lane = await town.lane()

    class Dying(SandboxChannel):
        async def send(self, _message: Any) -> Any:
            raise ConnectionError("the process ends here")

    channels = {"sms": Dying(town.network, "sms", town.clock.now, town.clock.monotonic)}
    with pytest.raises(ConnectionError):
        await confirm_opt_outs(town.pool, town.keyring, town.clock, channels, texts())
    assert [state for state, _ in await kept(town)] == ["begun"]
    town.clock.advance_to(town.clock.now() + timedelta(minutes=1))
    await confirm_opt_outs(town.pool, town.keyring, town.clock, lane.channels, texts())
    assert [state for state, _ in await kept(town)] == ["unknown"]
    assert town.heard == ()
    await writes(town, id_="SM3")
    assert await confirms(town) == []


@pytest.mark.parametrize(
    ("scope", "sms_rules", "push_sends"),
    [
        ("address_any_debt", [], True),
        ("channel", ["hold:opt-out"], True),
        ("debt", ["hold:opt-out"], False),
        ("all", ["hold:opt-out"], False),
    ],
)
async def test_it_closes_what_the_rule_names(
    town: World, scope: str, sms_rules: list[str], push_sends: bool
) -> None:
    """By text the number is closed in any case; another number, the app and other loans by the rule."""
    ladder = ladder_toml(
        stage_toml("day-1", 1, time(10), channels=["sms", "push"], fallback_after_minutes=60)
    )
    both = World(town.pool, town.keyring, town.clock, ladder)
    points = [sms(phone(1)), sms(phone(2)), push("app")]
    await both.opens("L1", DUE, person="ann", contacts=points)
    both.wait_to(DUE, "09:00")
    await both.plan()
    rule = {"id": "EFFECT", "type": "opt_out_effect", "scope": scope}
    pack = pack_of(rule)
    await writes(both)
    numbers = [("sms", both.keyring.blind("sms", phone(1)))]

    def rules(_owner: object) -> tuple[Pack, ...]:
        return (pack,)

    for _ in range(2):
        async with both.pool.acquire() as conn, conn.transaction():
            await close_beyond(conn, numbers, both.clock.now(), rules)
    holds = await both.rows("select scope, reason, placed_by from hold order by scope")
    kinds = {"address_any_debt": [], "channel": ["channel"], "debt": ["loan"], "all": ["person"]}
    assert holds == [(kind, "opt-out", "duly") for kind in kinds[scope]]
    both.wait_to(date(2026, 3, 6), "10:00")
    ((verdict, rules_told),) = await decided(both, ("house",), pack)
    went = [heard.channel for heard in both.heard]
    if scope == "address_any_debt":
        assert (verdict, went) == ("send", ["sms"])
        assert both.heard[0].address == phone(2)
    elif push_sends:
        assert (verdict, went) == ("send", ["push"])
    else:
        assert (verdict, went) == ("snooze", [])
        assert set(sms_rules) <= set(rules_told)


def test_every_language_confirms_and_says_nothing_else() -> None:
    for locale, frame in frames().items():
        assert confirmation_parts(frame.opted_out) == {"confirmation"}, locale


async def test_the_answer_can_be_read_again(town: World) -> None:
    await lives(town)
    await writes(town)
    (said,) = await confirms(town)
    row = await town.pool.fetchrow("select token, body, sent_as from confirmation")
    assert (
        town.keyring.open_loose(row["body"], f"confirmation/{row['token']}".encode()).decode()
        == said
    )
    assert row["sent_as"]
