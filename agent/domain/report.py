"""The replay report: months of messages, decisions and outcomes folded into what a person reads.

Pure: records come in as mappings in the form of the `.ndjson` files, a `Report` comes out. The same
records give the same report, whatever machine they were replayed on (`Speed` excepted).
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from agent.domain.report_contact import DecisionTally, MessageTally, stage_lines
from agent.domain.report_paths import LoanPaths, OutcomeTally
from agent.domain.report_tree import (
    Headline,
    InvariantLine,
    NamedCount,
    PhaseLine,
    Report,
    RunFacts,
    Speed,
    report_json,
)
from agent.domain.report_words import DEFINITIONS

__all__ = ["Report", "ReportBuilder", "report_json"]

Record = Mapping[str, Any]


class ReportBuilder:
    """Takes the records of one replay, in any interleaving; decisions must be in order of time.

    A record that lacks a field of its kind raises `KeyError`: they are our own files.
    """

    def __init__(self) -> None:
        self._messages = MessageTally()
        self._decisions = DecisionTally()
        self._outcomes = OutcomeTally()
        self._opened: dict[str, date] = {}

    def add_message(self, message: Record) -> None:
        """Fold one line of `messages.ndjson`."""
        self._messages.add(message)

    def add_decision(self, decision: Record) -> None:
        """Fold one line of `decisions.ndjson`."""
        self._decisions.add(decision)

    def add_outcome(self, outcome: Record) -> None:
        """Fold one line of `outcomes.ndjson`."""
        self._outcomes.add(outcome)

    def add_opening(self, loan: str, opened_on: date) -> None:
        """Say on which local day a loan began; only roll rates from `current` need it."""
        self._opened[loan] = opened_on

    def build(self, run: Record) -> Report:
        """The report over all records so far and the facts of the run.

        `run` may say: file, version, schedule, packs, portfolios, from, until (ISO 8601),
        virtual_days, loans, borrowers, events, events_applied, events_duplicate, events_rejected
        (reason to count), invariants (id, title, violations), stages (id, grade, offset_days, in
        ladder order), rules (id to what it means, for the rules of packs), packs_of_rules (id to
        the pack it stands in), wall_seconds, phases (name to seconds).
        """
        paths = LoanPaths(self._outcomes.standing(), self._opened)
        invariants = _invariants(run)
        return Report(
            run=_run_facts(run),
            headline=self._headline(paths, invariants),
            channels=self._messages.ordered_channels(),
            stages=self._stages(run, paths),
            weeks=self._messages.weeks(),
            person_weeks=self._messages.person_weeks(),
            peaks=self._messages.peaks(),
            hours=self._messages.hours(),
            currencies=self._messages.currencies(),
            decisions=self._decisions.decisions(
                run.get("rules") or {}, run.get("packs_of_rules") or {}
            ),
            visits=paths.visits(),
            rolls=paths.rolls(_as_date(run.get("from")), _as_date(run.get("until"))),
            lateness=paths.lateness(),
            charge_offs=paths.charge_offs(),
            outcomes=_by_count(self._outcomes.by_type),
            rejected=_by_count(run.get("events_rejected") or {}),
            invariants=invariants,
            definitions=tuple(DEFINITIONS.items()),
            speed=_speed(run, self._messages.total),
        )

    def _stages(self, run: Record, paths: LoanPaths) -> tuple[Any, ...]:
        messages, decisions = self._messages, self._decisions

        def settled(loan: str, anchor: str, since: date) -> bool:
            seen = messages.newest_anchor.get(loan, ""), decisions.newest_anchor.get(loan, "")
            return max(seen) > anchor or paths.settled(loan, anchor, since)

        return stage_lines(messages, decisions, run.get("stages") or (), settled)

    def _headline(self, paths: LoanPaths, invariants: Iterable[InvariantLine]) -> Headline:
        messages = self._messages.total
        loans = len({loan for loan, _, _ in self._messages.sent})
        last = self._decisions.last
        begun, ended = paths.arrears()
        return Headline(
            messages=messages,
            loans_contacted=loans,
            borrowers_contacted=len(self._messages.borrowers),
            messages_per_loan_contacted=_rate(messages, loans, 2),
            notices_decided=len(last),
            notices_cancelled=sum(1 for verdict in last.values() if verdict == "cancel"),
            arrears_begun=begun,
            arrears_ended=ended,
            payoffs=paths.lateness().payoffs,
            charge_offs=paths.charge_offs().loans,
            invariants_violated=sum(1 for line in invariants if line.violations),
        )


def _run_facts(run: Record) -> RunFacts:
    return RunFacts(
        file=str(run.get("file") or ""),
        version=str(run.get("version") or ""),
        schedule=str(run.get("schedule") or ""),
        packs=_names(run.get("packs")),
        portfolios=_names(run.get("portfolios")),
        from_=str(run.get("from") or ""),
        until=str(run.get("until") or ""),
        virtual_days=run.get("virtual_days") or 0,
        loans=run.get("loans") or 0,
        borrowers=run.get("borrowers") or 0,
        events=run.get("events") or 0,
        events_applied=run.get("events_applied") or 0,
        events_duplicate=run.get("events_duplicate") or 0,
    )


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return tuple(str(item) for item in value)
    return () if value in (None, "") else (str(value),)


def _as_date(value: object) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return date.fromisoformat(value[:10]) if isinstance(value, str) and value else None


def _by_count(counts: Mapping[str, int]) -> tuple[NamedCount, ...]:
    lines = (NamedCount(name, count) for name, count in counts.items())
    return tuple(sorted(lines, key=lambda line: (-line.count, line.name)))


def _invariants(run: Record) -> tuple[InvariantLine, ...]:
    return tuple(
        InvariantLine(str(line["id"]), str(line["title"]), int(line["violations"]))
        for line in run.get("invariants") or ()
    )


def _speed(run: Record, messages: int) -> Speed:
    wall = float(run.get("wall_seconds") or 0)
    phases = run.get("phases") or {}
    return Speed(
        wall_seconds=round(wall, 3),
        events_per_second=_rate(run.get("events") or 0, wall, 1),
        messages_per_second=_rate(messages, wall, 1),
        virtual_days_per_second=_rate(run.get("virtual_days") or 0, wall, 1),
        phases=tuple(PhaseLine(name, round(float(spent), 3)) for name, spent in phases.items()),
    )


def _rate(part: float, whole: float, places: int) -> float | None:
    return round(part / whole, places) if whole else None
