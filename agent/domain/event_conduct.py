"""What an event says for conduct rules: consents, checked numbers, quiet hours, waivers.

Each of them may loosen or tighten a rule, so what is not exactly one of its forms is refused: a quiet
hour that cannot be read must not be read over.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from agent.domain.conduct_asked import OWN_FACTS
from agent.domain.conduct_base import WEEK, Quiet
from agent.domain.event import Evidence, GivenTo, Reason, Rejected, Scope, Stated, Waiver

QUIET_MAX = 50
WAIVERS_MAX = 20
FACTS_MAX = 50
REF_MAX = 200
# What a rule may name as `waivable_by`; a consent to anything else waives nothing.
WAIVED = ("consent_time",)
_FACT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_CONSENT = frozenset({"source", "at", "given_to", "scope", "revoked_at"})
_PLAIN = frozenset({"source", "at"})

Instants = Callable[[object, str], datetime]


def read_evidence(
    raw: Mapping[str, Any], consent: Mapping[str, Any], instants: Instants
) -> Evidence | Rejected | None:
    """What a contact says beyond "consent from this source": None if nothing."""
    checked = raw.get("number_checked_at")
    if checked is None and consent.keys() <= _PLAIN:
        return None
    given_to, scope = consent.get("given_to"), consent.get("scope", [])
    unknown = consent.keys() - _CONSENT
    told = isinstance(consent.get("source"), str | int) or not consent
    if unknown or not told or given_to not in (None, *GivenTo):
        return Rejected(Reason.BAD_CONSENT, "borrower.contacts.consent")
    if not isinstance(scope, list) or not all(word in tuple(Scope) for word in scope):
        return Rejected(Reason.BAD_CONSENT, "borrower.contacts.consent.scope")
    revoked = consent.get("revoked_at")
    return Evidence(
        None if given_to is None else GivenTo(given_to),
        tuple(sorted({Scope(word) for word in scope})),
        None if revoked is None else instants(revoked, "borrower.contacts.consent.revoked_at"),
        None if checked is None else instants(checked, "borrower.contacts.number_checked_at"),
    )


def read_quiet(raw: object) -> tuple[Quiet, ...] | Rejected | None:
    """Hours without contact, replacing all that were told before; None if nothing is said of them."""
    if raw is None:
        return None
    if not isinstance(raw, list) or len(raw) > QUIET_MAX:
        return Rejected(Reason.BAD_QUIET, "borrower.quiet_hours")
    found = [_quiet(one) for one in raw]
    good = tuple(one for one in found if one is not None)
    if len(good) != len(found):
        return Rejected(Reason.BAD_QUIET, "borrower.quiet_hours")
    return good


def _quiet(raw: object) -> Quiet | None:
    if not isinstance(raw, dict) or raw.keys() - {"days", "from", "to"}:
        return None
    days = raw.get("days", list(WEEK))
    if not isinstance(days, list) or not days or any(day not in WEEK for day in days):
        return None
    begins, ends = _minute(raw.get("from")), _minute(raw.get("to"))
    if begins is None or ends is None:
        return None
    return Quiet(frozenset(map(WEEK.index, days)), begins, ends)


def _minute(raw: object) -> int | None:
    found = _CLOCK.fullmatch(raw) if isinstance(raw, str) else None
    return None if found is None else int(found[1]) * 60 + int(found[2])


def read_waivers(raw: object, instants: Instants) -> tuple[Waiver, ...] | Rejected | None:
    """Rules that the person waived, replacing all that were told before; None if nothing is said."""
    if raw is None:
        return None
    if not isinstance(raw, list) or len(raw) > WAIVERS_MAX:
        return Rejected(Reason.BAD_WAIVER, "borrower.waivers")
    found = []
    for one in raw:
        if not isinstance(one, dict) or one.keys() != {"waives", "given_to", "at"}:
            return Rejected(Reason.BAD_WAIVER, "borrower.waivers")
        if one["waives"] not in WAIVED or one["given_to"] not in tuple(GivenTo):
            return Rejected(Reason.BAD_WAIVER, "borrower.waivers")
        at = instants(one["at"], "borrower.waivers.at")
        found.append(Waiver(one["waives"], GivenTo(one["given_to"]), at))
    return tuple(found)


def read_facts(raw: object, by_loan: object) -> tuple[Stated, ...] | Rejected:
    """Facts of the person (`facts`) and of their loans (`loan_facts`), each true or false, a count or a date.

    What Duly knows by itself is not for the ledger to state.
    """
    if raw is None and by_loan is None:
        return ()
    loans = {} if by_loan is None else by_loan
    if not isinstance(loans, dict) or not all(0 < len(loan) <= REF_MAX for loan in loans):
        return Rejected(Reason.BAD_FACT, "borrower.loan_facts")
    found: list[Stated] = []
    for loan, facts in (("", {} if raw is None else raw), *loans.items()):
        if not isinstance(facts, dict) or len(facts) > FACTS_MAX:
            return Rejected(Reason.BAD_FACT, "borrower.facts")
        for name, value in facts.items():
            if _FACT.fullmatch(name) is None or name in OWN_FACTS or not _is_stated(value):
                return Rejected(Reason.BAD_FACT, "borrower.facts")
            day = date.fromisoformat(value) if isinstance(value, str) else value
            found.append(Stated(loan, name, day))
    return tuple(found)


def _is_stated(value: object) -> bool:
    if isinstance(value, str):
        return _DAY.fullmatch(value) is not None and _is_day(value)
    return (
        value is None or isinstance(value, bool) or (isinstance(value, int) and 0 <= value < 2**31)
    )


def _is_day(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True
