"""SMS through Twilio: one POST a message by the official library, and its lists for what was missed."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

import aiohttp
import orjson
from twilio.base.exceptions import TwilioException
from twilio.rest import Client

from channels.base import (
    NO_CONNECTION,
    TOO_LATE,
    Answer,
    Inbound,
    InboundList,
    Listed,
    Listing,
    Message,
    Receipt,
)
from channels.concurrency import Told, Turns
from channels.handover import MARGIN, STEP, after_failure
from channels.sms_twilio.answers import TOO_MANY, classify
from channels.sms_twilio.transport import Exchange, Transport, exchanging
from channels.sms_twilio.wire import RETRY_FRAGMENT, read_inbound, read_status, status_path

BASE_URL = "https://api.twilio.com"
# The provider's own queue must not hold a message longer than this, whatever the window says.
VALIDITY_MAX = 900
# How long one page of a list may take, and after how long no more of them are asked for.
LIST_SECONDS, LISTS_END = 10.0, 120.0
PAGE_SIZE = 500
# A number gets few messages; everybody's replies of an hour stand among all that an account sent.
PAGES_MAX, INBOUND_PAGES_MAX = 200, 1000
# By so much the provider's clock may be behind ours before a message looks older than its own sending.
CLOCKS_DIFFER = timedelta(minutes=15)
_FAILURES = (
    TwilioException, aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError,
    AttributeError, RecursionError,
)  # fmt: skip

UNDATED = datetime.max.replace(tzinfo=UTC)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """Who sends: credentials, and a Messaging Service or a number."""

    account_sid: str
    auth_token: str = field(repr=False)
    sender: str
    public_url: str
    callback_key: bytes = field(repr=False)
    base_url: str = BASE_URL
    discard_content: bool = False
    obfuscate_addresses: bool = False

    @property
    def is_service(self) -> bool:
        """Senders are a Messaging Service (MG…) or a number."""
        return self.sender.startswith("MG")


class TwilioSms:
    """One Twilio account as a channel."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        account: Account,
        monotonic: Callable[[], float],
        at_once: int = 64,
    ) -> None:
        self.account = account
        self._turns = Turns(at_once, monotonic)
        self._monotonic = monotonic
        transport = Transport(session, account.base_url, monotonic)
        # an environment of its own: TWILIO_EDGE and its like would send elsewhere unasked
        self._client = Client(
            account.account_sid, account.auth_token, http_client=transport, environment={"": ""}
        )
        self._client.api.base_url = account.base_url.rstrip("/")
        self._fixed = self._settled()

    @property
    def sender(self) -> str:
        """Whom borrowers see; pace and breaker are kept by it."""
        return self.account.sender

    def _settled(self) -> Mapping[str, object]:
        account = self.account
        kept: dict[str, object] = (
            {"messaging_service_sid": account.sender}
            if account.is_service
            else {"from_": account.sender}
        )
        if account.discard_content:
            kept["content_retention"] = "discard"
        if account.obfuscate_addresses:
            kept["address_retention"] = "obfuscate"
        return kept

    async def send(self, message: Message) -> Answer:
        """One POST. What it came to is read off the wire, not off the library's exceptions."""
        left = message.deadline - self._monotonic() - MARGIN
        if left < STEP or not await self._turns.enter(left - STEP):
            return TOO_LATE
        sent_at, told = self._monotonic(), None
        exchange = Exchange(
            deadline=message.deadline - MARGIN, left=message.deadline - sent_at - MARGIN
        )
        try:
            with exchanging(exchange), suppress(*_FAILURES):
                await self._client.messages.create_async(**self._parameters(message))
            told = _told(exchange, sent_at, self._monotonic())
        finally:
            self._turns.leave(told)
        if exchange.status is not None:
            return classify(exchange.status, exchange.headers, exchange.body)
        if exchange.payload is None:
            return NO_CONNECTION
        return after_failure(exchange.payload, exchange.problem or Unanswered())

    def _parameters(self, message: Message) -> dict[str, object]:
        good_for = VALIDITY_MAX if message.good_for is None else message.good_for
        given: dict[str, object] = {
            **self._fixed,
            "to": message.address,
            "body": message.body,
            # never over the end of the contact window: an accepted message may wait in a queue for hours
            "validity_period": max(1, min(good_for, VALIDITY_MAX)),
        }
        if message.status_url is not None:
            lane, token = message.status_url.rsplit("/", 2)[1:]
            path = status_path(lane, token, self.account.callback_key)
            given["status_callback"] = f"{self.account.public_url}{path}{RETRY_FRAGMENT}"
        return given

    async def listing(self, address: str, since: datetime) -> Listing:
        """Every message to this address, without a date filter: that one hides what was not sent yet.

        A text that the provider no longer shows could be ours, and so could one to a number that it does not
        show: such a list proves no absence.
        """
        since = since.replace(microsecond=0) - CLOCKS_DIFFER
        pages = await self._pages(PAGES_MAX, lambda row: _outbound(row, address, since), to=address)
        hidden = any(not one.body for one in pages.found)
        undated = any(one.at == UNDATED for one in pages.found)
        proves = not (hidden or undated or self.account.obfuscate_addresses)
        return Listing(pages.complete and proves, tuple(pages.found))

    async def inbound(self, since: datetime, until: datetime | None = None) -> InboundList:
        """What was sent to us in that time. An inbound message is born sent, so a date filter shows it."""
        asked: dict[str, object] = {"date_sent_after": since.astimezone(UTC)}
        if until is not None:
            asked["date_sent_before"] = until.astimezone(UTC)
        if not self.account.is_service:
            asked["to"] = self.account.sender
        pages = await self._pages(INBOUND_PAGES_MAX, lambda row: _inbound(row, since), **asked)
        return InboundList(pages.complete, tuple(pages.found))

    async def told(self, token: str, provider_id: str, now: datetime) -> Receipt | None:
        """What the provider says of one message now; None if it says nothing new or does not answer."""
        try:
            with exchanging(Exchange(self._monotonic() + LIST_SECONDS, LIST_SECONDS)):
                row = await self._client.messages(provider_id).fetch_async()
            said = {"MessageSid": provider_id, "MessageStatus": str(row.status)}
            if row.error_code:
                said["ErrorCode"] = str(row.error_code)
            return read_status(said, token, now, self.sender)
        except _FAILURES:
            return None

    async def _pages(
        self, most: int, read: Callable[[Any], T | None], **asked: object
    ) -> "_Pages[T]":
        """What was found on all pages of a list, and whether the last one was read."""
        found: list[T] = []
        seen: set[str] = set()
        left, ends = LIST_SECONDS, self._monotonic() + LISTS_END
        try:
            for number in range(most):
                if self._monotonic() > ends:
                    break
                with exchanging(Exchange(self._monotonic() + left, left)) as exchange:
                    if number == 0:
                        page = await self._client.messages.page_async(**asked, page_size=PAGE_SIZE)
                    else:
                        page = await page.next_page_async()
                    found += [one for row in page if (one := read(row)) is not None]
                if "next_page_uri" not in orjson.loads(exchange.body):
                    break
                if not page.next_page_url:
                    return _Pages(found, complete=True)
                if page.next_page_url in seen:
                    break
                seen.add(page.next_page_url)
        except _FAILURES:
            pass
        return _Pages(found, complete=False)


