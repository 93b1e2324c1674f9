"""`duly demo`: everything on this machine, with invented borrowers, sandbox phones and a fast clock."""

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agent.entry.output import OK, PROBLEMS, Refused, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg
    from aiohttp import web
    from rich.console import Console

    from agent.config import Settings
    from agent.console.demo_page import Bill, Command
    from agent.domain.demo_people import Story
    from agent.entry.demo_screen import Screen
    from agent.flows.demo import News
    from agent.flows.demo_view import View

T = TypeVar("T")

PORT = 8471
INTERRUPTED = 130
TERMINATED = 143


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", help="See it work: invented borrowers, sandbox phones, a fast clock.")(demo)


def demo(
    seed: Annotated[int, typer.Option(help="Another number, another story.", min=0)] = 1,
    speed: Annotated[
        float, typer.Option(help="Virtual days a second; 0 is as fast as it goes.", min=0)
    ] = 1.0,
    days: Annotated[
        int | None, typer.Option(help="End the story after so many virtual days.", min=1)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help=f"Port of the page; else {PORT}, or a free one.", min=0, max=65535),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End with the story; exit 1 if an invariant is violated.")
    ] = False,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in your browser.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Only remove what an earlier demo left behind.")
    ] = False,
) -> None:
    """Play about four months of a small portfolio through the production code, to look at.

    Nothing leaves this machine. The page stays up after the story until Ctrl-C; the demo's database
    stays, so that `duly why` and `duly invariants` can be asked about it.
    """
    if remove:
        run(_remove())
        return
    raise typer.Exit(run(_interruptible(_Wish(seed, speed, days, port, once, open_page))))


@dataclass(frozen=True, slots=True)
class _Wish:
    seed: int
    speed: float
    days: int | None
    port: int | None
    once: bool
    open_page: bool


async def _remove() -> None:
    from agent import config
    from agent.adapters.embedded import open_database
    from agent.store.demo import DATABASE, DemoRuns, demo_place

    settings = config.load()
    try:
        async with (
            open_database(settings.data_dir, config.revealed(settings.database_url)) as server,
            demo_place(server, "being removed", keep=False),
        ):
            pass
    except DemoRuns as problem:
        raise Refused(f"{problem}; end it first") from None
    events_file(settings.data_dir.expanduser()).unlink(missing_ok=True)
    typer.echo(f"The database {DATABASE} is removed.")


async def _interruptible(wish: _Wish) -> int:
    """Ctrl-C and SIGTERM unwind everything in order, whatever is under way; then the exit code."""
    ending = _Ending()
    playing = asyncio.ensure_future(_play(wish, ending))

    def end(code: int) -> None:
        if ending.code is None:
            ending.code = OK if ending.played else code
            playing.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, end, INTERRUPTED)
    loop.add_signal_handler(signal.SIGTERM, end, TERMINATED)
    try:
        code = await playing
    except asyncio.CancelledError:
        code = ending.code if ending.code is not None else INTERRUPTED
    ending.goodbye()
    return code


