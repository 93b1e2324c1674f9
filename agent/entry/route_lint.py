"""What a route says of texts before they are sent: the same profile and the same words as dispatch."""

from collections.abc import Iterable, Iterator, Mapping

from agent import config
from agent.domain.ladder import Ladder
from agent.domain.message import Texts
from agent.domain.text_lint import Finding, Rules, Severity, finished
from agent.entry.texting import countries
from channels.sms_twilio.countries import Profile, no_route, text_refused

# A plain number, where none is configured yet.
_ANY_SENDER = "+15005550006"
_FIXES = {
    "links": "leave the link out",
    "opt-out": "let the frame say how to stop",
    "one-way": "name a telephone number: nobody can answer there",
}


def routes_of_settings(texts: Texts, ladder: Ladder, rules: Rules) -> Iterable[Finding]:
    """What the configured way out says of texts in the countries that the rules name."""
    if not rules.countries:
        return ()
    settings = config.load()
    sender = settings.twilio_from or settings.twilio_messaging_service_sid or _ANY_SENDER
    return route_findings(texts, ladder, rules, countries(settings), rules.countries, sender)


def route_findings(
    texts: Texts,
    ladder: Ladder,
    rules: Rules,
    known: Mapping[str, Profile],
    countries: Iterable[str],
    sender: str,
) -> Iterator[Finding]:
    """A country without a route is a warning; a text that its route would refuse is a problem."""
    for code in dict.fromkeys(countries):
        profile = known.get(code)
        why = no_route(profile, sender)
        if profile is None or why is not None:
            yield _no_route(code, profile, why or "no-profile")
        else:
            yield from _refused(texts, ladder, rules, profile, sender)


def _no_route(code: str, profile: Profile | None, why: str) -> Finding:
    fix = "look at the provider's rules; a file that DULY_TWILIO_COUNTRIES names may say otherwise"
    source = "" if profile is None else f"{profile.source} ({profile.basis}, {profile.checked_on})"
    return Finding(
        "route", Severity.WARNING, code, "", f"nothing goes there: {why}", fix, None, source
    )


def _refused(
    texts: Texts, ladder: Ladder, rules: Rules, profile: Profile, sender: str
) -> Iterator[Finding]:
    for locale, message in sorted(texts.sms):
        stage = next((s for s in ladder.stages if s.message == message), None)
        text = finished(texts, locale, message, stage, rules, profile.code)
        why = text_refused(profile, text, sender)
        if why is not None:
            what = f"refused on the way to {profile.code}: {why}"
            yield Finding(
                "route", Severity.PROBLEM, locale, message, what, _FIXES[why], None, profile.source
            )
