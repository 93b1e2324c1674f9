"""What Twilio posts to us: signed forms. Nothing in a form is looked at before its signature holds.

Forms are read and signatures made by code of our own, because that is most of what a webhook costs;
tests hold it equal to the standard library's and to Twilio's.
"""

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from urllib.parse import unquote_to_bytes, urlsplit

from twilio.twiml.messaging_response import MessagingResponse

from channels.base import SMS, Beyond, Inbound, Receipt, Status
from channels.sms_twilio.codes import beyond_of, fault_of
from channels.sms_twilio.countries import country_of

SIGNATURE_HEADER = "X-Twilio-Signature"
BODY_MAX = 65_536
FIELDS_MAX = 100
# Twilio forgets a callback that met a 5xx unless it is asked to try again: retries for every failure.
RETRY_FRAGMENT = "#rc=3&rp=all"
# Twilio answers STOP itself; a second answer from us would be one message too many.
EMPTY_TWIML = str(MessagingResponse()).encode()
_PORTS = {"https": 443, "http": 80}
_MAC_DIGITS = 32

_STATUSES = {
    "accepted": Status.QUEUED,
    "scheduled": Status.QUEUED,
    "queued": Status.QUEUED,
    "sending": Status.QUEUED,
    "sent": Status.SENT,
    "partially_delivered": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.DELIVERED,
    "undelivered": Status.UNDELIVERED,
    "failed": Status.FAILED,
    "canceled": Status.FAILED,
}


def status_path(lane: str, token: str, key: bytes) -> str:
    """Where receipts of an attempt come in; the last part proves that we made the address."""
    return f"/webhooks/twilio/status/{lane}/{token}/{mac_of(lane, token, key)}"


def mac_of(lane: str, token: str, key: bytes) -> str:
    """Ties a token to its lane."""
    return _keyed("sha256", key)(f"{lane}/{token}".encode()).hex()[:_MAC_DIGITS]


@lru_cache(maxsize=16)
def _keyed(name: str, key: bytes) -> Callable[[bytes], bytes]:
    """HMAC (RFC 2104) that has taken its key in already: half of what a short text costs."""
    size = hashlib.new(name).block_size
    padded = (hashlib.new(name, key).digest() if len(key) > size else key).ljust(size, b"\0")
    inner = hashlib.new(name, padded.translate(_INNER))
    outer = hashlib.new(name, padded.translate(_OUTER))

    def digest(said: bytes) -> bytes:
        first, last = inner.copy(), outer.copy()
        first.update(said)
        last.update(first.digest())
        return last.digest()

    return digest


_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def read_form(body: bytes) -> dict[str, str] | None:
    """The parameters of a form, blank ones too; None if one comes twice or it is no form.

    The signature counts equal values of a parameter once, so that a doubled one could say two things.
    """
    try:
        text = body.decode("ascii").replace("+", " ")
        parts = text.split("&", FIELDS_MAX)
        if _SEPARATOR.search(text) is None:
            pairs = [part.partition("=") for part in _unquoted(text).split("&") if part]
            found = {name: value for name, _, value in pairs}
        else:
            pairs = [part.partition("=") for part in parts if part]
            found = {_unquoted(name): _unquoted(value) for name, _, value in pairs}
    except UnicodeDecodeError:
        return None
    return found if len(found) == len(pairs) and len(parts) <= FIELDS_MAX else None


# A form without these is the same whether it is taken apart before it is decoded or after.
_SEPARATOR = re.compile("%(?:26|3[Dd])")


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode() if "%" in text else text


def signed(secrets: Sequence[str], url: str, params: Mapping[str, str], signature: str) -> bool:
    """One of our secrets signed this form for this address, with or without its port."""
    offered, said = _as_sent(signature), _in_order(params)
    for address in _addresses(url):
        whole = _as_sent(address + said)
        for secret in secrets:
            made = b2a_base64(_keyed("sha1", secret.encode())(whole), newline=False)
            if hmac.compare_digest(made, offered):
                return True
    return False


def _in_order(params: Mapping[str, str]) -> str:
    return "".join([name + value for name, value in sorted(params.items())])


def _as_sent(text: str) -> bytes:
    """The bytes of what may have been none of UTF-8 in a header or an address."""
    return text.encode("utf-8", "surrogateescape")


def _addresses(url: str) -> Iterator[str]:
    """The address as we gave it, then as senders write it that add or drop the port."""
    yield url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    with_port = f"{host}:{_PORTS.get(parts.scheme, 443)}"
    other = with_port if parts.port is None else host.rpartition(":")[0]
    yield url.replace(f"://{parts.netloc}", f"://{other}", 1)


def read_status(
    params: Mapping[str, str], token: str, at: datetime, sender: str = ""
) -> Receipt | None:
    """The receipt in a status callback; None if it says nothing that we know. `sender` is ours."""
    status = _STATUSES.get(params.get("MessageStatus") or params.get("SmsStatus") or "")
    provider_id = params.get("MessageSid") or params.get("SmsSid")
    if status is None or not provider_id or not provider_id.isalnum() or len(provider_id) > 64:
        return None
    code = params.get("ErrorCode") if status in _ENDS_BADLY else None
    code = _plain(code or "") or None
    # Twilio's own time has minutes only, no zone, and is often missing: ours is the honest one
    beyond = _beyond(params, code, sender) if code else None
    return Receipt(
        SMS, provider_id, status, token, code[:16] if code else None, at, fault_of(code), beyond
    )


def _plain(text: str) -> str:
    """Without what a column of texts cannot hold; only people's words are kept as they are."""
    return text if text.isprintable() else "".join(filter(str.isprintable, text))


def _beyond(params: Mapping[str, str], code: str, own: str) -> Beyond | None:
    """The number of a Messaging Service is not what its pace and breaker are kept by."""
    number = "" if own.startswith("MG") else params.get("From", "")
    told = params.get("MessagingServiceSid") or number
    sender = own if told.lstrip("+") in {"", own.lstrip("+")} else told
    return beyond_of(code, sender[:64], country_of(params.get("To", "")))


_ENDS_BADLY = frozenset({Status.UNDELIVERED, Status.FAILED})


def read_inbound(params: Mapping[str, str], at: datetime) -> Inbound | None:
    """The message somebody sent us; None if it is none."""
    provider_id, sender = params.get("MessageSid") or params.get("SmsSid"), params.get("From")
    if not provider_id or not provider_id.isalnum() or len(provider_id) > 64:
        return None
    if not sender or len(sender) > 64:
        return None
    media = params.get("NumMedia", "0")
    return Inbound(
        SMS,
        provider_id,
        sender,
        _plain(params.get("To", ""))[:64],
        params.get("Body", ""),
        _plain(params.get("OptOutType", "")).upper() or None,
        int(media) if media.isascii() and media.isdigit() and len(media) < 4 else 0,
        at,
    )
