"""`duly serve`: the service, in one process or split by role."""

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from agent.entry.output import Refused, run

if TYPE_CHECKING:
    from agent.config import Settings
    from agent.entry.server import Role

ROLES = ("all", "api", "worker", "scheduler")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve", help="Run the service: everything in one process, or one role of it.")(
        serve
    )


def serve(
    role: Annotated[
        str, typer.Option(help="all, api, worker or scheduler; each may run several times.")
    ] = "all",
) -> None:
    """Run until SIGTERM or Ctrl-C; what is being sent then is finished and recorded.

    Exit code 0 when everything in flight could be finished, 1 when something had to be cut off: it is
    settled later by its receipt or by the provider's list.
    """
    if role not in ROLES:
        raise Refused(f"--role is one of {', '.join(ROLES)}")
    from agent.entry.server import Role

    code = run(_serve(Role(role)))
    raise typer.Exit(code)


def _refuse_unsigned(settings: "Settings") -> None:
    """A ledger must be able to tell our outcomes from anybody else's."""
    from agent import config
    from agent.adapters.ledger import BadSecret, read_secrets

    do = "set DULY_LEDGER_SECRET to the whsec_… that the ledger verifies with"
    try:
        keys = read_secrets(config.revealed(settings.ledger_secret) or "")
    except BadSecret as wrong:
        raise Refused(f"{wrong}; {do}") from None
    if settings.ledger_url is not None and not keys:
        raise Refused(f"outcomes for {settings.ledger_url} would be unsigned; {do}")


async def _serve(role: "Role") -> int:
    from agent import config
    from agent.entry.server import Role, serve
    from agent.telemetry import set_up_logging
    from agent.wiring import open_system

    settings = config.load()
    reachable = (
        settings.sandbox_url
        or settings.twilio_account_sid
        or settings.fcm_credentials
        or settings.apns_key
        or settings.webpush_key
    )
    if role is not Role.ALL and not reachable:
        raise Refused(
            "roles apart need phones that all of them can reach: set DULY_TWILIO_…, or run"
            " `python -m channels.sandbox.server` and set DULY_SANDBOX_URL, or use --role all"
        )
    _refuse_unsigned(settings)
    set_up_logging(settings.log_level)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for told in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(told, stop.set)
    async with open_system(settings, queue=True) as system:
        return await serve(system, role, stop)
