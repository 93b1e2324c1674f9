"""Adverse outcomes wait for the notice before them: on PostgreSQL, against a ledger that keeps a log."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.adapters.ledger import Ledger
from agent.clock import VirtualClock
from agent.domain.adverse import Given, HeldBack, given_by, held_back
from agent.domain.calendar import instant, local_date
from agent.domain.conduct_ruling import REPORTING
from agent.domain.feed import Acknowledged, Answer, Told
from agent.flows.invariants import check
from agent.flows.ledger_desk import held_outcomes, note_given, page_to_pull, replay
from agent.flows.ledger_feed import Feeder, Pace
from agent.flows.prior_notice import LOOK_AGAIN
from agent.flows.rules import every_pack, packs
from agent.flows.trail import Question, Trail, trail
from agent.store import outcomes as store
from agent.store.keyring import Keyring
from schedules import ladder_text
from tests.support.ledger import NOW, make_outcomes, make_portfolio, unacked
from tests.support.world import World, ladder_toml, stage_toml

Pool: TypeAlias = "asyncpg.Pool[Any]"
PACE = Pace(batch=16, run=8, at_once=4, record_every=8, record_within=0.02, trip_after=6)
ANCHOR = date(2026, 3, 1)


class Log(Ledger):
    """A ledger that takes everything and keeps when it got what."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.got: list[tuple[str, int, str, datetime]] = []

    async def deliver(self, told: Told) -> Answer:
        kind = "outcome.withheld" if told.withheld else told.type
        self.got.append((told.loan, told.seq, kind, self.clock.now()))
        return Acknowledged()

    def of(self, loan: str) -> list[tuple[int, str]]:
        return [(seq, kind) for ref, seq, kind, _ in self.got if ref == loan]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


async def prepared(pool: Pool, named: tuple[str, ...], counts: tuple[int, ...] = (3, 3)) -> int:
    """Loans with three outcomes each, of which the second advises to charge off."""
    portfolio = await make_portfolio(pool)
    await pool.execute("update portfolio set packs = $1", list(named))
    await pool.execute(
        "insert into schedule_version (portfolio_id, version, name, source, sha256, active_from,"
        " author, reason) values ($1, 1, 'l', $2, '', '-infinity', 'a', 'r')",
        portfolio,
        ladder_text("consumer-instalment"),
    )
    await make_outcomes(pool, portfolio, counts)
    await pool.execute(
        "update outcome set type = 'account.charge_off_recommended',"
        ' data = \'{"anchor": "2026-03-01"}\' where seq = 2'
    )
    return portfolio


async def sent(
    pool: Pool, portfolio: int, at: datetime, state: str = "delivered", *,
    loan: int = 1, stage: str = "final-61", anchor: date = ANCHOR, table: str = "attempt",
) -> None:  # fmt: skip
    """An attempt of a notice, as dispatch and the receipts left it."""
    await pool.execute(
        "insert into notice (portfolio_id, loan_id, anchor, stage, borrower_id, schedule_version,"
        " due_at, not_after, next_at, state, planned_at, closed_at)"
        " values ($1, $2, $3, $4, 1, 1, $5, $5, $5, 'sent', $5, $5) on conflict do nothing",
        portfolio, loan, anchor, stage, at,
    )  # fmt: skip
    await pool.execute(
        f"insert into {table} (portfolio_id, token, loan_id, anchor, stage, borrower_id,"
        " contact_point_id, channel, address_key, fence, state, begun_at, deadline_at, person_rev,"
        " number_rev, portfolio_rev, amount_minor, currency, template, body, settled_at)"
        " values ($1, md5(random()::text), $2, $3, $4, 1, 1, 'sms', '\\x00', 1, $5, $6, $7, 1, 1, 1,"
        " 100, 'NGN', 'en/final-61', '\\x00', $6)",
        portfolio, loan, anchor, stage, state, at, at + timedelta(seconds=15),
    )  # fmt: skip


async def feed(pool: Pool, portfolio: int, log: Log) -> None:
    await Feeder(pool, portfolio, log, log.clock, PACE).feed()


