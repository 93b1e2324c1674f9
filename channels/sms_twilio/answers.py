"""The one table that says what an answer to "create a message" means; the rest is unknown.

| what happened | answer |
| --- | --- |
| no byte of the request left | not sent: transient refusal |
| 429, whatever its body | not processed: transient refusal |
| 201 with a JSON object whose `sid` is a message's | accepted |
| another 4xx with a JSON object whose `code` is a number | refused as `codes.toml` says |
| everything else: 5xx, 3xx, other 2xx, cut, foreign or oversized bodies | unknown |
"""

import re
from collections.abc import Mapping

import orjson

from channels import http_once
from channels.base import Accepted, Answer, Fault, Refusal, Refused, Unknown
from channels.sms_twilio.codes import known_codes, refusal

TOO_MANY = 429
# Answers of something on the way rather than of the provider's API: they prove nothing.
_BY_INTERMEDIARIES = frozenset({407, 408, 425, 499})
_SID = re.compile(r"(?:SM|MM)[0-9a-fA-F]{32}")
RETRY_AFTER_MAX = 3600.0


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Sort one HTTP answer to the creation of a message."""
    waits = retry_after(headers)
    if status == TOO_MANY:
        return Refused("429", Refusal.TRANSIENT, None, waits)
    if not (status == 201 or 400 <= status < 500) or status in _BY_INTERMEDIARIES:
        return Unknown(f"http-{status}")
    said = _json_object(body)
    if said is None:
        return Unknown(f"http-{status}-unreadable")
    return _accepted(said) if status == 201 else _refused(status, said, waits)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, said in seconds or as a date; bounded, because it is only a wish."""
    asked = http_once.retry_after(headers)
    return None if asked is None else min(asked, RETRY_AFTER_MAX)


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None


def _accepted(said: dict[str, object]) -> Answer:
    match said.get("sid"):
        case str(sid) if _SID.fullmatch(sid):
            return Accepted(sid)
        case _:
            return Unknown("http-201-without-sid")


def _refused(status: int, said: dict[str, object], waits: float | None) -> Answer:
    match said.get("code"):
        case bool():
            return Unknown(f"http-{status}-without-code")
        case int(code):
            known = known_codes().get(code)
            if known is not None and known.fault is Fault.UNKNOWN:
                return Unknown(f"code-{code}")
            return refusal(code, waits)
        case _:
            return Unknown(f"http-{status}-without-code")
