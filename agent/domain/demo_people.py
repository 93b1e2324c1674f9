"""The people of `duly demo`: a small invented portfolio with a borrower in every situation.

Pure and seeded: the same seed gives the same people, the same days and the same events. Names are
made up; numbers are from ranges that no phone can have, or that are set aside for fiction.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, TypeVar

from agent.domain.calendar import instant

T = TypeVar("T")

FIRST_DAY = date(2026, 1, 5)
SOURCE = "demo-ledger"
# Days past due after which the shipped ladder says nothing more.
END_OF_CONTACT = 91


class Habit(StrEnum):
    """What a borrower of the demo does, or what happens to their phone."""

    EARLY = "early"
    ON_TIME = "on-time"
    DAYS_LATE = "days-late"
    WEEKS_LATE = "weeks-late"
    MONTHS_LATE = "months-late"
    IN_PARTS = "in-parts"
    NEVER = "never"
    BOUNCED = "bounced"
    TWO_LOANS = "two-loans"
    SHARED_PHONE = "shared-phone"
    OPTED_OUT = "opted-out"
    DEAF_PUSH = "deaf-push"
    NUMBER_GONE = "number-gone"
    LOST_ANSWER = "lost-answer"
    NEVER_ARRIVED = "never-arrived"
    DISPUTE = "dispute"
    MOVED_DATE = "moved-date"
    TWO_ZONES = "two-zones"


# In order of interest: the page shows the first person of each in this order.
CAST: tuple[tuple[Habit, int], ...] = (
    (Habit.DAYS_LATE, 5),
    (Habit.ON_TIME, 6),
    (Habit.WEEKS_LATE, 4),
    (Habit.BOUNCED, 2),
    (Habit.DEAF_PUSH, 3),
    (Habit.OPTED_OUT, 2),
    (Habit.NEVER, 2),
    (Habit.TWO_LOANS, 2),
    (Habit.NUMBER_GONE, 1),
    (Habit.LOST_ANSWER, 2),
    (Habit.DISPUTE, 1),
    (Habit.IN_PARTS, 3),
    (Habit.SHARED_PHONE, 2),
    (Habit.EARLY, 4),
    (Habit.MOVED_DATE, 1),
    (Habit.MONTHS_LATE, 2),
    (Habit.NEVER_ARRIVED, 1),
    (Habit.TWO_ZONES, 1),
)


@dataclass(frozen=True, slots=True)
class House:
    """One invented lender: its portfolio, sender identity, place and people."""

    portfolio: str
    lender: str
    locale: str
    currency: str
    step: int
    zones: tuple[tuple[str, str], ...]
    given: tuple[str, ...]


HOUSES = (
    House(
        "harbour-loans", "Harbour Loans", "en", "USD", 20,
        (("America/New_York", "New York"), ("Europe/London", "London")),
        (
            "Amelia Hart", "Noah Bennett", "Grace Okafor", "Lucas Meyer", "Isla Morgan", "Omar Haddad",
            "Chloe Dawson", "Ethan Brooks", "Maya Patel", "Jonah Reed", "Freya Lindqvist", "Caleb Stone",
            "Ruth Adeyemi", "Theo Marsh", "Nina Kowalski", "Samuel Price", "Elena Rossi", "Victor Lane",
            "Hannah Cole", "Diego Alvarez", "Lucy Finch", "Aaron Webb", "Iris Novak",
        ),
    ),
    House(
        "wutong-credit", "梧桐小贷", "zh-CN", "CNY", 100,
        (("Asia/Shanghai", "上海"),),
        (
            "林晓雨", "周子涵", "陈佳宁", "吴思远", "赵文静", "孙浩然", "郑雅琴", "冯志强",
            "许梦瑶", "何俊杰", "罗美玲", "宋天佑", "唐小婉", "韩立新", "曹雨桐", "彭家豪",
            "蒋春燕", "沈国栋", "余静怡", "董明辉", "叶子轩", "杜若兰", "田一诺",
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Player:
    """One borrower of the demo. `sms` and `device` are the two addresses of one phone."""

    ref: str
    name: str
    house: House
    zones: tuple[str, ...]
    city: str
    habit: Habit
    sms: str
    device: str | None
    loans: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """Everybody, and the ledger events of their loans as JSON-ready mappings, in order of time.

    `ends` is about when nothing is left to say: what a progress bar needs.
    """

    players: tuple[Player, ...]
    events: tuple[Mapping[str, Any], ...]
    ends: datetime


def tell(seed: int) -> Story:
    """The whole story of one seed."""
    players = _players()
    lives = [_Life(player, seed) for player in players]
    events = [event for life in lives for event in life.events()]
    events.sort(key=lambda event: (datetime.fromisoformat(event["time"]), event["id"]))
    last = datetime.fromisoformat(events[-1]["time"])
    return Story(
        players,
        tuple(events),
        max(last, *(life.silent_from() for life in lives if life.never_pays)),
    )


def changed_phones(story: Story) -> Mapping[str, datetime]:
    """When a phone that worked stops doing so: addresses by the instant of the change."""
    days = {Habit.OPTED_OUT: 22, Habit.NUMBER_GONE: 26}
    return {
        player.sms: instant(
            FIRST_DAY + timedelta(days=days[player.habit]), time(6), player.zones[0]
        )
        for player in story.players
        if player.habit in days
    }


def _players() -> tuple[Player, ...]:
    players: list[Player] = []
    shared: dict[str, str] = {}
    sizes = dict.fromkeys(HOUSES, 0)
    for number, habit in enumerate(habit for habit, count in CAST for _ in range(count)):
        smaller = min(HOUSES, key=lambda house: sizes[house])
        house = _HOME.get(habit, smaller)
        nth = sizes[house]
        sizes[house] += 1
        zone, city = house.zones[nth % len(house.zones)]
        sms = _number(house, zone, nth)
        if habit is Habit.SHARED_PHONE:
            sms = shared.setdefault(house.portfolio, sms)
        zones = (zone, "America/Los_Angeles") if habit is Habit.TWO_ZONES else (zone,)
        has_app = habit in _WITH_APP
        loans = (f"L-{1001 + number}",) + (
            (f"L-{1101 + number}",) if habit is Habit.TWO_LOANS else ()
        )
        players.append(
            Player(
                f"B-{number + 1:03}", house.given[nth], house, zones, city, habit, sms,
                f"device-{number + 1:03}" if has_app else None, loans,
            )
        )  # fmt: skip
    return tuple(players)


_WITH_APP = frozenset({Habit.ON_TIME, Habit.DEAF_PUSH, Habit.EARLY, Habit.IN_PARTS, Habit.DISPUTE})
_HOME = {
    Habit.SHARED_PHONE: HOUSES[0],
    Habit.TWO_ZONES: HOUSES[0],
    Habit.NUMBER_GONE: HOUSES[1],
}


def _number(house: House, zone: str, nth: int) -> str:
    """North America and the United Kingdom set numbers aside for fiction; +86 120 is no mobile range."""
    match zone:
        case "America/New_York":
            return f"+1212555{100 + nth:04}"
        case "Europe/London":
            return f"+447700900{100 + nth:03}"
        case _:
            assert house.currency == "CNY"
            return f"+86120555501{nth:02}"


class _Life:
    """What happens to one borrower's loans. Every draw is a hash of the seed, the person and a name."""

    def __init__(self, player: Player, seed: int) -> None:
        self._player, self._seed = player, seed
        self._count = 0

    def events(self) -> Iterator[dict[str, Any]]:
        for nth, loan in enumerate(self._player.loans):
            yield from self._loan(loan, nth)

    @property
    def never_pays(self) -> bool:
        return self._player.habit is Habit.NEVER

    def silent_from(self) -> datetime:
        """From when on nothing is said any more to a person who never pays."""
        day = self._opening(0) + timedelta(days=self._first() + END_OF_CONTACT)
        return self._at(day, time(12))

    def _draw(self, what: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        text = f"{self._player.ref}/{what}".encode()
        digest = blake2b(text, key=self._seed.to_bytes(8, signed=True), digest_size=8).digest()
        return low + int.from_bytes(digest) % (high - low + 1)

    def _loan(self, loan: str, nth: int) -> Iterator[dict[str, Any]]:
        opened, first = self._opening(nth), self._first()
        count = 1 if self._player.habit in _SLOW else 1 + self._draw(f"count{nth}", 1, 2)
        amount = self._player.house.step * self._draw(f"amount{nth}", 4, 18)
        dues = [opened + timedelta(days=first + 30 * number) for number in range(count)]
        yield self._opened(loan, opened, dues, amount)
        yield from self._payments(loan, dues, amount)

    def _opening(self, nth: int) -> date:
        return FIRST_DAY + timedelta(days=self._draw("opened", 0, 6) + nth)

    def _first(self) -> int:
        """Days from opening to the first due date."""
        slow = self._player.habit in _SLOW
        return self._draw("first", 12, 16) if slow else self._draw("first", 10, 20)

    def _opened(self, loan: str, opened: date, dues: Sequence[date], amount: int) -> dict[str, Any]:
        player = self._player
        data = {
            "portfolio": player.house.portfolio,
            "product": "mobile-instalment",
            "currency": player.house.currency,
            "principal": f"{amount * len(dues)}.00",
            "installments": self._parts(dues, amount),
            "borrower": self._borrower(opened),
        }
        return self._event("loan.opened", loan, opened, data, at=time(8, self._draw(loan, 5, 55)))

    def _parts(self, dues: Sequence[date], amount: int) -> list[dict[str, Any]]:
        return [
            {"number": number, "due_on": due.isoformat(), "amount": f"{amount}.00"}
            for number, due in enumerate(dues, start=1)
        ]

    def _borrower(self, opened: date) -> dict[str, Any]:
        player = self._player
        consent = {"source": "loan-agreement", "at": self._at(opened, time(8)).isoformat()}
        contacts = [{"channel": "sms", "address": player.sms, "consent": consent}]
        if player.device:
            contacts.append({"channel": "push", "address": player.device, "consent": consent})
        return {
            "id": player.ref,
            "name": player.name,
            "locale": player.house.locale,
            "timezones": list(player.zones),
            "contacts": contacts,
        }

    def _payments(self, loan: str, dues: Sequence[date], amount: int) -> Iterator[dict[str, Any]]:
        late = [self._lateness(f"{loan}/{number}") for number in range(len(dues))]
        match self._player.habit:
            case Habit.NEVER:
                return
            case Habit.IN_PARTS:
                yield from self._in_parts(loan, dues, amount, late)
            case Habit.BOUNCED:
                yield from self._bounces(loan, dues, amount)
            case Habit.DISPUTE:
                yield self._flagged(dues[0] + timedelta(days=2), dues[0] + timedelta(days=16))
                for number, due in enumerate(dues):
                    days = 20 if number == 0 else 1
                    yield self._pays(loan, due + timedelta(days=days), amount, number)
            case Habit.MOVED_DATE:
                yield from self._moves(loan, dues, amount)
            case _:
                for number, due in enumerate(dues):
                    yield self._pays(loan, due + timedelta(days=late[number]), amount, number)

    def _in_parts(
        self, loan: str, dues: Sequence[date], amount: int, late: Sequence[int]
    ) -> Iterator[dict[str, Any]]:
        """Two fifths soon, the rest a week later."""
        soon = amount * 2 // 5
        for number, due in enumerate(dues):
            rest = due + timedelta(days=9 + late[number])
            yield self._pays(loan, due + timedelta(days=2), soon, f"{number}a")
            yield self._pays(loan, rest, amount - soon, f"{number}b")

    def _moves(self, loan: str, dues: Sequence[date], amount: int) -> Iterator[dict[str, Any]]:
        """The lender moves every date by two weeks; the new ones are kept."""
        moved = [due + timedelta(days=14) for due in dues]
        data = {"installments": self._parts(moved, amount)}
        yield self._event("loan.rescheduled", loan, dues[0] + timedelta(days=2), data)
        for number, due in enumerate(moved):
            yield self._pays(loan, due, amount, number)

    def _lateness(self, what: str) -> int:
        low, high = _LATENESS.get(self._player.habit, (1, 6))
        return self._draw(f"late/{what}", low, high)

    def _bounces(self, loan: str, dues: Sequence[date], amount: int) -> Iterator[dict[str, Any]]:
        """The first payment comes back four days later; the second try holds."""
        yield self._pays(loan, dues[0], amount, "0")
        back = dues[0] + timedelta(days=4)
        data = {"payment_id": f"{loan}-0", "reason": "returned"}
        yield self._event("payment.reversed", loan, back, data, at=time(11, 20))
        yield self._pays(loan, dues[0] + timedelta(days=12), amount, "0-again")
        for number, due in enumerate(dues[1:], start=1):
            yield self._pays(loan, due, amount, number)

    def _pays(self, loan: str, day: date, amount: int, nth: object) -> dict[str, Any]:
        hour = self._draw(f"hour/{loan}/{nth}", 9, 21)
        minute = self._draw(f"minute/{loan}/{nth}", 0, 59)
        data = {
            "payment_id": f"{loan}-{nth}",
            "amount": f"{amount}.00",
            "currency": self._player.house.currency,
            "value_date": day.isoformat(),
        }
        return self._event("payment.posted", loan, day, data, at=time(hour, minute))

    def _flagged(self, day: date, until: date) -> dict[str, Any]:
        data = {
            "portfolio": self._player.house.portfolio,
            "borrower": {"id": self._player.ref},
            "flag": "dispute",
            "until": self._at(until, time(9)).isoformat(),
        }
        return self._event("borrower.flagged", self._player.ref, day, data)

    def _event(
        self, kind: str, subject: str, day: date, data: dict[str, Any], at: time = time(15, 30)
    ) -> dict[str, Any]:
        self._count += 1
        return {
            "specversion": "1.0",
            "id": f"{self._player.ref}-{self._count:02}",
            "source": SOURCE,
            "type": kind,
            "subject": subject,
            "time": self._at(day, at).isoformat(),
            "data": data,
        }

    def _at(self, day: date, at: time) -> datetime:
        return instant(day, at, self._player.zones[0])


# One instalment, due early: their stories need the whole ladder to come to their end.
_SLOW = frozenset({Habit.NEVER, Habit.MONTHS_LATE})
_LATENESS: Mapping[Habit, tuple[int, int]] = {
    Habit.EARLY: (-5, -2),
    Habit.ON_TIME: (0, 0),
    Habit.DAYS_LATE: (1, 6),
    Habit.WEEKS_LATE: (9, 19),
    Habit.MONTHS_LATE: (36, 72),
    Habit.TWO_LOANS: (2, 5),
    Habit.SHARED_PHONE: (1, 4),
    Habit.OPTED_OUT: (8, 12),
    Habit.DEAF_PUSH: (3, 9),
    Habit.NUMBER_GONE: (6, 9),
    Habit.LOST_ANSWER: (2, 8),
    Habit.NEVER_ARRIVED: (2, 8),
    Habit.TWO_ZONES: (4, 8),
}
