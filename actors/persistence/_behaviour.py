"""What an event-sourced actor does, as pure functions over values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Behaviour", "Decision", "Rejected"]

S = TypeVar("S")
C_contra = TypeVar("C_contra", contravariant=True)
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Decision(Generic[E]):
    """What follows from a command: events to write, and the reply once they are durable."""

    events: tuple[E, ...] = ()
    reply: Any = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The refusal of a command: nothing happens. It is a value; the asker gets it as the reply."""

    reason: Any


class Behaviour(Protocol[S, C_contra, E]):
    """Three functions without clock, chance or I/O. Whatever they need comes in with the command.

    Whoever changes `evolve` so that old events give another state deletes the snapshots: they hold the old one.
    """

    def initial(self, stream: str, /) -> S:
        """The state before the first event."""
        ...

    def decide(self, state: S, command: C_contra, /) -> Decision[E] | Rejected:
        """What follows from `command` in `state`. Must not change the state. What it raises is the asker's."""
        ...

    def evolve(self, state: S, event: E, /) -> S:
        """The state after `event`: a new one, or the same one changed in place. Total over what `decide` emits."""
        ...
