"""An invented lender's ledger for simulations: people in many zones, loans of all kinds, odd days.

Pure and seeded. Every draw is a hash of the seed and of what is drawn, so the same seed gives the same
ledger, and one more loan leaves the others as they are. Names of people are not needed and not made.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from hashlib import blake2b
from typing import Any, TypeVar

from agent.domain.calendar import instant
from agent.domain.money import decimal_text, minor_units

T = TypeVar("T")
Event = dict[str, Any]

FIRST_DAY = date(2026, 1, 5)
SOURCE = "invented"
# Few people borrow once only, so that caps and shared facts have something to do.
LOANS_A_PERSON = 1.6


@dataclass(frozen=True, slots=True)
class Home:
    """Where a person lives: zone, country, language, currency, and numbers that no phone has."""

    zone: str
    region: str
    locale: str
    currency: str
    number: str


# Whole, half and quarter hours, both hemispheres, with and without summer time, 0, 2 and 3 digits of money.
HOMES = (
    Home("Africa/Lagos", "NG", "en-NG", "NGN", "+234700"),
    Home("Asia/Shanghai", "CN", "zh-CN", "CNY", "+86120"),
    Home("Asia/Taipei", "TW", "zh-TW", "TWD", "+886900"),
    Home("America/New_York", "US", "en-US", "USD", "+1212555"),
    Home("America/Mexico_City", "MX", "es-MX", "MXN", "+52155"),
    Home("Asia/Jakarta", "ID", "id-ID", "IDR", "+62800"),
    Home("Europe/London", "GB", "en-GB", "GBP", "+447700900"),
    Home("Asia/Kathmandu", "NP", "en", "NPR", "+97798"),
    Home("Australia/Lord_Howe", "AU", "en-AU", "AUD", "+61491570"),
    Home("America/Santiago", "CL", "es-CL", "CLP", "+5690"),
    Home("Asia/Kuwait", "KW", "en", "KWD", "+9655"),
    Home("Asia/Tokyo", "JP", "en", "JPY", "+8170"),
)
PORTFOLIOS = ("north-loans", "south-loans")

# How many of a hundred borrowers do what.
_HABITS = (
    (30, "on-time"),
    (12, "early"),
    (20, "days-late"),
    (10, "weeks-late"),
    (5, "months-late"),
    (8, "in-parts"),
    (4, "bounced"),
    (3, "too-much"),
    (8, "never"),
)
_LATENESS = {
    "on-time": (0, 0),
    "early": (-9, -1),
    "days-late": (1, 8),
    "weeks-late": (9, 33),
    "months-late": (34, 100),
    "bounced": (-1, 4),
    "too-much": (-3, 12),
}


@dataclass(frozen=True, slots=True)
class Chance:
    """A source of draws that only depend on the seed and on what is drawn, never on their order."""

    seed: int

    def share(self, *what: object) -> float:
        """A number in [0, 1)."""
        text = "/".join(map(str, what)).encode()
        key = (self.seed % 2**64).to_bytes(8)
        return int.from_bytes(blake2b(text, key=key, digest_size=8).digest()) / 2**64

    def whole(self, low: int, high: int, *what: object) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.share(*what) * (high - low + 1))

    def happens(self, share: float, *what: object) -> bool:
        """True for that share of all draws."""
        return self.share(*what) < share

    def one_of(self, choices: Sequence[T], *what: object) -> T:
        """One of several, all alike."""
        return choices[int(self.share(*what) * len(choices))]


def ledger(seed: int, loans: int, days: int) -> tuple[Event, ...]:
    """The events of that many loans, opened in the first half of that many days, in order of time."""
    chance = Chance(seed)
    people = max(1, round(loans / LOANS_A_PERSON))
    events: list[Event] = []
    for number in range(loans):
        person = chance.whole(0, people - 1, "owner", number)
        events += _Life(chance, person, number, days).events()
    return tuple(sorted(events, key=lambda event: (_at(event), event["id"])))


def disordered(seed: int, events: Sequence[Event]) -> Iterator[bytes]:
    """The same ledger as lines that a bad day writes: doubled, broken and impossible ones among them."""
    chance = Chance(seed)
    for event in events:
        line = json.dumps(event, ensure_ascii=False).encode()
        yield line
        if chance.happens(0.03, "doubled", event["id"]):
            yield line
        if chance.happens(0.01, "broken", event["id"]):
            yield line[: len(line) // 2]
        if chance.happens(0.02, "impossible", event["id"]):
            yield json.dumps(_impossible(chance, event)).encode()


def _at(event: Event) -> datetime:
    return datetime.fromisoformat(event["time"])


_IMPOSSIBLE: tuple[Event, ...] = (
    {"subject": "nobody's"},
    {"data": {"payment_id": "x", "amount": "0.00"}},
    {"data": {"payment_id": "x", "amount": "-3.00"}},
    {"data": {"payment_id": "x", "amount": "1.00", "currency": "XTS"}},
    {"data": {"payment_id": "x", "amount": "1e309"}},
    {"type": "loan.forgotten"},
    {"time": "yesterday"},
)


def _impossible(chance: Chance, event: Event) -> Event:
    """An event that fits nothing: it must be kept with its reason, and change nothing."""
    wrong = chance.one_of(_IMPOSSIBLE, "wrong", event["id"])
    base: Event = {"data": {"payment_id": "x", "amount": "1.00"}, "type": "payment.posted"}
    return {**event, **base, **wrong, "id": f"{event['id']}:impossible"}


class _Life:
    """One loan of one person. The person's own facts are drawn by the person, so their loans agree."""

    def __init__(self, chance: Chance, person: int, number: int, days: int) -> None:
        self._chance, self._person, self._number = chance, person, number
        self._home = chance.one_of(HOMES, "home", person)
        self._loan = f"L{number}"
        self._habit = self._drawn_habit()
        self._opened = FIRST_DAY + timedelta(days=self._whole(0, max(1, days // 2), "opened"))
        self._amount = self._whole(2, 90, "amount") * 5 * 10 ** (self._exponent())
        spacing = self._one_of((7, 14, 30, 30), "spacing")
        first = self._opened + timedelta(days=self._whole(5, 30, "first"))
        count = self._one_of((1, 1, 1, 2, 3, 4), "count")
        self._dues = [first + timedelta(days=spacing * nth) for nth in range(count)]

    def _exponent(self) -> int:
        return minor_units(self._home.currency) or 0

    def _drawn_habit(self) -> str:
        left = self._whole(0, 99, "habit")
        for share, habit in _HABITS:
            if left < share:
                return habit
            left -= share
        return "never"

    def _whole(self, low: int, high: int, what: str) -> int:
        return self._chance.whole(low, high, what, self._number)

    def _happens(self, share: float, what: str) -> bool:
        return self._chance.happens(share, what, self._number)

    def _one_of(self, choices: Sequence[T], what: str) -> T:
        return self._chance.one_of(choices, what, self._number)

    def events(self) -> Iterator[Event]:
        yield self._event("opened", "loan.opened", self._opened, self._opening(), time(8, 5))
        yield from self._payments()
        yield from self._odd_days()

    def _opening(self) -> Event:
        return {
            "portfolio": self._chance.one_of(PORTFOLIOS, "portfolio", self._person),
            "currency": self._home.currency,
            "principal": self._money(self._amount * len(self._dues)),
            "borrower": self._borrower(),
            "installments": [
                {"number": nth, "due_on": due.isoformat(), "amount": self._money(self._amount)}
                for nth, due in enumerate(self._dues, start=1)
            ],
        }

    def _borrower(self) -> Event:
        zones = [self._home.zone]
        if self._chance.happens(0.05, "second zone", self._person):
            zones.append(self._chance.one_of(HOMES, "other zone", self._person).zone)
        return {
            "id": f"P{self._person}",
            "locale": self._home.locale,
            "region": self._home.region,
            "timezones": zones,
            "contacts": self._contacts(),
        }

    def _contacts(self) -> list[Event]:
        """Some share a number with a neighbour, some have an app, a few have neither or never agreed."""
        chance, person = self._chance, self._person
        shared = person > 0 and chance.happens(0.06, "shares", person)
        number = f"{self._home.number}{person - 1 if shared else person:05}"
        sms: Event = {"channel": "sms", "address": number}
        if not chance.happens(0.04, "never agreed", person):
            sms["consent"] = {"source": "application"}
        app = {"channel": "push", "provider": "fcm", "address": f"device-{person}"}
        found = []
        if not chance.happens(0.08, "no number", person):
            found.append(sms)
        if chance.happens(0.4, "has app", person):
            found.append(app)
        return found

    def _payments(self) -> Iterator[Event]:
        match self._habit:
            case "never":
                return
            case "in-parts":
                for nth, due in enumerate(self._dues):
                    soon = self._amount * 2 // 5
                    late = self._whole(-4, 20, f"late{nth}")
                    yield self._pays(f"{nth}a", due + timedelta(days=late), soon)
                    yield self._pays(f"{nth}b", due + timedelta(days=late + 9), self._amount - soon)
            case habit:
                for nth, due in enumerate(self._dues):
                    day = due + timedelta(days=self._whole(*_LATENESS[habit], f"late{nth}"))
                    extra = self._amount // 10 if habit == "too-much" and nth == 0 else 0
                    yield self._pays(str(nth), day, self._amount + extra)
                    if habit == "bounced" and nth == 0:
                        yield from self._bounces(day)

    def _bounces(self, day: date) -> Iterator[Event]:
        back = day + timedelta(days=self._whole(1, 9, "bounces"))
        data = {"payment_id": f"{self._loan}-0", "reason": "returned"}
        yield self._event("back", "payment.reversed", back, data, time(11, 20))
        if self._happens(0.7, "pays again"):
            yield self._pays(
                "again", back + timedelta(days=self._whole(1, 30, "again")), self._amount
            )

    def _pays(self, nth: str, day: date, minor: int) -> Event:
        """A payment is often known a few days after its value date."""
        known = max(day, self._opened) + timedelta(
            days=self._one_of((0, 0, 0, 1, 4), f"known{nth}")
        )
        data = {
            "payment_id": f"{self._loan}-{nth}",
            "amount": self._money(minor),
            "currency": self._home.currency,
            "value_date": max(day, self._opened).isoformat(),
        }
        at = time(self._whole(9, 22, f"hour{nth}"), self._whole(0, 59, f"minute{nth}"))
        return self._event(f"paid{nth}", "payment.posted", known, data, at)

    def _odd_days(self) -> Iterator[Event]:
        """What seldom happens to a loan or to its person."""
        middle = self._dues[0] + timedelta(days=self._whole(-4, 40, "odd day"))
        middle = max(middle, self._opened + timedelta(days=1))
        if self._happens(0.05, "fee"):
            yield self._event(
                "fee", "fee.assessed", middle, {"amount": self._money(self._amount // 20)}
            )
        if self._happens(0.05, "moved"):
            yield self._event("moved", "loan.rescheduled", middle, self._later())
        if self._happens(0.03, "closed"):
            reason = self._one_of(("written_off", "refinanced", "paid_off"), "why closed")
            yield self._event("closed", "loan.closed", middle, {"reason": reason})
        if self._happens(0.05, "flagged"):
            yield self._flagged(middle)
        if self._happens(0.04, "updated"):
            yield self._updated(middle)

    def _later(self) -> Event:
        moved = self._whole(3, 30, "by")
        return {
            "installments": [
                {
                    "number": nth,
                    "due_on": (due + timedelta(days=moved)).isoformat(),
                    "amount": self._money(self._amount),
                }
                for nth, due in enumerate(self._dues, start=1)
            ]
        }

    def _flagged(self, day: date) -> Event:
        until = instant(day + timedelta(days=self._whole(2, 40, "until")), time(9), self._home.zone)
        data = {
            "portfolio": self._chance.one_of(PORTFOLIOS, "portfolio", self._person),
            "borrower": {"id": f"P{self._person}"},
            "flag": self._one_of(("dispute", "hardship", "deceased"), "flag"),
            "until": until.isoformat(),
        }
        return self._event("flagged", "borrower.flagged", day, data, subject=f"P{self._person}")

    def _updated(self, day: date) -> Event:
        """The person moves, or has another number."""
        borrower: Event = {"id": f"P{self._person}"}
        if self._happens(0.5, "moves"):
            borrower["timezones"] = [self._one_of(HOMES, "new home").zone]
        else:
            number = f"{self._home.number}{50_000 + self._number:05}"
            consent = {"source": "application"}
            borrower["contacts"] = [{"channel": "sms", "address": number, "consent": consent}]
        data = {
            "portfolio": self._chance.one_of(PORTFOLIOS, "portfolio", self._person),
            "borrower": borrower,
        }
        return self._event("updated", "borrower.updated", day, data, subject=f"P{self._person}")

    def _money(self, minor: int) -> str:
        return decimal_text(max(1, minor), self._home.currency)

    def _event(
        self,
        name: str,
        kind: str,
        day: date,
        data: Event,
        at: time = time(15, 30),
        *,
        subject: str | None = None,
    ) -> Event:
        return {
            "specversion": "1.0",
            "id": f"{self._loan}:{name}",
            "source": SOURCE,
            "type": kind,
            "subject": subject or self._loan,
            "time": instant(day, at, self._home.zone).isoformat(),
            "data": data,
        }
