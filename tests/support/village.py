"""A small portfolio whose instalments are due today, in a zone where it is early afternoon now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

import asyncpg
import orjson

from agent.flows.intake import Desk, take
from agent.flows.planning import plan
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.store.keyring import Keyring
from schedules import ladder_text

NAME = "village"
_AFTERNOON = 13


@dataclass(frozen=True, slots=True)
class Village:
    """The portfolio, and the local day on which everybody is due."""

    portfolio: Portfolio
    today: date


def afternoon(now: datetime) -> tuple[str, timezone]:
    """A fixed-offset zone in which it is about one o'clock: contact windows are open there."""
    hours = (_AFTERNOON - now.hour + 11) % 24 - 11
    # POSIX signs: Etc/GMT-3 is three hours east
    return f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT", timezone(timedelta(hours=hours))


def opened(number: int, zone: str, at: datetime, due: date) -> bytes:
    """One borrower, one phone, one instalment."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"{number}:opened",
            "source": "test",
            "type": "loan.opened",
            "subject": f"loan-{number}",
            "time": at,
            "data": {
                "portfolio": NAME,
                "product": "term-30d",
                "currency": "NGN",
                "principal": "5000.00",
                "borrower": {
                    "id": f"person-{number}",
                    "locale": "en-NG",
                    "region": "NG",
                    "timezone": zone,
                    "contacts": [
                        {
                            "channel": "sms",
                            "address": f"+23480{number:08d}",
                            "consent": {"source": "application"},
                        }
                    ],
                },
                "installments": [
                    {"number": 1, "due_on": due.isoformat(), "amount": f"{1000 + number}.00"}
                ],
            },
        }
    )


async def settle(pool: asyncpg.Pool, keyring: Keyring, people: int, now: datetime) -> Village:
    """Take everybody in by the production intake and plan the day: one notice each is due."""
    return await move_in(pool, keyring, range(1, people + 1), now, afternoon(now))


async def move_in(
    pool: asyncpg.Pool,
    keyring: Keyring,
    numbers: Sequence[int],
    now: datetime,
    place: tuple[str, timezone],
) -> Village:
    """More people in the same zone: one notice each is due."""
    zone, offset = place
    today = now.astimezone(offset).date()
    morning = datetime.combine(today, time(0, 5), offset).astimezone(UTC)
    lines = [
        (number, opened(number, zone, morning - timedelta(days=20), today)) for number in numbers
    ]
    desk = Desk(pool, keyring, "test", ladder_text("consumer-instalment"))
    taken = await take(desk, lines, morning)
    assert taken.applied == len(numbers), taken
    async with pool.acquire() as conn:
        portfolio = (await load_portfolios(conn, now))[NAME]
    await plan(pool, portfolio, morning)
    due = await pool.fetchval(
        "select count(*) from notice n join loan l on l.portfolio_id = n.portfolio_id and l.id = n.loan_id"
        " where n.next_at <= $1 and l.ref = any($2)",
        now,
        [f"loan-{number}" for number in numbers],
    )
    assert due == len(numbers)
    return Village(portfolio, today)
