"""A lender, its borrowers and their phones on a clock that only moves when told: the production flows."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import asyncpg
import orjson

import schedules
from agent.clock import VirtualClock
from agent.domain.calendar import instant, local_date, local_time
from agent.flows.dispatch import LaneCounts, run_lane
from agent.flows.intake import Desk, Taken, take
from agent.flows.lane import Lane, Limits
from agent.flows.passed_over import sweep_held
from agent.flows.passing import lift_holds, pass_time
from agent.flows.planning import plan
from agent.flows.portfolios import Portfolio, load_portfolios
from agent.flows.receipts import apply_receipts
from agent.flows.rescue import Rescued, rescue
from agent.flows.rules import packs, texts
from agent.store.keyring import Keyring
from agent.store.sql import fetch_row
from channels.sandbox.channel import SandboxChannel
from channels.sandbox.network import Heard, SandboxNetwork
from channels.sandbox.script import Rule, Script

LAGOS = "Africa/Lagos"
NAME = "town"
PLAN_EVERY = timedelta(hours=24)


def stage_toml(id_: str, offset: int, at: time, **keys: Any) -> str:
    """One `[[stage]]` as a person would write it; `None` leaves a key out."""
    values: dict[str, Any] = {
        "id": id_, "grade": "friendly", "offset_days": offset, "at": at, "channels": ["sms"],
        "message": "overdue-1", "catch_up": "latest", "not_after_hours": 48,
    }  # fmt: skip
    lines = [
        f"{key} = {_toml(value)}" for key, value in (values | keys).items() if value is not None
    ]
    return "\n".join(["[[stage]]", *lines, ""])


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{ {', '.join(f'{key} = {_toml(item)}' for key, item in value.items())} }}"
        case str():
            return f'"{value}"'
        case _:
            return str(value)


def ladder_toml(*stages: str, calendar: str | None = None) -> str:
    """A whole schedule file."""
    head = ['name = "test"', "buckets = [1, 8, 31, 61, 91]"]
    return "\n".join([*head, *([f'calendar = "{calendar}"'] if calendar else []), "", *stages])


def phone(number: int) -> str:
    """A telephone number that nobody has."""
    return f"+23480{number:08d}"


def sms(address: str) -> dict[str, Any]:
    """A number that may be texted."""
    return {"channel": "sms", "address": address, "consent": {"source": "application"}}


def push(token: str) -> dict[str, Any]:
    """An app that may notify."""
    return {"channel": "push", "provider": "fcm", "address": token}


@dataclass
class World:
    """One portfolio. Events happen now; what they cause happens in `tick` or on the way to a time."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    keyring: Keyring
    clock: VirtualClock
    schedule: str = field(default_factory=lambda: schedules.ladder_text("consumer-instalment"))
    zone: str = LAGOS
    script: Script = field(default_factory=Script)
    batch: int = 500
    name: str = NAME

    def __post_init__(self) -> None:
        self.network = SandboxNetwork(self.script)
        self._ids = itertools.count(1)
        self._planned_at: datetime | None = None

    # ---- what the ledger says

    async def take(self, kind: str, subject: str, data: Mapping[str, Any], **at: datetime) -> Taken:
        """One event; it happens now, unless told `at` when, and is known now."""
        event = {
            "specversion": "1.0",
            "id": f"event-{next(self._ids)}",
            "source": "test",
            "type": kind,
            "subject": subject,
            "time": at.get("at", self.clock.now()),
            "data": data,
        }
        desk = Desk(self.pool, self.keyring, self.name, self.schedule, self.name, "Sunrise")
        taken = await take(desk, [(1, orjson.dumps(event))], self.clock.now())
        assert taken.applied == 1, taken
        return taken

    async def opens(
        self,
        loan: str,
        *due: date,
        person: str | None = None,
        contacts: Sequence[Mapping[str, Any]] | None = None,
        zones: Sequence[str] | None = None,
        amount: str = "100.00",
        locale: str = "en-NG",
    ) -> None:
        """A loan with one instalment a date; a new person has a phone of their own."""
        who = person or f"owner-of-{loan}"
        points = [sms(phone(next(self._ids)))] if contacts is None else contacts
        borrower = {"id": who, "locale": locale, "contacts": points}
        borrower["timezones"] = list(zones or [self.zone])
        parts = [{"number": n, "due_on": day, "amount": amount} for n, day in enumerate(due, 1)]
        data = {
            "portfolio": self.name,
            "currency": "NGN",
            "borrower": borrower,
            "installments": parts,
        }
        await self.take("loan.opened", loan, data)

    async def pays(self, loan: str, amount: str = "100.00", **also: Any) -> str:
        """A payment; returns its reference."""
        ref = f"payment-{next(self._ids)}"
        await self.take("payment.posted", loan, {"payment_id": ref, "amount": amount} | also)
        return ref

    async def reverses(self, loan: str, payment: str) -> None:
        """The bank takes a payment back."""
        await self.take("payment.reversed", loan, {"payment_id": payment})

    async def reschedules(
        self, loan: str, *due: date, first: int = 1, amount: str = "100.00"
    ) -> None:
        """New dates for the instalments from number `first` on."""
        parts = [{"number": n, "due_on": day, "amount": amount} for n, day in enumerate(due, first)]
        await self.take("loan.rescheduled", loan, {"installments": parts})

    async def closes(self, loan: str, reason: str = "paid_off") -> None:
        """The ledger closes a loan."""
        await self.take("loan.closed", loan, {"reason": reason})

    async def flags(self, person: str, flag: str, until: datetime | None = None) -> None:
        """The ledger asks us to leave somebody alone."""
        await self.take("borrower.flagged", person, {"flag": flag, "until": until})

    async def moves_to(self, person: str, *zones: str) -> None:
        """Somebody now lives elsewhere, or may be in any of several zones."""
        await self.take("borrower.updated", person, {"id": person, "timezones": list(zones)})

    # ---- what we do about it

    async def portfolio(self) -> Portfolio:
        """The portfolio as it stands now."""
        async with self.pool.acquire() as conn:
            return (await load_portfolios(conn, self.clock.now()))[self.name]

    async def lane(self, **change: Any) -> Lane:
        """What a worker would dispatch with; retries are not spread."""
        portfolio = await self.portfolio()
        lane = Lane(
            self.pool,
            self.keyring,
            self.clock,
            portfolio,
            packs(portfolio.packs),
            texts(),
            {
                name: SandboxChannel(self.network, name, self.clock.now, self.clock.monotonic)
                for name in ("sms", "push")
            },
            Limits(batch=self.batch, at_once=8, spread_retries=False),
            status_url="http://duly.example/status",
        )
        return replace(lane, **change)

    async def plan(self, **how: Any) -> int:
        """One pass of planning."""
        self._planned_at = self.clock.now()
        return await plan(self.pool, await self.portfolio(), self.clock.now(), **how)

    async def dispatch(self) -> LaneCounts:
        """One run of the lane."""
        return await run_lane(await self.lane())

    async def rescue(self) -> Rescued:
        """One pass of rescue."""
        return await rescue(await self.lane())

    async def receive(self) -> None:
        """Receipts that are due come in."""
        due = self.network.receipts(self.clock.now())
        if due:
            await apply_receipts(self.pool, await self.portfolio(), due, self.clock.now())

    async def tick(self) -> LaneCounts:
        """Every duty once, facts first."""
        await self.receive()
        await pass_time(self.pool, self.clock.now())
        await lift_holds(self.pool, self.clock.now())
        await sweep_held(self.pool, self.clock.now())
        await self.plan()
        await self.rescue()
        return await self.dispatch()

    async def until(self, at: datetime) -> None:
        """Live on to an instant, stopping wherever something is due."""
        await self.tick()
        while self.clock.now() < at:
            self.clock.advance_to(min(at, await self._next()))
            await self.tick()

    async def _next(self) -> datetime:
        async with self.pool.acquire() as conn:
            row = await fetch_row(conn, "next_instants")
        assert row is not None
        told: list[datetime] = [moment for moment in row[:4] if moment is not None]
        receipt = self.network.next_receipt_at()
        told += [receipt] if receipt else []
        # a notice that a hold keeps snoozing comes back on its own; never stand still
        soon = self.clock.now() + timedelta(seconds=1)
        return max(soon, min([*told, (self._planned_at or soon) + PLAN_EVERY]))

    def at(self, day: date, clock: str, zone: str | None = None) -> datetime:
        """An instant by the local clock."""
        return instant(day, time.fromisoformat(clock), zone or self.zone)

    def wait_to(self, day: date, clock: str, zone: str | None = None) -> None:
        """Move the clock on; nothing happens meanwhile."""
        self.clock.advance_to(self.at(day, clock, zone))

    async def live_to(self, day: date, clock: str, zone: str | None = None) -> None:
        """Live on to a local time."""
        await self.until(self.at(day, clock, zone))

    # ---- what can be seen

    def follow(self, *rules: Rule, **script: Any) -> None:
        """The phones do from now on what these rules say."""
        self.network.script = Script(rules, **script)

    @property
    def heard(self) -> tuple[Heard, ...]:
        """What the phones got."""
        return self.network.accepted

    async def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows as tuples."""
        return [tuple(row) for row in await self.pool.fetch(statement, *values)]

    async def value(self, statement: str, *values: Any) -> Any:
        """One value."""
        return await self.pool.fetchval(statement, *values)

    async def notices(self, loan: str | None = None) -> dict[str, str]:
        """Stage to state, with the reason where there is one; the latest anchor wins."""
        rows = await self.rows(
            "select n.stage, n.state, n.reason from notice n join loan l on l.portfolio_id = n.portfolio_id"
            " and l.id = n.loan_id where $1::text is null or l.ref = $1 order by n.anchor, n.due_at",
            loan,
        )
        return {stage: f"{state}: {reason}" if reason else state for stage, state, reason in rows}

    async def attempts(self) -> list[tuple[str, str, str]]:
        """Stage, channel and state of every attempt in order."""
        return await self.rows(
            "select stage, channel, state from attempt order by begun_at, fence, loan_id"
        )

    async def decisions(self) -> list[tuple[str, str, list[str]]]:
        """Stage, verdict and rules of every decision in order."""
        return await self.rows("select stage, verdict, rules from decision order by decided_at, id")

    async def cases(self) -> list[tuple[str, str]]:
        """Kind and subject of the open cases."""
        return await self.rows("select kind, subject from case_item order by kind, subject")

    async def sent(self, loan: str | None = None, zone: str | None = None) -> list[str]:
        """What reached phones: `2026-03-05 09:00 due-today sms`, in local time."""
        rows = await self.pool.fetch(
            "select token, stage, channel from attempt a join loan l on l.portfolio_id = a.portfolio_id"
            " and l.id = a.loan_id where $1::text is null or l.ref = $1", loan,
        )  # fmt: skip
        known = {row["token"]: (row["stage"], row["channel"]) for row in rows}
        place = zone or self.zone
        return [
            f"{local_date(one.at, place)} {local_time(one.at, place):%H:%M} {' '.join(known[one.token])}"
            for one in self.heard
            if one.token in known
        ]

    async def told(self, loan: str) -> list[str]:
        """Outcomes of a loan in order: type, and the bucket it leads to."""
        rows = await self.pool.fetch(
            "select o.type, o.data from outcome o join loan l on l.portfolio_id = o.portfolio_id"
            " and l.id = o.loan_id where l.ref = $1 order by o.seq", loan,
        )  # fmt: skip
        return [f"{row['type']} {row['data'].get('to', '')}".strip() for row in rows]


def utc(text: str) -> datetime:
    """An instant from ISO text without offset, as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
