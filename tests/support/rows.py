"""A small world in the database: loans by the production intake, notices and attempts as plain rows."""

import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg

import schedules
from agent.flows.intake import Desk, take
from agent.flows.passing import pass_time
from agent.store.keyring import Keyring, body_place, seal

ANCHOR = date(2016, 3, 15)
NOW = datetime(2016, 3, 21, 12, tzinfo=UTC)
OWED = 650_000


def opened(loan: str, person: str, phone: str) -> dict[str, Any]:
    """One instalment of 6,500 naira due on the anchor."""
    return {
        "specversion": "1.0",
        "id": f"{loan}:opened",
        "source": "test",
        "type": "loan.opened",
        "subject": loan,
        "time": "2016-02-15T09:00:00+01:00",
        "data": {
            "portfolio": "demo",
            "currency": "NGN",
            "borrower": {
                "id": person,
                "timezone": "Africa/Lagos",
                "contacts": [
                    {"channel": "sms", "address": phone, "consent": {"source": "application"}},
                    {"channel": "push", "provider": "fcm", "address": f"token-of-{person}"},
                ],
            },
            "installments": [{"number": 1, "due_on": ANCHOR.isoformat(), "amount": "6500.00"}],
        },
    }


def event(loan: str, kind: str, at: str, **data: Any) -> dict[str, Any]:
    """Any later event of a loan."""
    return {
        "specversion": "1.0",
        "id": f"{loan}:{kind}:{at}",
        "source": "test",
        "type": kind,
        "subject": loan,
        "time": at,
        "data": data,
    }


def at(day: str, clock: str) -> datetime:
    """Local time in Lagos, in March 2016."""
    return datetime.fromisoformat(f"2016-03-{day}T{clock}:00+01:00")


HISTORY = (
    opened("L1", "ann", "+2347010000001"),
    opened("L2", "bob", "+2347010000002"),
    opened("L3", "eve", "+2347010000003"),
    event("L1", "payment.posted", "2016-03-20T12:00:00+01:00", payment_id="p1", amount="6500.00"),
    event("L3", "payment.posted", "2016-03-18T12:00:00+01:00", payment_id="p3", amount="6500.00"),
    event("L3", "payment.reversed", "2016-03-19T12:00:00+01:00", payment_id="p3"),
)


