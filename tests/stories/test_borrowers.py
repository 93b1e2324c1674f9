"""Whole lives of loans, as borrowers and the ledger see them: dated, on a clock that does not wait."""

from datetime import date, timedelta

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.domain.calendar import local_time
from agent.flows.invariants import check
from agent.flows.rules import packs
from agent.store.keyring import Keyring
from tests.support.world import World, phone, push, sms, utc

MARCH_5 = date(2026, 3, 5)
APRIL_5 = date(2026, 4, 5)


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    """Lagos, the first of March, nine in the morning; the shipped schedule and the house rules."""
    return World(pool, keyring, VirtualClock(utc("2026-03-01T08:00")))


async def nothing_went_wrong(town: World) -> None:
    findings = await check(town.pool, town.keyring, town.clock.now(), packs=packs(("house",)))
    assert [(found.id, found.examples) for found in findings if found.violated] == []


async def test_ann_pays_five_days_late(town: World) -> None:
    await town.opens("ann-1", MARCH_5, APRIL_5, amount="6500.00")

    await town.live_to(date(2026, 3, 10), "15:30")
    assert await town.sent() == [
        "2026-03-02 10:00 due-in-3-days sms",
        "2026-03-04 18:00 due-tomorrow sms",
        "2026-03-05 09:00 due-today sms",
        "2026-03-06 10:00 overdue-1 sms",
        "2026-03-08 10:00 overdue-3 sms",
    ]
    await town.pays("ann-1", "6500.00")

    # silence until the next instalment comes near
    await town.live_to(APRIL_5, "12:00")
    assert (await town.sent())[5:] == [
        "2026-04-02 10:00 due-in-3-days sms",
        "2026-04-04 18:00 due-tomorrow sms",
        "2026-04-05 09:00 due-today sms",
    ]
    await town.pays("ann-1", "6500.00")
    await town.live_to(date(2026, 5, 20), "12:00")
    assert len(town.heard) == 8
    assert await town.told("ann-1") == [
        "account.bucket_changed 1-7",
        "account.cured current",
        "account.paid_off",
    ]
    conduct = await town.value(
        "select data -> 'conduct' from outcome where type = 'account.paid_off'"
    )
    assert conduct["worst_dpd"] == 5
    await nothing_went_wrong(town)


async def test_bob_never_pays(town: World) -> None:
    """The whole ladder, a call in between, the recommendation, and then silence."""
    await town.opens("bob-1", MARCH_5)
    await town.live_to(date(2026, 7, 15), "12:00")
    stages = [line.split()[2] for line in await town.sent()]
    assert stages == [
        "due-in-3-days", "due-tomorrow", "due-today", "overdue-1", "overdue-3", "overdue-7", "overdue-10",
        "overdue-15", "overdue-21", "overdue-28", "overdue-31", "overdue-40", "overdue-50", "final-61",
        "final-75",
    ]  # fmt: skip
    assert await town.cases() == [("call", "loan bob-1")]
    assert await town.told("bob-1") == [
        "account.bucket_changed 1-7",
        "account.bucket_changed 8-30",
        "account.bucket_changed 31-60",
        "account.bucket_changed 61-90",
        "account.bucket_changed 91+",
        "account.charge_off_recommended",
    ]
    assert await town.value("select contact_ended_at from loan") == town.at(
        date(2026, 6, 4), "10:00"
    )
    assert (await town.sent())[-1] == "2026-05-19 10:00 final-75 sms"
    assert set((await town.notices()).values()) == {"sent", "done"}
    await nothing_went_wrong(town)


async def test_the_bank_takes_cos_payment_back(town: World) -> None:
    await town.opens("cos-1", MARCH_5)
    await town.live_to(date(2026, 3, 7), "11:00")
    payment = await town.pays("cos-1")
    await town.closes("cos-1")

    await town.live_to(date(2026, 3, 14), "16:00")
    before = [
        "2026-03-02 10:00 due-in-3-days sms",
        "2026-03-04 18:00 due-tomorrow sms",
        "2026-03-05 09:00 due-today sms",
        "2026-03-06 10:00 overdue-1 sms",
    ]
    assert await town.sent() == before
    await town.reverses("cos-1", payment)

    # nine days late now: the stage it is at comes once, the next morning, then the ladder goes on
    await town.live_to(date(2026, 3, 20), "12:00")
    assert (await town.sent())[4:] == [
        "2026-03-15 10:00 overdue-10 sms",
        "2026-03-20 10:00 overdue-15 sms",
    ]
    assert await town.told("cos-1") == [
        "account.bucket_changed 1-7",
        "account.cured current",
        "account.paid_off",
        "outcome.retracted",
        "outcome.retracted",
        "account.bucket_changed 8-30",
    ]
    corrected = await town.rows(
        "select corrects from outcome where corrects is not null order by seq"
    )
    assert sorted(row[0] for row in corrected) == [2, 3]
    await nothing_went_wrong(town)


