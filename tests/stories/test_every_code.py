"""What follows from every code of Twilio's table, and from one that nobody knows, in what is stored.

Each code has a sender and two people of its own, so that one run of the lane shows them all: what one code
does to its sender, numbers, text and cases does not touch another's. What each class does is written here
once more, by hand; that each code is of its class is asserted in `tests/channels/test_twilio_codes.py`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

import asyncpg
import orjson
import pytest

from agent.flows.carriers import Carrier
from agent.flows.invariants import check
from agent.flows.lane import Limits
from agent.flows.receipts import apply_receipts
from agent.flows.rules import packs
from agent.store.keyring import Keyring
from channels.base import Accepted, Answer, Fault, Listing, Message
from channels.sms_twilio.answers import classify
from channels.sms_twilio.codes import Code, known_codes
from channels.sms_twilio.wire import read_status
from tests.flows.test_carriers import carrier, lived
from tests.support.timeline import Timeline
from tests.support.world import World, ladder_toml, phone, sms, stage_toml, utc

DUE = date(2026, 3, 3)
STRANGE = 39999
CODES = sorted({*known_codes(), STRANGE})
EACH = 2
SECOND = 100_000
LATER = timedelta(hours=2)


class Follows(NamedTuple):
    """What one code does. The cases are those of both its people. `again`: one of them is asked for again."""

    attempt: str
    notice: str
    cases: dict[str, int]
    suppressed: bool = False
    number: str = "active"
    halted: str | None = None
    waits: int | None = None
    stopped: bool = False
    again: bool = False


def code_of(address: str) -> int:
    return int(address[-8:]) % SECOND


def sender_of(address: str) -> str:
    return f"+1500{code_of(address):07d}"


class Senders:
    """A sender for each code."""

    def of(self, _provider: str | None, address: str) -> Carrier | None:
        return replace(carrier(), sender=sender_of(address))

    def all(self) -> Sequence[Carrier]:
        return ()


@dataclass
class Twilio:
    """Refuses everything with the number's code, or accepts everything."""

    refuses: bool
    asked: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> Answer:
        self.asked.append(message)
        code = code_of(message.address)
        if not self.refuses:
            return Accepted(f"SM{message.token}")
        status = 429 if code == 20429 else 400
        return classify(status, {}, orjson.dumps({"code": code, "status": status}))

    async def listing(self, _address: str, _since: datetime) -> Listing:
        return Listing(complete=False)


LOST = {"undeliverable": EACH}
REFUSED = Follows("refused", "failed", LOST)
# in the answer; None is a code that nobody knows
ANSWERED: dict[Fault | None, Follows] = {
    Fault.NUMBER: REFUSED._replace(number="disconnected"),
    Fault.OPT_OUT: REFUSED._replace(suppressed=True),
    Fault.BLOCKED: REFUSED._replace(suppressed=True, cases={**LOST, "blocked": EACH}),
    Fault.CONFIGURATION: REFUSED._replace(halted="NG", cases={**LOST, "sender-halted": 1}),
    Fault.OURS: REFUSED._replace(cases={**LOST, "configuration": 1}),
    Fault.ACCOUNT: Follows("refused", "waiting", {"sender-halted": 1}, halted="*", again=True),
    Fault.TRANSIENT: Follows("refused", "waiting", {}, again=True),
    Fault.FILTERED: Follows("refused", "failed", {"filtered": 1}, stopped=True),
    Fault.EXPIRED: REFUSED,
    Fault.UNKNOWN: Follows("unknown", "sending", {}),
    None: REFUSED._replace(cases={**LOST, "provider-code": 1}),
}
OVER = Follows("", "sent", {})
# in a callback: nobody is written to again by the same way, whatever it says
TOLD: dict[Fault | None, Follows] = {
    Fault.NUMBER: OVER._replace(number="disconnected"),
    Fault.OPT_OUT: OVER._replace(suppressed=True),
    Fault.BLOCKED: OVER._replace(suppressed=True, cases={"blocked": EACH}),
    Fault.CONFIGURATION: OVER._replace(halted="NG", cases={"sender-halted": 1}),
    Fault.OURS: OVER._replace(cases={"configuration": 1}),
    Fault.ACCOUNT: OVER._replace(halted="*", cases={"sender-halted": 1}),
    Fault.TRANSIENT: OVER,
    Fault.FILTERED: OVER._replace(stopped=True, cases={"filtered": 1}),
    Fault.EXPIRED: OVER,
    Fault.UNKNOWN: OVER._replace(cases={"provider-code": 1}),
    None: OVER._replace(cases={"provider-code": 1}),
}


def expected(known: Code | None, table: dict[Fault | None, Follows]) -> Follows:
    """What a code's class says; `confirm` keeps the number, `after` makes the sender wait."""
    if known is None:
        return table[None]
    follows = table[known.fault]
    if known.confirm:
        follows = follows._replace(number="active")
    if known.after is not None:
        soon = follows.again and known.after < LATER.total_seconds()
        follows = follows._replace(waits=int(known.after), again=soon)
    return follows


