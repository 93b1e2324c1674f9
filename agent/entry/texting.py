"""Composes texting through Twilio from the settings: the channel, its carrier, its webhooks."""

from collections.abc import Callable, Mapping

import aiohttp
from aiohttp import web

from agent import config
from agent.api.inbox import ReceiptInbox
from agent.api.twilio_webhooks import TwilioHooks, add_twilio_webhooks
from agent.config import BadSettings, Settings
from agent.domain.quiet import QuietHours
from agent.entry.receiving import reply_inbox
from agent.flows.carriers import Carrier
from agent.store.keyring import Keyring
from agent.wiring import System
from channels.base import SMS
from channels.sms_twilio.channel import Account, TwilioSms
from channels.sms_twilio.countries import (
    BadProfile,
    Profile,
    country_of,
    no_route,
    profiles,
    text_refused,
)
from channels.sms_twilio.segments import segments


def twilio_account(settings: Settings, keyring: Keyring) -> Account | None:
    """The account that the settings name; None when texts stay in the sandbox. Raises `BadSettings`."""
    given = (
        settings.twilio_auth_token,
        settings.twilio_from,
        settings.twilio_messaging_service_sid,
    )
    if settings.twilio_account_sid is None:
        if any(given):
            raise BadSettings("DULY_TWILIO_ACCOUNT_SID is not set, and another DULY_TWILIO_… is")
        return None
    token = config.revealed(settings.twilio_auth_token)
    # an empty one would let anybody sign
    if not token:
        raise BadSettings("DULY_TWILIO_AUTH_TOKEN is needed with DULY_TWILIO_ACCOUNT_SID")
    senders = [one for one in given[1:] if one is not None]
    if len(senders) != 1:
        raise BadSettings("set one of DULY_TWILIO_FROM and DULY_TWILIO_MESSAGING_SERVICE_SID")
    return Account(
        settings.twilio_account_sid,
        token,
        str(senders[0]),
        settings.public_url,
        keyring.callback_key,
        settings.twilio_base_url,
        settings.twilio_discard_content,
        settings.twilio_obfuscate_addresses,
    )


def texting(
    settings: Settings,
    account: Account,
    session: aiohttp.ClientSession,
    monotonic: Callable[[], float],
) -> tuple[TwilioSms, Carrier]:
    """The channel, and what binds its sender."""
    known = countries(settings)

    def refused(country: str | None) -> str | None:
        return no_route(known.get(country or ""), account.sender)

    def text(country: str, body: str) -> str | None:
        return text_refused(known[country], body, account.sender)

    def quiet(country: str | None) -> QuietHours | None:
        profile = known.get(country or "")
        return QuietHours(*profile.quiet) if profile is not None and profile.quiet else None

    carrier = Carrier(
        SMS,
        account.sender,
        settings.twilio_parts_per_second,
        segments,
        country_of,
        refused,
        text,
        quiet=quiet,
    )
    return TwilioSms(session, account, monotonic, settings.send_concurrency), carrier


def countries(settings: Settings) -> Mapping[str, Profile]:
    """Where texts may go: the shipped countries and the lender's own file. Raises `BadSettings`."""
    path = settings.twilio_countries
    try:
        return profiles(None if path is None else path.expanduser().read_text("utf-8"))
    except (OSError, UnicodeDecodeError, BadProfile) as problem:
        raise BadSettings(f"DULY_TWILIO_COUNTRIES names {path}: {problem}") from None


def add_texting(
    app: web.Application, system: System, account: Account, receipts: ReceiptInbox
) -> None:
    """Twilio's webhooks, where what they bring is stored by the production flows."""
    previous = config.revealed(system.settings.twilio_previous_auth_token)
    secrets = (account.auth_token, *((previous,) if previous else ()))
    hooks = TwilioHooks(
        account.public_url,
        account.account_sid,
        secrets,
        account.callback_key,
        system.clock,
        receipts,
        reply_inbox(system),
        account.sender,
    )
    add_twilio_webhooks(app, hooks)
