"""A stand-in phone network without any IO: it accepts, delivers, refuses, loses and calls back.

It keeps its own log of what it accepted. That log is a witness: it knows nothing of our rows, so
"never twice" and "none lost" can be checked against it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from heapq import heappop, heappush

from channels.base import (
    Accepted,
    Answer,
    Listed,
    Listing,
    Message,
    Receipt,
    Refused,
    Status,
)
from channels.sandbox.script import DEFAULT_SCRIPT, Act, Loss, Receipts, Rule, Script


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that the network accepted: one line of its truth log."""

    provider_id: str
    token: str
    channel: str
    address: str
    title: str | None
    body: str
    at: datetime
    status_url: str | None


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing usable comes back to the sender, whether or not the message was accepted."""

    loss: Loss


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes back, after how many seconds, and what was accepted whatever comes back."""

    answer: Answer | Lost
    after: float = 0.0
    heard: Heard | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """A receipt and the address it is to be posted to."""

    receipt: Receipt
    status_url: str | None


class SandboxNetwork:
    """The network's state: its log, its receipts to come, and the script it follows."""

    def __init__(
        self, script: Script = DEFAULT_SCRIPT, seed: int = 0, *, began: datetime | None = None
    ) -> None:
        self.script = script
        self._began = began
        self._seed = seed
        self._log: list[Heard] = []
        self._by_address: dict[tuple[str, str], list[Heard]] = {}
        self._turns: dict[str, int] = {}
        self._due: list[tuple[datetime, int, Posted]] = []
        self._posted = 0

    @property
    def accepted(self) -> tuple[Heard, ...]:
        """The truth log: every message accepted, in order."""
        return tuple(self._log)

    def accept(self, message: Message, at: datetime) -> Reply:
        """Do with this message what the script says."""
        rule = self._rule_for(message)
        match rule.act:
            case Act.ACCEPT:
                heard = self._hear(message, at, rule)
                return Reply(Accepted(heard.provider_id), rule.answer_after, heard)
            case Act.REFUSE:
                return Reply(Refused(rule.code, rule.refusal), rule.answer_after)
            case Act.LOSE_ANSWER:
                heard = self._hear(message, at, rule)
                return Reply(Lost(rule.loss), rule.answer_after, heard)
            case Act.DROP:
                return Reply(Lost(rule.loss), rule.answer_after)

    def receipts(self, until: datetime) -> list[Receipt]:
        """Take the receipts that are due by then, oldest first."""
        return [posted.receipt for posted in self.post(until)]

    def post(self, until: datetime) -> list[Posted]:
        """The same, with the address each one is to be posted to."""
        taken = []
        while self._due and self._due[0][0] <= until:
            taken.append(heappop(self._due)[2])
        return taken

    def next_receipt_at(self) -> datetime | None:
        """When the next receipt falls due: where a virtual clock has to stop."""
        return self._due[0][0] if self._due else None

    def listing(self, channel: str, address: str, since: datetime, now: datetime) -> Listing:
        """The network's list of messages to one address; push networks have none.

        A network that lives in a process cannot speak for the time before it began.
        """
        if channel not in self.script.listed:
            return Listing(complete=False)
        visible = now - timedelta(seconds=self.script.list_lag)
        heard = self._by_address.get((channel, address), ())
        return Listing(
            complete=self._began is None or since >= self._began,
            messages=tuple(
                Listed(one.provider_id, one.address, one.body, one.at)
                for one in heard
                if since <= one.at <= visible
            ),
        )

    def _rule_for(self, message: Message) -> Rule:
        address = message.address
        turn = self._turns[address] = self._turns.get(address, 0) + 1
        return self.script.rule_for(self._seed, message.channel, address, message.token, turn)

    def _hear(self, message: Message, at: datetime, rule: Rule) -> Heard:
        heard = Heard(
            _provider_id(message.channel, message.token),
            message.token,
            message.channel,
            message.address,
            message.title,
            message.body,
            at,
            message.status_url,
        )
        self.restore(heard)
        for receipt in _receipts(heard, rule):
            self._posted += 1
            posted = Posted(receipt, heard.status_url)
            heappush(self._due, (receipt.at, self._posted, posted))
        return heard

    def restore(self, heard: Heard) -> None:
        """Put a line of an earlier process's log back, without its receipts."""
        self._log.append(heard)
        self._by_address.setdefault((heard.channel, heard.address), []).append(heard)


def _provider_id(channel: str, token: str) -> str:
    # Twilio's shape (two letters, 32 hex digits), so that nothing downstream grows used to less.
    prefix = "SM" if channel == "sms" else "PN"
    return prefix + blake2b(token.encode(), digest_size=16).hexdigest()


def _receipts(heard: Heard, rule: Rule) -> Iterator[Receipt]:
    told = _story(heard, rule)
    match rule.receipts:
        case Receipts.ONCE:
            yield from told
        case Receipts.LOST:
            return
        case Receipts.DOUBLED:
            for receipt in told:
                yield receipt
                yield receipt
        case Receipts.SHUFFLED:
            # the last word first: times stay, statuses change places
            times = [receipt.at for receipt in told]
            yield from (
                receipt._replace(at=at) for receipt, at in zip(reversed(told), times, strict=True)
            )
        case Receipts.BEFORE_ANSWER:
            yield from (receipt._replace(at=heard.at) for receipt in told)


def _story(heard: Heard, rule: Rule) -> list[Receipt]:
    told = [_receipt(heard, rule.fate, rule.fate_code, rule.fate_after)]
    if rule.sent_after is not None:
        told.insert(0, _receipt(heard, Status.SENT, None, rule.sent_after))
    return told


def _receipt(heard: Heard, status: Status, code: str | None, after: float) -> Receipt:
    at = heard.at + timedelta(seconds=after)
    return Receipt(heard.channel, heard.provider_id, status, heard.token, code, at)
