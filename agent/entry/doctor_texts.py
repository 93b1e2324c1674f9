"""Whether the texts that portfolios have of their own still pass what is asked of them."""

from datetime import datetime

import asyncpg

from agent.domain.text_lint import Severity
from agent.entry.findings import Finding, ok, warning
from agent.entry.route_lint import routes_of_settings
from agent.flows.portfolios import load_portfolios
from agent.flows.text_saving import Terms, examine
from agent.store import own_texts


async def examine_texts(conn: asyncpg.Connection, now: datetime) -> list[Finding]:
    """One line for each portfolio with texts of its own; a release or a pack may ask more than before."""
    found = []
    for portfolio in (await load_portfolios(conn, now)).values():
        own = own_texts.sources(await own_texts.newest(conn, portfolio.id))
        if not own:
            continue
        told = await examine(conn, portfolio, now=now, terms=Terms(routes=routes_of_settings))
        wrong = [one for one in told if one.severity is Severity.PROBLEM]
        check = f"own texts {portfolio.name}"
        if wrong:
            first = wrong[0]
            says = f"{len(wrong)} problems: {first.file}: {first.what}"
            do = f"duly template lint --portfolio {portfolio.name} names all; save better ones"
            found.append(warning(check, says, do))
        else:
            found.append(ok(check, f"{len(own)}, as good as when they were saved"))
    return found
