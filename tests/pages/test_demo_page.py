"""The demo's page: what it says without a browser, and how it behaves in a real one."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from agent.adapters.loopback import serve_loopback
from agent.console.demo_page import Bill, Command, make_demo_app, render_live, render_page
from agent.console.demo_words import LANGUAGES, chosen, words
from agent.domain.demo_people import Habit, tell
from agent.flows.demo import Demo, News, Script
from agent.flows.demo_view import View
from agent.store.connect import open_pool
from agent.store.keyring import Keyring
from tests.conftest import TEST_MASTER_KEY
from tests.support.stores import SessionStores

CHROMIUM = shutil.which("chromium")
STORY = tell(1)
DAYS = 24


async def _play(url: str) -> list[View]:
    views: list[View] = []

    def hear(view: View, _news: Sequence[News]) -> None:
        views.append(view)

    pool = await open_pool(url, durable=False)
    try:
        until = datetime.fromisoformat(STORY.events[0]["time"]) + timedelta(days=DAYS)
        await Demo(pool, Keyring(TEST_MASTER_KEY), Script(STORY, 0.0, until), hear).run()
    finally:
        await pool.close()
    return views


@pytest.fixture(scope="module")
def views(stores: SessionStores) -> Iterator[list[View]]:
    """Three and a half weeks of the story, moment by moment."""
    url = stores.create_database()
    yield asyncio.run(_play(url))
    stores.drop_database(url)


@pytest.fixture
def bill(views: list[View]) -> Bill:
    """A page in the middle of the story."""
    shown = Bill(len(STORY.players), DAYS, 1.0, commands=(Command("duly why L-1001", "why"),))
    shown.view = next(view for view in views if view.day >= DAYS - 8)
    return shown


def test_both_languages_say_everything() -> None:
    english, chinese = (words(language) for language in LANGUAGES)
    for part in ("page", "rule", "outcome"):
        one, other = getattr(english, part), getattr(chinese, part)
        assert set(one) == set(other)
        for key, text in one.items():
            assert _blanks(text) == _blanks(other[key]), key
    assert {f"habit-{habit}" for habit in Habit} <= set(english.page)


def _blanks(text: str) -> set[str]:
    return set(re.findall(r"\{\w+\}", text))


@pytest.mark.parametrize(
    ("wanted", "accepted", "expected"),
    [
        (None, "", "en"),
        (None, "de-DE,de;q=0.9", "en"),
        (None, "zh-TW,zh;q=0.9,en;q=0.8", "zh-CN"),
        (None, "en;q=0.5, zh;q=0.9", "zh-CN"),
        (None, "zh;q=0, en", "en"),
        (None, "zh;q=nonsense", "en"),
        ("zh-CN", "en", "zh-CN"),
        ("tlh", "zh", "zh-CN"),
    ],
)
def test_the_language_is_the_readers(wanted: str | None, accepted: str, expected: str) -> None:
    assert chosen(wanted, accepted) == expected


def test_before_the_stores_are_up_it_says_so() -> None:
    assert "Starting PostgreSQL" in render_page(Bill(44, 112, 1.0), "en")


def test_what_a_phone_shows_is_text_and_nothing_else(bill: Bill) -> None:
    assert bill.view is not None
    phone = next(phone for phone in bill.view.phones if phone.arrived)
    evil = replace(phone.bubbles[0], body="<script>alert(1)</script>", title="<b>x")
    phones = (replace(phone, bubbles=(evil,)), *bill.view.phones)
    bill.view = replace(bill.view, phones=phones)
    text = render_live(bill, "en")
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


@asynccontextmanager
async def _client(bill: Bill) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    async with serve_loopback(make_demo_app(bill)) as address, aiohttp.ClientSession() as session:
        yield session, address


async def test_it_answers_this_machine_only_and_allows_nothing_active(bill: Bill) -> None:
    async with _client(bill) as (session, address):
        async with session.get(address, headers={"Accept-Language": "zh"}) as page:
            assert 'lang="zh-CN"' in await page.text()
            policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        async with session.get(address, headers={"Host": "evil.example"}) as stranger:
            assert stranger.status == 421
        async with session.post(address) as refused:
            assert refused.status == 405
        async with session.get(address + "/demo.js") as module:
            assert module.content_type == "text/javascript"
        async with session.get(address + "/..%2fdemo_page.py") as outside:
            assert outside.status == 404


async def test_nothing_is_sent_again_while_nothing_changed(bill: Bill, views: list[View]) -> None:
    async with _client(bill) as (session, address):
        async with session.get(address + "/live") as first:
            tag = first.headers["ETag"]
        async with session.get(address + "/live", headers={"If-None-Match": tag}) as same:
            assert same.status == 304
        bill.view = views[-1]
        async with session.get(address + "/live", headers={"If-None-Match": tag}) as later:
            assert later.status == 200


@asynccontextmanager
async def _browser(**given: Any) -> AsyncIterator[Any]:
    """One page of a real browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.async_api")
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    async with playwright.async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = await browser.new_context(**given)
        yield await context.new_page()
        await browser.close()


