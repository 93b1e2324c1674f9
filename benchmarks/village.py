"""Invented people with a message due now, taken in by the production intake and planned by it."""

from datetime import UTC, datetime, time, timedelta, timezone

import asyncpg
import orjson

from agent.flows.intake import Desk, take
from agent.flows.planning import plan
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from schedules import ladder_text

NAME = "village"
_AFTERNOON = 13


def afternoon(now: datetime) -> tuple[str, timezone]:
    """A fixed-offset zone in which it is about one o'clock: contact windows are open there."""
    hours = (_AFTERNOON - now.hour + 11) % 24 - 11
    # POSIX signs: Etc/GMT-3 is three hours east
    return f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT", timezone(timedelta(hours=hours))


def opened(number: int, zone: str, at: datetime, due: datetime, *, push: bool) -> bytes:
    """One borrower, one loan of two instalments, a phone number and perhaps an app."""
    contacts: list[dict[str, object]] = [
        {"channel": "sms", "address": address(number), "consent": {"source": "application"}}
    ]
    if push:
        contacts.append({"channel": "push", "provider": "fcm", "address": f"app-{number}"})
    later = (due + timedelta(days=30)).date().isoformat()
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"{number}:opened",
            "source": "bench",
            "type": "loan.opened",
            "subject": f"loan-{number}",
            "time": at,
            "data": {
                "portfolio": NAME,
                "product": "term-60d",
                "currency": "NGN",
                "principal": "5000.00",
                "borrower": {
                    "id": f"person-{number}",
                    "name": f"Person {number}",
                    "locale": "en-NG",
                    "region": "NG",
                    "timezone": zone,
                    "contacts": contacts,
                },
                "installments": [
                    {
                        "number": 1,
                        "due_on": due.date().isoformat(),
                        "amount": f"{1000 + number}.00",
                    },
                    {"number": 2, "due_on": later, "amount": f"{1000 + number}.00"},
                ],
            },
        }
    )


def address(number: int) -> str:
    """The number of one person."""
    return f"+23480{number:08d}"


def day_of(now: datetime) -> tuple[str, datetime]:
    """The zone, and the first minutes of its local day."""
    zone, offset = afternoon(now)
    return zone, datetime.combine(now.astimezone(offset).date(), time(0, 5), offset)


async def settle(url: str, keyring: Keyring, people: int, now: datetime, push_every: int) -> None:
    """Take everybody in and plan the day: one notice each is due."""
    zone, morning = day_of(now)
    opened_at = morning.astimezone(UTC) - timedelta(days=20)
    lines = [
        (number, opened(number, zone, opened_at, morning, push=number % push_every == 0))
        for number in range(1, people + 1)
    ]
    pool = await open_pool(url)
    try:
        desk = Desk(pool, keyring, "bench", ladder_text("consumer-instalment"))
        taken = await take(desk, lines, morning.astimezone(UTC))
        await plan(
            pool, await portfolio(pool, now), morning.astimezone(UTC), horizon=timedelta(hours=24)
        )
        due = await pool.fetchval("select count(*) from notice where next_at <= $1", now)
    finally:
        await pool.close()
    if (taken.applied, due) != (people, people):
        raise RuntimeError(f"of {people} people {taken.applied} were taken in and {due} are due")


async def portfolio(pool: "asyncpg.Pool[asyncpg.Record]", now: datetime) -> Portfolio:
    """The one portfolio of the village."""
    async with pool.acquire() as conn:
        return (await load_portfolios(conn, now))[NAME]
