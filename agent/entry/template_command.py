"""`duly template`: check what borrowers read, show it filled in, count what it costs."""

from collections import Counter
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.entry.output import PROBLEMS, AsJson, Refused, show
from agent.entry.template_list import listing
from agent.entry.template_portfolio import home_of, lint_own
from agent.entry.template_register import register as register_text
from agent.entry.template_save import save, withdraw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from agent.domain.frame import Setting
    from agent.domain.ladder import Ladder
    from agent.domain.message import Composed, Wording
    from agent.domain.segments import Segments
    from agent.domain.text_lint import Finding, Rules

_Locale = Annotated[str, typer.Option(help="The reader's language and region: en-NG, zh-TW.")]
_Country = Annotated[str | None, typer.Option(help="Where the number is, as CN or US.")]
_Ladder = Annotated[str, typer.Option("--schedule", help="The shipped ladder that uses the texts.")]
_Portfolio = Annotated[
    str | None, typer.Option(help="As this portfolio says it, its own texts included.")
]
_LADDER = "consumer-instalment"
# The languages in which every message is shipped.
_COMPLETE = ("zh-CN", "zh-TW", "en", "es", "id")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        name="template",
        help="Check what borrowers read, show it filled in, count what it costs.",
        no_args_is_help=True,
    )
    group.command("lint", help="Find what is wrong with texts; exit code 1 on a problem.")(lint)
    group.command("render", help="Show one message as a borrower gets it.")(render)
    group.command("segments", help="Count encoding, units and parts of a text or a message.")(
        segments
    )
    group.command("register", help="Keep the id under which a country's gateways know a text.")(
        register_text
    )
    group.command("save", help="Take your own texts over, checked whole and approved by another.")(
        save
    )
    group.command("withdraw", help="Return to the shipped text of a message.")(withdraw)
    group.command("list", help="Which texts are in force, since when, by whom and why.")(listing)
    app.add_typer(group)


