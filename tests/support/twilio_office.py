"""Our Twilio webhooks on a port of their own, and posts to them signed as Twilio signs."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp
import asyncpg
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from twilio.request_validator import RequestValidator

from agent.api.inbox import Inbox, ReceiptInbox, Store
from agent.api.problem import answer_problems
from agent.api.twilio_webhooks import TwilioHooks, add_twilio_webhooks
from agent.clock import Clock
from agent.flows.inbound import hearing
from agent.flows.portfolios import Portfolio
from agent.flows.receipts import receiving
from agent.store.keyring import Keyring
from channels.base import Receipt
from channels.sms_twilio.wire import status_path
from tests.support.twilio_stand_in import ACCOUNT, AUTH_TOKEN

SENDER = "+15005550006"
OLD_TOKEN = "the-token-before"


@dataclass(frozen=True, slots=True)
class Office:
    """Where the webhooks listen."""

    public: str
    callback_key: bytes
    http: aiohttp.ClientSession

    @property
    def inbound_url(self) -> str:
        return f"{self.public}/webhooks/twilio/inbound"

    def status_url(self, lane: int, token: str) -> str:
        return self.public + status_path(str(lane), token, self.callback_key)

    async def post(
        self,
        url: str,
        said: Mapping[str, str],
        *,
        secret: str = AUTH_TOKEN,
        signed_url: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """One webhook; its answer."""
        signature = RequestValidator(secret).compute_signature(signed_url or url, said)
        form = urlencode(said).encode() if body is None else body
        sent = {
            "X-Twilio-Signature": signature,
            "Content-Type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        async with self.http.post(url, data=form, headers=sent) as answer:
            return answer.status, await answer.read()


@asynccontextmanager
async def twilio_office(
    pool: asyncpg.Pool,
    keyring: Keyring,
    clock: Clock,
    portfolio: Callable[[], Portfolio] | None = None,
    path: str = "",
) -> AsyncIterator[Office]:
    """The production webhooks on the production flows. `path`: what our address has after its host."""

    @asynccontextmanager
    async def receipts(lane: int) -> AsyncIterator[Store[Receipt]]:
        assert portfolio is not None
        assert lane == portfolio().id
        async with receiving(pool, portfolio(), clock.now) as store:
            yield store

    replies = Inbox(lambda _lane: hearing(pool, keyring, clock.now))
    app, port = web.Application(middlewares=[answer_problems]), unused_port()
    public = f"http://127.0.0.1:{port}{path}"
    secrets = (AUTH_TOKEN, OLD_TOKEN)
    hooks = TwilioHooks(
        public, ACCOUNT, secrets, keyring.callback_key, clock, ReceiptInbox(receipts), replies,
        SENDER,
    )  # fmt: skip
    add_twilio_webhooks(app, hooks)
    async with TestServer(app, port=port), aiohttp.ClientSession() as http:
        yield Office(public, keyring.callback_key, http)


def reply(sid: str, text: str, sender: str, **also: str) -> dict[str, str]:
    """The form of a message that somebody sent us."""
    return {
        "MessageSid": sid, "SmsSid": sid, "AccountSid": ACCOUNT, "From": sender,
        "To": "+15005550006", "Body": text, "NumMedia": "0", "ApiVersion": "2010-04-01", **also,
    }  # fmt: skip