class _Ending:
    """What is known when the demo ends: how far it came, and what it leaves behind."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.played = False
        self.left: str | None = None

    def goodbye(self) -> None:
        if self.left is not None:
            typer.echo(self.left)


async def _play(wish: _Wish, ending: _Ending) -> int:
    from agent import config
    from agent.console.demo_page import Bill, make_demo_app
    from agent.domain.demo_people import tell
    from agent.entry.demo_screen import LiveScreen, PlainScreen
    from agent.telemetry import set_up_logging

    settings = config.load()
    set_up_logging("error")
    story = tell(wish.seed)
    bill = Bill(len(story.players), _days(story, wish.days), wish.speed)
    async with _page_on(make_demo_app(bill), wish.port) as address:
        console = _console()
        console.print(f"The page of the demo: [bold]{address}/[/bold]")
        if wish.open_page:
            _open(address)
        screen: Screen = (
            LiveScreen(console, address) if console.is_terminal else PlainScreen(console)
        )
        view = await _perform(wish, settings, story, bill, screen, address, ending)
    return PROBLEMS if view.check is None or view.check.violated else OK


def _days(story: "Story", days: int | None) -> int:
    from agent.domain.demo_people import FIRST_DAY

    return days or (story.ends.date() - FIRST_DAY).days + 1


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty())


@asynccontextmanager
async def _page_on(app: "web.Application", port: int | None) -> AsyncIterator[str]:
    """The page's address. A port that was asked for is insisted on; the usual one is only preferred."""
    from agent.adapters.loopback import PortTaken, serve_loopback

    async with AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(
                serve_loopback(app, PORT if port is None else port)
            )
        except PortTaken as problem:
            if port is not None:
                raise Refused(f"{problem}; give another --port, or 0 for a free one") from None
            address = await stack.enter_async_context(serve_loopback(app))
        yield address


def _open(address: str) -> None:
    import webbrowser

    webbrowser.open(address)


async def _perform(
    wish: _Wish,
    settings: "Settings",
    story: "Story",
    bill: "Bill",
    screen: "Screen",
    address: str,
    ending: _Ending,
) -> "View":
    """Open the stores, play, and stay until told to go, or go at once with `--once`."""
    from agent import config
    from agent.adapters.embedded import open_stores
    from agent.store.connect import open_pool
    from agent.store.demo import DemoRuns, demo_place

    folder = settings.data_dir.expanduser()
    if settings.database_url is None and not folder.exists():
        ending.left = f"Left behind: {folder.resolve()}\nRemove it:   {_removal_of(folder)}"
    key = config.master_key(settings)
    urls = {
        "database_url": config.revealed(settings.database_url),
        "redis_url": config.revealed(settings.redis_url),
    }
    try:
        async with (
            _whole(open_stores(settings.data_dir, **urls)) as stores,
            demo_place(stores.database_url, f"{address}/") as place,
        ):
            legacy = _Legacy(settings, story, alone=place.alone)
            legacy.keep_events()
            ending.left = legacy.words(None)
            pool = await open_pool(place.url, durable=False)
            try:
                return await _show(wish, story, bill, screen, ending, legacy, pool, key)
            finally:
                await pool.close()
    except DemoRuns as problem:
        raise Refused(f"{problem}; end it, or set another DULY_DATA_DIR") from None


