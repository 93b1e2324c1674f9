"""A town under packs of its own choice, and what its gate answered."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from agent.domain.conduct import Pack, compile_pack
from agent.flows.dispatch import run_lane
from agent.flows.lane import Lane
from agent.flows.rules import installed
from tests.support.world import World

Answer = tuple[str, list[str]]


def pack_of(*rules: dict[str, Any], **head: Any) -> Pack:
    """A pack of a few rules."""
    found = compile_pack({"pack": {"id": "test", **head}, "rules": rules}, "1")
    assert isinstance(found, Pack), found
    return found


async def lane_under(
    town: World, named: Sequence[str], *more: Pack, role: str | None = "first_party"
) -> Lane:
    """The town's lane with these shipped packs, and with others besides."""
    await town.pool.execute("update portfolio set role = $1, packs = $2", role, list(named))
    lane = await town.lane()
    return replace(lane, packs=(*installed(named), *more))


async def decided(
    town: World, named: Sequence[str], *more: Pack, role: str | None = "first_party"
) -> list[Answer]:
    """Plan and dispatch now; every decision of this instant with all its rules."""
    await town.plan()
    await run_lane(await lane_under(town, named, *more, role=role))
    return await answers(town, town.clock.now())


async def answers(town: World, at: datetime) -> list[Answer]:
    """The decisions of one instant."""
    rows = await town.pool.fetch(
        "select verdict, rules from decision where decided_at = $1 order by id", at
    )
    return [(row["verdict"], row["rules"]) for row in rows]