@dataclass
class World:
    """Writes rows as dispatch would have left them."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    keyring: Keyring
    tokens: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def sql(self, statement: str, *values: Any) -> Any:
        """Run one statement; the first column of its first row, if it has any."""
        return await self.pool.fetchval(statement, *values)

    async def take(self, *events: dict[str, Any], now: datetime = NOW) -> None:
        """Hand events to intake, each known when it happened, as in a replay."""
        schedule = schedules.ladder_text("consumer-instalment")
        desk = Desk(self.pool, self.keyring, "test", schedule, at_event_time=True)
        for one in events:
            await take(desk, [(1, json.dumps(one).encode())], now)

    async def notice(self, loan: str, stage: str, due: datetime, **change: Any) -> None:
        """A planned notice; sent unless told otherwise."""
        row = await self.loan(loan)
        values = {
            "portfolio_id": row["portfolio_id"],
            "loan_id": row["id"],
            "anchor": ANCHOR,
            "stage": stage,
            "borrower_id": row["borrower_id"],
            "schedule_version": 1,
            "due_at": due,
            "not_after": due + timedelta(hours=24),
            "next_at": due,
            "state": "sent",
            "planned_at": due - timedelta(hours=30),
            "closed_at": due,
        }
        await self.insert("notice", values | change)

    async def decision(self, loan: str, stage: str, when: datetime, **change: Any) -> None:
        """What the gate answered: send, unless told otherwise."""
        row = await self.loan(loan)
        values = {
            "portfolio_id": row["portfolio_id"],
            "loan_id": row["id"],
            "anchor": ANCHOR,
            "stage": stage,
            "decided_at": when,
            "verdict": "send",
            "rules": [],
            "facts_hash": bytes(32),
            "packs": "house@1",
            "zone": "Africa/Lagos",
            "person_rev": row["person_rev"],
        }
        await self.insert("decision", values | change)

    async def attempt(self, loan: str, stage: str, when: datetime, **change: Any) -> str:
        """A delivered attempt on a fresh rev of the person and the number."""
        channel = change.get("channel", "sms")
        await self.raise_revs(loan, channel)
        row = await self.loan(loan, channel)
        token = f"{next(self.tokens):032x}"
        key = self.keyring.person_key(row["data_key"])
        text = change.pop("text", "Please pay NGN 6,500.00 by 15 March.")
        values = {
            "portfolio_id": row["portfolio_id"],
            "token": token,
            "loan_id": row["id"],
            "anchor": ANCHOR,
            "stage": stage,
            "borrower_id": row["borrower_id"],
            "contact_point_id": row["point"],
            "channel": channel,
            "address_key": row["address_key"],
            "fence": 1,
            "state": "delivered",
            "begun_at": when,
            "deadline_at": when + timedelta(seconds=15),
            "person_rev": row["person_rev"],
            "number_rev": row["number_rev"],
            "portfolio_rev": row["portfolio_rev"],
            "amount_minor": OWED,
            "currency": "NGN",
            "template": "en/due-soon",
            "body": seal(key, text.encode(), body_place(token)),
            "provider_id": f"SM{token}",
            "settled_at": when,
        }
        await self.insert("attempt", values | change)
        return token

    async def sent(self, loan: str, stage: str, when: datetime, **change: Any) -> str:
        """A notice with its decision and its delivered attempt."""
        await self.notice(loan, stage, when)
        token = await self.attempt(loan, stage, when, **change)
        await self.decision(loan, stage, when)
        return token

    async def insert(self, table: str, values: dict[str, Any]) -> None:
        """One row."""
        places = ", ".join(f"${index}" for index in range(1, len(values) + 1))
        columns = ", ".join(values)
        await self.pool.execute(
            f"insert into {table} ({columns}) values ({places})", *values.values()
        )

    async def raise_revs(self, loan: str, channel: str) -> None:
        """What every begin does to the person and the number."""
        row = await self.loan(loan, channel)
        await self.pool.execute(
            "update borrower set rev = rev + 1 where portfolio_id = $1 and id = $2",
            row["portfolio_id"],
            row["borrower_id"],
        )
        await self.pool.execute(
            "update number set rev = rev + 1 where portfolio_id = $1 and channel = $2 and address_key = $3",
            row["portfolio_id"],
            channel,
            row["address_key"],
        )

    async def loan(self, ref: str, channel: str = "sms") -> Any:
        """A loan with its person, number and their revs."""
        return await self.pool.fetchrow(
            """
            select l.portfolio_id, l.id, l.borrower_id, b.rev as person_rev, b.data_key, c.id as point,
                   c.address_key, n.rev as number_rev, p.rev as portfolio_rev
            from loan l
            join borrower b on b.portfolio_id = l.portfolio_id and b.id = l.borrower_id
            join contact_point c on c.portfolio_id = b.portfolio_id and c.borrower_id = b.id
                                and c.channel = $2
            join number n on n.portfolio_id = c.portfolio_id and n.channel = c.channel
                         and n.address_key = c.address_key
            join portfolio p on p.id = l.portfolio_id
            where l.ref = $1
            """,
            ref,
            channel,
        )


async def healthy(pool: "asyncpg.Pool[asyncpg.Record]", keyring: Keyring) -> World:
    """Three loans: one paid late, one unpaid, one whose payment was taken back; nothing is wrong."""
    world = World(pool, keyring)
    await world.take(*HISTORY)
    await pass_time(pool, NOW)
    for loan in ("L1", "L2", "L3"):
        await world.sent(loan, "due-in-3-days", at("12", "10:00"))
    await world.sent("L1", "due-today", at("15", "09:00"))
    await world.notice("L2", "due-today", at("15", "09:00"), state="cancelled", reason="opted-out")
    await world.decision(
        "L2", "due-today", at("15", "09:00"), verdict="cancel", rules=["opted-out"]
    )
    await world.notice("L2", "overdue-7", at("22", "10:00"), state="waiting", closed_at=None)
    return world