class _Pages(NamedTuple, Generic[T]):
    """What a list said of interest; only a complete one says that there is nothing else."""

    found: list[T]
    complete: bool


def _outbound(row: Any, address: str, since: datetime) -> Listed | None:
    """A message of ours, unless it is older; one without a date may be of any time."""
    if not str(row.direction).startswith("outbound"):
        return None
    if not row.sid:
        raise ValueError("a message without an id")
    created = _instant(row.date_created) or UNDATED
    if created < since:
        return None
    return Listed(row.sid, address, row.body or "", created)


def _inbound(row: Any, since: datetime) -> Inbound | None:
    """A message to us; whatever else is odd about it, it may be a STOP."""
    if row.direction != "inbound":
        return None
    said = {
        "MessageSid": str(row.sid or ""), "From": str(row.from_ or ""), "To": str(row.to or ""),
        "Body": str(row.body or ""), "NumMedia": str(row.num_media or ""),
    }  # fmt: skip
    return read_inbound(said, _instant(row.date_created) or since)


def _told(exchange: Exchange, sent_at: float, at: float) -> Told | None:
    """What the answer says of how many requests are under way; Twilio counts those of the whole account."""
    if exchange.status is None:
        return None
    said = exchange.headers.get("Twilio-Concurrent-Requests", "")
    counted = int(said) if said.isascii() and said.isdigit() and len(said) < 7 else None
    return Told(exchange.status == TOO_MANY, sent_at, at, counted)


class Unanswered(Exception):
    """The library ended a call without an answer and without a failure."""


def _instant(said: object) -> datetime | None:
    return said.astimezone(UTC) if isinstance(said, datetime) and said.tzinfo else None
