"""Composes push from the settings: each provider that has a key, behind one router."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from typing import TypeVar

import aiohttp
from pydantic import SecretStr
from yarl import URL

from agent import config
from agent.clock import Clock, random_bytes
from agent.config import BadSettings, Settings
from agent.flows.carriers import Carrier
from channels.base import PUSH, Channel
from channels.google_token import GoogleTokens, read_service_account
from channels.http2_client import Http2Client
from channels.jwt import BadKey, read_p256_key
from channels.push import APNS, FCM, WEB, Life, PushRouter, service_of
from channels.push_apns import ApnsChannel, AppleKey, ProviderTokens
from channels.push_fcm import FcmChannel
from channels.push_web import KNOWN_HOSTS, Vapid, WebPushChannel, is_known_host

T = TypeVar("T")


# What a sender may send a second. Google: 600,000 a minute and project. Apple and the browsers' services name
# no number; staff change ours with `duly senders pace`.
FCM_PACE, APNS_PACE, WEB_PACE = 10_000.0, 2_000.0, 500.0


class PushCarriers:
    """The senders of push: a Firebase project, an app at Apple, and us at each browser's push service."""

    def __init__(
        self, project: str | None, topic: str | None, hosts: tuple[str, ...] | None
    ) -> None:
        self._fcm = _carrier(f"{FCM}:{project}", FCM_PACE) if project else None
        self._apns = _carrier(f"{APNS}:{topic}", APNS_PACE) if topic else None
        self._hosts = hosts

    def of(self, provider: str | None, address: str) -> Carrier | None:
        """By the contact point's provider; a browser's by the host that its subscription names."""
        match provider:
            case "fcm":
                return self._fcm
            case "apns":
                return self._apns
            case "web" if self._hosts is not None:
                host = service_of(address)
                return _web_carrier(host) if is_known_host(host, self._hosts) else None
            case _:
                return None

    def all(self) -> Sequence[Carrier]:
        """Those with a name of their own; push services show up once one was used."""
        return [one for one in (self._fcm, self._apns) if one is not None]


def _carrier(sender: str, pace: float) -> Carrier:
    return Carrier(
        PUSH, sender, pace, lambda _body: 1, lambda _address: None, lambda _country: None,
        lambda _country, _body: None, parts_guess=1,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _web_carrier(host: str) -> Carrier:
    return _carrier(f"{WEB}:{host}", WEB_PACE)


def push_carriers(settings: Settings) -> PushCarriers | None:
    """What binds push; None when no provider is set up. Raises `BadSettings`."""
    account = _key("FCM_CREDENTIALS", settings.fcm_credentials, read_service_account)
    topic = settings.apns_sender.rpartition("/")[2] if settings.apns_sender else None
    hosts = (*KNOWN_HOSTS, *settings.webpush_hosts) if settings.webpush_key else None
    if account is None and topic is None and hosts is None:
        return None
    return PushCarriers(account.project if account else None, topic, hosts)


@asynccontextmanager
async def pushing(
    settings: Settings, session: aiohttp.ClientSession, clock: Clock
) -> AsyncIterator[PushRouter | None]:
    """The push channel; None when no provider is set up. Raises `BadSettings`."""
    life = Life(clock.now, settings.push_keep_seconds)
    ways: dict[str, Channel] = {}
    async with AsyncExitStack() as stack:
        if (fcm := _fcm(settings, session, clock, life)) is not None:
            ways[FCM] = fcm
            stack.push_async_callback(fcm.close)
        if (apns := _apns(settings, clock, life)) is not None:
            ways[APNS] = apns
            stack.push_async_callback(apns.close)
        if (web := _web(settings, session, clock, life)) is not None:
            ways[WEB] = web
        yield PushRouter(ways, clock.monotonic, settings.send_concurrency) if ways else None


def _fcm(
    settings: Settings, session: aiohttp.ClientSession, clock: Clock, life: Life
) -> FcmChannel | None:
    account = _key("FCM_CREDENTIALS", settings.fcm_credentials, read_service_account)
    if account is None:
        return None
    tokens = GoogleTokens(session, account, clock.now, clock.monotonic)
    return FcmChannel(
        session, account.project, tokens, life, clock.monotonic, settings.fcm_base_url
    )


def _apns(settings: Settings, clock: Clock, life: Life) -> ApnsChannel | None:
    key = _key("APNS_KEY", settings.apns_key, read_p256_key)
    if (key is None) != (settings.apns_sender is None):
        raise BadSettings("DULY_APNS_KEY and DULY_APNS_SENDER are needed together")
    if key is None or settings.apns_sender is None:
        return None
    team, key_id, topic = settings.apns_sender.split("/")
    tokens = ProviderTokens(AppleKey(team, key_id, key), clock.now)
    client = Http2Client(URL(settings.apns_base_url), clock.monotonic)
    return ApnsChannel(client, topic, tokens, life)


def _web(
    settings: Settings, session: aiohttp.ClientSession, clock: Clock, life: Life
) -> WebPushChannel | None:
    key, subject = (
        _key("WEBPUSH_KEY", settings.webpush_key, read_p256_key),
        settings.webpush_subject,
    )
    if (key is None) != (subject is None):
        raise BadSettings("DULY_WEBPUSH_KEY and DULY_WEBPUSH_SUBJECT are needed together")
    if key is None or subject is None:
        return None
    hosts = (*KNOWN_HOSTS, *settings.webpush_hosts)
    return WebPushChannel(
        session, Vapid(key, subject), life, clock.now, clock.monotonic, random_bytes, hosts
    )


def _key(name: str, secret: SecretStr | None, read: Callable[[str], T]) -> T | None:
    text = config.revealed(secret)
    if text is None:
        return None
    try:
        return read(text)
    except BadKey as problem:
        raise BadSettings(f"DULY_{name}: {problem}") from None
