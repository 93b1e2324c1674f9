"""Events as rows: stored once by id, with what became of them, their personal part encrypted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent.domain.event import Event
from agent.flows.intake_work import People
from agent.flows.reading import Read
from agent.flows.routing import Item, person_ref
from agent.store.intake import EventRow, insert_events
from agent.store.keyring import Keyring, event_place, seal
from agent.store.sql import Connection, execute


@dataclass(slots=True)
class EventRows:
    """Events with what became of them; those that were stored before only change their state."""

    step: int
    new: list[EventRow] = field(default_factory=list)
    woken: list[Item] = field(default_factory=list)

    def add(self, keyring: Keyring, people: People, items: Iterable[Item]) -> None:
        """Items that were applied or refused."""
        for item in items:
            if item.read is not None:
                self.new.append(_row(keyring, people, item, item.read, self.step))
            elif item.refused is None or item.refused.reason != item.parked_for:
                # a reversal that waited for its loan may now wait for its payment
                self.woken.append(item)


async def write_events(conn: Connection, events: EventRows) -> None:
    """Store what is new, and what became of those that had waited."""
    await insert_events(conn, events.new)
    if events.woken:
        await _unpark(conn, events.woken, events.step)


def _row(keyring: Keyring, people: People, item: Item, read: Read, step: int) -> EventRow:
    event, refused = item.event, item.refused
    return EventRow(
        item.portfolio_id, event.id, event.source, event.type, event.subject, event.at,
        item.known_at, step, item.position, "rejected" if refused else "applied",
        refused.reason.value if refused else None, read.sha256, read.public,
        _sealed(keyring, people, item.portfolio_id, event, read.personal),
    )  # fmt: skip


def _sealed(
    keyring: Keyring, people: People, portfolio_id: int, event: Event, personal: bytes | None
) -> bytes | None:
    if personal is None:
        return None
    person = people.by_ref.get((portfolio_id, person_ref(event) or ""))
    key = None if person is None else person.key
    if key is None:
        return keyring.seal_loose(personal, event_place(event.id))
    return seal(key, personal, event_place(event.id))


async def _unpark(conn: Connection, woken: Sequence[Item], step: int) -> None:
    await execute(
        conn,
        "unpark",
        old_portfolios=[item.parked_in for item in woken],
        ids=[item.event.id for item in woken],
        portfolios=[item.portfolio_id for item in woken],
        states=["rejected" if item.refused else "applied" for item in woken],
        reasons=[item.refused.reason.value if item.refused else None for item in woken],
        received=[item.known_at for item in woken],
        positions=[item.position for item in woken],
        step=step,
    )
