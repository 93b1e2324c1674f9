"""`duly template register`: the ids under which a country's gateways know a lender's texts."""

from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer

from agent.entry.output import AsJson, Refused, run, show

if TYPE_CHECKING:
    from agent.flows.registered_texts import Registered


def register(
    message: Annotated[str, typer.Argument(help="The message, as overdue-7.", show_default=False)],
    portfolio: Annotated[str, typer.Option(help="Whose text it is.")],
    country: Annotated[str, typer.Option(help="Where it was registered, as IN.")],
    locale: Annotated[str, typer.Option(help="The language of the text, as en.")] = "en",
    template_id: Annotated[
        str, typer.Option("--id", help="The id that the registry gave; empty takes it back.")
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with it.")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who; else this machine's user.")] = None,
    as_json: AsJson = False,
) -> None:
    """The next decision knows it; messages that waited for it are looked at again."""
    if not reason.strip():
        raise Refused("say why: --reason …")
    done = run(
        _register(
            portfolio,
            country.upper(),
            message,
            locale,
            template_id.strip() or None,
            by or getuser(),
            reason,
        )
    )
    body = {
        "portfolio": done.portfolio, "country": done.key.country, "message": done.key.message,
        "locale": done.key.locale, "template_id": done.template_id, "woken": done.woken,
    }  # fmt: skip
    known = done.template_id or "not registered"
    where = f"{done.key.locale}/{done.key.message} in {done.key.country}"
    says = f"{where}: {known}; {done.woken} notices looked at again"
    show(body, as_json=as_json, pleasant=lambda console: console.print(says, markup=False))


async def _register(
    portfolio: str,
    country: str,
    message: str,
    locale: str,
    template_id: str | None,
    by: str,
    reason: str,
) -> "Registered":
    from agent.entry.looking import opened
    from agent.flows import registered_texts
    from agent.flows.unclear import Unclear
    from agent.store.registered import TextKey

    key = TextKey(country, message, locale)
    async with opened() as (pool, now):
        done = await registered_texts.register(
            pool, portfolio, key, template_id, by=by, reason=reason, now=now
        )
    if isinstance(done, Unclear):
        raise Refused(f"{done.why}; {done.fix}")
    return done