async def test_without_scripts_it_is_all_there(bill: Bill) -> None:
    async with (
        serve_loopback(make_demo_app(bill)) as address,
        _browser(java_script_enabled=False, locale="zh-CN") as page,
    ):
        await page.goto(address)
        assert await page.locator("h1").inner_text() == words("zh-CN").page["heading"]
        assert await page.locator(".phone").count() == len(bill.view.phones if bill.view else ())
        assert await page.locator(".bubble").count() > 50
        await page.get_by_role("link", name="每3秒自动刷新").click()
        assert await page.locator('meta[http-equiv="refresh"]').count() == 1
        await page.get_by_role("link", name="English").click()
        assert await page.locator("h1").inner_text() == words("en").page["heading"]
        # the choice is remembered
        await page.goto(address)
        assert await page.locator("html").get_attribute("lang") == "en"


async def test_it_brings_itself_up_to_date_and_leaves_the_reader_in_place(
    bill: Bill, views: list[View]
) -> None:
    async with (
        serve_loopback(make_demo_app(bill)) as address,
        _browser(locale="en-GB", viewport={"width": 1280, "height": 800}) as page,
    ):
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda problem: said.append(str(problem)))
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(address)
        before = await page.locator(".figures dd").nth(1).inner_text()
        summary = page.locator("summary").first
        await summary.click()
        screen = await page.query_selector(".screen:has(.bubble:nth-child(6))")
        await screen.focus()
        await screen.evaluate("node => { node.scrollTop = -40; window.scrollTo(0, 300) }")
        read = await screen.query_selector(".bubble:nth-child(3)")
        place = await read.evaluate(_PLACE)
        bill.view = views[-1]
        await page.wait_for_function(
            "before => document.querySelectorAll('.figures dd')[1].textContent !== before",
            arg=before,
            timeout=5000,
        )
        assert await page.locator(".date").inner_text() == "Thursday 29 January 2026"
        assert await screen.evaluate("node => node === document.activeElement")
        # new messages came below; the one that is being read stands where it stood
        assert abs(await read.evaluate(_PLACE) - place) <= 1
        assert await page.evaluate("window.scrollY") == 300
        assert await page.locator("details").first.get_attribute("open") is not None
        assert said == []
        assert all(url.startswith((address, "data:")) for url in asked)


_PLACE = "node => node.getBoundingClientRect().top - node.parentNode.getBoundingClientRect().top"


async def test_updates_can_be_paused(bill: Bill, views: list[View]) -> None:
    async with (
        serve_loopback(make_demo_app(bill)) as address,
        _browser(locale="en-GB") as page,
    ):
        await page.goto(address)
        await page.get_by_role("button", name="Pause updates").press("Enter")
        shown = await page.locator(".date").inner_text()
        bill.view = views[-1]
        async with page.expect_response("**/live"):
            await page.get_by_role("button", name="Resume updates").click()
        await page.wait_for_function(
            "shown => document.querySelector('.date').textContent !== shown", arg=shown
        )


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("width", [320, 400, 1280])
async def test_no_width_makes_it_scroll_sideways(bill: Bill, width: int, language: str) -> None:
    async with (
        serve_loopback(make_demo_app(bill)) as address,
        _browser(locale=language, viewport={"width": width, "height": 900}) as page,
    ):
        await page.goto(address)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_when_the_demo_is_gone_the_page_says_so(bill: Bill) -> None:
    async with _browser(locale="en-GB") as page:
        async with serve_loopback(make_demo_app(bill)) as address:
            await page.goto(address)
            await page.wait_for_selector(".bubble")
        await page.get_by_text(words("en").page["gone"]).wait_for(timeout=10_000)
        assert await page.locator(".bubble").count() > 50
