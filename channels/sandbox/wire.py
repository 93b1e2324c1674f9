"""What goes over the wire between the HTTP sandbox and its callers: JSON bodies and signatures."""

import hmac
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson

from channels.base import Listed, Message, Receipt, Status
from channels.sandbox.network import Heard

SIGNATURE_HEADER = "X-Sandbox-Signature"


def sign(secret: bytes, url: str, body: bytes) -> str:
    """Proof that the sandbox sent this body to this public address."""
    return hmac.new(secret, url.encode() + b"\n" + body, sha256).hexdigest()


def signed_by(secret: bytes, url: str, body: bytes, signature: str) -> bool:
    """The signature is ours; compared in constant time."""
    return hmac.compare_digest(sign(secret, url, body).encode(), signature.encode())


def status_url(public_url: str, lane: int, token: str) -> str:
    """Where receipts of this attempt are to be posted; the address is what carries its token."""
    return f"{public_url}/webhooks/sandbox/{lane}/{token}"


def message_body(message: Message) -> bytes:
    """The body of `POST /messages`."""
    return orjson.dumps(
        {
            "token": message.token,
            "channel": message.channel,
            "to": message.address,
            "title": message.title,
            "body": message.body,
            "status_url": message.status_url,
        }
    )


def read_message(body: bytes) -> Message | None:
    """The message in a request; None when the body is not one."""
    said = _object(body)
    if said is None:
        return None
    needed = (said.get("token"), said.get("channel"), said.get("to"), said.get("body"))
    optional = (said.get("title"), said.get("status_url"))
    match needed, optional:
        case (str(token), str(channel), str(to), str(text)), (
            str() | None as title,
            str() | None as status_url,
        ):
            return Message(token, channel, None, to, title, text, float("inf"), status_url)
        case _:
            return None


def receipt_body(receipt: Receipt) -> bytes:
    """The body of a status callback; the token is in its address, as with real providers."""
    return orjson.dumps(
        {
            "id": receipt.provider_id,
            "channel": receipt.channel,
            "status": receipt.status,
            "code": receipt.code,
            "at": receipt.at,
        }
    )


def read_receipt(body: bytes, token: str | None) -> Receipt | None:
    """The receipt in a status callback; None when the body is not one."""
    said = _object(body)
    if said is None:
        return None
    try:
        status, at = Status(str(said.get("status"))), datetime.fromisoformat(str(said.get("at")))
    except ValueError:
        return None
    match said.get("channel"), said.get("id"), said.get("code"):
        case str(channel), str(provider_id), (str() | None as code) if (
            at.tzinfo and provider_id and f"{channel}{provider_id}{code}".isprintable()
        ):
            return Receipt(channel, provider_id, status, token, code, at)
        case _:
            return None


def heard_line(heard: Heard) -> bytes:
    """One line of the truth log."""
    return orjson.dumps(heard, option=orjson.OPT_APPEND_NEWLINE)


def read_heard(line: bytes | dict[str, Any]) -> Heard:
    """A line of the truth log, back as a value."""
    said = orjson.loads(line) if isinstance(line, bytes) else line
    return Heard(**(said | {"at": datetime.fromisoformat(said["at"])}))


def read_listed(said: dict[str, Any]) -> Listed:
    """One message of `GET /messages`."""
    return Listed(said["id"], said["to"], said["body"], datetime.fromisoformat(said["at"]))


def _object(body: bytes) -> dict[str, object] | None:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None
