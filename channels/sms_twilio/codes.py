"""Twilio's error codes as data: `codes.toml` says what each is about and what follows."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from channels.base import Beyond, Fault, Halt, Refusal, Refused


@dataclass(frozen=True, slots=True)
class Code:
    """One code. `confirm`: a single message does not prove it. `after`: seconds to wait."""

    number: int
    when: str
    fault: Fault
    says: str
    confirm: bool = False
    after: float | None = None


@cache
def known_codes() -> Mapping[int, Code]:
    """Every code of the table; one that stands there twice is an error."""
    source = (files("channels.sms_twilio") / "codes.toml").read_text("utf-8")
    found: dict[int, Code] = {}
    for row in tomllib.loads(source)["row"]:
        for number in row["codes"]:
            if number in found:
                raise ValueError(f"code {number} stands twice in codes.toml")
            found[number] = Code(
                number,
                row["when"],
                Fault(row["fault"]),
                row["says"],
                row.get("confirm", False),
                row.get("after"),
            )
    return found


def fault_of(code: str | None) -> Fault | None:
    """What a callback's error code is about; a code nobody knows is `unknown`, none is nothing."""
    if not code:
        return None
    known = _known(code)
    return known.fault if known else Fault.UNKNOWN


def beyond_of(code: str | None, sender: str, country: str | None) -> Beyond | None:
    """What a callback's error code says of its sender, route or number; None if only of its message."""
    known = _known(code) if code else None
    if known is None:
        return None
    halt = _REFUSALS[known.fault][1]
    wait = known.after if known.fault is Fault.TRANSIENT else None
    gone = known.fault is Fault.NUMBER and not known.confirm
    return Beyond(sender, country, halt, wait, gone) if halt or wait or gone else None


def _known(code: str) -> Code | None:
    return known_codes().get(int(code)) if code.isascii() and code.isdigit() else None


_REFUSALS = {
    Fault.NUMBER: (Refusal.PERMANENT, None),
    Fault.OPT_OUT: (Refusal.OPTED_OUT, None),
    Fault.BLOCKED: (Refusal.OPTED_OUT, None),
    Fault.CONFIGURATION: (Refusal.CONFIGURATION, Halt.ROUTE),
    Fault.OURS: (Refusal.CONFIGURATION, None),
    # nothing is wrong with the notice: it waits until the sender may send again
    Fault.ACCOUNT: (Refusal.TRANSIENT, Halt.SENDER),
    Fault.TRANSIENT: (Refusal.TRANSIENT, None),
    Fault.FILTERED: (Refusal.CONFIGURATION, None),
    Fault.EXPIRED: (Refusal.CONFIGURATION, None),
    Fault.UNKNOWN: (Refusal.CONFIGURATION, None),
}


def refusal(code: int, retry_after: float | None = None) -> Refused:
    """What a well-formed refusal means. A code nobody knows stops this attempt, loudly."""
    known = known_codes().get(code)
    fault = known.fault if known else Fault.UNKNOWN
    kind, halt = _REFUSALS[fault]
    if known is not None and known.confirm:
        kind = Refusal.CONFIGURATION  # this message's end, and not the number's yet
    waits = retry_after if retry_after is not None or known is None else known.after
    if known is not None and fault is Fault.TRANSIENT and known.after is not None:
        halt = Halt.AWHILE
    return Refused(str(code), kind, halt, waits, fault)
