"""The report page as its reader gets it: right numbers, nothing active, nothing fetched."""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agent.adapters import report_page
from agent.adapters.report_charts import bar, heat, round_step, week_chart
from agent.adapters.report_page import report_html
from agent.domain.report import ReportBuilder
from agent.domain.report_tree import Report, WeekLine

EVIL = '<script>alert("x")</script>'
CSS = Path(report_page.__file__).with_name("report") / "report.css"


def run_facts(violations: int = 0, wall: float = 2.0) -> dict[str, Any]:
    return {
        "file": "loans.ndjson",
        "from": "2016-01-15T08:00:00+01:00",
        "until": "2016-05-01T00:00:00+01:00",
        "loans": 1200,
        "borrowers": 1100,
        "events": 5000,
        "events_applied": 4999,
        "events_rejected": {"unknown-loan": 1},
        "invariants": [{"id": "6", "title": "no cap exceeded", "violations": violations}],
        "virtual_days": 107,
        "wall_seconds": wall,
        "phases": {"intake": wall},
    }


def message(n: int, **more: Any) -> dict[str, Any]:
    return {
        "loan": f"L{n}",
        "borrower": f"B{n}",
        "stage": "due-today",
        "grade": "reminder",
        "channel": "sms",
        "sent_at": "2016-02-15T09:00:00+01:00",
        "anchor": "2016-02-15",
        "dpd": 0,
        "amount": "12500.00",
        "currency": "NGN",
        "text": "",
        **more,
    }


def outcome(loan: str, number: int, kind: str, day: str, **data: Any) -> dict[str, Any]:
    return {
        "id": f"{loan}:{number}",
        "type": kind,
        "subject": loan,
        "time": f"{day}T10:00:00+01:00",
        "sequence": number,
        "data": data,
    }


def a_report(run: Mapping[str, Any], **more: Any) -> Report:
    builder = ReportBuilder()
    for n in range(1234):
        builder.add_message(message(n, **more))
    rules = ["house-window", "hold:" + more.get("stage", "dispute")]
    builder.add_decision(
        {
            "loan": "L1",
            "stage": more.get("stage", "due-today"),
            "anchor": "2016-02-15",
            "due_at": "2016-02-15T09:00:00+01:00",
            "decision": "snooze",
            "rules": rules,
        }
    )
    conduct = {"worst_dpd": 2, "instalments": [{"kind": "instalment", "days_late": 2}]}
    for line in (
        outcome("L1", 1, "account.bucket_changed", "2016-02-28", to="1-7"),
        outcome("L1", 2, "account.paid_off", "2016-03-01", conduct=conduct),
        outcome(
            "L2", 1, "account.charge_off_recommended", "2016-04-01", currency="NGN", balance="9"
        ),
    ):
        builder.add_outcome(line)
    return builder.build(run)