@pytest.mark.parametrize("named", [("house",), ("house", "us-ma")])
async def test_without_such_a_rule_everything_leaves_at_once(
    pool: Pool, clock: VirtualClock, named: tuple[str, ...]
) -> None:
    portfolio, log = await prepared(pool, named), Log(clock)
    await feed(pool, portfolio, log)
    assert await unacked(pool, portfolio) == []
    assert [seq for seq, _ in log.of("L0001")] == [1, 2, 3]
    assert await pool.fetchval("select count(*) from case_item") == 0


async def test_it_waits_for_its_notice_and_its_days_and_holds_up_no_other_loan(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio, log = await prepared(pool, ("house", "us-fed-regf"), (3, 3, 1)), Log(clock)
    await feed(pool, portfolio, log)
    assert [log.of(loan) for loan in ("L0001", "L0002", "L0003")] == [
        [(1, "account.bucket_changed")], [(1, "account.bucket_changed")],
        [(1, "account.bucket_changed")],
    ]  # fmt: skip
    assert await unacked(pool, portfolio) == [
        ("L0001", 2),
        ("L0001", 3),
        ("L0002", 2),
        ("L0002", 3),
    ]
    cases = await pool.fetch("select kind, subject, detail from case_item order by subject")
    assert [(row["kind"], row["subject"]) for row in cases] == [
        ("prior-notice", "L0001"), ("prior-notice", "L0002"),
    ]  # fmt: skip
    assert cases[0]["detail"] == {"sequence": 2, "rules": ["REGF-30A-FURNISH"]}

    # the official example: sent on one day, monitored for fourteen, then furnished
    await sent(pool, portfolio, NOW)
    clock.advance_to(NOW + LOOK_AGAIN)
    await feed(pool, portfolio, log)
    assert len(log.of("L0001")) == 1
    free = instant(date(2026, 3, 16), datetime.min.time(), "Africa/Lagos")
    found = await pool.fetchrow(
        "select held_by, next_try_at from outcome where loan_id = 1 and seq = 2"
    )
    assert (found["held_by"], found["next_try_at"]) == (["REGF-30A-FURNISH"], free)
    assert await pool.fetchval("select closed_by from case_item where subject = 'L0001'") == "duly"

    clock.advance_to(free - timedelta(seconds=1))
    await feed(pool, portfolio, log)
    assert len(log.of("L0001")) == 1
    clock.advance_to(free)
    await feed(pool, portfolio, log)
    assert [seq for seq, _ in log.of("L0001")] == [1, 2, 3]
    assert await pool.fetchval("select held_by from outcome where loan_id = 1 and seq = 2") is None
    assert len(log.of("L0002")) == 1


async def test_a_bounce_a_wrong_stage_and_an_older_delinquency_tell_nobody(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio, log = await prepared(pool, ("house", "us-fed-regf"), (3,)), Log(clock)
    await sent(pool, portfolio, NOW - timedelta(days=90), "undelivered", table="attempt_archive")
    await sent(pool, portfolio, NOW - timedelta(days=90), stage="overdue-50")
    await sent(pool, portfolio, NOW - timedelta(days=90), "closed_unknown")
    await sent(pool, portfolio, NOW - timedelta(days=400), anchor=date(2025, 1, 1))
    await feed(pool, portfolio, log)
    assert len(log.of("L0001")) == 1
    # resent, and out of the hot table by the time it counts
    await sent(pool, portfolio, NOW - timedelta(days=40), "accepted", table="attempt_archive")
    clock.advance_to(NOW + LOOK_AGAIN)
    await feed(pool, portfolio, log)
    assert len(log.of("L0001")) == 3


async def test_what_was_taken_back_while_it_waited_is_never_told(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio, log = await prepared(pool, ("house", "ke-dcp"), (3,)), Log(clock)
    await feed(pool, portfolio, log)
    await pool.execute(
        "update outcome set type = 'outcome.retracted', corrects = 2,"
        ' data = \'{"corrects_sequence": 2, "corrects_type": "account.charge_off_recommended"}\''
        " where seq = 3"
    )
    clock.advance_to(NOW + LOOK_AGAIN)
    await feed(pool, portfolio, log)
    assert log.of("L0001") == [
        (1, "account.bucket_changed"), (2, "outcome.withheld"), (3, "outcome.retracted"),
    ]  # fmt: skip
    # sent again for a ledger that lost it, it is still the same
    await replay(pool, "L0001", actor="ana", now=clock.now(), from_seq=2)
    await feed(pool, portfolio, log)
    assert log.of("L0001")[3:] == [(2, "outcome.withheld"), (3, "outcome.retracted")]


async def test_what_was_told_before_it_was_taken_back_is_told_again_as_it_was(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio, log = await prepared(pool, ("house",), (3,)), Log(clock)
    await feed(pool, portfolio, log)
    await pool.execute("update portfolio set packs = '{house,ke-dcp}'")
    await pool.execute("update outcome set type = 'outcome.retracted', corrects = 2 where seq = 3")
    await replay(pool, "L0001", actor="ana", now=clock.now(), from_seq=1)
    await feed(pool, portfolio, log)
    assert log.of("L0001")[4] == (2, "account.charge_off_recommended")


async def test_a_pulling_ledger_gets_nothing_that_waits_nor_what_follows_it(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio = await prepared(pool, ("house", "ke-dcp"))
    await sent(pool, portfolio, NOW)

    async def pulled(limit: int) -> list[tuple[str, int]]:
        place: tuple[int, int] | None = store.BEGINNING
        got: list[tuple[str, int]] = []
        while place is not None:
            page, place = await page_to_pull(pool, portfolio, place, limit, clock.now())
            got += [(told.loan, told.seq) for told in page]
        return got

    for limit in (1, 2, 4, 100):
        assert await pulled(limit) == [("L0001", 1), ("L0002", 1)]
    clock.advance_to(NOW + timedelta(days=30))
    for limit in (1, 100):
        assert await pulled(limit) == [
            ("L0001", 1), ("L0001", 2), ("L0001", 3), ("L0002", 1),
        ]  # fmt: skip


async def agreed(pool: Pool, name: str, *, value: bool, at: datetime) -> None:
    """The ledger states a consent of every person."""
    await pool.execute(
        "insert into stated_fact (portfolio_id, borrower_id, name, value, told_at)"
        " select portfolio_id, id, $1, $2, $3 from borrower"
        " on conflict (portfolio_id, borrower_id, loan_ref, name) do update set value = excluded.value",
        name,
        value,
        at,
    )


async def test_nothing_is_reported_without_the_consent_that_a_rule_wants(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio, log = await prepared(pool, ("house", "cn-credit"), (3,)), Log(clock)
    await note_given(pool, "L0001", date(2026, 2, 1), actor="ana", reason="letter", now=clock.now())
    for value in (None, False):
        if value is not None:
            await agreed(pool, "written_consent_to_report", value=value, at=clock.now())
        await feed(pool, portfolio, log)
        async with pool.acquire() as conn:
            (held,) = await held_outcomes(conn)
        assert (held.seq, held.rules) == (2, ("CN-ZXTL-29",))
        clock.advance_to(clock.now() + LOOK_AGAIN)
    assert await pool.fetchval("select count(*) from case_item where closed_at is null") == 1
    await agreed(pool, "written_consent_to_report", value=True, at=clock.now())
    await feed(pool, portfolio, log)
    assert [seq for seq, _ in log.of("L0001")] == [1, 2, 3]


async def test_staff_give_the_notice_by_letter(pool: Pool, clock: VirtualClock) -> None:
    portfolio, log = await prepared(pool, ("house", "ke-dcp", "cn-credit"), (3,)), Log(clock)
    await agreed(pool, "written_consent_to_report", value=True, at=clock.now())
    await feed(pool, portfolio, log)
    async with pool.acquire() as conn:
        held = await held_outcomes(conn)
    assert [(one.loan, one.seq, one.rules) for one in held] == [
        ("L0001", 2, ("KE-DCP-30D", "CN-ZXTL-15"))
    ]
    done = await note_given(
        pool, "L0001", date(2026, 2, 1), actor="ana", reason="registered letter", now=clock.now()
    )
    assert [(one.loan, one.anchor) for one in done] == [("L0001", ANCHOR)]
    await feed(pool, portfolio, log)
    assert len(log.of("L0001")) == 1, "the days are not over: 1 February and thirty more"
    clock.advance_to(instant(date(2026, 3, 3), datetime.min.time(), "Africa/Lagos"))
    await feed(pool, portfolio, log)
    assert [seq for seq, _ in log.of("L0001")] == [1, 2, 3]


async def test_a_missing_pack_holds_and_the_trail_says_which_rule(
    pool: Pool, clock: VirtualClock
) -> None:
    portfolio, log = await prepared(pool, ("house", "by-place"), (3,)), Log(clock)
    await feed(pool, portfolio, log)
    assert await pool.fetchval("select held_by from outcome where seq = 2") == [
        "ENGINE-PACK-MISSING"
    ]
    await pool.execute("update borrower set region = 'KE'")
    clock.advance_to(NOW + LOOK_AGAIN)
    await feed(pool, portfolio, log)
    told = await trail(pool, Question("L0001"), packs=packs(("house", "ke-dcp")))
    assert isinstance(told, Trail)
    entry = next(e for e in told.entries if e.text.startswith("number 2,"))
    assert entry.text.endswith("held back for its prior notice")
    assert [rule.id for rule in entry.rules] == ["KE-DCP-30D"]
    assert "30 days" in entry.rules[0].words


async def test_from_the_message_of_a_ladder_to_the_ledger(pool: Pool, keyring: Keyring) -> None:
    """Dispatch sends the notice, a stage tells of the delinquency, the feed waits for the days between."""
    steps = ladder_toml(
        stage_toml("notice", 1, time(10), notice_before="bureau_report"),
        stage_toml(
            "tell", 3, time(10), action="outcome", outcome="account.delinquent", channels=None,
            message=None, not_after_hours=8000,
        ),
    )  # fmt: skip
    town = World(pool, keyring, VirtualClock(datetime(2026, 3, 4, 8, tzinfo=UTC)), steps)
    await town.opens("L1", date(2026, 3, 5))
    await town.live_to(date(2026, 3, 8), "12:00")
    assert await town.told("L1") == ["account.bucket_changed 1-7", "account.delinquent"]
    assert len(town.heard) == 1
    await pool.execute("update portfolio set packs = '{house,us-fed-regf}'")
    findings = await check(pool, keyring, town.clock.now(), packs=packs(("house", "us-fed-regf")))
    assert [(f.id, f.examples) for f in findings if f.violated] == []

    portfolio, log = await pool.fetchval("select id from portfolio where id > 0"), Log(town.clock)
    await feed(pool, portfolio, log)
    assert log.of("L1") == [(1, "account.bucket_changed")]
    free = instant(date(2026, 3, 20), time(0), "Africa/Lagos")
    for at, told in ((free - timedelta(seconds=1), 1), (free, 2)):
        town.clock.advance_to(at)
        await feed(pool, portfolio, log)
        assert len(log.got) == told
    assert log.of("L1")[1] == (2, "account.delinquent")


# ---- the rule by itself

ZONES = st.lists(
    st.sampled_from(["Africa/Nairobi", "America/New_York", "Pacific/Kiritimati", "Asia/Shanghai"]),
    min_size=1, max_size=3, unique=True,
)  # fmt: skip
INSTANTS = st.integers(0, 500 * 86_400).map(
    lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s)
)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(INSTANTS, st.sampled_from(["delivered", "sent", "undelivered", "unknown"]))),
    ZONES, INSTANTS, st.sets(st.sampled_from(["us-fed-regf", "ke-dcp", "cn-credit"]), min_size=1),
)  # fmt: skip
def test_nothing_leaves_before_its_days_are_over_everywhere(
    tried: list[tuple[datetime, str]], zones: list[str], now: datetime, named: set[str]
) -> None:
    bound = packs(sorted(named))
    notices = [g for at, state in tried if (g := given_by(state, at, zones)) is not None]
    days = max({"us-fed-regf": 14, "ke-dcp": 30, "cn-credit": 0}[name] for name in named)
    arrived = [at for at, state in tried if state in ("delivered", "sent")]
    why = held_back(bound, notices, zones, now)
    earliest = min((max(local_date(at, z) for z in zones) for at in arrived), default=None)
    over = earliest is not None and all(
        local_date(now, zone) >= earliest + timedelta(days=days) for zone in zones
    )
    assert (why is None) == (over or (days == 0 and bool(arrived)))
    if why is not None and why.until is not None:
        assert why.until > now
        assert held_back(bound, notices, zones, why.until) is None
        assert held_back(bound, notices, zones, why.until - timedelta(seconds=1)) is not None
    # a rule added never lets go earlier
    assert why is None or held_back(
        packs(("us-fed-regf", "ke-dcp", "cn-credit")), notices, zones, now
    )


def test_the_days_begin_with_the_message_that_did_not_bounce() -> None:
    bounced, again = Given(date(2026, 5, 10), bounced=True), Given(date(2026, 5, 11))
    regf, noon = packs(("us-fed-regf",)), timedelta(hours=12)
    at = datetime(2026, 5, 24, tzinfo=UTC) + noon
    assert held_back(regf, [bounced, again], ["UTC"], at) is not None
    assert held_back(regf, [bounced, again], ["UTC"], at + timedelta(days=1)) is None
    only = held_back(regf, [bounced], ["UTC"], at + timedelta(days=99))
    assert only == HeldBack(("REGF-30A-FURNISH",))


async def owed(pool: Pool, amount: int, currency: str, dpd: int = 61) -> None:
    """One loan owes this much since the anchor, and is told to be so many days late."""
    await pool.execute("update loan set currency = $1, balance_minor = $2", currency, amount)
    await pool.execute(
        "insert into instalment (portfolio_id, loan_id, number, kind, due_on, amount_minor)"
        " select portfolio_id, id, 1, 'instalment', $1, $2 from loan",
        ANCHOR,
        amount,
    )
    await pool.execute(
        "update outcome set data = data || jsonb_build_object('dpd', $1::int) where seq = 2", dpd
    )


@pytest.mark.parametrize(
    ("amount", "currency", "kind"),
    [
        # a default that does not exceed a thousand shillings is not listed at all
        (100_000, "KES", "outcome.withheld"),
        (100_001, "KES", "account.charge_off_recommended"),
        (1, "KES", "outcome.withheld"),
        (100_000, "NGN", "account.charge_off_recommended"),
    ],
)
async def test_a_small_default_is_never_listed(
    pool: Pool, clock: VirtualClock, amount: int, currency: str, kind: str
) -> None:
    portfolio, log = await prepared(pool, ("house", "ke-dcp"), (3,)), Log(clock)
    await owed(pool, amount, currency)
    await note_given(pool, "L0001", date(2026, 1, 1), actor="ana", reason="letter", now=clock.now())
    await feed(pool, portfolio, log)
    assert log.of("L0001") == [
        (1, "account.bucket_changed"), (2, kind), (3, "account.bucket_changed"),
    ]  # fmt: skip
    row = await pool.fetchrow("select withheld_at, held_by from outcome where seq = 2")
    small = kind == "outcome.withheld"
    assert (row["withheld_at"] is not None, row["held_by"]) == (
        small, ["KE-DCP-1000"] if small else None,
    )  # fmt: skip


async def test_a_dispute_is_marked_or_nothing_is_reported(pool: Pool, clock: VirtualClock) -> None:
    named = ("house", "us-fed-credit")
    portfolio, log = await prepared(pool, named, (3,)), Log(clock)
    await owed(pool, 100, "USD")
    await pool.execute(
        "insert into hold (portfolio_id, reason, scope, borrower_id, from_at, placed_by, placed_rev)"
        " values ($1, 'dispute', 'person', 1, $2, 'ledger', 1)",
        portfolio, NOW - timedelta(days=1),
    )  # fmt: skip
    await feed(pool, portfolio, log)
    held = await pool.fetchval("select held_by from outcome where seq = 2")
    assert held == ["ENGINE-FACT-MISSING:dispute_marked", "FCRA-623A3"]
    assert await pool.fetchval("select detail -> 'rules' from case_item") == held
    await agreed(pool, "dispute_marked", value=False, at=clock.now())
    clock.advance_to(clock.now() + LOOK_AGAIN)
    await feed(pool, portfolio, log)
    assert await pool.fetchval("select held_by from outcome where seq = 2") == ["FCRA-623A3"]
    await agreed(pool, "dispute_marked", value=True, at=clock.now())
    clock.advance_to(clock.now() + LOOK_AGAIN)
    await feed(pool, portfolio, log)
    assert [seq for seq, _ in log.of("L0001")] == [1, 2, 3]
    assert await pool.fetchval("select count(*) from case_item where closed_at is null") == 0


async def test_what_was_paid_while_it_waited_is_not_reported_as_owed(
    pool: Pool, clock: VirtualClock
) -> None:
    """The notice runs for fourteen days; on the tenth the debt is paid."""
    named = ("house", "us-fed-regf", "us-fed-credit")
    portfolio, log = await prepared(pool, named, (3,)), Log(clock)
    await owed(pool, 100, "USD")
    await sent(pool, portfolio, NOW)
    await feed(pool, portfolio, log)
    assert len(log.of("L0001")) == 1
    await pool.execute("update loan set paid_minor = 100, balance_minor = 0")
    clock.advance_to(NOW + timedelta(days=15))
    await feed(pool, portfolio, log)
    assert [kind for _, kind in log.of("L0001")][1] == "outcome.withheld"
    assert await pool.fetchval("select held_by from outcome where seq = 2") == ["FCRA-ACCURACY"]


async def test_an_overdue_answer_comes_before_a_report(pool: Pool, clock: VirtualClock) -> None:
    portfolio, log = await prepared(pool, ("house", "cn-credit"), (3,)), Log(clock)
    await note_given(pool, "L0001", date(2026, 2, 1), actor="ana", reason="letter", now=clock.now())
    await agreed(pool, "written_consent_to_report", value=True, at=clock.now())
    late = (clock.now().date() - timedelta(days=21)).isoformat()
    await pool.execute(
        "insert into stated_fact (portfolio_id, borrower_id, name, value, told_at)"
        " select portfolio_id, id, 'objection_received', to_jsonb($1::text), $2 from borrower",
        late, clock.now(),
    )  # fmt: skip
    await feed(pool, portfolio, log)
    assert "CN-ZXTL-25" in await pool.fetchval("select held_by from outcome where seq = 2")
    done = await pool.fetchval("select held_by[1] from outcome where seq = 2")
    await agreed(pool, done.removeprefix("ENGINE-FACT-MISSING:"), value=True, at=clock.now())
    clock.advance_to(clock.now() + LOOK_AGAIN)
    await feed(pool, portfolio, log)
    assert [seq for seq, _ in log.of("L0001")] == [1, 2, 3]


def test_every_rule_about_reports_is_asked_by_the_feed() -> None:
    """No shipped rule names a report as its act and is of a type that nobody asks there."""
    asked = {
        "prior_notice",
        "consent_required",
        "accuracy",
        "amount_limit",
        "attempt_limit",
        "step_gate",
    }
    about = [
        rule for one in every_pack() for rule in one.states if rule.params.get("before") in REPORTING
    ]  # fmt: skip
    assert {rule.id for rule in about} >= {
        "KE-DCP-1000",
        "FCRA-ACCURACY",
        "FCRA-623A3",
        "REGF-18C2",
    }
    assert {rule.head.type for rule in about} <= asked
