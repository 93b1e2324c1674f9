"""Replay report: what left the building and what the gate decided.

Messages and decisions are folded into counts. Memory grows with notices, never with texts.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from statistics import median_low
from typing import Any

from agent.domain.report_tree import (
    CurrencyLine,
    Decisions,
    HourLine,
    NamedCount,
    Peaks,
    PersonWeeks,
    RuleLine,
    StageLine,
    WeekLine,
)
from agent.domain.report_words import meaning

Record = Mapping[str, Any]
Notice = tuple[str, str, str]
Settled = Callable[[str, str, date], bool]

VERDICTS = ("send", "snooze", "cancel")
WEEK = timedelta(days=7)
MESSAGE = "message"


def _most_within(days: Sequence[int], length: int) -> int:
    """The most of the sorted day numbers that lie in any `length` days in a row."""
    most = start = 0
    for end, day in enumerate(days):
        while day - days[start] >= length:
            start += 1
        most = max(most, end - start + 1)
    return most


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


class MessageTally:
    """Counts over messages. Local times are taken from the offset that `sent_at` carries."""

    def __init__(self) -> None:
        self.total = 0
        self.by_stage: Counter[tuple[str, str]] = Counter()
        self.channels: Counter[str] = Counter()
        self.grades: dict[str, str] = {}
        self.offsets: dict[str, int] = {}
        self.sent: dict[Notice, tuple[str, int]] = {}
        self.last: dict[tuple[str, str], tuple[datetime, str]] = {}
        self.newest_anchor: dict[str, str] = {}
        self.borrowers: set[str] = set()
        self._weeks: Counter[tuple[date, bool]] = Counter()
        self._person_weeks: Counter[tuple[str, date]] = Counter()
        self._hours: Counter[tuple[int, int]] = Counter()
        self._amounts: defaultdict[str, list[Decimal]] = defaultdict(list)
        self._currency_loans: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, message: Record) -> None:
        """Fold one message; `KeyError` or `ValueError` if it is not one."""
        at = datetime.fromisoformat(message["sent_at"])
        self.total += 1
        self._add_stage(message, at)
        self._add_time(message, at)
        currency = message["currency"]
        self._amounts[currency].append(Decimal(message["amount"]))
        self._currency_loans[currency].add(message["loan"])

    def _add_stage(self, message: Record, at: datetime) -> None:
        loan, anchor, stage = message["loan"], message["anchor"], message["stage"]
        self.by_stage[stage, message["channel"]] += 1
        self.channels[message["channel"]] += 1
        self.grades[stage] = message["grade"]
        self.offsets[stage] = min(message["dpd"], self.offsets.get(stage, message["dpd"]))
        self._first_day((loan, anchor, stage), message["borrower"], at.date().toordinal())
        self.newest_anchor[loan] = max(anchor, self.newest_anchor.get(loan, anchor))
        known = self.last.get((loan, anchor))
        if known is None or known[0] <= at:
            self.last[loan, anchor] = (at, stage)

    def _first_day(self, notice: Notice, borrower: str, day: int) -> None:
        known = self.sent.get(notice)
        if known is None or day < known[1]:
            self.sent[notice] = (borrower, day)

    def _add_time(self, message: Record, at: datetime) -> None:
        monday = _monday(at.date())
        borrower = message["borrower"]
        self.borrowers.add(borrower)
        self._weeks[monday, message["dpd"] > 0] += 1
        self._person_weeks[borrower, monday] += 1
        self._hours[at.hour, at.weekday()] += 1

    def weeks(self) -> tuple[WeekLine, ...]:
        """Every week from the first message to the last one, idle weeks included."""
        if not self._weeks:
            return ()
        first, last = min(self._weeks)[0], max(self._weeks)[0]
        mondays = (first + WEEK * n for n in range((last - first) // WEEK + 1))
        return tuple(
            WeekLine(monday, self._weeks[monday, False], self._weeks[monday, True])
            for monday in mondays
        )

    def person_weeks(self) -> tuple[PersonWeeks, ...]:
        """How many weeks of one person held n messages."""
        spread = Counter(self._person_weeks.values())
        return tuple(PersonWeeks(n, weeks) for n, weeks in sorted(spread.items()))

    def peaks(self) -> Peaks:
        """The most notices of one person in a local day, and in any seven local days in a row."""
        days: defaultdict[str, list[int]] = defaultdict(list)
        for borrower, day in self.sent.values():
            days[borrower].append(day)
        spans = [sorted(held) for held in days.values()]
        return Peaks(
            max((_most_within(held, 1) for held in spans), default=0),
            max((_most_within(held, 7) for held in spans), default=0),
        )

    def hours(self) -> tuple[HourLine, ...]:
        """Local hours from the first that was used to the last that was."""
        used = [hour for hour, _ in self._hours]
        if not used:
            return ()
        return tuple(
            HourLine(hour, tuple(self._hours[hour, weekday] for weekday in range(7)))
            for hour in range(min(used), max(used) + 1)
        )

    def currencies(self) -> tuple[CurrencyLine, ...]:
        """Amounts asked for, per currency: they are never added up across currencies."""
        return tuple(
            CurrencyLine(
                currency=currency,
                messages=len(amounts),
                loans=len(self._currency_loans[currency]),
                median_amount=median_low(amounts),
                largest_amount=max(amounts),
            )
            for currency, amounts in sorted(self._amounts.items())
        )

    def ordered_channels(self) -> tuple[str, ...]:
        """Channels, the busiest first."""
        return tuple(sorted(self.channels, key=lambda name: (-self.channels[name], name)))


class DecisionTally:
    """Counts over decisions, which come in order of time."""

    def __init__(self) -> None:
        self.by_verdict: Counter[str] = Counter()
        self.last: dict[Notice, str] = {}
        self.offsets: dict[str, int] = {}
        self.newest_anchor: dict[str, str] = {}
        self._rules: Counter[tuple[str, str]] = Counter()

    def add(self, decision: Record) -> None:
        """Fold one decision; `KeyError` or `ValueError` if it is not one."""
        loan, anchor, stage = decision["loan"], decision["anchor"], decision["stage"]
        verdict = decision["decision"]
        self.by_verdict[verdict] += 1
        self.last[loan, anchor, stage] = verdict
        self.newest_anchor[loan] = max(anchor, self.newest_anchor.get(loan, anchor))
        if verdict != "send":
            for rule in decision["rules"]:
                self._rules[rule, verdict] += 1
        self._learn_offset(stage, anchor, decision["due_at"])

    def _learn_offset(self, stage: str, anchor: str, due_at: str) -> None:
        offset = (date.fromisoformat(due_at[:10]) - date.fromisoformat(anchor)).days
        self.offsets[stage] = min(offset, self.offsets.get(stage, offset))

    def decisions(self, stated: Mapping[str, str], packs: Mapping[str, str]) -> Decisions:
        """By verdict, by the last word on each notice, and by failing rule, most frequent first.

        `stated` says what rules of the packs mean, as the packs word it; `packs` in which they stand.
        """
        lines = [
            RuleLine(
                rule,
                meaning(rule, stated),
                self._rules[rule, "snooze"],
                self._rules[rule, "cancel"],
                packs.get(rule, ""),
            )
            for rule in {rule for rule, _ in self._rules}
        ]
        lines.sort(key=lambda line: (-line.snoozed - line.cancelled, line.rule))
        return Decisions(
            total=self.by_verdict.total(),
            by_verdict=_verdicts(self.by_verdict),
            notices_by_last_verdict=_verdicts(Counter(self.last.values())),
            rules=tuple(lines),
        )


def _verdicts(counts: Counter[str]) -> tuple[NamedCount, ...]:
    names = (*VERDICTS, *sorted(set(counts) - set(VERDICTS)))
    return tuple(NamedCount(name, counts[name]) for name in names)


def stage_lines(
    messages: MessageTally,
    decisions: DecisionTally,
    ladder: Iterable[Record],
    settled: Settled,
) -> tuple[StageLine, ...]:
    """One line a stage that was decided or sent, in ladder order.

    `ladder` names the stages in order (`id`, `grade`, `offset_days`, `action`) where the replay states them;
    stages it does not name, or all if it is empty, follow by the earliest DPD seen.
    """
    stated = {str(stage["id"]): stage for stage in ladder}
    count = _StageCounts(messages, decisions, settled)
    seen = {stage for stage, _ in messages.by_stage} | {key[2] for key in decisions.last}
    return tuple(
        count.line(stage, stated.get(stage, {})) for stage in _in_order(seen, stated, count.offsets)
    )


def _in_order(
    seen: Collection[str], stated: Mapping[str, Record], offsets: Mapping[str, int]
) -> list[str]:
    rest = sorted(set(seen) - set(stated), key=lambda stage: (offsets[stage], stage))
    return [stage for stage in stated if stage in seen] + rest


class _StageCounts:
    """The notices of each stage, and what became of those that were sent."""

    def __init__(self, messages: MessageTally, decisions: DecisionTally, settled: Settled) -> None:
        self._messages = messages
        self.offsets = {
            stage: min(
                tally[stage] for tally in (messages.offsets, decisions.offsets) if stage in tally
            )
            for stage in messages.offsets.keys() | decisions.offsets.keys()
        }
        self._decided = Counter(stage for _, _, stage in decisions.last)
        self._cancelled = Counter(
            key[2] for key, verdict in decisions.last.items() if verdict == "cancel"
        )
        self._let_go = Counter(
            key[2] for key, verdict in decisions.last.items() if verdict == "send"
        )
        self._sent = Counter(stage for _, _, stage in messages.sent)
        self._last = Counter(stage for _, stage in messages.last.values())
        self._paid = Counter(
            stage
            for (loan, anchor), (at, stage) in messages.last.items()
            if settled(loan, anchor, at.date())
        )

    def line(self, stage: str, stated: Record) -> StageLine:
        offset = stated.get("offset_days", self.offsets[stage])
        action = str(stated.get("action", MESSAGE))
        by_channel = tuple(
            NamedCount(channel, self._messages.by_stage[stage, channel])
            for channel in self._messages.ordered_channels()
        )
        return StageLine(
            stage=stage,
            grade=self._messages.grades.get(stage) or str(stated.get("grade", "")),
            offset_days=offset,
            messages=sum(entry.count for entry in by_channel),
            by_channel=by_channel,
            decided=self._decided[stage],
            cancelled=self._cancelled[stage],
            sent=self._sent[stage],
            paid_next=self._paid[stage],
            followed=self._sent[stage] - self._last[stage],
            open=self._last[stage] - self._paid[stage],
            action=action,
            acted=0 if action == MESSAGE else self._let_go[stage],
        )
