"""What a route says of texts before they are sent: the same profile and the same words as dispatch."""

from collections.abc import Iterable, Iterator, Mapping

from agent.domain.ladder import Ladder
from agent.domain.message import Texts
from agent.domain.text_lint import Finding, Rules, Severity, finished
from channels.sms_twilio.countries import Profile, no_route, text_refused

_FIXES = {
    "links": "leave the link out",
    "opt-out": "let the frame say how to stop",
    "one-way": "name a telephone number: nobody can answer there",
}


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
