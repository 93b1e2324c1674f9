"""What a sandbox phone network does with each message, as data.

Which rule catches a message is drawn by a keyed hash of the seed, never by a random generator, so a
run can be repeated exactly, whatever the order in which messages arrive.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Any

from channels.base import PUSH, SMS, Refusal, Status


class Act(StrEnum):
    """What happens to the request itself."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    LOSE_ANSWER = "lose_answer"  # the message was accepted, the sender never learns it
    DROP = "drop"  # the message was not accepted, the sender cannot know


class Loss(StrEnum):
    """How an answer gets lost over HTTP; in one process every one of them is simply unknown."""

    CUT = "cut"
    ERROR = "error"
    HALF = "half"
    WITHOUT_ID = "without_id"


class Receipts(StrEnum):
    """How receipts come back."""

    ONCE = "once"
    DOUBLED = "doubled"
    SHUFFLED = "shuffled"
    LOST = "lost"
    BEFORE_ANSWER = "before_answer"


class Key(StrEnum):
    """What the draw is keyed by: this attempt, this phone for ever, or this phone's nth message."""

    TOKEN = "token"
    ADDRESS = "address"
    TURN = "turn"


@dataclass(frozen=True, slots=True)
class Rule:
    """Catches `share` of the messages that reach it (one channel, one prefix) and acts."""

    act: Act = Act.ACCEPT
    share: float = 1.0
    channel: str | None = None
    prefix: str = ""
    key: Key = Key.TURN
    refusal: Refusal = Refusal.PERMANENT
    code: str = "sandbox"
    loss: Loss = Loss.CUT
    # seconds that the answer takes
    answer_after: float = 0.0
    receipts: Receipts = Receipts.ONCE
    # the last receipt and its seconds after acceptance; an earlier "sent" one when asked for
    fate: Status = Status.DELIVERED
    fate_after: float = 3.0
    fate_code: str | None = None
    sent_after: float | None = None

    def catches(self, channel: str, address: str) -> bool:
        """The rule speaks about this channel and this address."""
        return self.channel in (None, channel) and address.startswith(self.prefix)


@dataclass(frozen=True, slots=True)
class Script:
    """Rules in order; what none of them catches is accepted and delivered after a few seconds."""

    rules: tuple[Rule, ...] = ()
    # how far the provider's list trails its own acceptance, and which channels have a list at all
    list_lag: float = 0.0
    listed: frozenset[str] = frozenset({SMS})

    def rule_for(self, seed: int, channel: str, address: str, token: str, turn: int) -> Rule:
        """The first rule that catches this message; the same answer for the same arguments."""
        for number, rule in enumerate(self.rules):
            if not rule.catches(channel, address):
                continue
            if rule.share >= 1.0:
                return rule
            subject = {
                Key.TOKEN: token,
                Key.ADDRESS: address,
                Key.TURN: f"{address}#{turn}",
            }[rule.key]
            if draw(seed, number, subject) < rule.share:
                return rule
        return _DELIVERED


_DELIVERED = Rule()
DEFAULT_SCRIPT = Script()


def draw(seed: int, number: int, subject: str) -> float:
    """A number in [0, 1) that only depends on its arguments."""
    digest = blake2b(f"{number}:{subject}".encode(), key=seed.to_bytes(8), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def script_from(raw: Mapping[str, Any]) -> Script:
    """A script from parsed TOML or JSON: `[[rule]]` tables whose keys are the fields of `Rule`."""
    listed = raw.get("listed", (SMS,))
    if not set(listed) <= {SMS, PUSH}:
        raise ValueError(f"unknown channel in listed: {listed}")
    return Script(
        tuple(_rule(fields) for fields in raw.get("rule", ())),
        float(raw.get("list_lag", 0.0)),
        frozenset(listed),
    )


def read_script(path: Path) -> Script:
    """A script from a TOML file."""
    return script_from(tomllib.loads(path.read_text()))


_ENUMS: Mapping[str, type[StrEnum]] = {
    "act": Act,
    "key": Key,
    "refusal": Refusal,
    "loss": Loss,
    "receipts": Receipts,
    "fate": Status,
}


def _rule(fields: Mapping[str, Any]) -> Rule:
    typed: dict[str, Any] = {
        name: _ENUMS[name](value) if name in _ENUMS else value for name, value in fields.items()
    }
    return Rule(**typed)
