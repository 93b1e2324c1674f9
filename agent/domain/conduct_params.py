"""The parameters of rules that the state of things decides: what each type must and may say."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from agent.domain.content import MARKS


class Kind(StrEnum):
    TEXT = "text"
    INT = "int"
    BOOL = "bool"
    NAMES = "names"
    FACTS = "facts"


T, W, B, N, F = Kind.TEXT, Kind.INT, Kind.BOOL, Kind.NAMES, Kind.FACTS
_CONDITIONAL = {"when": F, "allows": F, "effect": T, "words_from": T}

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
    "attempt_limit": ({"when": F}, _CONDITIONAL),
    "amount_limit": ({"when": F}, _CONDITIONAL),
    "step_gate": ({"when": F}, _CONDITIONAL),
    "accuracy": ({"when": F}, _CONDITIONAL),
    "status_map": ({"map": T}, {}),
}  # fmt: skip


def wrong_params(kind: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the parameters of a state rule, each with its fix."""
    required, optional = STATE_PARAMS[kind]
    for name in required:
        if name not in params:
            yield f"no {name}", f"write {name} = {_EXAMPLE[required[name]]}"
    for name, value in params.items():
        wanted = required.get(name) or optional.get(name)
        if wanted is None:
            known = ", ".join((*required, *optional))
            yield f"{kind} has no parameter {name}", f"use {known}"
        elif name == "element" and value not in MARKS:
            yield f"no text can be read for {value!r}", f"use {', '.join(MARKS)}"
        elif not _is(wanted, value):
            yield f"{name} = {value!r} is not of its type", f"write {name} = {_EXAMPLE[wanted]}"


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
            return isinstance(value, list) and all(isinstance(name, str) for name in value)
        case Kind.FACTS:
            return isinstance(value, dict) and all(map(_is_fact, value.values()))


def _is_fact(value: Any) -> bool:
    return isinstance(value, str | int | bool) or _is(Kind.NAMES, value)