class Page(HTMLParser):
    """Tags with their attributes, and the text of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def named(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.tags if name == tag)


def test_the_numbers_are_on_the_page_in_words_for_people() -> None:
    text = Page(report_html(a_report(run_facts()))).text
    for piece in (
        "1,234 messages to 1,234 borrowers",
        "1,200 loans of 1,100 borrowers from 15 Jan 2016 to 1 May 2016",
        "4,999 of 5,000 applied",
        "All 1 invariants hold.",
        "12,500.00",
        "Outside the hours in which contact is allowed house-window",
        "On hold: dispute",
        "Charge-off recommended account.charge_off_recommended 1",
        "Unknown loan 1",
        "✓ Holds",
        "107 days in 2.0 s",
    ):
        assert piece in text, piece


def test_a_violation_is_said_in_words_at_the_top_and_in_the_list() -> None:
    text = Page(report_html(a_report(run_facts(violations=3)))).text
    assert "1 of 1 invariants violated." in text
    assert "✗ Violated, 3 cases" in text
    assert "hold. " not in text


def test_an_empty_run_is_a_page_too() -> None:
    text = Page(report_html(ReportBuilder().build({}))).text
    assert "0 messages to 0 borrowers" in text
    assert "Invariants were not checked." in text
    assert "No loan was ever past due." in text


def test_nothing_on_the_page_runs_or_is_fetched() -> None:
    html = report_html(a_report(run_facts()))
    page = Page(html)
    assert {tag for tag, _ in page.tags}.isdisjoint(
        {"script", "link", "img", "iframe", "object", "embed", "form", "base", "use", "image"}
    )
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert "http:" not in html
    assert "https:" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_allows_its_own_style_and_nothing_else() -> None:
    html = report_html(a_report(run_facts()))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    policies = [
        meta["content"]
        for meta in Page(html).named("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]


def test_whatever_comes_from_records_is_escaped() -> None:
    run = {**run_facts(), "file": EVIL, "schedule": EVIL, "packs": [EVIL]}
    run["events_rejected"] = {EVIL: 1}
    run["invariants"] = [{"id": EVIL, "title": EVIL, "violations": 1}]
    run["phases"] = {EVIL: 1.0}
    html = report_html(a_report(run, stage=EVIL, channel=EVIL, grade=EVIL, currency=EVIL))
    assert "script" not in {tag for tag, _ in Page(html).tags}
    assert html.count("&lt;script&gt;") >= 10


def test_tables_have_scoped_headers_and_every_label_exists_once() -> None:
    page = Page(report_html(a_report(run_facts())))
    assert all(header.get("scope") in {"col", "row"} for header in page.named("th"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for label in (attributes.get("aria-labelledby") or "").split():
            assert label in ids
        target = attributes.get("href")
        assert target is None or target[1:] in ids


def test_only_speed_differs_between_two_runs_of_one_history() -> None:
    first, second = (report_html(a_report(run_facts(wall=wall))) for wall in (2.0, 3.0))
    assert first == report_html(a_report(run_facts(wall=2.0)))

    def without_speed(html: str) -> str:
        start = html.index('<h3 id="speed">')
        return html[:start] + html[html.index("</section>", start) :]

    assert first != second
    assert without_speed(first) == without_speed(second)


def test_bars_fill_their_width_and_show_the_smallest_part() -> None:
    parts = bar([9999, 0, 1], 10_000)
    assert [part.tone for part in parts] == [1, 3]
    assert all(part.width >= 2 for part in parts)
    assert bar([0, 0], 0) == ()


def test_heat_has_seven_shades() -> None:
    assert [heat(rate, 1) for rate in (0, 0.001, 0.17, 0.5, 0.99, 1)] == [0, 1, 2, 4, 6, 6]


@pytest.mark.parametrize(("most", "step"), [(0, 1), (5, 1), (6, 2), (26, 10), (4561, 1000)])
def test_level_lines_stand_at_round_numbers(most: int, step: int) -> None:
    assert round_step(most) == step


def test_columns_stack_on_the_base_line() -> None:
    first = date(2016, 1, 4)
    weeks = [WeekLine(first + timedelta(weeks=n), n, 2 * n) for n in range(30)]
    chart = week_chart(weeks)
    last = chart.columns[-1]
    assert last.lower_y + last.lower_height == pytest.approx(chart.base)
    assert last.upper_y + last.upper_height == pytest.approx(last.lower_y)
    assert last.x + chart.column_width <= chart.width
    assert chart.months[0].label == "Jan 2016"


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_keeps_its_contrast_on_every_ground(theme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", CSS.read_text(), re.DOTALL)[theme]
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    pairs = [(ink, ground) for ink in ("ink", "muted", "accent") for ground in ("paper", "panel")]
    pairs += [(ink, "panel") for ink in ("good", "bad")] + [
        (ink, "paper") for ink in ("good", "bad")
    ]
    pairs += [("ink", f"h{n}") for n in range(1, 5)] + [("muted", "h0")]
    pairs += [("on-accent", "h5"), ("on-accent", "h6")]
    weak = [pair for pair in pairs if contrast(colour[pair[0]], colour[pair[1]]) < 4.5]
    assert weak == []
    faint = [t for t in ("t1", "t2", "t3", "t4") if contrast(colour[t], colour["paper"]) < 3]
    assert faint == []
