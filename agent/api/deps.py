"""What the HTTP API works with, given by the composition root."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg
from aiohttp import web

from agent.api.keys import ApiKey
from agent.clock import Clock
from agent.flows.intake import Taken

BODY_LIMIT = 16 * 1024 * 1024

# numbered lines of CloudEvents, as `agent.flows.intake.take` wants them
Take = Callable[[Iterable[tuple[int, bytes]]], Awaitable[Taken]]


@dataclass(frozen=True, slots=True)
class Deps:
    """The pool, the clock, intake, who may call, and how the doorbell is asked whether it is there."""

    pool: "asyncpg.Pool[Any]"
    clock: Clock
    take: Take
    api_keys: tuple[ApiKey, ...] = ()
    ping_doorbell: Callable[[], Awaitable[bool]] | None = None
    body_limit: int = BODY_LIMIT


DEPS = web.AppKey("deps", Deps)
