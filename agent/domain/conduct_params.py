"""The parameters of rules that the state of things decides: what each type must and may say."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from agent.domain.conduct_ruling import ACTS
from agent.domain.content import MARKS


class Kind(StrEnum):
    TEXT = "text"
    INT = "int"
    BOOL = "bool"
    NAMES = "names"
    FACTS = "facts"


T, W, B, N, F = Kind.TEXT, Kind.INT, Kind.BOOL, Kind.NAMES, Kind.FACTS
_CONDITIONAL = {"when": F, "allows": F, "effect": T, "words_from": T}
# Rules about what is said of a debt, and how often something is tried: before which act they are asked.
_BEFORE = {"allows": F, "effect": T, "before": T}

# Required parameters first, optional ones second.
STATE_PARAMS: Mapping[str, tuple[Mapping[str, Kind], Mapping[str, Kind]]] = {
    "hold": (
        {"reasons": N},
        {"open": N, "steps": N, "lifted_by": N, "days": W, "tail_days": W, "zone": T, "opens": T,
         "effect": T, "partly": N},
    ),
    "single_reply": (
        {"on": N}, {"max": W, "within_seconds": W, "only": N, "message_types": N}
    ),
    "opt_out_effect": ({"scope": T}, {}),
    "consent_required": ({"fact": T}, {"when": F, "given_by": N, "before": T}),
    "revalidate": ({"evidence_days": N, "max_age_days": W, "needs": T}, {}),
    "required_content": ({"element": T}, {"fact": T, "when": F}),
    "third_party_contact": ({"deny_if": F, "about": N}, {"unless": F, "not_for": N}),
    "prior_notice": ({"before": T, "fact": T}, {"min_days": W, "act_on": T}),
    "deadline": (
        {"from": T, "days": W, "duty": T}, {"business": B, "calendar": T, "when": F, "done": T}
    ),
    "retention": ({"mode": T, "months": W, "anchor": T}, {}),
    "forbidden_content": ({"when": F}, _CONDITIONAL),
    "deliverability": ({"when": F}, _CONDITIONAL),
    "attempt_limit": (
        {}, _BEFORE | {"when": F, "max": W, "counts": N, "reset_by": N, "scope": T}
    ),
    "amount_limit": ({"when": F}, _BEFORE),
    "step_gate": ({"when": F}, _CONDITIONAL | {"before": T}),
    "accuracy": ({"when": F}, _BEFORE),
    "status_map": ({"map": T}, {}),
}  # fmt: skip


def _together(kind: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if kind == "attempt_limit" and "when" not in params and not {"max", "counts"} <= params.keys():
        yield "it limits nothing", 'write max = 2 and counts = ["…"], or when = { fact_gte = 2 }'
    if "counts" in params and params.get("before", "message") != "message":
        yield (
            "only messages are counted",
            "leave out before, or name a fact: when = { fact_gte = 2 }",
        )


def wrong_params(kind: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the parameters of a state rule, each with its fix."""
    required, optional = STATE_PARAMS[kind]
    for name in required:
        if name not in params:
            yield f"no {name}", f"write {name} = {_EXAMPLE[required[name]]}"
    yield from _together(kind, params)
    for name, value in params.items():
        wanted = required.get(name) or optional.get(name)
        if wanted is None:
            known = ", ".join((*required, *optional))
            yield f"{kind} has no parameter {name}", f"use {known}"
        elif not _is(wanted, value):
            yield f"{name} = {value!r} is not of its type", f"write {name} = {_EXAMPLE[wanted]}"
        elif name == "element" and value not in MARKS:
            yield f"no text can be read for {value!r}", f"use {', '.join(MARKS)}"
        elif name in _CHOICES and value not in _CHOICES[name]:
            yield f"{name} = {value!r} is not known", f"use {', '.join(sorted(_CHOICES[name]))}"


# What only these words may say; any other would be a rule that is never asked.
_CHOICES: Mapping[str, frozenset[str]] = {
    "before": ACTS,
    "effect": frozenset({"defer", "hold", "deny"}),
    "scope": frozenset({"address_any_debt", "number", "channel", "debt", "person", "all"}),
    "mode": frozenset({"keep_at_least", "delete_after"}),
}
_EXAMPLE = {T: '"…"', W: "14", B: "true", N: '["…", "…"]', F: "{ fact = true }"}


def _is(kind: Kind, value: Any) -> bool:
    match kind:
        case Kind.TEXT:
            return isinstance(value, str) and value != ""
        case Kind.INT:
            return type(value) is int and value >= 0
        case Kind.BOOL:
            return isinstance(value, bool)
        case Kind.NAMES:
            return isinstance(value, list) and value != [] and all(map(_is_word, value))
        case Kind.FACTS:
            return isinstance(value, dict) and all(map(_is_fact, value.values()))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_fact(value: Any) -> bool:
    return isinstance(value, str | int | bool) or _is(Kind.NAMES, value)