async def test_dayo_has_two_loans_and_one_phone(town: World) -> None:
    """One message a day and five in seven days, all loans together; each says its own amount."""
    for loan, amount in (("dayo-1", "100.00"), ("dayo-2", "250.00")):
        await town.opens(loan, MARCH_5, person="dayo", contacts=[sms(phone(1))], amount=amount)
    await town.live_to(date(2026, 4, 10), "12:00")
    days = [line[:10] for line in await town.sent()]
    assert len(days) == len(set(days)), "two on one day"
    numbered = [date.fromisoformat(day).toordinal() for day in days]
    assert all(sum(0 <= last - day < 7 for day in numbered) <= 5 for last in numbered)
    texts = [one.body.replace("\u00a0", " ") for one in town.heard]
    assert {("100.00" in text, "250.00" in text) for text in texts} == {
        (True, False),
        (False, True),
    }
    assert {one.address for one in town.heard} == {phone(1)}
    # each loan got its turn, and what could not be said in time is closed with its reason
    for loan in ("dayo-1", "dayo-2"):
        states = await town.notices(loan)
        assert list(states.values()).count("sent") >= 4
        rest = {state for state in states.values() if state != "sent"}
        assert rest <= {"done", "waiting", "cancelled: HOUSE-DAY", "cancelled: HOUSE-WEEK",
                        "cancelled: superseded", "cancelled: not-after"}  # fmt: skip
    await nothing_went_wrong(town)


async def test_efe_travels_while_the_clocks_change(town: World) -> None:
    """From Lagos to New York, where the night of the 8th has 23 hours: messages follow the local clock."""
    await town.opens("efe-1", MARCH_5, person="efe", contacts=[push("app"), sms(phone(5))])
    await town.live_to(date(2026, 3, 5), "12:00")
    await town.moves_to("efe", "America/New_York")
    await town.live_to(date(2026, 3, 13), "12:00")
    new_york = "America/New_York"
    assert await town.sent(zone=new_york) == [
        "2026-03-02 04:00 due-in-3-days push",  # ten in Lagos
        "2026-03-04 12:00 due-tomorrow push",
        "2026-03-05 03:00 due-today push",
        "2026-03-06 10:00 overdue-1 push",
        "2026-03-08 10:00 overdue-3 push",  # the clocks went forward eight hours before
        "2026-03-12 10:00 overdue-7 push",
    ]
    gap = town.heard[-2].at - town.heard[-3].at
    assert gap == timedelta(hours=47)
    # nobody knows where she is between the two: only the hours that both places share are left
    await town.moves_to("efe", new_york, "Africa/Lagos")
    await town.live_to(date(2026, 3, 16), "23:00")
    last = town.heard[-1].at
    assert (await town.sent(zone=new_york))[-1].endswith("overdue-10 push")
    assert all(8 <= local_time(last, zone).hour < 20 for zone in (new_york, "Africa/Lagos"))
    await nothing_went_wrong(town)


async def test_funmi_says_she_lost_her_job_and_is_left_alone(town: World) -> None:
    """The ledger flags hardship: not a word while it lasts, then one message of the stage she is at."""
    await town.opens("funmi-1", MARCH_5, person="funmi")
    await town.live_to(date(2026, 3, 7), "12:00")
    await town.flags("funmi", "hardship", town.at(date(2026, 3, 24), "12:00"))
    await town.live_to(date(2026, 3, 24), "11:59")
    assert (await town.sent())[-1] == "2026-03-06 10:00 overdue-1 sms"
    await town.live_to(date(2026, 3, 26), "12:00")
    assert (await town.sent())[4:] == [
        "2026-03-25 10:00 overdue-15 sms",
        "2026-03-26 10:00 overdue-21 sms",
    ]
    await nothing_went_wrong(town)


@pytest.mark.parametrize("amount", ["10.00", "100.00", "200.00"])
async def test_gbenga_pays_at_the_instant_of_the_last_step(town: World, amount: str) -> None:
    await town.opens("g", MARCH_5, APRIL_5)
    await town.live_to(date(2026, 6, 4), "09:59")
    town.wait_to(date(2026, 6, 4), "10:00")
    await town.pays("g", amount)
    await town.live_to(date(2026, 6, 5), "12:00")
    recommended = "account.charge_off_recommended" in await town.told("g")
    assert recommended is (amount == "10.00")
    await nothing_went_wrong(town)
