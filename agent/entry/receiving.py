"""Composes where receipts and replies go: inboxes on the production flows, one connection a lane."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from agent.api.inbox import Inbox, ReceiptInbox, Store
from agent.flows.inbound import hearing
from agent.flows.portfolios import Portfolio
from agent.flows.receipts import apply_receipts, receiving
from agent.wiring import System
from channels.base import Inbound, Receipt

# A receipt only needs its portfolio's schedule, and asks for another version where it is not this one.
KEEP_SECONDS = 30.0


class Addressees:
    """The portfolios that receipts are for, as they were a moment ago."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._known: Mapping[int, Portfolio] = {}
        self._until = 0.0

    async def get(self, lane: int) -> Portfolio | None:
        """A portfolio that is not known yet is looked for at once."""
        now = self._system.clock.monotonic()
        if lane not in self._known or now >= self._until:
            self._known = await self._system.portfolios()
            self._until = now + KEEP_SECONDS
        return self._known.get(lane)

    async def apply(self, lane: int, receipts: Sequence[Receipt]) -> None:
        """Apply receipts of one lane; what comes for nobody is for nobody."""
        portfolio = await self.get(lane)
        if portfolio is not None:
            now = self._system.clock.now()
            await apply_receipts(self._system.pool, portfolio, receipts, now)


def receipt_inbox(system: System) -> ReceiptInbox:
    """Receipts of all channels, by lane."""
    addressees = Addressees(system)

    @asynccontextmanager
    async def opens(lane: int) -> AsyncIterator[Store[Receipt]]:
        portfolio = await addressees.get(lane)
        if portfolio is None:
            yield _drop
            return
        async with receiving(system.pool, portfolio, system.clock.now) as store:
            yield store

    return ReceiptInbox(opens)


async def _drop(_receipts: Sequence[Receipt]) -> None:
    """Signed for a lane that is gone."""


def reply_inbox(system: System) -> Inbox[Inbound]:
    """What people send to us; one sender serves all portfolios, so there is one lane."""
    return Inbox(lambda _lane: hearing(system.pool, system.keyring, system.clock.now))
