"""Quiet hours of a route: strictest of all clocks, over midnight, across changes of the clock."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.domain.calendar import local_time
from agent.domain.quiet import GUARD, QuietHours, quiet_at

NIGHT = QuietHours(time(21), time(8))
ZONES = ("Asia/Taipei", "Africa/Lagos", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")


@pytest.mark.parametrize(
    ("at", "zones", "until", "starts"),
    [
        ("2026-03-02T20:58", ["Etc/UTC"], None, "2026-03-02T20:59"),
        ("2026-03-02T20:59", ["Etc/UTC"], "2026-03-03T08:00", "2026-03-03T20:59"),
        ("2026-03-02T07:59", ["Etc/UTC"], "2026-03-02T08:00", "2026-03-02T20:59"),
        ("2026-03-02T08:00", ["Etc/UTC"], None, "2026-03-02T20:59"),
        # somewhere it is still night, elsewhere it is night again before
        ("2026-03-02T12:00", ["Etc/UTC", "America/New_York"], "2026-03-02T13:00", "2026-03-02T20:59"),
        ("2026-03-02T20:00", ["Asia/Taipei", "Asia/Tokyo"], "2026-03-03T00:00", "2026-03-03T11:59"),
    ],
)  # fmt: skip
def test_table(at: str, zones: list[str], until: str | None, starts: str) -> None:
    def utc(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    quiet = quiet_at(NIGHT, zones, utc(at))
    assert quiet == (utc(until) if until else None, utc(starts))


def test_a_break_in_the_day_is_quiet_too() -> None:
    noon = QuietHours(time(12), time(14))
    at = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    assert quiet_at(noon, ["Etc/UTC"], at).until == at.replace(hour=14, minute=0)
    assert quiet_at(noon, ["Etc/UTC"], at.replace(hour=15)).until is None


@example(
    minutes=0,
    zones=["Africa/Lagos", "America/New_York", "Australia/Lord_Howe"],
    starts=0,
    length=599,
)
@given(
    minutes=st.integers(0, 2 * 366 * 24 * 60),
    zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True),
    starts=st.integers(0, 23 * 60), length=st.integers(30, 10 * 60),
)  # fmt: skip
def test_it_is_never_quiet_when_it_says_that_one_may_send(
    minutes: int, zones: list[str], starts: int, length: int
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ends = (starts + length) % (24 * 60)
    hours = QuietHours(time(starts // 60, starts % 60), time(ends // 60, ends % 60))
    quiet = quiet_at(hours, zones, at)
    opens = quiet.until or at
    if opens > at + timedelta(
        days=3
    ):  # nights that leave no minute between them, all over the world
        assert not any(_open(hours, zones, at + n * GUARD) for n in range(24 * 60))
        return
    # the whole stretch that it calls open is open, on every clock
    for each in (opens, opens + (quiet.starts - opens) / 2, quiet.starts):
        if opens <= each < quiet.starts + GUARD:
            for zone in zones:
                assert not _inside(hours, local_time(each, zone)), (zone, each)


def _open(hours: QuietHours, zones: list[str], at: datetime) -> bool:
    """Whether a minute and all of the next are open on every clock."""
    return not any(
        _inside(hours, local_time(each, zone)) for zone in zones for each in (at, at + GUARD)
    )


def _inside(hours: QuietHours, clock: time) -> bool:
    if hours.starts < hours.ends:
        return hours.starts <= clock < hours.ends
    return clock >= hours.starts or clock < hours.ends
