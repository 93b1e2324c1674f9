"""A lender's own texts in place of the shipped ones, as they are when a batch begins.

Which set a portfolio has is said by its row, which every begin reads under its lock: what was saved before
is what the begin has. A set is read and parsed once a process.
"""

from collections.abc import Mapping
from dataclasses import replace

from agent.domain.message import Texts, compile_texts
from agent.domain.text_files import TextId, digest_of
from agent.flows.lane import Lane
from agent.flows.rules import BadRules
from agent.store import own_texts as stored
from agent.store.sql import Connection

# Sets kept parsed: one for each portfolio that has own texts, and the few that were in force before.
_KEPT_MAX = 256
_KEPT: dict[tuple[Texts, str], Texts] = {}


async def with_own_texts(conn: Connection, lane: Lane, name: str) -> Lane:
    """The lane with the set of this name, which the portfolio's row said; without one, as it is."""
    if not name:
        return lane
    return replace(lane, texts=await _texts(conn, lane.portfolio.id, lane.texts, name))


async def texts_of(conn: Connection, portfolio_id: int, shipped: Texts) -> Texts:
    """The texts that a portfolio has now: its own, and the shipped ones where it has none."""
    name = await stored.set_name(conn, portfolio_id)
    return await _texts(conn, portfolio_id, shipped, name) if name else shipped


async def _texts(conn: Connection, portfolio_id: int, shipped: Texts, name: str) -> Texts:
    known = _KEPT.get((shipped, name))
    if known is None:
        own = stored.sources(await stored.newest(conn, portfolio_id))
        known = over(shipped, own)
        while len(_KEPT) >= _KEPT_MAX:
            _KEPT.pop(next(iter(_KEPT)))
        # by what was read: a set that is changed at this moment has another name
        _KEPT[shipped, digest_of(own)] = known
    return known


def over(shipped: Texts, own: Mapping[TextId, str]) -> Texts:
    """Own texts over the shipped ones; raises `BadRules` for one that this release cannot read.

    Nothing is sent then: the shipped text in its place would be words that nobody chose.
    """
    found = compile_texts(own)
    if not isinstance(found, Texts):
        told = "; ".join(f"{one.where}: {one.what} ({one.fix})" for one in found)
        raise BadRules(f"own texts cannot be read, save or withdraw them: {told}")
    return replace(shipped, sms={**shipped.sms, **found.sms}, push={**shipped.push, **found.push})
