"""What the packs that decisions recorded forbid is found on the database: hours, consents, texts, answers."""

from datetime import date, time, timedelta
from typing import Any

import asyncpg
import pytest

from agent.clock import VirtualClock
from agent.flows.invariants import check
from agent.flows.rules import every_pack
from agent.store.keyring import Keyring, body_place, seal
from tests.support.conduct import decided
from tests.support.world import World, ladder_toml, phone, sms, stage_toml, utc

DUE = date(2026, 3, 5)
OURS = frozenset({"4-consent", "5-law", "8-answer", "12-text"})


@pytest.fixture
def town(pool: asyncpg.Pool, keyring: Keyring) -> World:
    ladder = ladder_toml(stage_toml("day-1", 1, time(10), not_after_hours=47))
    return World(pool, keyring, VirtualClock(utc("2026-03-04T08:00")), ladder)


async def broken(town: World) -> dict[str, int]:
    """The invariants that are violated now."""
    found = await check(town.pool, town.keyring, town.clock.now(), packs=every_pack())
    return {one.id: one.violations for one in found if one.violated and one.id in OURS}


async def one_sent(town: World, named: tuple[str, ...], *, region: str, role: str) -> None:
    person: dict[str, Any] = {"id": "ann", "region": region}
    consent = {"source": "form", "given_to": "lender" if role == "first_party" else "collector"}
    at = {"at": "2026-02-20T08:00:00+00:00"}
    points = [{"channel": "sms", "address": phone(1), "consent": consent | at}]
    await town.opens("L1", DUE, person="ann", contacts=points)
    await town.take("borrower.updated", "ann", person)
    town.wait_to(date(2026, 3, 6), "15:00")
    assert await decided(town, named, role=role) == [("send", [])]
    assert await broken(town) == {}


async def test_hours_of_a_pack_that_the_place_chose_are_found(town: World) -> None:
    """Half past seven in the evening: inside the house's hours, outside those of India."""
    await one_sent(town, ("house", "by-place"), region="CN-SH", role="first_party")
    await town.pool.execute("update decision set packs = replace(packs, 'cn-gbt45251@', 'x@')")
    packs = {pack.id: pack.version for pack in every_pack()}
    await town.pool.execute(
        "update decision set packs = 'house@' || $1 || ' in-rbi@' || $2", packs["house"], packs["in-rbi"]
    )  # fmt: skip
    assert await broken(town) == {}
    late = town.at(date(2026, 3, 6), "19:30")
    for row in ("attempt set begun_at = $1, deadline_at = $2", "decision set decided_at = $1"):
        values = (late, late + timedelta(seconds=15)) if "deadline" in row else (late,)
        await town.pool.execute(f"update {row}", *values)
    assert (await broken(town))["5-law"] == 1


async def test_a_text_without_a_consent_is_found(town: World) -> None:
    await one_sent(town, ("house",), region="NG", role="first_party")
    seen = town.clock.now()
    await town.pool.execute("update contact_point set consent_source = null, consent_at = null")
    await town.pool.execute(
        "update contact_evidence set revoked_at = $1, revoked_seen_at = $1", seen + timedelta(hours=1)
    )  # fmt: skip
    assert await broken(town) == {}, "it was taken back afterwards"
    await town.pool.execute(
        "update contact_evidence set revoked_seen_at = $1", seen - timedelta(hours=1)
    )
    assert await broken(town) == {"4-consent": 1}
    await town.pool.execute("delete from contact_evidence")
    assert await broken(town) == {"4-consent": 1}


async def test_a_revocation_is_kept_with_when_it_was_stored(town: World) -> None:
    await one_sent(town, ("house",), region="NG", role="first_party")
    gone = {"source": "form", "given_to": "lender", "revoked_at": "2026-03-06T09:00:00+00:00"}
    for _ in range(2):
        town.clock.advance_to(town.clock.now() + timedelta(hours=1))
        points = [{"channel": "sms", "address": phone(1), "consent": gone}]
        await town.take("borrower.updated", "ann", {"id": "ann", "contacts": points})
    first = town.at(date(2026, 3, 6), "16:00")
    assert await town.value("select revoked_seen_at from contact_evidence") == first
    assert await broken(town) == {}


async def test_a_text_that_does_not_say_what_the_law_wants_is_found(town: World) -> None:
    named = ("house", "us-fed-regf")
    await one_sent(town, named, region="US-NY", role="third_party")
    row = await town.pool.fetchrow(
        "select a.token, b.data_key from attempt a join borrower b on b.id = a.borrower_id"
    )
    key = town.keyring.person_key(row["data_key"])
    first = "This is an attempt to collect a debt and any information obtained will be used for that purpose."
    stop = "Reply STOP to opt out."
    for body, found in ((stop, 1), (first, 1), (f"{first} {stop}", 0)):
        sealed = seal(key, body.encode(), body_place(row["token"]))
        await town.pool.execute("update attempt set body = $1", sealed)
        assert await broken(town) == ({"12-text": found} if found else {})


async def test_two_answers_to_one_opt_out_are_found(town: World) -> None:
    await town.opens("L1", DUE, contacts=[sms(phone(1))])
    now, key = town.clock.now(), town.keyring.blind("sms", phone(1))
    for number in (1, 2):
        await town.pool.execute(
            "insert into inbound (portfolio_id, channel, provider_id, sender_key, sender, recipient, body,"
            " at, received_at, found_by, reading)"
            " values (0, 'sms', $1, $2, '', '', '', $3, $3, 'webhook', 'opt_out')",
            f"SM{number}", key, now,
        )  # fmt: skip
        await town.pool.execute(
            "insert into confirmation (channel, provider_id, address_key, decided_at, rules, packs, state,"
            " token)"
            " values ('sms', $1, $2, $3, '{}', '', 'accepted', $1)",
            f"SM{number}", key, now + timedelta(minutes=number),
        )  # fmt: skip
        assert ((await broken(town)).get("8-answer", 0)) == number - 1
    await town.pool.execute("delete from confirmation where provider_id = 'SM2'")
    await town.pool.execute("update confirmation set decided_at = $1", now + timedelta(hours=2))
    assert (await broken(town))["8-answer"] == 1
