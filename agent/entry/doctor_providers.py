"""What `duly doctor` looks at of those who carry messages: Twilio, Firebase, Apple, browsers.

Nothing here shows a secret, and nothing signs in: that a server answers at all is looked at without
our credentials.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import TypeVar

import aiohttp
from pydantic import SecretStr
from yarl import URL

from agent import config
from agent.config import BadSettings, Settings
from agent.entry.findings import Finding, ok, problem, warning
from agent.entry.texting import countries, twilio_account
from agent.store.keyring import Keyring
from channels.google_token import read_service_account
from channels.jwt import BadKey, base64url, read_p256_key
from channels.sms_twilio.countries import Profile, no_route
from channels.webpush_crypto import point_of

T = TypeVar("T")

PATIENCE_SECONDS = 5.0
# Vendors change what they allow; a profile that nobody looked at for so long is a guess.
PROFILE_DAYS = timedelta(days=180)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TOKEN = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}")
_NAME = re.compile(r"(?=[^A-Za-z]*[A-Za-z])[0-9A-Za-z ]{1,11}")
_MAILBOX = re.compile(r"mailto:[^@\s]+@[^@\s]+\.[^@\s]+")


async def examine_providers(settings: Settings, today: date) -> list[Finding]:
    """Every finding about providers; one line when none is set up."""
    found = [*_twilio(settings, today), *_fcm(settings), *_apns(settings), *_web(settings)]
    if not found:
        return [ok("providers", "none is set up: messages stay in the sandbox")]
    found += _public(settings)
    for name, address in _addresses(settings):
        found.append(await _reachable(name, address))
    return found


def _twilio(settings: Settings, today: date) -> Iterator[Finding]:
    check = "twilio"
    try:
        account = twilio_account(settings, Keyring(config.master_key(settings)))
    except BadSettings as wrong:
        do = (
            "set DULY_TWILIO_ACCOUNT_SID, DULY_TWILIO_AUTH_TOKEN and one sender, and the master key"
        )
        yield problem(check, str(wrong), do)
        return
    if account is None:
        return
    if not _TOKEN.fullmatch(account.auth_token):
        do = "copy the auth token from Twilio's console: 32 characters 0-9 and a-f"
        yield problem(check, "DULY_TWILIO_AUTH_TOKEN does not look like one", do)
    else:
        yield ok(check, f"account {account.account_sid[:6]}…, auth token of the right shape")
    yield _sender(account.sender)
    yield ok("twilio callback key", "made from the master key: every process needs the same one")
    yield from _routes(settings, account.sender, today)


def _sender(sender: str) -> Finding:
    check = "twilio sender"
    if sender.startswith("MG") and len(sender) == 34:
        return ok(check, f"Messaging Service {sender[:6]}…")
    if _NUMBER.fullmatch(sender):
        return ok(check, f"number {sender}")
    if _NAME.fullmatch(sender):
        do = "have the name registered where carriers want it; texts then name another way to opt out"
        return warning(check, f"the name {sender}: nobody can answer it with STOP", do)
    do = "write a number as +15005550006, a short code, or a name of up to 11 letters and digits"
    return problem(check, "DULY_TWILIO_FROM is neither a number nor a name", do)


def _routes(settings: Settings, sender: str, today: date) -> Iterator[Finding]:
    check = "twilio countries"
    try:
        known = countries(settings)
    except BadSettings as wrong:
        yield problem(check, str(wrong), "correct the file, or unset DULY_TWILIO_COUNTRIES")
        return
    shut = {code: why for code in sorted(known) if (why := no_route(known[code], sender))}
    allowed = [known[code] for code in sorted(known) if code not in shut]
    for profile in allowed:
        yield _allowed(profile, today)
    if not allowed:
        do = "vouch for the countries you lend in: DULY_TWILIO_COUNTRIES names a file of yours"
        yield problem(check, "no country may get a text about a loan", do)
    refused = ", ".join(f"{code} ({why})" for code, why in shut.items())
    yield ok(check, f"no route to {refused}, and to every country that is not listed")


def _allowed(profile: Profile, today: date) -> Finding:
    check = f"twilio country {profile.code}"
    says = f"texts about loans go there ({profile.basis}, checked {profile.checked_on})"
    if profile.checked_on - today > timedelta(days=1):
        return warning(check, f"{says}: that day is yet to come", "write the day it was looked at")
    if today - profile.checked_on > PROFILE_DAYS:
        do = "look at the provider's rules again and put today's date beside them"
        return warning(check, f"{says}: that is long ago", do)
    return ok(check, says)


def _public(settings: Settings) -> Iterator[Finding]:
    check = "public address"
    if settings.twilio_account_sid is None or _is_near(URL(settings.twilio_base_url)):
        return
    public = URL(settings.public_url)
    if public.scheme != "https" or _is_near(public):
        do = "set DULY_PUBLIC_URL to the https:// address at which Twilio reaches this server"
        yield problem(check, f"{settings.public_url} cannot get receipts and replies", do)
    elif public.host is not None and "_" in public.host:
        yield problem(
            check, "its host has an underscore", "Twilio refuses such a callback; rename it"
        )
    else:
        yield ok(check, settings.public_url)


def _is_near(address: URL) -> bool:
    return address.host in _LOOPBACK


def _fcm(settings: Settings) -> Iterator[Finding]:
    account = _read("fcm", "FCM_CREDENTIALS", settings.fcm_credentials, read_service_account)
    if isinstance(account, Finding):
        yield account
    elif account is not None:
        yield ok("fcm", f"service account of project {account.project}, its key parses")


def _apns(settings: Settings) -> Iterator[Finding]:
    key = _read("apns", "APNS_KEY", settings.apns_key, read_p256_key)
    if isinstance(key, Finding):
        yield key
    elif (key is None) != (settings.apns_sender is None):
        do = "set both or none; the sender is team id/key id/bundle id"
        yield problem("apns", "DULY_APNS_KEY and DULY_APNS_SENDER belong together", do)
    elif settings.apns_sender is not None:
        topic = settings.apns_sender.rpartition("/")[2]
        yield ok("apns", f"ES256 key for {topic}")


def _web(settings: Settings) -> Iterator[Finding]:
    check, subject = "web push", settings.webpush_subject
    key = _read(check, "WEBPUSH_KEY", settings.webpush_key, read_p256_key)
    if isinstance(key, Finding):
        yield key
        return
    if (key is None) != (subject is None):
        do = "set both or none; the subject is mailto:somebody@your.domain"
        yield problem(check, "DULY_WEBPUSH_KEY and DULY_WEBPUSH_SUBJECT belong together", do)
        return
    if key is None or subject is None:
        return
    if subject.startswith("mailto:") and not _MAILBOX.fullmatch(subject):
        do = "write mailto:somebody@your.domain"
        yield problem(check, "DULY_WEBPUSH_SUBJECT is no mailbox", do)
    public = base64url(point_of(key))
    yield ok(check, f"VAPID key pair; browsers subscribe with applicationServerKey {public}")


def _read(
    check: str, name: str, secret: SecretStr | None, read: Callable[[str], T]
) -> T | Finding | None:
    text = config.revealed(secret)
    if text is None:
        return None
    try:
        return read(text)
    except BadKey as wrong:
        do = f"give the provider's file as it came, best as DULY_{name}_FILE"
        return problem(check, f"DULY_{name}: {wrong}", do)


def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.twilio_account_sid is not None:
        yield "twilio", settings.twilio_base_url
    if settings.fcm_credentials is not None:
        yield "fcm", settings.fcm_base_url


async def _reachable(name: str, address: str) -> Finding:
    """Any answer will do: it shows that names, routes and certificates work."""
    check = f"{name} server"
    host = URL(address).host
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_SECONDS)) as session,
            session.head(address, allow_redirects=False),
        ):
            return ok(check, f"{host} answers")
    except (aiohttp.ClientError, OSError, TimeoutError) as failed:
        do = "let this machine reach it: name server, firewall, proxy, certificates"
        return problem(check, f"{host} does not answer ({type(failed).__name__})", do)
