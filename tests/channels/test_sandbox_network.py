"""The sandbox phone does what its script says, the same way every time, and remembers the truth."""

from datetime import UTC, datetime, timedelta

import pytest

from channels.base import (
    TOO_LATE,
    Accepted,
    Message,
    Receipt,
    Refusal,
    Refused,
    Status,
    Unknown,
)
from channels.sandbox.channel import SandboxChannel
from channels.sandbox.network import SandboxNetwork
from channels.sandbox.script import Act, Key, Receipts, Rule, Script, draw, script_from

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER = AT + timedelta(days=1)


def message(number: int = 0, address: str = "+2348030000001", channel: str = "sms") -> Message:
    return Message(f"{number:032x}", channel, None, address, None, f"text {number}", 15.0)


def channel_of(
    network: SandboxNetwork, monotonic: float = 0.0, name: str = "sms"
) -> SandboxChannel:
    return SandboxChannel(network, name, lambda: AT, lambda: monotonic)


async def test_by_default_accepts_and_delivers_after_a_few_seconds() -> None:
    network = SandboxNetwork()
    answer = await channel_of(network).send(message())
    assert isinstance(answer, Accepted)
    [heard] = network.accepted
    assert (heard.token, heard.body, heard.at) == (f"{0:032x}", "text 0", AT)
    assert network.receipts(AT) == []
    assert network.next_receipt_at() == AT + timedelta(seconds=3)
    due = AT + timedelta(seconds=3)
    assert network.receipts(LATER) == [
        Receipt("sms", answer.provider_id, Status.DELIVERED, heard.token, None, due)
    ]
    assert network.receipts(LATER) == []


async def test_nothing_is_heard_at_or_after_the_deadline() -> None:
    network = SandboxNetwork()
    assert await channel_of(network, monotonic=15.0).send(message()) == TOO_LATE
    assert network.accepted == ()


@pytest.mark.parametrize("kind", list(Refusal))
async def test_refusals_are_told_and_not_heard(kind: Refusal) -> None:
    network = SandboxNetwork(Script((Rule(Act.REFUSE, refusal=kind, code="21610"),)))
    assert await channel_of(network).send(message()) == Refused("21610", kind)
    assert network.accepted == ()


async def test_a_lost_answer_and_a_dropped_request_look_the_same_to_the_sender() -> None:
    lost, dropped = (
        SandboxNetwork(Script((Rule(Act.LOSE_ANSWER),))),
        SandboxNetwork(Script((Rule(Act.DROP),))),
    )
    assert await channel_of(lost).send(message()) == Unknown("sandbox-cut")
    assert await channel_of(dropped).send(message()) == Unknown("sandbox-cut")
    assert len(lost.accepted) == 1
    assert dropped.accepted == ()
    assert lost.listing("sms", message().address, AT, LATER).messages[0].body == "text 0"
    assert dropped.listing("sms", message().address, AT, LATER).messages == ()


async def test_an_answer_later_than_the_deadline_is_unknown() -> None:
    network = SandboxNetwork(Script((Rule(answer_after=20.0),)))
    assert await channel_of(network).send(message()) == Unknown("timeout")
    assert len(network.accepted) == 1


@pytest.mark.parametrize(
    ("how", "statuses"),
    [
        (Receipts.ONCE, ["sent", "undelivered"]),
        (Receipts.DOUBLED, ["sent", "sent", "undelivered", "undelivered"]),
        (Receipts.SHUFFLED, ["undelivered", "sent"]),
        (Receipts.LOST, []),
    ],
)
async def test_receipts_come_as_scripted(how: Receipts, statuses: list[str]) -> None:
    rule = Rule(receipts=how, fate=Status.UNDELIVERED, sent_after=1.0)
    network = SandboxNetwork(Script((rule,)))
    await channel_of(network).send(message())
    assert [receipt.status for receipt in network.receipts(LATER)] == statuses


async def test_a_receipt_can_come_before_the_answer() -> None:
    network = SandboxNetwork(Script((Rule(receipts=Receipts.BEFORE_ANSWER, answer_after=2.0),)))
    await channel_of(network).send(message())
    assert [receipt.status for receipt in network.receipts(AT)] == ["delivered"]


async def test_the_list_trails_and_push_has_none() -> None:
    network = SandboxNetwork(Script(list_lag=60.0))
    await channel_of(network).send(message())
    await channel_of(network, name="push").send(message(1, "device", "push"))
    address = message().address
    assert network.listing("sms", address, AT, AT + timedelta(seconds=59)).messages == ()
    assert len(network.listing("sms", address, AT, AT + timedelta(seconds=60)).messages) == 1
    assert network.listing("sms", address, AT + timedelta(seconds=1), LATER).messages == ()
    assert not (await channel_of(network, name="push").listing("device", AT)).complete


async def test_a_network_does_not_speak_for_the_time_before_it_began() -> None:
    network = SandboxNetwork(began=AT)
    assert network.listing("sms", "+1", AT, LATER).complete
    assert not network.listing("sms", "+1", AT - timedelta(seconds=1), LATER).complete


async def test_the_same_seed_makes_the_same_run_whatever_the_tokens() -> None:
    script = Script((Rule(Act.REFUSE, share=0.3), Rule(Act.DROP, share=0.3)))

    async def run(seed: int, tokens: int) -> list[str]:
        network = SandboxNetwork(script, seed)
        return [
            type(await channel_of(network).send(message(tokens + n, f"+23480{n % 20}"))).__name__
            for n in range(200)
        ]

    first = await run(7, 0)
    assert first == await run(7, 10_000)
    assert first != await run(8, 0)
    assert {name: first.count(name) for name in set(first)}.keys() == {
        "Refused",
        "Unknown",
        "Accepted",
    }


def test_draws_are_even() -> None:
    drawn = [draw(1, 0, str(n)) for n in range(4000)]
    assert 0.27 < sum(value < 0.3 for value in drawn) / 4000 < 0.33


def test_a_script_is_data() -> None:
    script = script_from(
        {
            "list_lag": 5,
            "rule": [
                {"act": "refuse", "refusal": "opted_out", "code": "21610", "prefix": "+1"},
                {"act": "lose_answer", "share": 0.1, "key": "address", "receipts": "doubled"},
            ],
        }
    )
    assert script.rules[0] == Rule(Act.REFUSE, prefix="+1", refusal=Refusal.OPTED_OUT, code="21610")
    assert script.rules[1].key is Key.ADDRESS
    assert script.rule_for(0, "sms", "+1555", "t", 1) is script.rules[0]
    with pytest.raises(TypeError):
        script_from({"rule": [{"acts": "refuse"}]})
