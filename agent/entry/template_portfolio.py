"""The texts of one portfolio, for the commands that show and check them: its own over the shipped ones."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from agent.entry.output import PROBLEMS, Refused, run, show

if TYPE_CHECKING:
    from rich.console import Console

    from agent.domain.message import Texts
    from agent.domain.text_files import Told
    from agent.flows.portfolios import Portfolio


class Home(NamedTuple):
    """The texts in force, and whose they are."""

    texts: "Texts"
    portfolio: "Portfolio | None" = None

    @property
    def third_party(self) -> bool:
        """Whether it collects for others, and says so."""
        return self.portfolio is not None and self.portfolio.role == "third_party"

    def lender(self, given: str | None, otherwise: str) -> str:
        """The name that signs: the one given, else the portfolio's, else any."""
        return given or (self.portfolio.lender if self.portfolio else otherwise)


def home_of(name: str | None) -> Home:
    """The texts of a portfolio; without one, the shipped ones, and no database is asked."""
    from agent.flows.rules import texts

    return Home(texts()) if name is None else run(_home(name))


async def _home(name: str) -> Home:
    from agent.entry.looking import opened
    from agent.flows.own_texts import texts_of
    from agent.flows.portfolios import load_portfolios
    from agent.flows.rules import BadRules, texts

    async with opened() as (pool, now), pool.acquire() as conn:
        known = await load_portfolios(conn, now)
        portfolio = _known(name, known)
        try:
            return Home(await texts_of(conn, portfolio.id, texts()), portfolio)
        except BadRules as problem:
            raise Refused(str(problem)) from None


def _known(name: str, known: "dict[str, Portfolio]") -> "Portfolio":
    from agent.flows.pause import no_portfolio

    if name not in known:
        unclear = no_portfolio(name, known)
        raise Refused(f"{unclear.why}; {unclear.fix}")
    return known[name]


def lint_own(name: str, *, as_json: bool) -> None:
    """What a save of a portfolio's own texts would say today; exit code 1 on a problem."""
    from agent.domain.text_lint import Severity

    told = run(_examined(name))
    problems = sum(one.severity is Severity.PROBLEM for one in told)
    document: dict[str, Any] = {
        "portfolio": name, "problems": problems, "warnings": len(told) - problems,
        "findings": [one._asdict() for one in told],
    }  # fmt: skip
    show(document, as_json=as_json, pleasant=lambda console: _tell(console, told))
    if problems:
        raise typer.Exit(PROBLEMS)


async def _examined(name: str) -> "list[Told]":
    from agent.entry.looking import opened
    from agent.entry.route_lint import routes_of_settings
    from agent.flows.portfolios import load_portfolios
    from agent.flows.text_saving import Terms, examine

    async with opened() as (pool, now), pool.acquire() as conn:
        portfolio = _known(name, await load_portfolios(conn, now))
        return await examine(conn, portfolio, now=now, terms=Terms(routes=routes_of_settings))


def _tell(console: "Console", told: "Sequence[Told]") -> None:
    print_told(console, told)
    if not told:
        console.print("nothing wrong")


def print_told(console: "Console", told: "Sequence[Told]") -> None:
    """Findings with file, line and what to do."""
    from rich.markup import escape

    for one in told:
        colour = "red" if one.severity == "problem" else "yellow"
        where = one.file if one.line is None else f"{one.file}:{one.line}"
        console.print(f"{escape(where)}: [{colour}]{one.rule}[/{colour}] {escape(one.what)}")
        console.print(f"    {escape(one.fix)}")
