"""The demo's one page: rendered here, works without scripts, brought up to date by a small module.

It reads nothing but the last view of the performance, so it costs the database nothing and stays up
when the story is over. It answers on this machine's own address only.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from aiohttp import web
from babel.dates import format_date
from jinja2 import Environment, PackageLoader, StrictUndefined

from agent.console.demo_words import LANGUAGES, chosen, words
from agent.domain.calendar import local_date, local_time
from agent.domain.demo_people import Habit
from agent.domain.ladder import Action, Stage
from agent.domain.report_words import meaning
from agent.flows.demo_view import Bubble, Phone, View

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    " form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "duly",
}
_FILES = {"demo.css": "text/css", "demo.js": "text/javascript"}
_OURS = frozenset({"127.0.0.1", "localhost"})
FEATURED = 12
_COOKIE = "duly-demo-language"
CLOCKS = (
    ("America/New_York", "New York", "纽约"),
    ("Europe/London", "London", "伦敦"),
    ("Asia/Shanghai", "Shanghai", "上海"),
)
_CITIES = {zone: {"en": en, "zh-CN": zh} for zone, en, zh in CLOCKS}


@dataclass(frozen=True, slots=True)
class Command:
    """Something to try in another terminal; `about` names the words that say what it shows."""

    line: str
    about: str


@dataclass(slots=True)
class Bill:
    """What the page shows: the performance's last view, and how to go on from here."""

    people: int
    days: int
    speed: float
    view: View | None = None
    commands: tuple[Command, ...] = field(default=())

    @property
    def minutes(self) -> int:
        return max(1, round(self.days / self.speed / 60)) if self.speed > 0 else 1

    @property
    def serial(self) -> int:
        return self.view.serial if self.view else 0


def make_demo_app(bill: Bill) -> web.Application:
    """The page, the part of it that changes, its style and its module; nothing can be changed."""
    app = web.Application(middlewares=[_guard])

    async def page(request: web.Request) -> web.Response:
        wanted = request.query.get("lang")
        language = _language(request)
        every = request.query.get("every") == "3"
        response = _html(render_page(bill, language, refreshing=every))
        if wanted in LANGUAGES:
            response.set_cookie(_COOKIE, wanted, samesite="Lax", httponly=True, max_age=31_536_000)
        return response

    async def live(request: web.Request) -> web.Response:
        language = _language(request)
        tag = f'"{bill.serial}-{language}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        response = _html(render_live(bill, language))
        response.headers["ETag"] = tag
        return response

    async def file(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.Response(text=_source(name), content_type=_FILES[name], charset="utf-8")

    app.router.add_get("/", page)
    app.router.add_get("/live", live)
    app.router.add_get(r"/{name:demo\.(?:css|js)}", file)
    return app


def render_page(bill: Bill, language: str, *, refreshing: bool = False) -> str:
    """The whole page in one language."""
    template = _environment().get_template("page.html.j2")
    return template.render(_context(bill, language), refreshing=refreshing)


def render_live(bill: Bill, language: str) -> str:
    """The part that changes."""
    return _environment().get_template("live.html.j2").render(_context(bill, language))


def _language(request: web.Request) -> str:
    wanted = request.query.get("lang") or request.cookies.get(_COOKIE)
    return chosen(wanted, request.headers.get("Accept-Language", ""))


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", charset="utf-8")


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Only for this machine, and under its own name: a name that somebody rebinds is not ours."""
    if (request.url.host or "") not in _OURS:
        return web.Response(status=421, headers=_HEADERS)
    try:
        response = await handler(request)
    except web.HTTPException as problem:
        return web.Response(
            status=problem.status, text=f"{problem.status} {problem.reason}\n", headers=_HEADERS
        )
    response.headers.update(_HEADERS)
    return response


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("agent.console", "demo"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0]


def _context(bill: Bill, language: str) -> dict[str, Any]:
    page = _Page(language)
    view = bill.view
    return {
        "page": page,
        "t": page.say,
        "bill": bill,
        "view": view,
        "lang": language,
        "languages": (("en", "English"), ("zh-CN", "中文")),
        "clocks": tuple((zone, page.city(zone, "")) for zone, _, _ in CLOCKS),
        "featured": _featured(view.phones) if view else (),
        "others": _others(view.phones) if view else (),
    }


def _featured(phones: tuple[Phone, ...]) -> tuple[Phone, ...]:
    """One phone for each of the situations that say most."""
    first: dict[Habit, Phone] = {}
    for phone in phones:
        first.setdefault(phone.players[0].habit, phone)
    return tuple(first.values())[:FEATURED]


def _others(phones: tuple[Phone, ...]) -> tuple[Phone, ...]:
    shown = _featured(phones)
    return tuple(phone for phone in phones if phone not in shown)


class _Page:
    """How things read in one language."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._words = words(language)
        self._babel = language.replace("-", "_")

    def say(self, word: str, **values: object) -> str:
        text = self._words.page[word]
        return text.format(**values) if values else text

    def city(self, zone: str, otherwise: str) -> str:
        return _CITIES.get(zone, {}).get(self._language, otherwise)

    def day(self, at: datetime, zone: str = "UTC") -> str:
        """`Mon 19 Jan`, as it is there."""
        pattern = "M月d日 EEE" if self._language == "zh-CN" else "EEE d MMM"
        return format_date(local_date(at, zone), pattern, locale=self._babel)

    def long_day(self, at: datetime, zone: str = "UTC") -> str:
        pattern = "y年M月d日 EEEE" if self._language == "zh-CN" else "EEEE d MMMM y"
        return format_date(local_date(at, zone), pattern, locale=self._babel)

    def time(self, at: datetime, zone: str = "UTC") -> str:
        return local_time(at, zone).strftime("%H:%M")

    def when(self, at: datetime, zone: str = "UTC") -> str:
        return f"{self.day(at, zone)} {self.time(at, zone)}"

    def number(self, value: int) -> str:
        return f"{value:,}"

    def step(self, stage: Stage) -> str:
        days = stage.offset_days
        if days == 0:
            return self.say("on")
        word = "before" if days < 0 else "after"
        return self.say(f"{word}-1") if abs(days) == 1 else self.say(word, n=abs(days))

    def act(self, stage: Stage) -> str:
        """What a step does when it sends no message."""
        match stage.action:
            case Action.CASE:
                return self.say("case-step")
            case Action.OUTCOME:
                return self.say("outcome-step")
            case Action.MESSAGE:
                return ""

    def rule(self, rule: str) -> str:
        return meaning(rule, self._words.rule)

    def outcome(self, kind: str) -> str:
        return self._words.outcome.get(kind, kind)

    def bucket(self, name: str) -> str:
        if name in {"current", "paid", "closed"}:
            return self.say(name)
        return self.say("days-past", days=name.replace("-", "\N{EN DASH}"))

    def case(self, kind: str) -> str:
        return self._words.page.get(f"case-{kind}", kind)

    def status(self, bubble: Bubble) -> str:
        """What became of a message."""
        state = self.say("state-found" if bubble.code == "found" else f"state-{bubble.state}")
        code = self._words.page.get(f"code-{bubble.code}")
        return f"{state}: {code}" if code else state

    def told(self, data: Mapping[str, Any]) -> str:
        """The part of an outcome that says most."""
        if "to" in data:
            before, after = self._bucket_in(data["from"]), self._bucket_in(data["to"])
            return f"{before} → {after}"
        return ""

    def _bucket_in(self, name: str) -> str:
        return self.say("current") if name == "current" else name.replace("-", "\N{EN DASH}")
