"""What a change of texts may be refused for: what is wrong with the texts, and what it does to the others.

What was wrong before with a text that stays as it is, is not this change's doing.
"""

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from agent.domain.ladder import Ladder
from agent.domain.message import Texts, compile_texts
from agent.domain.text_files import TextId
from agent.domain.text_lint import SIGNATURE, Finding, Rules, Severity, lint, near_locales

_NAME_MAX = 200
# What is said of texts that there are not.
_LACKING = ("missing", "fit")


@dataclass(frozen=True, slots=True)
class Signed:
    """Who wrote a change, who approved it, and why."""

    by: str
    approved_by: str
    reason: str


def unsigned(signed: Signed) -> tuple[str, str] | None:
    """What a change lacks to be signed, and what to do; whoever approves it is another person."""
    for name, option in ((signed.by, "--by"), (signed.approved_by, "--approved-by")):
        if not name.strip() or len(name) > _NAME_MAX:
            return "a name is missing or too long", f"give {option} NAME"
    if not signed.reason.strip():
        return "the reason is missing", "say why: --reason …"
    if _person(signed.by) == _person(signed.approved_by):
        why = f"{signed.by} wrote it and would approve it"
        return why, "let another person approve it: --approved-by NAME"
    return None


def _person(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def judge(
    before: Mapping[TextId, str],
    after: Mapping[TextId, str],
    changed: Collection[TextId],
    around: Texts,
    ladder: Ladder,
    rules: Rules,
) -> list[Finding]:
    """The findings about the texts that change, and those that the change brings about others.

    The name that signs is no matter of a text, and a language that never had a message need not be one
    that the lender writes to: what is wrong with them is said and refuses nothing.
    """
    known = frozenset(lint(before, around, ladder, rules))
    messages = {message for _, message in changed}
    wanted = []
    for one in lint(after, around, ladder, rules):
        if one.rule in _LACKING and (one.locale, one.message) in after:
            # it is there and cannot be read, which is told where that is
            continue
        mine = (one.locale, one.message) in changed or one not in known
        lacking = one.rule in _LACKING and one.message in messages
        mild = one.rule == SIGNATURE or (not mine and not _is_own(one.locale, rules))
        if mine or lacking:
            wanted.append(replace(one, severity=Severity.WARNING) if mild else one)
    return wanted


def _is_own(locale: str, rules: Rules) -> bool:
    """Whether readers must find it."""
    return any(locale in near_locales(own) for own in rules.locales)


def legible(raw: Mapping[TextId, str], around: Texts) -> Texts:
    """A set of texts without those that cannot be read, of which the lint has told."""
    good = {key: text for key, text in raw.items() if isinstance(compile_texts({key: text}), Texts)}
    found = compile_texts(good)
    assert isinstance(found, Texts)
    return replace(found, frames=around.frames, countries=around.countries)
