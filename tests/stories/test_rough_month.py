"""A month on a bad network: lost answers, lost receipts, people who pay, flags, and a hand on the switch.

Whatever the seed, nobody gets a message twice, every message is accounted for, every invariant holds.
"""

from collections import Counter
from datetime import date, timedelta
from random import Random  # noqa: TID251 - seeded

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.invariants import check
from agent.flows.pause import Scope, Switch, pause, resume
from agent.flows.rules import packs
from agent.store.keyring import Keyring
from channels.base import Refusal, Status
from channels.sandbox.script import Act, Receipts, Rule, Script
from tests.support.world import World, phone, push, sms, utc

LOST = Act.LOSE_ANSWER
ROUGH = Script(
    (
        Rule(LOST, share=0.05, receipts=Receipts.LOST),
        Rule(LOST, share=0.05, receipts=Receipts.DOUBLED, sent_after=1),
        Rule(Act.DROP, share=0.06),
        Rule(Act.REFUSE, share=0.05, refusal=Refusal.TRANSIENT),
        Rule(Act.REFUSE, share=0.01, refusal=Refusal.PERMANENT),
        Rule(Act.REFUSE, share=0.01, refusal=Refusal.OPTED_OUT),
        Rule(share=0.1, fate=Status.UNDELIVERED, fate_after=40),
        Rule(share=0.1, receipts=Receipts.LOST),
        Rule(share=0.2, receipts=Receipts.BEFORE_ANSWER, sent_after=1),
        Rule(share=0.2, receipts=Receipts.SHUFFLED, sent_after=1, fate_after=400),
        Rule(share=0.1, fate_after=9_000),
    ),
    list_lag=30,
)
ZONES = ("Africa/Lagos", "America/New_York", "Asia/Shanghai")
SWITCHES = (Switch(Scope.ALL), Switch(Scope.CHANNEL, "push"), Switch(Scope.STAGE, "overdue-3"))


class Month:
    """A town in which something happens every day."""

    def __init__(self, town: World, seed: int) -> None:
        self.town = town
        self.rng = Random(seed)  # noqa: S311
        self.loans: list[str] = []
        self.people: set[str] = set()
        self.payments: dict[str, list[str]] = {}

    async def settle(self, loans: int) -> None:
        """Some people have two loans, some numbers two people, some people two zones."""
        for number in range(loans):
            who = self.rng.randrange(loans * 2 // 3)
            first = date(2026, 3, 1) + timedelta(days=self.rng.randrange(-20, 20))
            due = [first + timedelta(days=30 * n) for n in range(self.rng.randrange(1, 3))]
            contacts = [sms(phone(who // 2)), push(f"app-{who}")][: 1 + who % 3]
            zones = [ZONES[who % 3]] if who % 5 else ZONES[:2]
            self.loans.append(f"L{number}")
            self.people.add(f"P{who}")
            await self.town.opens(
                f"L{number}", *due, person=f"P{who}", contacts=contacts, zones=zones
            )

    async def day(self) -> None:
        """Live on for about a day, then something happens."""
        hours = self.rng.randrange(12, 36)
        await self.town.until(self.town.clock.now() + timedelta(hours=hours))
        loan, now = self.rng.choice(self.loans), self.town.clock.now()
        switch = self.rng.choice(SWITCHES)
        match self.rng.randrange(8):
            case 0 | 1:
                self.payments.setdefault(loan, []).append(await self.town.pays(loan))
            case 2 if self.payments.get(loan):
                await self.town.reverses(loan, self.payments[loan].pop())
            case 3:
                who = self.rng.choice(sorted(self.people))
                await self.town.flags(who, "hardship", now + timedelta(hours=3 * hours))
            case 4:
                await self.town.reschedules(loan, now.date() + timedelta(days=hours - 20))
            case 5:
                await pause(self.town.pool, switch, reason="a fault", by="ann", now=now)
            case _:
                await self.calm()

    async def calm(self) -> None:
        for switch in SWITCHES:
            await resume(
                self.town.pool, switch, reason="repaired", by="bob", now=self.town.clock.now()
            )


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_rough_month(pool: asyncpg.Pool, keyring: Keyring, seed: int) -> None:
    town = World(pool, keyring, VirtualClock(utc("2026-03-01T08:00")), script=ROUGH)
    month = Month(town, seed)
    await month.settle(20)
    for _ in range(24):
        await month.day()
    await month.calm()
    town.follow()
    await town.until(town.clock.now() + timedelta(days=2))

    attempts = {row["token"]: row for row in await pool.fetch("select * from attempt")}
    assert not [row for row in attempts.values() if row["settled_at"] is None]
    heard = [attempts[one.token] for one in town.heard]
    assert len(heard) > 60
    said = Counter((row["loan_id"], row["anchor"], row["stage"], row["channel"]) for row in heard)
    assert set(said.values()) == {1}, "somebody got a message twice"
    # what the phones heard and what we believe we sent are the same, but for what nobody can know
    believed = {t for t, row in attempts.items() if row["state"] not in {"refused", "absent"}}
    silent = believed - {one.token for one in town.heard}
    assert {one.token for one in town.heard} <= believed
    assert {attempts[token]["state"] for token in silent} <= {"closed_unknown"}
    findings = await check(pool, keyring, town.clock.now(), packs=packs(("house",)))
    assert [(found.id, found.examples) for found in findings if found.violated] == []
