"""What a command answers where what was asked for cannot be done as it was said."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unclear:
    """No such thing, or several: why, and what to write instead."""

    why: str
    fix: str
