"""The demo in a terminal: a live screen, or plain lines where there is no terminal."""

from collections import Counter, deque
from collections.abc import Sequence
from datetime import date
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent.domain.calendar import local_date, local_time
from agent.domain.report_words import OUTCOMES, meaning
from agent.flows.demo import Kind, News
from agent.flows.demo_view import Check, Phase, View

_FACTS = {
    "loan.opened": "loan opened",
    "loan.rescheduled": "due dates moved",
    "payment.posted": "payment",
    "payment.reversed": "payment bounced",
    "borrower.flagged": "dispute raised",
}
_RULES = {
    "HOUSE-WINDOW": "outside the contact hours",
    "HOUSE-DAY": "one notice a day is enough",
    "HOUSE-WEEK": "five notices in seven days are enough",
}
_ROWS = 26


class Screen(Protocol):
    """What shows the performance."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def say(self, text: str) -> None:
        """A line that stays."""
        ...

    def hear(self, view: View, news: Sequence[News]) -> None:
        """What is new."""
        ...


class PlainScreen:
    """One line a virtual day on which something happened, one for each check."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._day: date | None = None
        self._counts: Counter[Kind] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def hear(self, view: View, news: Sequence[News]) -> None:
        for one in news:
            if self._day is not None and one.at.date() > self._day:
                self._tell_day()
            self._day = max(one.at.date(), self._day or one.at.date())
            self._counts[one.kind] += 1
            if one.kind is Kind.CHECK:
                self._tell_day()
                self.say(f"{self._day}  {verdict(one.detail['check'])}")
        if view.phase is Phase.ENDED:
            self._tell_day()

    def _tell_day(self) -> None:
        told = ", ".join(
            f"{count} {words[count != 1]}"
            for kind, words in _COUNTED.items()
            if (count := self._counts[kind])
        )
        if told:
            self.say(f"{self._day}  {told}")
        self._counts.clear()


_COUNTED = {
    Kind.FACT: ("event", "events"),
    Kind.MESSAGE: ("message", "messages"),
    Kind.REFUSAL: ("decision against", "decisions against"),
    Kind.OUTCOME: ("call to the ledger", "calls to the ledger"),
}


class LiveScreen:
    """The whole terminal: clock, what happens, totals, invariants."""

    def __init__(self, console: Console, address: str) -> None:
        self._console, self._address = console, address
        self._feed: deque[Text] = deque(maxlen=200)
        self._view: View | None = None
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=6, transient=True,
            screen=False,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def hear(self, view: View, news: Sequence[News]) -> None:
        self._view = view
        self._feed.extend(_line(one) for one in news)

    def _render(self) -> RenderableType:
        view = self._view
        if view is None:
            return Text(f"Starting PostgreSQL and Valkey …   page: {self._address}", style="dim")
        rows = max(4, min(_ROWS, self._console.height - 9))
        feed = Group(*list(self._feed)[-rows:])
        return Group(_head(view), Panel(feed, border_style="dim", padding=(0, 1)), self._foot(view))

    def _foot(self, view: View) -> RenderableType:
        totals = Text.assemble(
            (f"{view.messages}", "bold"), " messages   ",
            (f"{view.kept_back}", "bold"), " notices called off   ",
            (f"{view.acked}", "bold"), f" of {view.told} outcomes acknowledged   ",
            (f"{dict(view.buckets)['paid']}", "bold"), " loans paid off",
        )  # fmt: skip
        held = view.check is None or not view.check.violated
        told = Text(verdict(view.check), style="green" if held else "bold red")
        page = Text.assemble("Page: ", (self._address, "bold"), "   Ctrl-C ends the demo")
        return Group(totals, told, page)


def _head(view: View) -> RenderableType:
    day = Text(f"{view.at:%A %d %B %Y  %H:%M} UTC", style="bold")
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    bar = ProgressBar(total=view.days, completed=min(view.day, view.days))
    grid.add_row(day, bar, Text(f"day {view.day} of {view.days}", style="dim"))
    return grid


def _line(one: News) -> Text:
    zone = one.who.zones[0] if one.who else "UTC"
    day, clock = local_date(one.at, zone), local_time(one.at, zone)
    style, mark = _LOOKS[one.kind]
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{day:%d %b} {clock:%H:%M} ", style="dim")
    text.append(f"{mark} ", style=style)
    text.append(f"{one.subject:7}", style="dim")
    if one.who is not None:
        text.append(f"{one.who.name}  ")
    text.append(_said(one), style="" if one.kind is Kind.MESSAGE else style)
    return text


_LOOKS = {
    Kind.FACT: ("cyan", "·"),
    Kind.MESSAGE: ("green", "✉"),
    Kind.REFUSAL: ("yellow", "✗"),
    Kind.OUTCOME: ("magenta", "→"),
    Kind.CHECK: ("green", "✓"),
}


def _said(one: News) -> str:
    match one.kind:
        case Kind.FACT:
            amount = one.detail.get("amount")
            money = f" {amount} {one.detail.get('currency')}" if amount else ""
            return _FACTS.get(one.said, one.said) + money
        case Kind.MESSAGE:
            return f"{one.detail['channel']}  {one.said}"
        case Kind.REFUSAL:
            against = ", ".join(meaning(rule, _RULES) for rule in one.said.split())
            return f"{one.detail['stage']} {'called off' if one.detail['final'] else 'put off'}: {against}"
        case Kind.OUTCOME:
            again = (
                ""
                if one.detail["applied"]
                else " (the ledger did not take it this time, or had it)"
            )
            return f"ledger: {OUTCOMES.get(one.said, one.said)}{again}"
        case Kind.CHECK:
            return verdict(one.detail["check"])


def verdict(check: Check | None) -> str:
    """What the invariants said."""
    if check is None:
        return "Invariants are checked every virtual week"
    if check.violated:
        names = ", ".join(f"{finding.id} {finding.title}" for finding in check.violated)
        return f"VIOLATED on {check.at.date()}: {names}"
    return f"All {check.held} invariants that apply hold on {check.at.date()}"