def lint(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Texts as FOLDER/<locale>/<message>.txt; the shipped ones without it."),
    ] = None,
    schedule: _Ladder = _LADDER,
    country: Annotated[
        list[str] | None, typer.Option(help="Also hold every text to this country's profile.")
    ] = None,
    allow_link: Annotated[
        list[str] | None, typer.Option(help="A host of the lender that links may lead to.")
    ] = None,
    locale: Annotated[
        list[str] | None,
        typer.Option(help="A language that readers must find; the shipped ones without FOLDER."),
    ] = None,
    lender: Annotated[str, typer.Option(help="The name that signs.")] = "Superlender Ltd",
    portfolio: Annotated[
        str | None, typer.Option(help="The own texts of this one, where they run; no other option.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every finding at once, each with what to do; lengths are at the longest plausible values."""
    if portfolio is not None:
        if folder is not None:
            raise Refused("a folder for a portfolio is checked by `duly template save … --dry-run`")
        lint_own(portfolio, as_json=as_json)
        return
    rules = _rules(country, allow_link, lender, locale or (_COMPLETE if folder is None else ()))
    _lint(folder, _ladder(schedule), rules, as_json=as_json)


def _rules(
    country: list[str] | None, hosts: list[str] | None, lender: str, locales: "Iterable[str]"
) -> "Rules":
    """What texts are held to."""
    from agent.domain.text_lint import LONGEST, Rules
    from agent.flows.rules import shorteners, word_lists

    return Rules(
        word_lists(),
        shorteners(),
        frozenset(map(allowed_host, hosts or ())),
        tuple(known_country(code) for code in country or ()),
        LONGEST._replace(lender=lender),
        frozenset(locales),
    )


def _lint(folder: Path | None, ladder: "Ladder", rules: "Rules", *, as_json: bool) -> None:
    from agent.domain.text_lint import costs
    from agent.domain.text_lint import lint as find
    from agent.flows.rules import texts

    raw = _texts_of(folder)
    found = find(raw, texts(), ladder, rules)
    found += _of_routes(raw, ladder, rules)
    document = _findings(found, len(raw))
    if folder is None:
        names = ("locale", "message", "encoding", "units", "parts")
        counted = costs(texts(), ladder, rules)
        document["costs"] = [dict(zip(names, row, strict=True)) for row in counted]
    show(document, as_json=as_json, pleasant=lambda console: _tell(console, found, len(raw)))
    if document["problems"]:
        raise typer.Exit(PROBLEMS)


def _findings(found: "Sequence[Finding]", texts: int) -> dict[str, Any]:
    from agent.domain.text_lint import Severity

    problems = sum(each.severity is Severity.PROBLEM for each in found)
    return {
        "texts": texts,
        "problems": problems,
        "warnings": len(found) - problems,
        "findings": [asdict(each) for each in found],
    }


def _of_routes(
    raw: dict[tuple[str, str], str], ladder: "Ladder", rules: "Rules"
) -> "list[Finding]":
    """Whether texts may go to the countries that were named, as dispatch will decide it."""
    from dataclasses import replace

    from agent.domain.message import Texts, compile_texts
    from agent.entry.route_lint import routes_of_settings
    from agent.flows.rules import texts

    around, compiled = texts(), compile_texts(raw)
    if not isinstance(compiled, Texts):
        return []  # told already
    whole = replace(compiled, frames=around.frames, countries=around.countries)
    return list(routes_of_settings(whole, ladder, rules))


def _texts_of(folder: Path | None) -> dict[tuple[str, str], str]:
    from templates import all_texts

    if folder is None:
        return all_texts()
    if not folder.is_dir():
        raise Refused(f"{folder} is no folder; give one that holds <locale>/<message>.txt")
    found = {
        (file.parent.name, file.name.removesuffix(".txt")): _read(file)
        for file in sorted(folder.glob("*/*.txt"))
    }
    # a text has line breaks, not those of one system
    found = {key: text.replace("\r\n", "\n") for key, text in found.items()}
    if not found:
        raise Refused(f"{folder} holds no text; they are named <locale>/<message>.txt")
    return found


def _read(file: Path) -> str:
    """A text without the mark that some editors put before it; its line breaks as they are."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise Refused(f"{file} is not UTF-8: {problem}; save it as UTF-8") from None
    except OSError as problem:
        raise Refused(f"{file} cannot be read: {problem.strerror or problem}") from None


def allowed_host(given: str) -> str:
    """A host of the lender's own; a whole top level would let in everybody."""
    host = given.casefold().removeprefix("https://").partition("/")[0]
    if "." not in host.strip(".") or not host.replace(".", "").replace("-", "").isalnum():
        raise Refused(f"--allow-link {given}: write one host, as pay.lender.example")
    return host


def known_country(code: str) -> str:
    """A country that has a profile, by its code."""
    from agent.flows.rules import countries

    if code.upper() not in countries():
        raise Refused(f"--country {code}: there are {', '.join(countries())}")
    return code.upper()


def _ladder(name: str) -> "Ladder":
    from agent.flows.portfolios import ladder_of
    from schedules import ladder_names, ladder_text

    if name not in ladder_names():
        raise Refused(f"--schedule {name}: there are {', '.join(ladder_names())}")
    return ladder_of(ladder_text(name))


def _tell(console: "Console", found: "list[Finding]", texts: int) -> None:
    from rich.markup import escape

    for each in found:
        at = f":{each.position}" if each.position is not None else ""
        colour = "red" if each.severity == "problem" else "yellow"
        where = escape(f"{each.locale}/{each.message}{at}")
        console.print(f"[{colour}]{each.rule}[/{colour}] {where}: {escape(each.what)}")
        console.print(f"    {escape(each.fix)}")
    counts = Counter(each.severity.value for each in found)
    told = ", ".join(f"{count} {name}s" for name, count in sorted(counts.items()))
    console.print(f"{texts} texts: {told or 'nothing wrong'}")


def render(
    message: Annotated[str, typer.Argument(help="The message, as due-soon or overdue-7.")],
    locale: _Locale = "en",
    channel: Annotated[str, typer.Option(help="sms or push.")] = "sms",
    country: _Country = None,
    lender: Annotated[
        str | None, typer.Option(help="The name that signs; the portfolio's, else Quick Cash.")
    ] = None,
    amount: Annotated[str, typer.Option(help="Amount and currency.")] = "6500.00 NGN",
    due: Annotated[
        str | None, typer.Option(help="Due date; as fits the message's step without it.")
    ] = None,
    today: Annotated[str, typer.Option(help="The day of sending.")] = "2026-11-20",
    third_party: Annotated[
        bool, typer.Option("--third-party", help="The sender collects for others.")
    ] = False,
    first: Annotated[
        bool, typer.Option("--first", help="The first message to the person.")
    ] = False,
    schedule: _Ladder = _LADDER,
    portfolio: _Portfolio = None,
    as_json: AsJson = False,
) -> None:
    """The finished message, signature, disclosures and way out included, and what it costs."""
    from agent.domain.ladder import Problem
    from agent.domain.message import compose
    from agent.domain.segments import segments as measure

    if channel not in {"sms", "push"}:
        raise Refused(f"--channel {channel}: choose sms or push")
    home, ladder = home_of(portfolio), _ladder(schedule)
    signed = home.lender(lender, "Quick Cash")
    wording = _wording(message, signed, amount, due, today, ladder)
    third = third_party or home.third_party
    setting = _setting(message, country, ladder, third_party=third, first=first)
    found = compose(home.texts, message, channel, locale, wording, setting)
    known = sorted({name for _, name in home.texts.sms})
    if isinstance(found, Problem) or message not in known:
        raise Refused(f"there is no message {message}; there are: {', '.join(known)}")
    counted = measure(found.body) if channel == "sms" else None
    document = {**found._asdict(), "segments": None if counted is None else _document(counted)}
    show(document, as_json=as_json, pleasant=lambda console: _show(console, found, counted))


def _wording(
    message: str, lender: str, amount: str, due: str | None, today: str, ladder: "Ladder"
) -> "Wording":
    from agent.domain.message import Wording
    from agent.domain.money import AmountProblem, parse_amount

    value, _, currency = amount.strip().partition(" ")
    minor = parse_amount(value, currency or "")
    if isinstance(minor, AmountProblem):
        raise Refused(f'--amount {amount}: write "6500.00 NGN"')
    sent_on = _day("--today", today)
    stage = next((stage for stage in ladder.stages if stage.message == message), None)
    offset = timedelta(days=stage.offset_days if stage else 0)
    due_on = _day("--due", due) if due else sent_on - offset
    return Wording(lender, "301600134", minor, currency, due_on, sent_on)


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused(f"{option} {text}: write a date as 2026-11-20") from None


def _setting(
    message: str, country: str | None, ladder: "Ladder", *, third_party: bool, first: bool
) -> "Setting":
    from agent.domain.frame import MessageClass, Role, Setting
    from agent.domain.ladder import Grade

    stage = next((stage for stage in ladder.stages if stage.message == message), None)
    reminder = stage is not None and stage.grade is Grade.REMINDER
    return Setting(
        known_country(country) if country else None,
        Role.THIRD_PARTY if third_party else Role.FIRST_PARTY,
        MessageClass.REMINDER if reminder else MessageClass.COLLECTION,
        first,
    )


def _show(console: "Console", found: "Composed", counted: "Segments | None") -> None:
    from rich.markup import escape

    if found.title is not None:
        console.print(f"[bold]{escape(found.title)}[/bold]")
    console.print(escape(found.body))
    if counted is not None:
        console.print(f"[dim]{found.locale}, {_sentence(counted)}[/dim]")


def segments(
    text: Annotated[
        str | None, typer.Argument(help="A text, or with --locale the name of a message.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Read the text from a file.")] = None,
    locale: Annotated[
        str | None, typer.Option(help="TEXT names a message: count it in this language.")
    ] = None,
    country: _Country = None,
    lender: Annotated[
        str | None, typer.Option(help="The name that signs; the portfolio's, else a long one.")
    ] = None,
    portfolio: _Portfolio = None,
    as_json: AsJson = False,
) -> None:
    """Equal to Twilio's calculator. A message is counted framed, at the longest plausible values."""
    from agent.domain.segments import segments as measure

    counted = measure(_counted_text(text, file, locale, country, lender, portfolio))
    show(_document(counted), as_json=as_json, pleasant=lambda console: _count(console, counted))


def _counted_text(
    text: str | None,
    file: Path | None,
    locale: str | None,
    country: str | None,
    lender: str | None,
    portfolio: str | None,
) -> str:
    from agent.domain.text_lint import LONGEST, Rules, finished

    if (text is None) == (file is None):
        raise Refused("give a text, or --file F, or the name of a message with --locale L")
    if file is not None:
        # an editor ends the last line; every other line break is part of the text
        return _read(file).removesuffix("\n").removesuffix("\r")
    assert text is not None
    if locale is None:
        return text
    stage = next((stage for stage in _ladder(_LADDER).stages if stage.message == text), None)
    home = home_of(portfolio)
    rules = Rules({}, longest=LONGEST._replace(lender=home.lender(lender, LONGEST.lender)))
    wanted = known_country(country) if country else None
    body = finished(home.texts, locale, text, stage, rules, wanted)
    if not body:
        known = sorted({name for _, name in home.texts.sms})
        raise Refused(f"there is no message {text}; there are: {', '.join(known)}")
    return body


def _document(counted: "Segments") -> dict[str, Any]:
    return {
        "encoding": counted.encoding,
        "units": counted.units,
        "segments": counted.count,
        "parts": list(counted.parts),
        "forced_by": None if counted.forced is None else asdict(counted.forced),
    }


def _count(console: "Console", counted: "Segments") -> None:
    from rich.markup import escape

    console.print(_sentence(counted))
    for number, part in enumerate(counted.parts, 1):
        console.print(f"[dim]{number}[/dim] {escape(part)}")
    if counted.forced is not None:
        each = counted.forced
        told = (
            "nothing says the same" if each.replacement is None else f"write {each.replacement!r}"
        )
        console.print(f"UCS-2 because of {each.name} at character {each.position}: {escape(told)}")


def _sentence(counted: "Segments") -> str:
    name = {"gsm7": "GSM-7", "ucs2": "UCS-2"}[counted.encoding.value]
    return f"{name}, {counted.units} units, {counted.count} part{'s' if counted.count != 1 else ''}"
