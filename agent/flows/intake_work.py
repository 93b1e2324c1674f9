"""The people of a batch of intake: as stored, then as the batch leaves them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.store.keyring import Keyring, PersonKey

Key = tuple[int, int]
Address = tuple[str, bytes]


@dataclass(slots=True)
class Point:
    """An address of a person as it stands in the batch."""

    id: int
    status: str
    told_at: datetime
    consent: tuple[str | None, datetime | None] = (None, None)
    block: str | None = None
    is_new: bool = False


@dataclass(slots=True)
class Placing:
    """Where a person is thought to be, and why; `stale` once something was said that may change it."""

    zones: tuple[str, ...] = ()
    region: str | None = None
    clues: dict[str, Any] = field(default_factory=dict)
    stale: bool = True


@dataclass(slots=True)
class PersonWork:
    """One person of a batch: as stored, then as the batch leaves them.

    `zones` and `region` are what the ledger itself named; where the person may be is in `placing`.
    """

    portfolio_id: int
    id: int
    ref: str
    locale: str
    region: str | None
    zones: tuple[str, ...]
    keyring: Keyring = field(repr=False)
    # the data key and the personal values as they are stored
    wrapped: bytes | None
    personal: bytes | None = None
    rev: int = 0
    name: str | None = None
    is_new: bool = True
    changed: bool = False
    heard: bool = False
    moved_at: datetime | None = None
    # epoch seconds of the newest word on each field, and on the list of addresses as a whole
    told: dict[str, float] = field(default_factory=dict)
    points: dict[Address, Point] = field(default_factory=dict)
    placing: Placing = field(default_factory=Placing)
    opened: PersonKey | None = field(default=None, repr=False)

    @property
    def key(self) -> PersonKey | None:
        """Unwrapped only where something is sealed or read: a payment says nothing of its person."""
        if self.opened is None and self.wrapped is not None:
            self.opened = self.keyring.person_key(self.wrapped)
        return self.opened


@dataclass(slots=True)
class People:
    """The people of a batch, locked; found by reference or by id."""

    by_ref: dict[tuple[int, str], PersonWork] = field(default_factory=dict)
    by_id: dict[Key, PersonWork] = field(default_factory=dict)

    def add(self, person: PersonWork) -> None:
        self.by_ref[person.portfolio_id, person.ref] = person
        self.by_id[person.portfolio_id, person.id] = person
