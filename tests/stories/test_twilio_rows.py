"""What follows from each row of Twilio's error codes, from the answer or callback to rows and cases.

The rows are those of the vendor research; that every code stands in its row is asserted in
`tests/channels/test_twilio_codes.py`. A row that stops a sender or a route is shown by its first code here;
every code, in the answer and in a callback, is shown in `test_every_code.py`.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

import asyncpg
import orjson
import pytest

from agent.flows.receipts import apply_receipts
from agent.store.keyring import Keyring
from channels.base import Accepted, Answer, Listing, Message
from channels.sms_twilio.answers import classify
from channels.sms_twilio.codes import known_codes
from channels.sms_twilio.wire import read_status
from tests.flows.test_carriers import carrier, lived
from tests.support.timeline import Timeline
from tests.support.world import World, ladder_toml, phone, push, sms, stage_toml, utc

DUE = date(2026, 3, 3)
SENDER = "+15005550006"


class Follows(NamedTuple):
    """What one code does: to its attempt and notice, the number, the sender; and the cases it opens."""

    attempt: str
    notice: str
    cases: frozenset[str] = frozenset()
    suppressed: bool = False
    number: str = "active"
    halted: str | None = None
    waits: int | None = None


def cases(*kinds: str) -> frozenset[str]:
    return frozenset(kinds)


FAILED = cases("undeliverable")
OURS = cases("configuration", "undeliverable")
ROUTE = cases("sender-halted", "undeliverable")

# in the answer to a create: HTTP status, codes, what follows
ANSWERED: list[tuple[int, tuple[int, ...], Follows]] = [
    (400, (21211, 21214, 21217, 21614), Follows("refused", "failed", FAILED, number="disconnected")),
    (400, (21610,), Follows("refused", "failed", FAILED, suppressed=True)),
    (400, (21408,), Follows("refused", "failed", ROUTE, halted="NG")),
    (400, (21602, 21603, 21617, 35111, *range(35114, 35119), 90007), Follows("refused", "failed", OURS)),
    (401, (20003,), Follows("refused", "waiting", cases("sender-halted"), halted="*")),
    (403, (20005,), Follows("refused", "waiting", cases("sender-halted"), halted="*")),
    (429, (20429,), Follows("refused", "waiting", waits=1)),
    (400, (21611,), Follows("refused", "waiting", waits=600)),
    (500, (20500,), Follows("unknown", "sending")),
    (503, (20503,), Follows("unknown", "sending")),
    # a code that nobody knows stops its attempt, loudly, and is not tried again
    (400, (12345,), Follows("refused", "failed", cases("provider-code", "undeliverable"))),
]  # fmt: skip

# in a later callback; the notice stays closed: nothing is sent a second time by the same way
TOLD: list[tuple[tuple[int, ...], Follows]] = [
    ((30005, 30006), Follows("undelivered", "sent")),
    ((63014, 63033), Follows("undelivered", "sent", suppressed=True)),
    ((30004,), Follows("undelivered", "sent", cases("blocked"), suppressed=True)),
    ((30034,), Follows("undelivered", "sent", cases("sender-halted"), halted="NG")),
    ((30032,), Follows("undelivered", "sent", cases("sender-halted"), halted="NG")),
    ((30002,), Follows("undelivered", "sent", cases("sender-halted"), halted="*")),
    ((30033,), Follows("undelivered", "sent", cases("sender-halted"), halted="*")),
    ((30001,), Follows("undelivered", "sent", waits=600)),
    ((30022, 30023, 30027), Follows("undelivered", "sent", waits=3600)),
    ((30003, 30008, 30017, 30500), Follows("undelivered", "sent")),
    ((30410,), Follows("undelivered", "sent", cases("provider-code"))),
    ((30007,), Follows("undelivered", "sent", cases("filtered"))),
    ((30036,), Follows("undelivered", "sent")),
    ((30610, 30047), Follows("undelivered", "sent", cases("configuration"))),
    ((63016,), Follows("undelivered", "sent", cases("configuration"))),
    ((63018,), Follows("undelivered", "sent", waits=600)),
    ((63038,), Follows("undelivered", "sent", waits=86_400)),
    ((63024, 63032, 63049), Follows("undelivered", "sent")),
    ((39999,), Follows("undelivered", "sent", cases("provider-code"))),
]  # fmt: skip


@dataclass
class Twilio:
    """Answers by the number; what it accepts it keeps."""

    answers: dict[str, Answer] = field(default_factory=dict)
    took: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> Answer:
        answer = self.answers.get(message.address)
        if answer is None:
            self.took.append(message)
            return Accepted(f"SM{message.token}")
        return answer

    async def listing(self, _address: str, _since: datetime) -> Listing:
        return Listing(complete=True)


@pytest.fixture
def world(pool: asyncpg.Pool, keyring: Keyring) -> World:
    stage = stage_toml("due-today", 0, time(9), message="due-today")
    return World(
        pool, keyring, Timeline(utc("2026-03-02T09:00"), pool), schedule=ladder_toml(stage)
    )


async def ready(world: World, *people: list[dict[str, Any]]) -> None:
    for number, contacts in enumerate(people):
        await world.opens(f"loan-{number}", DUE, contacts=contacts)
    await world.plan()
    world.wait_to(DUE, "09:05")


async def dispatched(world: World, twilio: Twilio) -> None:
    ways: dict[str, Any] = {"sms": twilio, "push": Twilio()}
    await lived(world, await world.lane(channels=ways, carriers={"sms": carrier()}))


async def told(world: World, message: Message, code: int, status: str = "undelivered") -> None:
    said = {
        "MessageSid": f"SM{message.token}", "MessageStatus": status, "To": message.address,
        "From": SENDER, "ErrorCode": str(code),
    }  # fmt: skip
    receipt = read_status(said, message.token, world.clock.now(), SENDER)
    assert receipt is not None
    await apply_receipts(world.pool, await world.portfolio(), [receipt], world.clock.now())


async def followed(world: World) -> list[Follows]:
    """What there is of each person, in order; cases, halts and waits are those of all."""
    kinds = frozenset(kind for kind, _ in await world.cases())
    halts = await world.rows("select country from sender_halt where closed_at is null")
    wait = await world.value(
        "select extract(epoch from max(not_before) - $1)::int from sender_pace where not_before > $1",
        world.clock.now(),
    )
    rows = await world.rows(
        "select a.state, n.state, c.status, s.address_key is not null from attempt a"
        " join notice n on n.loan_id = a.loan_id join contact_point c on c.id = a.contact_point_id"
        " left join suppression s on s.address_key = a.address_key order by a.loan_id"
    )
    halted = halts[0][0] if halts else None
    return [
        Follows(attempt, notice, kinds, suppressed, number, halted, wait)
        for attempt, notice, number, suppressed in rows
    ]


@pytest.mark.parametrize(("status", "codes", "follows"), ANSWERED)
async def test_a_code_in_the_answer(
    world: World, status: int, codes: tuple[int, ...], follows: Follows
) -> None:
    numbers = {phone(number): code for number, code in enumerate(codes, 1)}
    answers = {
        number: classify(status, {}, orjson.dumps({"code": code, "status": status}))
        for number, code in numbers.items()
    }
    await ready(world, *([sms(number)] for number in numbers))
    await dispatched(world, Twilio(answers))
    assert await followed(world) == [follows] * len(codes)


@pytest.mark.parametrize(("codes", "follows"), TOLD)
async def test_a_code_in_a_callback(world: World, codes: tuple[int, ...], follows: Follows) -> None:
    await ready(world, *([sms(phone(number))] for number in range(len(codes))))
    twilio = Twilio()
    await dispatched(world, twilio)
    for message, code in zip(twilio.took, codes, strict=True):
        await told(world, message, code)
        await told(world, message, code)  # Twilio may say it twice
    assert await followed(world) == [follows] * len(codes)
    # however long one waits: not again
    world.clock.advance_to(world.clock.now() + timedelta(hours=2))
    await dispatched(world, twilio)
    assert len(twilio.took) == len(codes)


def test_every_row_of_the_table_is_shown_here() -> None:
    shown = {code for _, codes, _ in ANSWERED for code in codes}
    shown |= {code for codes, _ in TOLD for code in codes}
    rows = {known.says for number, known in known_codes().items() if number in shown}
    assert rows == {known.says for known in known_codes().values()}


@pytest.mark.parametrize("code", [30003, 30036, 30410, 30007])
async def test_what_was_not_delivered_goes_by_the_next_way_if_there_is_one(
    world: World, code: int
) -> None:
    world.schedule = ladder_toml(
        stage_toml("due-today", 0, time(9), message="due-today", channels=["sms", "push"],
                   fallback_after_minutes=60)
    )  # fmt: skip
    await ready(world, [sms(phone(1)), push("app")])
    twilio, app = Twilio(), Twilio()
    ways: dict[str, Any] = {"sms": twilio, "push": app}
    lane = await world.lane(channels=ways, carriers={"sms": carrier()})
    await lived(world, lane)
    await told(world, twilio.took[0], code)
    await lived(world, replace(lane, portfolio=await world.portfolio()))
    assert (len(twilio.took), len(app.took)) == (1, 1)


async def test_a_second_message_confirms_that_a_number_is_no_good(world: World) -> None:
    stages = [
        stage_toml(f"s{n}", n, time(9), message="due-today", not_after_hours=12) for n in (0, 1)
    ]
    world.schedule = ladder_toml(*stages)
    await ready(world, [sms(phone(1))])
    twilio = Twilio()
    for day in (DUE, DUE + timedelta(days=1)):
        if world.clock.now() < world.at(day, "09:05"):
            world.wait_to(day, "09:05")
        await world.plan()
        await dispatched(world, twilio)
        assert await world.value("select status from contact_point") == "active"
        await told(world, twilio.took[-1], 30006)
    assert len(twilio.took) == 2
    assert await world.value("select status from contact_point") == "disconnected"
