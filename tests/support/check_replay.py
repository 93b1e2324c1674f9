"""Check what `duly replay` wrote against the raw event file: `python -m tests.support.check_replay
EVENTS.ndjson[.gz] OUT_DIR [LADDER.toml]`. Prints what was counted and every kind of error found.
"""

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.told import Told, moments, story
from tests.support.truth import (
    Debt,
    Step,
    Truth,
    as_published,
    lines,
    local,
    read_ladder,
    read_truth,
)

SHIPPED = Path(__file__).parents[2] / "schedules" / "ladders" / "consumer-instalment.toml"
OPENS, CLOSES = time(8), time(20)
A_DAY, A_WEEK = 1, 5
EXAMPLES = 5
_GROUPING = re.compile(r"(?<=\d)[,\u2009\u00a0\u202f ](?=\d{3})")

Key = tuple[str, str, str]  # loan, stage, anchor


@dataclass
class Report:
    counts: Counter[str] = field(default_factory=Counter)
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def wrong(self, kind: str, text: str) -> None:
        self.problems[kind].append(text)

    def ok(self) -> bool:
        return not self.problems

    def text(self) -> str:
        rows = [f"{name}: {count}" for name, count in sorted(self.counts.items())]
        for kind, found in sorted(self.problems.items()):
            rows.append(f"WRONG {kind}: {len(found)}")
            rows += [f"    {example}" for example in found[:EXAMPLES]]
        return "\n".join([*rows, "all checks pass" if self.ok() else "CHECKS FAILED"])


@dataclass
class Outputs:
    messages: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    outcomes: list[dict[str, Any]]


@dataclass
class Check:
    """Everything that the single checks share."""

    truth: Truth
    steps: tuple[Step, ...]
    out: Outputs
    report: Report
    end: datetime
    due: dict[Key, datetime] = field(default_factory=dict)
    told: dict[str, list[Told]] = field(default_factory=dict)
    ended: dict[str, datetime | None] = field(default_factory=dict)

    def step(self, name: str) -> Step | None:
        return next((step for step in self.steps if step.id == name), None)


def check(
    events: Path, out_dir: Path, ladder: Path = SHIPPED, until: datetime | None = None
) -> Report:
    """Run every check; the report says what was counted and what is wrong."""
    report = Report()
    steps = read_ladder(ladder)
    if ladder == SHIPPED:
        for difference in as_published(steps):
            report.wrong("ladder", difference)
    out = _outputs(out_dir, report)
    if out is None:
        return report
    truth = read_truth(events)
    run = Check(truth, steps, out, report, until or _end_of(truth))
    for debt in truth.debts.values():
        run.told[debt.ref], run.ended[debt.ref] = story(debt, steps, run.end)
        for step, anchor, at in moments(debt, steps, run.ended[debt.ref]):
            if at < run.end:
                run.due[(debt.ref, step.id, anchor.isoformat())] = at
    _check_messages(run)
    _check_frequency(run)
    _check_coverage(run)
    _check_decisions(run)
    _check_outcomes(run)
    return report


def _end_of(truth: Truth) -> datetime:
    last = max(view.since for debt in truth.debts.values() for view in debt.views)
    dues = max(day for debt in truth.debts.values() for day in debt.anchors())
    after = datetime(dues.year, dues.month, dues.day, tzinfo=last.tzinfo)
    return max(last, after) + timedelta(days=400)


def _outputs(folder: Path, report: Report) -> Outputs | None:
    found = {}
    for name in ("messages", "decisions", "outcomes"):
        path = folder / f"{name}.ndjson"
        try:
            found[name] = [json.loads(line) for line in lines(path)]
        except (OSError, ValueError) as error:
            report.wrong("outputs", f"{path.name}: {error}")
    try:
        json.loads((folder / "report.json").read_text("utf-8"))
        page = (folder / "report.html").read_text("utf-8")
        if "</html>" not in page.lower():
            report.wrong("outputs", "report.html does not end")
    except (OSError, ValueError) as error:
        report.wrong("outputs", f"report: {error}")
    if len(found) < 3:
        return None
    report.counts.update({name: len(rows) for name, rows in found.items()})
    return Outputs(**found)


