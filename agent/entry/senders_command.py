"""`duly senders`: see what binds the senders, and open, close or half-open a breaker or set a pace.

Texts that are stopped are told there too: to whoever looks for what does not go out, both are one question.
"""

from collections.abc import Callable
from dataclasses import asdict
from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, run, show

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from agent.config import Settings
    from agent.flows.senders import Forced, Known, Order, Sender, Senders

FASTEST, SLOWEST = 10_000.0, 0.001
Channel = Annotated[str, typer.Argument(help="sms or push.", show_default=False)]
Name = Annotated[str, typer.Argument(help="As `duly senders` writes it.", show_default=False)]
Country = Annotated[
    str | None, typer.Option("--country", help="Only there, as two capital letters.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the act.")]
By = Annotated[str | None, typer.Option("--by", help="Who acts; else the user of this machine.")]
Pace = Annotated[
    str, typer.Argument(help="Parts a second, or `settings` to give it back.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add `duly senders`."""
    senders = typer.Typer(
        help="Senders: their breakers, paces and lines; without a command, the list.",
        invoke_without_command=True,
    )
    senders.callback()(_listed)
    senders.command("open", help="Stop a sender until staff close it or half-open it.")(
        _forcing("open")
    )
    senders.command("close", help="End a stop; what waited is looked at again at once.")(
        _forcing("close")
    )
    senders.command("half-open", help="Let one message try a stopped sender now.")(
        _forcing("half-open")
    )
    senders.command("pace", help="Set how many parts a second a sender may send.")(_pace)
    app.add_typer(senders, name="senders")


def _listed(context: typer.Context, as_json: AsJson = False) -> None:
    """Exit 1 where a breaker is open or a text is stopped."""
    if context.invoked_subcommand is not None:
        return
    found = run(_read())
    show(asdict(found), as_json=as_json, pleasant=lambda console: _print(console, found))
    if found.stopped_texts or any(one.breakers for one in found.senders):
        raise typer.Exit(PROBLEMS)


def _forcing(act: str) -> Callable[..., None]:
    """The command of an act on a breaker."""

    def command(
        channel: Channel,
        sender: Name,
        reason: Reason = "",
        country: Country = None,
        by: By = None,
        as_json: AsJson = False,
    ) -> None:
        _act(act, channel, sender, reason, country, by, as_json=as_json)

    return command


def _pace(
    channel: Channel,
    sender: Name,
    pace: Pace,
    reason: Reason = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    parts = None
    if pace != "settings":
        try:
            parts = float(pace)
        except ValueError:
            parts = 0.0
        if not SLOWEST <= parts <= FASTEST:
            raise Refused(f"write parts a second from {SLOWEST} to {FASTEST:.0f}, or `settings`")
    _act("pace", channel, sender, reason, None, by, parts, as_json=as_json)


def _act(
    act: str,
    channel: str,
    sender: str,
    reason: str,
    country: str | None,
    by: str | None,
    parts_per_second: float | None = None,
    *,
    as_json: bool,
) -> None:
    from agent.flows.senders import Act, Order

    if not reason.strip():
        raise Refused("say why: --reason …")
    if country is not None and not (
        len(country) == 2 and country.isascii() and country.isalpha() and country.isupper()
    ):
        raise Refused("a country is two capital letters, as NG")
    order = Order(Act(act), channel, sender, country, parts_per_second)
    done = run(_force(order, reason.strip(), by or getuser()))
    document = {**asdict(done.order), "changed": done.changed, "woken": done.woken}
    show(document, as_json=as_json, pleasant=lambda console: _tell(console, done))


def known_senders(settings: "Settings") -> "list[Known]":
    """The senders that the settings name."""
    from agent.entry.pushing import push_carriers
    from agent.flows.senders import Known

    found = []
    texts = settings.twilio_from or settings.twilio_messaging_service_sid
    if texts is not None:
        found.append(Known("sms", texts, settings.twilio_parts_per_second))
    push = push_carriers(settings)
    ours = push.all() if push is not None else ()
    return found + [Known(one.channel, one.sender, one.parts_per_second) for one in ours]


async def _read() -> "Senders":
    from agent import config
    from agent.adapters.embedded import open_database
    from agent.clock import SystemClock
    from agent.flows.senders import list_senders
    from agent.store.connect import open_pool

    settings = config.load()
    async with open_database(settings.data_dir, config.revealed(settings.database_url)) as url:
        pool = await open_pool(url, max_size=1)
        try:
            return await list_senders(pool, known_senders(settings), SystemClock().now())
        finally:
            await pool.close()


async def _force(order: "Order", reason: str, by: str) -> "Forced":
    from agent import config
    from agent.adapters.embedded import open_database
    from agent.clock import SystemClock
    from agent.flows.senders import NoSender, force
    from agent.store.connect import open_pool

    settings = config.load()
    async with open_database(settings.data_dir, config.revealed(settings.database_url)) as url:
        pool = await open_pool(url, max_size=1)
        try:
            known = known_senders(settings)
            done = await force(pool, known, order, reason=reason, by=by, clock=SystemClock())
        finally:
            await pool.close()
    if isinstance(done, NoSender):
        there = "; ".join(done.known) or "none yet"
        raise Refused(f"there is no sender {order.channel} {order.sender}; known: {there}")
    return done


def _print(console: "Console", found: "Senders") -> None:
    if found.senders:
        _print_senders(console, found)
    else:
        console.print("No sender is set up: messages stay in the sandbox.")
    _print_texts(console, found)


def _print_senders(console: "Console", found: "Senders") -> None:
    from rich.table import Table

    table = Table("channel", "sender", "breaker", "parts/s", "line", "not before", box=None)
    for one in found.senders:
        pace = "?" if one.parts_per_second is None else f"{one.parts_per_second:g}"
        forced = " (staff)" if one.pace_by == "staff" else ""
        table.add_row(
            one.channel, one.sender, one.state, pace + forced, f"{one.line_seconds:.1f} s",
            _at(one.back_off_until),
        )  # fmt: skip
    console.print(table)
    for one in found.senders:
        _print_breakers(console, one)
    waiting = found.waiting_for_pace, found.waiting_for_route
    console.print(f"Waiting for a place in a line: {waiting[0]}; for a route: {waiting[1]}.")


def _print_texts(console: "Console", found: "Senders") -> None:
    from rich.markup import escape

    for one in found.stopped_texts:
        where = one.portfolio or "every portfolio"
        line = f"text {one.text} in {where}: stopped since {_at(one.since)}"
        console.print(f"[bold]{escape(line)}[/], {escape(f'{one.by}: {one.reason}')}")
    if found.stopped_texts:
        console.print(
            f"Waiting for a text: {found.waiting_for_text}; `duly resume template` lets one go on."
        )


def _print_breakers(console: "Console", sender: "Sender") -> None:
    from rich.markup import escape

    for one in sender.breakers:
        where = "everywhere" if one.country == "*" else one.country
        why = f"code {one.code}" if one.reason is None else f"{one.by}: {one.reason}"
        upcoming = f"next try {_at(one.next_try)}" if one.next_try else "until staff end it"
        line = f"{sender.channel} {sender.sender} {where}: {one.state} since {_at(one.since)}"
        console.print(f"[bold]{escape(line)}[/], {escape(why)}; {upcoming}")


def _at(instant: "datetime | None") -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}Z" if instant is not None else ""


def _tell(console: "Console", done: "Forced") -> None:
    from rich.markup import escape

    order = done.order
    where = f" in {order.country}" if order.country else ""
    what = escape(f"{order.channel} {order.sender}{where}: {order.act}")
    console.print(f"[bold]{what}[/]" if done.changed else f"{what}: it was so already")
    if done.woken:
        console.print(f"{done.woken} notices are looked at again.")