@asynccontextmanager
async def _whole(opening: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """What is being opened is opened to its end, also on Ctrl-C: half a start leaves a process behind."""
    entering = asyncio.ensure_future(opening.__aenter__())
    try:
        opened = await asyncio.shield(entering)
    except asyncio.CancelledError:
        await entering
        await opening.__aexit__(None, None, None)
        raise
    try:
        yield opened
    finally:
        await opening.__aexit__(None, None, None)


async def _show(
    wish: _Wish,
    story: "Story",
    bill: "Bill",
    screen: "Screen",
    ending: _Ending,
    legacy: "_Legacy",
    pool: "asyncpg.Pool[asyncpg.Record]",
    key: bytes,
) -> "View":
    from agent.flows.demo import Demo, Script
    from agent.store import migrate
    from agent.store.keyring import Keyring

    def hear(view: "View", news: "Sequence[News]") -> None:
        bill.view, bill.commands = view, legacy.commands(view)
        ending.left = legacy.words(view)
        screen.hear(view, news)

    began = _began(story)
    until = began + timedelta(days=wish.days) if wish.days else None
    async with pool.acquire() as conn:
        await migrate.migrate(conn, began)
    with screen:
        demo = Demo(pool, Keyring(key), Script(story, wish.speed, until, wish.seed), hear)
        view = await demo.run()
    ending.played = True
    for line in _summary(view):
        screen.say(line)
    if not wish.once:
        screen.say("The page stays up; Ctrl-C ends the demo. Try next, in another terminal:")
        for command in legacy.commands(view):
            screen.say(f"  {command.line}")
        await asyncio.Event().wait()
    return view


def _began(story: "Story") -> datetime:
    return datetime.fromisoformat(story.events[0]["time"])


def _summary(view: "View") -> list[str]:
    from agent.entry.demo_screen import verdict

    story = (
        f"The story ended after {view.day} virtual days, on {view.at.date()}: {view.messages} messages"
        f" on {len(view.phones)} phones, {view.kept_back} notices called off,"
        f" {view.acked} of {view.told} outcomes acknowledged by the ledger."
    )
    complaints = [f"The ledger complains: {complaint}" for complaint in view.ledger.complaints]
    return [story, verdict(view.check), *complaints]


class _Legacy:
    """What the demo leaves behind, how to ask it, and how to be rid of it."""

    def __init__(self, settings: "Settings", story: "Story", *, alone: bool) -> None:
        from agent.domain.demo_people import Habit

        self._folder = settings.data_dir.expanduser()
        self._embedded = settings.database_url is None
        self._alone = alone and self._embedded
        self._story = story
        self._loan = next(p.loans[0] for p in story.players if p.habit is Habit.OPTED_OUT)
        self._duly = _called()

    @property
    def events(self) -> Path:
        """The events that were played, for `duly replay`."""
        return events_file(self._folder)

    def keep_events(self) -> None:
        """Write the events down."""
        import orjson

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = b"".join(
            orjson.dumps(e, option=orjson.OPT_APPEND_NEWLINE) for e in self._story.events
        )
        self.events.write_bytes(lines)

    def commands(self, view: "View") -> "tuple[Command, ...]":
        """What to try; invariants are asked once the clock stands still."""
        from agent.console.demo_page import Command
        from agent.flows.demo_view import Phase

        lines = [Command(f"{self._duly} why {self._loan} --database duly_demo --text", "why")]
        if view.phase is Phase.ENDED:
            lines.append(Command(self._invariants(view), "invariants"))
        replay = f"{self._duly} replay {shlex.quote(str(self.events))} --out demo-report"
        return (*lines, Command(replay, "replay"))

    def words(self, view: "View | None") -> str:
        """The last words of the demo."""
        place = f"in {self._folder.resolve()}" if self._embedded else "on your PostgreSQL"
        lines = [f"Left behind: the database duly_demo {place}."]
        if view is not None:
            lines.append(f"Ask it:      {self._invariants(view)}")
        lines.append(f"Remove it:   {self._removal()}")
        return "\n".join(lines)

    def _invariants(self, view: "View") -> str:
        """A story that was cut short is judged as of the instant at which its clock stopped."""
        over = dict(view.buckets)["91+"] + dict(view.buckets)["paid"] == sum(
            count for _, count in view.buckets
        )
        at = "" if over else f" --at {view.at:%Y-%m-%dT%H:%M:%SZ}"
        return f"{self._duly} invariants --database duly_demo{at}"

    def _removal(self) -> str:
        if self._alone:
            return _removal_of(self._folder)
        return f"{self._duly} demo --remove"


def _removal_of(folder: Path) -> str:
    return f"rm -r {shlex.quote(str(folder.resolve()))}"


def events_file(folder: Path) -> Path:
    """Where the demo writes its events in a data directory."""
    return folder / "demo-events.ndjson"


def _called() -> str:
    """How to call us from another terminal in this folder, with the data directory that is in use."""
    called = Path(sys.argv[0])
    found = shutil.which("duly")
    is_on_path = found is not None and Path(found).resolve() == called.resolve()
    if is_on_path or called.name != "duly":
        command = "duly"
    else:
        here = Path.cwd()
        command = str(called.relative_to(here) if called.is_relative_to(here) else called)
    named = os.environ.get("DULY_DATA_DIR")
    return f"DULY_DATA_DIR={shlex.quote(named)} {command}" if named else command