def in_an_answer(code: int) -> Follows:
    follows = expected(known_codes().get(code), ANSWERED)
    # a 429 that does not say how long: the sender waits a second, then twice that, and so on
    return follows._replace(waits=1) if code == 20429 else follows


@pytest.fixture
async def world(pool: asyncpg.Pool, keyring: Keyring) -> World:
    """Two people for each code, due at once. A filtered text is another than that of the others."""
    stage = stage_toml("due-today", 0, time(9), message="due-today")
    world = World(
        pool, keyring, Timeline(utc("2026-03-02T09:00"), pool), schedule=ladder_toml(stage)
    )
    for code in CODES:
        locale = "es-MX" if code == 30007 else "en-NG"
        for number in (code, code + SECOND):
            await world.opens(f"{number}", DUE, contacts=[sms(phone(number))], locale=locale)
    await world.plan()
    world.wait_to(DUE, "09:05")
    return world


async def dispatched(world: World, twilio: Twilio) -> None:
    # all of them are under way at once: none hears what the others are told before it has left
    limits = Limits(batch=500, at_once=500, spread_retries=False)
    ways = {"channels": {"sms": twilio}, "carriers": {"sms": Senders()}}
    await lived(world, await world.lane(limits=limits, **ways))


async def followed(world: World, twilio: Twilio) -> dict[int, Follows]:
    """What there is of each code now, and whether its people are written to in the next two hours."""
    people = await world.rows(
        "select l.ref, a.state, n.state, c.status, s.address_key is not null, p.id is not null"
        " from attempt a join loan l on l.id = a.loan_id join notice n on n.loan_id = l.id"
        " join contact_point c on c.id = a.contact_point_id"
        " left join suppression s on s.address_key = a.address_key"
        " left join pause p on p.subject = a.template and p.scope = 'template'"
    )
    assert len(people) == EACH * len(CODES)
    halts = dict(
        await world.rows("select sender, country from sender_halt where closed_at is null")
    )
    waits = dict(
        await world.rows(
            "select sender, extract(epoch from not_before - $1)::int from sender_pace"
            " where not_before > $1", world.clock.now(),
        )
    )  # fmt: skip
    cases = await cases_of(world)
    before = len(twilio.asked)
    world.clock.advance_to(world.clock.now() + LATER)
    await dispatched(world, twilio)
    again = {code_of(message.address) for message in twilio.asked[before:]}
    found: dict[int, set[tuple[Any, ...]]] = {}
    for ref, *what in people:
        found.setdefault(int(ref) % SECOND, set()).add(tuple(what))
    follows = {}
    for code, alike in found.items():
        assert len(alike) == 1, (code, alike)
        attempt, notice, number, suppressed, stopped = next(iter(alike))
        sender = sender_of(phone(code))
        follows[code] = Follows(
            attempt, notice, dict(cases.get(code, {})), suppressed, number, halts.get(sender),
            waits.get(sender), stopped, code in again,
        )  # fmt: skip
    return follows


async def cases_of(world: World) -> dict[int, Counter[str]]:
    """How many cases of each kind a code opened: they name it, its loan or its person."""
    rows = await world.rows(
        "select c.kind, coalesce(c.detail ->> 'code', l.ref) from case_item c"
        " left join loan l on l.id = c.loan_id where c.closed_at is null"
    )
    found: dict[int, Counter[str]] = {}
    for kind, code in rows:
        found.setdefault(int(code) % SECOND, Counter())[kind] += 1
    return found


async def nothing_went_wrong(world: World) -> None:
    findings = await check(world.pool, world.keyring, world.clock.now(), packs=packs(("house",)))
    # nobody passed the time here: of what is late only messages are looked at
    looked_at = ("1-", "2-", "3-", "4-", "5-", "6-", "7-", "12-")
    broken = [(one.id, one.examples) for one in findings if one.violated]
    assert [one for one in broken if one[0].startswith(looked_at)] == []


async def test_in_the_answer(world: World) -> None:
    twilio = Twilio(refuses=True)
    await dispatched(world, twilio)
    assert await followed(world, twilio) == {code: in_an_answer(code) for code in CODES}
    await nothing_went_wrong(world)


@pytest.mark.parametrize("status", ["undelivered", "failed"])
async def test_in_a_callback(world: World, status: str) -> None:
    twilio = Twilio(refuses=False)
    await dispatched(world, twilio)
    for _ in range(2):  # Twilio may say it twice
        receipts = [
            read_status(
                {
                    "MessageSid": f"SM{one.token}", "MessageStatus": status, "To": one.address,
                    "From": sender_of(one.address), "ErrorCode": str(code_of(one.address)),
                },
                one.token, world.clock.now(), sender_of(one.address),
            )
            for one in twilio.asked
        ]  # fmt: skip
        said = [one for one in receipts if one is not None]
        assert len(said) == len(twilio.asked)
        await apply_receipts(world.pool, await world.portfolio(), said, world.clock.now())
    assert await followed(world, twilio) == {
        code: expected(known_codes().get(code), TOLD)._replace(attempt=status) for code in CODES
    }
    await nothing_went_wrong(world)
