"""Hours in which a route carries nothing, by the clock of everywhere a person may be.

They are the gateway's own, beside the contact windows of conduct rules: what is sent into them is
refused, or kept and delivered at an hour that nobody chose.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, time, timedelta
from typing import NamedTuple

from agent.domain.calendar import instant, local_date

# Nothing is begun within a minute of the quiet: it could still be on its way.
GUARD = timedelta(minutes=1)
_DAY = timedelta(days=1)


class QuietHours(NamedTuple):
    """From a local time to another one, over midnight where the second is not later."""

    starts: time
    ends: time


class Quiet(NamedTuple):
    """Until when it is quiet now, None if it is not; and when it will be quiet after that."""

    until: datetime | None
    starts: datetime


def quiet_at(hours: QuietHours, zones: Iterable[str], now: datetime) -> Quiet:
    """Strictest of all zones: quiet while it is quiet in one of them."""
    spans = sorted(span for zone in zones for span in _spans(hours, zone, now))
    at = now
    for begins, ends in spans:
        if begins - GUARD <= at < ends:
            at = ends
    starts = min((begins for begins, _ in spans if begins > at), default=at)
    return Quiet(at if at > now else None, starts - GUARD)


def _spans(hours: QuietHours, zone: str, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    today = local_date(now, zone)
    over_midnight = hours.ends <= hours.starts
    for days in range(-1, 4):
        day = today + days * _DAY
        ends = day + _DAY if over_midnight else day
        yield instant(day, hours.starts, zone), instant(ends, hours.ends, zone)
