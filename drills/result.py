"""What every drill is given, and what it answers.

A drill is a module of this folder whose docstring is its fault model in prose, with one function
`run(strength, seed, scratch) -> Result`. It ends by itself, cleans up what it started, and follows from its seed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Strength(enum.Enum):
    """How much of a drill is done: a tenth on every push, the whole before a note, many times that over a night."""

    TENTH = "tenth"
    FULL = "full"
    NIGHTLY = "nightly"

    def of(self, tenth: int, full: int, nightly: int) -> int:
        """The number that belongs to this strength."""
        return {Strength.TENTH: tenth, Strength.FULL: full, Strength.NIGHTLY: nightly}[self]


@dataclass(slots=True)
class Result:
    """What a drill did and found.

    Arguments:
        drill: its name.
        done: how much of what, as words: `200 kills`.
        figures: what was measured, by name, as it is printed.
        problems: what did not hold, each a sentence with all that repeats it; empty when the drill passes.
        seconds: how long it took.
    """

    drill: str
    done: str
    figures: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