def _key(row: dict[str, Any]) -> Key:
    return row["loan"], row["stage"], row["anchor"]


def _at(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    assert at.tzinfo is not None, f"{text} has no offset"
    return at


# --- messages ---------------------------------------------------------------------------------------


def _check_messages(run: Check) -> None:
    for row in run.out.messages:
        debt, step = run.truth.debts.get(row["loan"]), run.step(row["stage"])
        if debt is None or step is None or step.action != "message":
            run.report.wrong("unknown loan or stage", str(_key(row)))
            continue
        run.report.counts[f"messages by {row['channel']}"] += 1
        for kind, text in _wrong_message(run, debt, step, row):
            run.report.wrong(kind, f"{_key(row)} at {row['sent_at']}: {text}")


def _wrong_message(
    run: Check, debt: Debt, step: Step, row: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    at, anchor = _at(row["sent_at"]), date.fromisoformat(row["anchor"])
    view, ended = debt.at(at), run.ended[debt.ref]
    if view is None or view.state() != "open":
        yield "after the end of the loan", "not open" if view else "not known yet"
        return
    if ended is not None and at >= ended:
        yield "after the charge-off recommendation", f"contact ended {ended}"
    if view.anchor() != anchor:
        yield "wrong anchor", f"it was {view.anchor()}"
    for zone in run.truth.zones[debt.borrower] if len(debt.views) == 1 else {view.zone}:
        if not OPENS <= local(at, zone).time() < CLOSES:
            yield "outside contact hours", f"{local(at, zone)} in {zone}"
    if local(at, view.zone).utcoffset() != at.utcoffset():
        yield "offset", f"not the local offset of {view.zone}"
    today = local(at, view.zone).date()
    yield from _wrong_words(debt, step, row, view.asked(today), (today - anchor).days)
    yield from _wrong_time(run, debt, step, row, at)


def _wrong_words(
    debt: Debt, step: Step, row: dict[str, Any], asked: Decimal, dpd: int
) -> Iterator[tuple[str, str]]:
    if Decimal(str(row["amount"])) != asked or row["currency"] != debt.currency:
        yield "amount", f"{row['amount']} {row['currency']}, owed {asked} {debt.currency}"
    # a push shows on a locked screen: it may keep silent about the debt
    discreet = row["channel"] == "push" and not any(map(str.isdigit, row["text"]))
    if not discreet and not in_text(asked, row["text"]):
        yield "amount not in the text", f"{asked} in {row['text']!r}"
    if row["dpd"] != dpd:
        yield "dpd", f"{row['dpd']}, counted {dpd}"
    if row["borrower"] != debt.borrower or row["grade"] != step.grade:
        yield "borrower or grade", f"{row['borrower']} {row['grade']}"


def in_text(amount: Decimal, text: str) -> bool:
    """Whether a text names the amount, however it groups digits and whether or not it shows .00."""
    plain = _GROUPING.sub("", text)
    shown = {f"{amount:.2f}", f"{amount:f}"}
    if amount == amount.to_integral_value():
        shown.add(f"{amount:.0f}")
    return any(re.search(rf"(?<![\d.]){re.escape(form)}(?!\d|\.\d)", plain) for form in shown)


def _wrong_time(
    run: Check, debt: Debt, step: Step, row: dict[str, Any], at: datetime
) -> Iterator[tuple[str, str]]:
    """A message is explained by its stage being due and owed, or by a late entry into that stage."""
    due = run.due.get(_key(row))
    if due is None:
        due = _late_entry(run, debt, step, row, at)
        run.report.counts["late entries"] += due is not None
    if due is None:
        yield "unexplained", "the stage was not due while owed, and it is no late entry"
    elif not due <= at < due + step.not_after:
        yield "too early or too late", f"due {due}"
    following = [
        run.due.get((debt.ref, s.id, row["anchor"])) for s in run.steps if s.action == "message"
    ]
    if any(other is not None and due is not None and due < other <= at for other in following):
        yield "superseded", "a later stage had come"


def _late_entry(
    run: Check, debt: Debt, step: Step, row: dict[str, Any], at: datetime
) -> datetime | None:
    """The instant from which the anchor counted, if that was after this stage's time and before the next."""
    if step.catch_up != "latest":
        return None
    entered = None
    before: tuple[str, date | None, str] | None = None
    for view in debt.views:
        seen = (view.state(), view.anchor(), view.zone)
        if view.since <= at and seen != before:
            entered = view.since
        before = seen
    if entered is None:
        return None
    anchor = date.fromisoformat(row["anchor"])
    days = (local(entered, debt.views[-1].zone).date() - anchor).days
    later = [s for s in run.steps if s.action == "message" and step.offset < s.offset < days]
    return entered if step.offset <= days and not later else None


# --- how often --------------------------------------------------------------------------------------


def _check_frequency(run: Check) -> None:
    firsts: dict[Key, datetime] = {}
    sent: dict[Key, list[tuple[datetime, str]]] = defaultdict(list)
    person: dict[Key, str] = {}
    for row in run.out.messages:
        sent[_key(row)].append((_at(row["sent_at"]), row["channel"]))
        person[_key(row)] = row["borrower"]
    for key, tries in sent.items():
        tries.sort()
        firsts[key] = tries[0][0]
        run.report.counts["notices sent"] += 1
        if len({channel for _, channel in tries}) < len(tries) or len(tries) > 2:
            run.report.wrong("sent twice", f"{key}: {tries}")
        elif len(tries) == 2:
            run.report.counts["fallbacks"] += 1
            if [channel for _, channel in tries] != ["push", "sms"]:
                run.report.wrong("fallback order", f"{key}: {tries}")
    people: dict[str, list[datetime]] = defaultdict(list)
    for key, at in firsts.items():
        people[person[key]].append(at)
    for borrower, instants in people.items():
        for zone in run.truth.zones.get(borrower, ()):
            _check_person(run, borrower, sorted(local(at, zone).date() for at in instants))


def _check_person(run: Check, borrower: str, days: list[date]) -> None:
    for index, day in enumerate(days):
        if index >= A_DAY and days[index - A_DAY] == day:
            run.report.wrong("twice on a local day", f"{borrower} on {day}")
        if index >= A_WEEK and (day - days[index - A_WEEK]).days < 7:
            run.report.wrong("six in seven local days", f"{borrower} up to {day}")


# --- every stage that was owed ------------------------------------------------------------------------


def _check_coverage(run: Check) -> None:
    messages = {_key(row) for row in run.out.messages}
    last: dict[Key, dict[str, Any]] = {}
    for row in run.out.decisions:
        if row["rules"] or row["decision"] == "send":
            last[_key(row)] = row
    for key, at in run.due.items():
        if key in last or not _held(run, key[0], at):
            _check_moment(run, key, at, last.get(key), sent=key in messages)


def _check_moment(
    run: Check, key: Key, at: datetime, last: dict[str, Any] | None, *, sent: bool
) -> None:
    step = run.step(key[1])
    if step is None or step.action != "message":
        if last is None:
            run.report.wrong("stage without a decision", f"{key} due {at}")
        return
    run.report.counts["message stages due and owed"] += 1
    if sent:
        return
    if last is None:
        run.report.wrong("neither message nor decision", f"{key} due {at}")
    elif not _final(run, last):
        run.report.wrong("left undecided", f"{key} due {at}: {last}")
    else:
        run.report.counts["stages not sent, with a reason"] += 1
        run.report.counts[f"not sent: {'+'.join(last['rules'])}"] += 1


def _final(run: Check, decision: dict[str, Any]) -> bool:
    """A cancellation closes a notice; a snooze may stay open only beyond the end of the run."""
    if decision["decision"] == "cancel":
        return True
    return decision["decision"] == "snooze" and _at(decision["until"]) >= run.end


def _held(run: Check, loan: str, at: datetime) -> bool:
    spans = run.truth.holds.get(run.truth.debts[loan].borrower, [])
    return any(start <= at and (end is None or at < end) for start, end in spans)


# --- decisions --------------------------------------------------------------------------------------


def _check_decisions(run: Check) -> None:
    sends: set[tuple[Key, datetime]] = set()
    for row in run.out.decisions:
        run.report.counts[f"decisions {row['decision']}"] += 1
        if row["decision"] == "send":
            sends.add((_key(row), _at(row["decided_at"])))
        for kind in _wrong_decision(run, row):
            run.report.wrong(kind, str(row))
    sent = {(_key(row), _at(row["sent_at"])) for row in run.out.messages}
    for key, at in sorted(sent - sends):
        run.report.wrong("message without its decision", f"{key} at {at}")
    silent = {step.id for step in run.steps if step.action != "message"}
    messages = {key for key, _ in sent}
    for key, at in sorted(sends - sent):
        # a channel that refused leaves no message; then the next channel of the notice does
        if key[1] not in silent and key not in messages:
            run.report.wrong("send decision without a message", f"{key} at {at}")


def _wrong_decision(run: Check, row: dict[str, Any]) -> Iterator[str]:
    at, due_at, due = _at(row["decided_at"]), _at(row["due_at"]), run.due.get(_key(row))
    if row["decision"] == "send" and row["rules"]:
        yield "send against rules"
    if row["decision"] != "send" and not row["rules"]:
        yield "refusal without a rule"
    if row["decision"] == "snooze" and _at(row["until"]) <= at:
        yield "snooze into the past"
    if at < due_at:
        yield "decided before it was due"
    if due is not None and due_at != due:
        yield "due at another time"


# --- outcomes ---------------------------------------------------------------------------------------


def _check_outcomes(run: Check) -> None:
    got: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in run.out.outcomes:
        got[str(row["subject"])].append(row)
        run.report.counts[row["type"]] += 1
    for stranger in got.keys() - run.told.keys():
        run.report.wrong("outcome of an unknown loan", stranger)
    for loan, told in run.told.items():
        _check_loan(run, loan, got.get(loan, []), told)


def _check_loan(run: Check, loan: str, got: list[dict[str, Any]], told: list[Told]) -> None:
    numbers = [int(row["sequence"]) for row in got]
    if numbers != list(range(1, len(got) + 1)):
        run.report.wrong("outcomes out of order or with a gap", f"{loan}: {numbers}")
    if [row["type"] for row in got] != [item.type for item in told]:
        have = [f"{row['type']} {row['time']}" for row in got]
        want = [f"{item.type} {item.at}" for item in told]
        run.report.wrong("outcomes differ", f"{loan}: {have}, calculated {want}")
        return
    for row, item in zip(got, told, strict=True):
        if _at(row["time"]) != item.at:
            run.report.wrong(
                "outcome time", f"{loan} {item.type} {row['time']}, calculated {item.at}"
            )
        for name, want, has in _differences(row["data"], item):
            run.report.wrong(f"outcome {name}", f"{loan} {item.type}: {has}, calculated {want}")
    if any(item.type == "account.charge_off_recommended" for item in told):
        run.report.counts["loans that walked the whole ladder"] += 1


def _differences(data: dict[str, Any], item: Told) -> Iterator[tuple[str, Any, Any]]:
    conduct = item.data.get("conduct")
    if conduct is not None:
        has = data.get("conduct", {})
        late = [part.get("days_late") for part in has.get("instalments", [])]
        if has.get("worst_dpd") != conduct["worst_dpd"]:
            yield "worst dpd", conduct["worst_dpd"], has.get("worst_dpd")
        if late != conduct["days_late"]:
            yield "days late", conduct["days_late"], late
        return
    for name, want in item.data.items():
        value = data.get(name)
        same = Decimal(str(value)) == want if isinstance(want, Decimal) else value == want
        if not same:
            yield name, want, value


def main(arguments: list[str]) -> int:
    if len(arguments) not in (2, 3):
        sys.stdout.write(f"{__doc__}\n")
        return 2
    ladder = Path(arguments[2]) if len(arguments) == 3 else SHIPPED
    report = check(Path(arguments[0]), Path(arguments[1]), ladder)
    sys.stdout.write(f"{report.text()}\n")
    return 0 if report.ok() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
