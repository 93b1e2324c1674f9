"""What Twilio tells us: receipts and replies. Signed, stored before the answer, harmless to repeat.

The signature covers our public address as the settings have it, never what a header says. Without a
good one nothing of the content is looked at, and nothing is stored but a count.
"""

import asyncio
import hmac
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from prometheus_client import Counter

from agent.api.inbox import Inbox, ReceiptInbox
from agent.clock import Clock
from agent.telemetry import REGISTRY
from channels.base import Inbound
from channels.sms_twilio.wire import (
    BODY_MAX,
    EMPTY_TWIML,
    SIGNATURE_HEADER,
    mac_of,
    read_form,
    read_inbound,
    read_status,
    signed,
)

_FORM = "application/x-www-form-urlencoded"

_log = structlog.get_logger("duly.webhooks")
_came = Counter(
    "duly_webhooks", "Webhooks of providers by what became of them", ["kind", "end"], registry=REGISTRY
)  # fmt: skip
_stored_ones = {kind: _came.labels(kind, "stored") for kind in ("status", "inbound")}


@dataclass(frozen=True, slots=True)
class TwilioHooks:
    """Whom to believe, and where what they say goes."""

    public_url: str
    account_sid: str
    secrets: tuple[str, ...] = field(repr=False)
    callback_key: bytes = field(repr=False)
    clock: Clock
    receipts: ReceiptInbox
    inbound: Inbox[Inbound]
    # what its pace and breaker are kept by
    sender: str = ""


def add_twilio_webhooks(app: web.Application, hooks: TwilioHooks) -> None:
    """Add `POST /webhooks/twilio/status/…` and `POST /webhooks/twilio/inbound`."""

    async def status(request: web.Request) -> web.Response:
        body = await _read(request, "status")
        said = _believed(request, body, hooks, "status")
        lane, token, mac = request.match_info["attempt"].split("/")
        if not hmac.compare_digest(mac_of(lane, token, hooks.callback_key), mac):
            raise _forbidden("status")
        receipt = read_status(said, token, hooks.clock.now(), hooks.sender)
        if receipt is None:
            _came.labels("status", "unread").inc()
            _log.warning("receipt_unread", lane=int(lane))
            return web.Response(status=204)
        await _stored("status", hooks.receipts.put(int(lane), receipt))
        return web.Response(status=204)

    async def inbound(request: web.Request) -> web.Response:
        body = await _read(request, "inbound")
        said = _believed(request, body, hooks, "inbound")
        message = read_inbound(said, hooks.clock.now())
        if message is None:
            _came.labels("inbound", "unread").inc()
            _log.warning("inbound_unread")
        else:
            await _stored("inbound", hooks.inbound.put(0, message))
        return web.Response(body=EMPTY_TWIML, content_type="text/xml")

    # a proxy may take the path of our address off, or pass it on
    for before in {"", _path_of(hooks.public_url)}:
        # lane, token and mac: as one, because each part is taken apart and decoded for itself
        app.router.add_post(
            before + r"/webhooks/twilio/status/{attempt:[0-9]{1,9}/[0-9a-f]{32}/[0-9a-f]{32}}",
            status,
        )
        app.router.add_post(f"{before}/webhooks/twilio/inbound", inbound)


@lru_cache(maxsize=16)
def _path_of(public_url: str) -> str:
    """What our address has after its host; a final slash is not part of it."""
    return urlsplit(public_url).path.rstrip("/")


def _address(request: web.Request, public_url: str) -> str:
    """The address that Twilio was given and signed."""
    target, before = _target(request), _path_of(public_url)
    if before and target.startswith(f"{before}/webhooks/"):
        target = target[len(before) :]
    return public_url + target


def _believed(request: web.Request, body: bytes, hooks: TwilioHooks, kind: str) -> dict[str, str]:
    """The parameters of a request that Twilio signed for our account; otherwise 403 and no more."""
    signature = request.headers.getall(SIGNATURE_HEADER, [])
    if len(signature) != 1 or request.content_type != _FORM:
        raise _forbidden(kind)
    said = read_form(body)
    url = _address(request, hooks.public_url)
    if said is None or not signed(hooks.secrets, url, said, signature[0]):
        raise _forbidden(kind)
    if said.get("AccountSid", hooks.account_sid) != hooks.account_sid:
        raise _forbidden(kind)
    return said


def _target(request: web.Request) -> str:
    """Path and query as they came; some proxies put our address, or what they take for it, before them."""
    raw = request.raw_path
    return raw if raw.startswith("/") else request.rel_url.raw_path_qs


async def _read(request: web.Request, kind: str) -> bytes:
    """The whole body as it is: Twilio packs nothing, and whoever leaves half-way has said nothing."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise _forbidden(kind)
    content = request.content
    if content.is_eof() and content.total_bytes <= BODY_MAX:
        return content.read_nowait()  # it came with its head, as nearly all do
    try:
        return await _bounded(request, kind)
    except (web.RequestPayloadError, asyncio.IncompleteReadError, OSError) as problem:
        _came.labels(kind, "broken").inc()
        raise web.HTTPBadRequest from problem


async def _bounded(request: web.Request, kind: str) -> bytes:
    """At most 64 kB, however long the body says or turns out to be."""
    content, length = request.content, request.content_length
    if length is not None and length <= BODY_MAX:
        return await content.readexactly(length)
    parts, size = [], 0
    if length is None:
        async for part in content.iter_any():
            size += len(part)
            if size > BODY_MAX:
                break
            parts.append(part)
        else:
            return b"".join(parts)
    _came.labels(kind, "too-large").inc()
    raise web.HTTPRequestEntityTooLarge(max_size=BODY_MAX, actual_size=size)


async def _stored(kind: str, committed: Awaitable[None]) -> None:
    """Wait for the commit; whatever keeps it from happening, the sender hears it and tries again."""
    try:
        await committed
    except Exception as problem:
        _came.labels(kind, "not-stored").inc()
        _log.exception("webhook_not_stored", kind=kind)
        raise web.HTTPServiceUnavailable from problem
    _stored_ones[kind].inc()


def _forbidden(kind: str) -> web.HTTPForbidden:
    _came.labels(kind, "forbidden").inc()
    return web.HTTPForbidden()
