"""Lint the shipped packs and calendars: what is refused, and what somebody must still look at."""

import tomllib
from dataclasses import dataclass
from typing import Any

from agent.domain.calendar import BusinessCalendar, compile_calendar, wrong_file
from agent.domain.conduct import Pack
from agent.domain.conduct_ruling import ELSEWHERE
from agent.flows.calendars import shipped_calendars
from agent.flows.rules import problems_of, read_pack
from schedules import calendar_names, calendar_text, conduct_names, conduct_text


@dataclass(frozen=True, slots=True)
class Lint:
    """`problems` refuse a file; `warnings` are for whoever answers for its use."""

    packs: int
    rules: int
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "packs": self.packs, "rules": self.rules, "problems": list(self.problems),
            "warnings": list(self.warnings),
        }  # fmt: skip


def lint() -> Lint:
    """Every shipped pack and calendar, in order of name."""
    problems: list[str] = []
    warnings: list[str] = []
    rules = 0
    for name in conduct_names():
        where, text = f"schedules/conduct/{name}.toml", conduct_text(name)
        found = read_pack(text, shipped_calendars())
        if not isinstance(found, Pack):
            problems += problems_of(where, text, found)
            continue
        rules += len(found.rules) + len(found.states)
        warnings += _to_review(where, tomllib.loads(text))
    for name in calendar_names():
        wrong, notes = _calendar(name)
        problems += wrong
        warnings += notes
    return Lint(len(conduct_names()), rules, tuple(problems), tuple(warnings))


def _to_review(where: str, raw: dict[str, Any]) -> list[str]:
    notes = []
    if not raw["pack"]["reviewed_by"]:
        notes.append(f"{where}: reviewed by nobody yet")
    unread = [
        rule["id"] for rule in raw["rule"] if rule["source"]["mark"] in ("secondary", "memory")
    ]
    if unread:
        notes.append(f"{where}: not read in the source itself: {', '.join(unread)}")
    notes += [
        f"{where}: {rule['id']}: before a {rule['before']}, which Duly never does: only vectors ask it"
        for rule in raw["rule"]
        if rule.get("before") in ELSEWHERE
    ]
    return notes


def _calendar(name: str) -> tuple[list[str], list[str]]:
    where, raw = f"schedules/calendars/{name}.toml", tomllib.loads(calendar_text(name))
    found = wrong_file(raw) or compile_calendar(raw)
    if not isinstance(found, BusinessCalendar):
        return [f"{where}:1: {found}"], []
    notes = [] if raw.get("confirmed") else [f"{where}: not confirmed: {raw['source']}"]
    first, last = found.covers
    return [], [*notes, f"{where}: known from {first} to {last}; outside it rules hold"]
