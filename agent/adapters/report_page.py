"""The replay report as one page that stands alone: no script, no request, its own style inlined.

Everything that comes from records is escaped by the template engine. The page carries a content
security policy that allows its own style by hash and nothing else.
"""

from base64 import b64encode
from collections.abc import Iterable
from datetime import date
from functools import cache
from hashlib import sha256
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from agent.adapters.report_charts import bar, day, heat, week_chart
from agent.domain.report_tree import Report
from agent.domain.report_words import OUTCOMES

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def report_html(report: Report) -> str:
    """The whole page; the same report gives the same text, byte for byte."""
    environment = _environment()
    style = _style()
    return environment.get_template("page.html.j2").render(
        report=report,
        style=Markup(style),  # noqa: S704 - our own file, no data in it
        style_hash=b64encode(sha256(style.encode()).digest()).decode(),
        weekdays=WEEKDAYS,
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("agent.adapters", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        n=number,
        pct=percent,
        day=_day,
        words=_words,
        capital=_capital,
        outcome=_outcome,
        total=_total,
    )
    environment.globals.update(bar=bar, heat=heat, week_chart=week_chart)
    return environment


def _style() -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), "report.css")[0]


def number(value: Any) -> str:
    """Thousands separated; a dash where nothing could be counted."""
    return "–" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """A fraction as per cent with one decimal; what is not nothing never reads as 0.0 %."""
    if value is None:
        return "–"
    return "< 0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %"


def _day(value: date | str) -> str:
    if isinstance(value, date):
        return day(value)
    try:
        return day(date.fromisoformat(value[:10]))
    except ValueError:
        return value or "–"


def _words(name: str) -> str:
    """An id as words: `unknown-loan` becomes `Unknown loan`, the bucket `8-30` becomes `8–30`."""
    if name[:1].isdigit():
        return name.replace("-", "\N{EN DASH}")
    return _capital(name.replace("-", " ").replace("_", " "))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _outcome(kind: str) -> str:
    return OUTCOMES.get(kind, _words(kind.replace(".", " ")))


def _total(lines: Iterable[Any], attribute: str = "count") -> int:
    return sum(getattr(line, attribute) for line in lines)
