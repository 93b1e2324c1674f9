"""The webhooks of Twilio as a part: the production application on the production flows, and an empty handler.

`python -m benchmarks.webhook_process` (a part).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import process_time
from typing import Any

from aiohttp import web

from agent.api.app import make_app
from agent.api.deps import Deps
from agent.api.inbox import Inbox, ReceiptInbox
from agent.api.twilio_webhooks import TwilioHooks, add_twilio_webhooks
from agent.clock import SystemClock
from agent.entry.collector import quiet_collector
from agent.flows.inbound import hearing
from agent.flows.intake import Desk, take
from agent.flows.receipts import receiving
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from benchmarks import village
from benchmarks.parts import Answering, Said, play
from schedules import ladder_text


async def _empty(_request: web.Request) -> web.Response:
    return web.Response(status=204)


@asynccontextmanager
async def serving(config: Said) -> AsyncIterator[Answering]:
    """Listen on the port that the configuration names."""
    clock, keyring = SystemClock(), Keyring(bytes.fromhex(config["master_key"]))
    pool = await open_pool(config["database_url"])
    home = await village.portfolio(pool, clock.now())

    desk = Desk(pool, keyring, "bench", ladder_text("consumer-instalment"))
    app = make_app(Deps(pool, clock, lambda lines: take(desk, lines, clock.now())))
    bare = web.Application()
    bare.router.add_post("/empty", _empty)
    hooks = TwilioHooks(
        config["public_url"], config["account_sid"], tuple(config["secrets"]), keyring.callback_key,
        clock,
        ReceiptInbox(lambda _lane: receiving(pool, home, clock.now)),
        Inbox(lambda _lane: hearing(pool, keyring, clock.now)),
    )  # fmt: skip
    add_twilio_webhooks(app, hooks)
    runners = [web.AppRunner(one, access_log=None) for one in (app, bare)]
    for runner, port in zip(runners, (config["port"], config["bare_port"]), strict=True):
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
    quiet_collector()

    async def answer(_said: Said) -> Mapping[str, Any]:
        return {"cpu": process_time()}

    yield answer
    for runner in runners:
        await runner.cleanup()
    await pool.close()


if __name__ == "__main__":
    play(serving)
