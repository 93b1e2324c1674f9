"""Planning by SQL makes exactly the notices that the ladder says, loan by loan, whatever happens between."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.clock import VirtualClock
from agent.domain.calendar import instant, local_date
from agent.domain.ladder import Ladder, Plannable, notices, stage_moment
from agent.flows.passing import lift_holds
from agent.flows.planning import HORIZON, OVERLAP, plan, plan_all
from agent.store.keyring import Keyring
from tests.support.world import World, ladder_toml, push, sms, stage_toml, utc

ZONES = (
    "Africa/Lagos",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "America/St_Johns",
    "Asia/Shanghai",
)
STARTS = (
    date(2026, 3, 5),  # spring forward in New York
    date(2026, 10, 28),  # fall back in New York
    date(2026, 4, 2),  # fall back on Lord Howe, by half an hour
    date(2018, 11, 1),  # midnight skipped in São Paulo
    date(2018, 2, 15),  # midnight twice in São Paulo
    date(2011, 12, 27),  # a whole day skipped in Apia
    date(2006, 10, 26),  # one minute past midnight set back in St. John's
    date(2026, 2, 12),  # the long Chinese holiday
)
CLOCKS = st.sampled_from(
    [time(0), time(0, 30), time(2, 15), time(9), time(10), time(18), time(23, 45)]
)
MINUTES_A_DAY = 24 * 60
EMPTY = "; ".join(
    f"delete from {table}"
    for table in (
        "decision", "notice", "plan_mark", "hold", "outcome", "payment", "instalment", "ledger_event", "loan",
        "contact_point", "number", "borrower", "schedule_version", "portfolio where id > 0",
    )
)  # fmt: skip
FOR_EVER = datetime.max.replace(tzinfo=UTC)


@st.composite
def ladders(draw: st.DrawFn) -> str:
    """A schedule file: steps before and after, several a day, repeats, business days."""
    taken: set[tuple[int, time]] = set()
    tables = []
    for number in range(draw(st.integers(1, 5))):
        moment = (draw(st.integers(-4, 9)), draw(CLOCKS))
        if moment in taken:
            continue
        keys: dict[str, Any] = {
            "catch_up": draw(st.sampled_from(["latest", "latest", "skip"])),
            "not_after_hours": draw(st.sampled_from([6, 24, 48, 72])),
            "shift": draw(st.sampled_from([None, None, "next", "previous"])),
        }
        every = draw(st.sampled_from([None, None, 1, 3]))
        taken.add(moment)
        if every is not None:
            until = moment[0] + every * draw(st.integers(1, 3))
            later = {(day, moment[1]) for day in range(moment[0] + every, until + 1, every)}
            if not later & taken:
                taken |= later
                keys["repeat"] = {"every_days": every, "until_offset_days": until}
        tables.append(stage_toml(f"s{number}", *moment, **keys))
    return ladder_toml(*tables, calendar="cn-state-council")


@dataclass(frozen=True)
class Step:
    """What happens to one of the loans, how many minutes after the step before, and whether we plan."""

    wait: int
    act: str
    loan: int
    days: int
    planned: bool


ACTS = (
    "nothing",
    "pay",
    "part",
    "reverse",
    "defer",
    "close",
    "hold",
    "hold open",
    "move",
    "open",
    "fee",
)


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    wait = st.integers(0, 20) | st.integers(0, 2 * MINUTES_A_DAY) | st.just(4 * MINUTES_A_DAY)
    return [
        Step(
            draw(wait),
            draw(st.sampled_from(ACTS)),
            draw(st.integers(0, 2)),
            draw(st.integers(-6, 6)),
            draw(st.integers(0, 3)) > 0,
        )
        for _ in range(draw(st.integers(2, 6)))
    ]


@st.composite
def lives(draw: st.DrawFn) -> tuple[str, date, list[tuple[str, int, int]], list[Step]]:
    """A ladder, a start, loans as (zone, age of the first instalment, instalments), and what happens."""
    loan = st.tuples(st.sampled_from(ZONES), st.integers(-6, 11), st.integers(1, 3))
    return (
        draw(ladders()),
        draw(st.sampled_from(STARTS)),
        draw(st.lists(loan, min_size=1, max_size=3)),
        draw(steps()),
    )


Key = tuple[str, date, str]


@dataclass
class Spell:
    """How long a loan stood as it did: with one due date, in one zone."""

    zone: str
    anchor: date
    began: datetime
    ended: datetime | None = None


class Twins:
    """The same portfolio twice: in the database, and as what the ladder says of each loan."""

    def __init__(self, world: World, today: date) -> None:
        self.world, self.today = world, today
        self.expected: dict[Key, tuple[datetime, datetime]] = {}
        self.payments: dict[str, list[str]] = {}
        self.owners: dict[str, str] = {}
        self.spells: dict[str, list[Spell]] = {}
        # all that was ever planned, whatever became of it
        self.planned_once: set[Key] = set()

    async def open(self, zone: str, age: int, parts: int) -> None:
        loan = f"L{len(self.owners)}"
        first = self.today - timedelta(days=age)
        due = [first + timedelta(days=7 * number) for number in range(parts)]
        # two loans of one person now and then
        person = self.owners.get("L0", f"owner-of-{loan}") if age % 4 == 0 else f"owner-of-{loan}"
        await self.world.opens(loan, *due, person=person, zones=[zone])
        if any(owner == person for owner in self.owners.values()):
            await self._forget_if_moved(person)
        self.owners[loan] = person

    async def act(self, step: Step) -> None:
        names = sorted(self.owners)
        loan = names[step.loan % len(names)]
        moving: dict[str, Callable[[], Awaitable[object]]] = {
            "pay": lambda: self._pay(loan, "100.00"),
            "part": lambda: self._pay(loan, "35.50"),
            "reverse": lambda: self._reverse(loan),
            "defer": lambda: self._defer(loan, step.days),
            "close": lambda: self._close(loan),
            "hold": lambda: self._hold(loan, timedelta(hours=7 * (step.days + 7))),
            "hold open": lambda: self._hold(loan, None),
            "move": lambda: self._move(loan, ZONES[step.days % len(ZONES)]),
            "open": lambda: self.open(ZONES[step.days % len(ZONES)], step.days, 2),
            "fee": lambda: self.world.take("fee.assessed", loan, {"amount": "5.00"}),
        }
        if step.act in moving:
            await moving[step.act]()

    async def _pay(self, loan: str, amount: str) -> None:
        self.payments.setdefault(loan, []).append(await self.world.pays(loan, amount))

    async def _reverse(self, loan: str) -> None:
        if self.payments.get(loan):
            await self.world.reverses(loan, self.payments[loan].pop())

    async def _defer(self, loan: str, days: int) -> None:
        first = self.today + timedelta(days=days)
        await self.world.reschedules(loan, first, first + timedelta(days=7))

    async def _close(self, loan: str) -> None:
        if await self.world.value("select status from loan where ref = $1", loan) == "open":
            await self.world.closes(loan, "paid_off" if self.payments.get(loan) else "sold")

    async def _hold(self, loan: str, lasts: timedelta | None) -> None:
        until = self.world.clock.now() + lasts if lasts else None
        await self.world.flags(self.owners[loan], "hardship", until)

    async def _move(self, loan: str, zone: str) -> None:
        person = self.owners[loan]
        if await self._zone(person) != zone:
            await self.world.moves_to(person, zone)
            await self._forget(person)

    async def _zone(self, person: str) -> Any:
        return await self.world.value("select zones[1] from borrower where ref = $1", person)

    async def _forget_if_moved(self, person: str) -> None:
        moved_at = await self.world.value("select updated_at from borrower where ref = $1", person)
        if moved_at == self.world.clock.now():
            await self._forget(person)

    async def _forget(self, person: str) -> None:
        """What was never looked at is planned anew for the new zone; what came back after a hold stays."""
        mine = {loan for loan, owner in self.owners.items() if owner == person}
        kept = await self.planned()
        self.expected = {
            key: value for key, value in self.expected.items() if key[0] not in mine or key in kept
        }

    async def plan(self, *, twice: bool = False) -> int:
        """One pass, or two at once; then the same by the ladder."""
        now, portfolio = self.world.clock.now(), await self.world.portfolio()
        await lift_holds(self.world.pool, now)
        passes = [plan(self.world.pool, portfolio, now) for _ in range(1 + twice)]
        made: int = sum(await asyncio.gather(*passes))
        rows = await self.world.pool.fetch(
            "select ref, zone, status = 'open' and contact_ended_at is null as open, anchor,"
            " anchor_since, held_until from loan where anchor is not null"
        )
        oldest = now - max(stage.not_after for stage in portfolio.ladder.stages)
        for row in rows:
            held = row["held_until"]
            # the driver reads infinity as a naive maximum
            held_until = FOR_EVER if held is not None and held.tzinfo is None else held
            loan = Plannable(
                row["zone"], row["open"], row["anchor"], row["anchor_since"], held_until
            )
            for one in notices(loan, portfolio.ladder, oldest, now + HORIZON):
                if one.not_after > now:
                    key = (row["ref"], one.anchor, one.stage)
                    self.expected.setdefault(key, (one.due_at, one.not_after))
        self.planned_once |= (await self.planned()).keys()
        return made

    async def look(self) -> None:
        """Remember how each loan stands from now on."""
        now = self.world.clock.now()
        for ref, zone, anchor, is_open in await self.world.rows(
            "select ref, zone, anchor, status = 'open' and contact_ended_at is null from loan"
        ):
            spells = self.spells.setdefault(ref, [])
            last = spells[-1] if spells and spells[-1].ended is None else None
            if last is not None and is_open and (last.zone, last.anchor) == (zone, anchor):
                continue
            if last is not None:
                last.ended = now
            if is_open:
                spells.append(Spell(zone, anchor, now))

    async def forgotten(self) -> list[Key]:
        """Stages that came to a loan in a hold that is over, and of which nothing is on record."""
        now, portfolio = self.world.clock.now(), await self.world.portfolio()
        known = self.planned_once | {
            (row["ref"], row["anchor"], row["stage"])
            for row in await self.world.pool.fetch(
                "select l.ref, n.anchor, n.stage from notice n join loan l on l.id = n.loan_id"
            )
        }
        standing = {
            row["ref"]: row
            for row in await self.world.pool.fetch(
                "select ref, zone, status = 'open' as open, anchor, anchor_since,"
                " held_until is not null as held from loan"
            )
        }
        found = []
        for ref, spells in self.spells.items():
            row = standing[ref]
            loan = Plannable(row["zone"], row["open"], row["anchor"], row["anchor_since"])
            left = {
                (ref, one.anchor, one.stage)
                for one in notices(loan, portfolio.ladder, now, now + timedelta(days=60))
            }
            for spell, following in zip(spells, [*spells[1:], None], strict=True):
                if row["held"] and row["open"] and spell.anchor == row["anchor"]:
                    continue
                covered = await self._covered(ref, spell, following, portfolio.ladder)
                found += [key for key in covered if key not in known | left]
        return found

    async def _covered(
        self, ref: str, spell: Spell, following: Spell | None, ladder: Ladder
    ) -> list[Key]:
        """Stages that came within a spell while a hold covered the loan, and not again after a move."""
        holds = await self.world.rows(
            "select h.from_at, least(coalesce(h.until_at, 'infinity'), coalesce(h.lifted_at, $2)) from hold h"
            " join loan l on l.borrower_id = h.borrower_id where l.ref = $1",
            ref,
            self.world.clock.now(),
        )
        end = spell.ended or self.world.clock.now()
        found = []
        for stage in ladder.stages:
            at = stage_moment(stage, spell.anchor, ladder.calendar, spell.zone)
            if following is not None and following.anchor == spell.anchor:
                again = stage_moment(stage, spell.anchor, ladder.calendar, following.zone)
                if again >= following.began:
                    continue
            if spell.began <= at < end and any(begin <= at < over for begin, over in holds):
                found.append((ref, spell.anchor, stage.id))
        return found

    async def planned(self) -> dict[Key, tuple[datetime, datetime]]:
        rows = await self.world.pool.fetch(
            "select l.ref, n.anchor, n.stage, n.due_at, n.not_after, n.next_at from notice n"
            " join loan l on l.id = n.loan_id where n.state = 'waiting'"
        )
        # one that was called off and comes back late was due before
        assert all(row["next_at"] >= row["due_at"] for row in rows)
        return {(r["ref"], r["anchor"], r["stage"]): (r["next_at"], r["not_after"]) for r in rows}


@settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(lives())
async def test_sql_and_ladder_plan_the_same(
    pool: asyncpg.Pool,
    keyring: Keyring,
    life: tuple[str, date, list[tuple[str, int, int]], list[Step]],
) -> None:
    schedule, today, loans, happenings = life
    await pool.execute(EMPTY)
    world = World(pool, keyring, VirtualClock(datetime.combine(today, time(7, 3), UTC)), schedule)
    twins = Twins(world, today)
    for zone, age, parts in loans:
        await twins.open(zone, age, parts)
    await twins.look()
    await twins.plan()
    assert await twins.planned() == twins.expected
    for step in happenings:
        world.clock.advance_to(world.clock.now() + timedelta(minutes=step.wait))
        await twins.act(step)
        await twins.look()
        if step.planned:
            before = len(await twins.planned())
            made = await twins.plan(twice=step.loan == 2)
            planned = await twins.planned()
            assert planned == twins.expected
            assert made == len(planned) - before, "a notice was counted twice, or never"
    await twins.plan()
    assert await twins.planned() == twins.expected
    assert await twins.forgotten() == []
    again = await plan(pool, await world.portfolio(), world.clock.now())
    anew = await plan(pool, await world.portfolio(), world.clock.now(), anew=True)
    assert (again, anew) == (0, 0)


# ---- and by hand where chance seldom goes


async def by_hand(
    pool: asyncpg.Pool, keyring: Keyring, anchor: date, since: datetime, zone: str, *stages: str
) -> list[tuple[str, str]]:
    """What is planned in the days after a loan enters."""
    schedule = ladder_toml(*stages, calendar="cn-state-council")
    world = World(pool, keyring, VirtualClock(since), schedule, zone)
    twins = Twins(world, anchor)
    await twins.open(zone, 1, 1)
    await world.pool.execute("update instalment set due_on = $1", anchor)
    await world.pool.execute("update loan set anchor = $1", anchor)
    for _ in range(5):
        await twins.plan()
        assert await twins.planned() == twins.expected
        world.clock.advance_to(world.clock.now() + timedelta(hours=20))
    rows = await world.rows("select stage, due_at from notice order by due_at, stage")
    return [(stage, f"{due:%Y-%m-%d %H:%M}") for stage, due in rows]


FRIDAY = date(2026, 3, 13)


async def test_two_steps_moved_to_monday_come_by_their_clocks(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    stages = (
        stage_toml("first", 0, time(12)),
        stage_toml("evening", 1, time(18), shift="next"),
        stage_toml("morning", 2, time(10), shift="next"),
    )
    sunday = utc("2026-03-15T13:00")
    assert await by_hand(pool, keyring, FRIDAY, sunday, "UTC", *stages) == [
        ("morning", "2026-03-16 10:00"),
        ("evening", "2026-03-16 18:00"),
    ]


async def test_step_moved_back_overtakes_one_moved_on(pool: asyncpg.Pool, keyring: Keyring) -> None:
    stages = (
        stage_toml("first", 0, time(12)),
        stage_toml("on", 1, time(10), shift="next"),
        stage_toml("back", 2, time(10), shift="previous"),
    )
    saturday = utc("2026-03-14T09:00")
    assert await by_hand(pool, keyring, FRIDAY, saturday, "UTC", *stages) == [
        ("back", "2026-03-16 10:00"),
        ("on", "2026-03-16 10:00"),
    ]


@pytest.mark.parametrize("shift", ["next", "previous"])
async def test_late_notice_of_a_step_on_business_days_waits_for_one(
    pool: asyncpg.Pool, keyring: Keyring, shift: str
) -> None:
    stages = (
        stage_toml("any", -5, time(9)),
        stage_toml("office", -2, time(10), shift=shift),
        stage_toml("far", 30, time(10)),
    )
    saturday = utc("2026-03-14T09:00")
    # on Monday at ten, not on Saturday an hour from now
    assert await by_hand(pool, keyring, FRIDAY, saturday, "UTC", *stages) == [
        ("office", "2026-03-16 10:00")
    ]


async def test_late_notice_does_not_wait_past_the_next_step(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """Until business begins again the loan is at a later stage, which comes by itself."""
    stages = (
        stage_toml("office", -2, time(10), shift="next"),
        stage_toml("sunday", 2, time(12)),
    )
    saturday = utc("2026-03-14T09:00")
    assert await by_hand(pool, keyring, FRIDAY, saturday, "UTC", *stages) == [
        ("sunday", "2026-03-15 12:00")
    ]


@pytest.mark.parametrize(
    ("anchor", "since", "due"),
    [
        # 09:30 on the day before clocks go forward: a day of 23 hours
        (date(2026, 3, 2), "2026-03-07T14:30", "2026-03-07 15:00"),
        # 10:30 on the day before they go back: the next ten o'clock is 24 and a half hours away
        (date(2026, 10, 26), "2026-10-31T14:30", "2026-11-01 15:00"),
    ],
)
async def test_late_notice_comes_once_when_clocks_change(
    pool: asyncpg.Pool, keyring: Keyring, anchor: date, since: str, due: str
) -> None:
    stages = (stage_toml("first", 0, time(10)), stage_toml("last", 30, time(10)))
    found = await by_hand(pool, keyring, anchor, utc(since), "America/New_York", *stages)
    assert found == [("first", due)]


async def test_moment_survives_a_clock_set_back_over_midnight(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    zone, midnight = "America/St_Johns", utc("2006-10-29T02:30")
    world = World(
        pool, keyring, VirtualClock(midnight - timedelta(days=2)),
        ladder_toml(stage_toml("midnight", 0, time(0))), zone,
    )  # fmt: skip
    await world.opens("L1", date(2006, 10, 29))
    # one minute later it was 23:01 of the day before; a window that ends then still has the moment
    end = midnight + timedelta(minutes=5)
    assert local_date(end, zone) == date(2006, 10, 28)
    assert await world.plan(horizon=end - world.clock.now()) == 1
    assert await world.value("select due_at from notice") == midnight


# ---- passes


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    return World(pool, keyring, VirtualClock(utc("2026-03-01T08:00")))


async def test_days_without_a_pass_are_made_good_while_messages_may_go_out(town: World) -> None:
    await town.opens("L1", date(2026, 2, 28))
    await town.plan()
    assert await town.notices() == {"overdue-1": "waiting"}
    town.wait_to(date(2026, 3, 9), "15:00")
    await town.plan()
    # overdue-3 was due on the 3rd and could go out until the 6th; overdue-7 may until the 10th
    assert await town.notices() == {
        "overdue-1": "waiting",
        "overdue-7": "waiting",
        "overdue-10": "waiting",
    }


async def test_a_loan_stored_just_before_the_last_pass_is_not_forgotten(town: World) -> None:
    """Its transaction was open when the pass read, and committed after it."""
    await town.opens("L0", date(2026, 3, 20))
    stored_at = town.clock.now()
    town.clock.advance_to(stored_at + OVERLAP - timedelta(seconds=1))
    await town.plan()
    await town.opens("L1", date(2026, 3, 1))
    await town.pool.execute("update loan set anchor_since = $1 where ref = 'L1'", stored_at)
    assert await town.plan() == 2
    assert await town.notices("L1") == {"due-today": "waiting", "overdue-1": "waiting"}


async def test_a_new_version_of_the_schedule_is_planned_for_everybody(town: World) -> None:
    await town.opens("L1", date(2026, 3, 2))
    await town.plan()
    assert set(await town.notices()) == {"due-tomorrow", "due-today"}
    await town.pool.execute(
        "insert into schedule_version select portfolio_id, 2, name,"
        " replace(source, 'due-today', 'on-the-day'), sha256, $1, 'ann', 'other words'"
        " from schedule_version",
        town.clock.now(),
    )
    assert await town.plan() == 1
    assert set(await town.notices()) == {"due-tomorrow", "due-today", "on-the-day"}


async def test_every_portfolio_gets_its_pass(town: World) -> None:
    await town.opens("L1", date(2026, 3, 2), contacts=[push("app"), sms("+2348000000001")])
    assert await plan_all(town.pool, town.clock.now()) == 2
    assert await plan_all(town.pool, town.clock.now()) == 0


async def test_closed_paid_held_and_ended_loans_get_nothing(town: World) -> None:
    for loan in ("paid", "closed", "held", "ended"):
        await town.opens(loan, date(2026, 3, 2))
    await town.pays("paid")
    await town.closes("closed", "sold")
    await town.flags("owner-of-held", "deceased")
    await town.pool.execute(
        "update loan set contact_ended_at = $1 where ref = 'ended'", town.clock.now()
    )
    assert await town.plan() == 0


async def test_due_times_are_the_borrowers_clock_times(town: World) -> None:
    await town.opens("L1", date(2026, 3, 2), zones=["Asia/Kathmandu"])
    await town.plan()
    due = await town.value("select due_at from notice where stage = 'due-today'")
    assert due == instant(date(2026, 3, 2), time(9), "Asia/Kathmandu")


async def test_a_person_who_may_also_be_elsewhere_keeps_their_plan(town: World) -> None:
    await town.opens("L1", date(2026, 3, 2), person="ann")
    await town.plan()
    entered = await town.value("select anchor_since from loan")
    town.clock.advance_to(town.clock.now() + timedelta(hours=1))
    await town.moves_to("ann", "Africa/Lagos", "Europe/London")
    assert set(await town.notices()) == {"due-tomorrow", "due-today"}
    assert await town.value("select anchor_since from loan") == entered
    await town.moves_to("ann", "Europe/London")
    assert await town.notices() == {}
    await town.plan()
    due = await town.value("select due_at from notice where stage = 'due-today'")
    assert due == instant(date(2026, 3, 2), time(9), "Europe/London")
