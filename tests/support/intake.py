"""Ledger events for tests of intake, and the stored state in a form that can be compared."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg

import schedules
from agent.flows.intake import Desk, Taken, take
from agent.store.keyring import Keyring

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
SCHEDULE = schedules.ladder_text("consumer-instalment")
PHONE = "+2347010000001"
Event = dict[str, Any]


def desk(pool: "asyncpg.Pool[Any]", keyring: Keyring, **change: Any) -> Desk:
    """A desk as the import has it: facts are known when they are taken in."""
    return replace(Desk(pool, keyring, "test", SCHEDULE, default_portfolio="p"), **change)


def event(kind: str, subject: str, at: str, /, ident: str | None = None, **data: Any) -> Event:
    """Any event; its id is made of what it says unless given."""
    return {
        "specversion": "1.0",
        "id": ident or f"{subject}:{kind}:{at}",
        "source": "test",
        "type": kind,
        "subject": subject,
        "time": at if "T" in at else f"{at}T09:00:00+00:00",
        "data": data,
    }


def person(ref: str = "ann", phone: str = PHONE, **more: Any) -> dict[str, Any]:
    """A borrower with one phone."""
    contacts = [{"channel": "sms", "address": phone, "consent": {"source": "application"}}]
    return {"id": ref, "timezone": "UTC", "contacts": contacts, **more}


def opened(loan: str, at: str = "2024-01-01", /, **data: Any) -> Event:
    """1,000.00 NGN in two instalments, due on 1 February and 1 March 2024."""
    parts = [
        {"number": 1, "due_on": "2024-02-01", "amount": "500.00"},
        {"number": 2, "due_on": "2024-03-01", "amount": "500.00"},
    ]
    body = {"currency": "NGN", "borrower": person(), "installments": parts}
    return event("loan.opened", loan, at, **{**body, **data})


def paid(loan: str, ref: str, amount: Any, at: str, **data: Any) -> Event:
    """A payment; its event is called like the payment."""
    return event("payment.posted", loan, at, f"{loan}:{ref}", payment_id=ref, amount=amount, **data)


def reversed_(loan: str, ref: str, at: str, **data: Any) -> Event:
    """The payment is taken back."""
    return event("payment.reversed", loan, at, f"{loan}:{ref}:back", payment_id=ref, **data)


def lines(events: Sequence[Event | bytes]) -> list[tuple[int, bytes]]:
    """Numbered as in a file."""
    return [
        (number, one if isinstance(one, bytes) else json.dumps(one).encode())
        for number, one in enumerate(events, start=1)
    ]


async def give(where: Desk, *events: Event | bytes, now: datetime = NOW) -> Taken:
    """Take events in as one file."""
    return await take(where, lines(events), now)


async def loan(pool: "asyncpg.Pool[Any]", ref: str) -> dict[str, Any]:
    """A loan's facts and derived columns."""
    row = await pool.fetchrow("select * from loan where ref = $1", ref)
    assert row is not None, ref
    return dict(row)


async def told(pool: "asyncpg.Pool[Any]", ref: str) -> list[str]:
    """The outcomes of a loan in order; a retraction with the number it takes back."""
    rows = await pool.fetch(
        """
        select o.type, o.corrects, o.data from outcome o
        join loan l on l.portfolio_id = o.portfolio_id and l.id = o.loan_id
        where l.ref = $1 order by o.seq
        """,
        ref,
    )
    return [_word(row) for row in rows]


def _word(row: Any) -> str:
    name = row["type"].partition(".")[2]
    match name:
        case "bucket_changed":
            return f"{row['data']['from']} > {row['data']['to']}"
        case "retracted":
            return f"retracted {row['corrects']}"
        case _:
            return str(name)


async def standing_claims(pool: "asyncpg.Pool[Any]") -> dict[str, Any]:
    """For every loan that is not closed: its bucket, and whether a payoff is the last standing word on it."""
    rows = await pool.fetch(
        """
        select l.ref, l.bucket,
               coalesce(max(o.seq) filter (where o.type = 'account.paid_off'), 0)
               > coalesce(max(o.seq) filter (where o.type = 'account.bucket_changed'), 0) as paid_off
        from loan l
        left join outcome o on o.portfolio_id = l.portfolio_id and o.loan_id = l.id
             and not exists (select 1 from outcome r where r.portfolio_id = o.portfolio_id
                             and r.loan_id = o.loan_id and r.corrects = o.seq)
        where l.status <> 'closed'
        group by l.portfolio_id, l.ref, l.bucket
        """
    )
    return {row["ref"]: (row["bucket"], row["paid_off"]) for row in rows}


_FACTS = {
    "loans": """select l.ref, p.name, b.ref as person, l.currency, l.zone, l.opened_at, l.status, l.anchor,
                l.balance_minor, l.paid_minor, l.closed_at, l.close_reason, l.product, l.principal_minor,
                -- a loan closed unpaid keeps the bucket it was in when that was learned
                case when l.status <> 'closed' then l.bucket end, l.next_bucket_at, l.held_until
                from loan l join portfolio p on p.id = l.portfolio_id
                join borrower b on b.portfolio_id = l.portfolio_id and b.id = l.borrower_id""",
    "instalments": """select l.ref, i.kind, i.due_on, i.amount_minor from instalment i
                      join loan l on l.portfolio_id = i.portfolio_id and l.id = i.loan_id""",
    "payments": """select l.ref, y.ref, y.amount_minor, y.paid_at, y.reversed_at from payment y
                   join loan l on l.portfolio_id = y.portfolio_id and l.id = y.loan_id""",
    "people": "select ref, locale, region, zones from borrower",
    "numbers": """select b.ref, c.channel, encode(c.address_key, 'hex') from contact_point c
                  join borrower b on b.portfolio_id = c.portfolio_id and b.id = c.borrower_id
                  where c.status = 'active'""",
    "events": "select id, type, subject, at, state, reason, data from ledger_event",
    "holds": "select b.ref, h.reason, h.until_at from hold h join borrower b on b.id = h.borrower_id",
}


async def facts(pool: "asyncpg.Pool[Any]") -> dict[str, list[str]]:
    """Everything that must not depend on the order or the batches in which events came."""
    found = {}
    for name, statement in _FACTS.items():
        rows = await pool.fetch(statement)
        found[name] = sorted(repr(tuple(row.values())) for row in rows)
    return found


async def wipe(pool: "asyncpg.Pool[Any]") -> None:
    """Empty everything that intake writes."""
    await pool.execute(
        "truncate outcome, hold, payment, instalment, ledger_event, rejected_line, loan, contact_point,"
        " number, borrower, schedule_version, plan_mark, notice, decision, portfolio cascade"
    )
    await pool.execute(
        "insert into portfolio (id, name, lender, zone, locale, created_at) overriding system value"
        " values (0, '(unassigned)', '(unassigned)', 'UTC', 'en', 'epoch')"
    )
