"""Messages that an actor puts off until it can handle them.

Rules.
- What is unstashed comes before every message the actor has not yet seen, in the order in which it was first
  stashed: stashing a message again does not cost it its place.
- A stashed ask keeps its asker, and counts as not delivered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ._errors import StashFull
from ._mailbox import Envelope, Mailbox

__all__ = ["Stash", "StashStatistics"]


@dataclass(frozen=True, slots=True)
class StashStatistics:
    """What is stashed now, its limit, and how often it was full."""

    size_max: int
    stashed: int
    refused: int


class Stash:
    """The stash of one actor: at most `size_max` messages."""

    __slots__ = ("_envelopes", "_mailbox", "_refused", "_turn", "_turns", "size_max")

    def __init__(self, mailbox: Mailbox, size_max: int) -> None:
        self.size_max = size_max
        self._mailbox = mailbox
        self._envelopes: list[Envelope] = []
        self._turn = 0
        self._turns: dict[Envelope, int] = {}
        self._refused = 0

    def __len__(self) -> int:
        return len(self._envelopes)

    def ends_with(self, message: Any) -> bool:
        """Whether the last one put off is this very message."""
        return bool(self._envelopes) and self._envelopes[-1].message is message

    def add(self, envelope: Envelope) -> None:
        """Put off. Raises `StashFull`."""
        if len(self._envelopes) >= self.size_max:
            self._refused += 1
            raise StashFull(
                f"the stash of actor {self._mailbox.owner_name!r} holds its {self.size_max} messages: "
                "unstash_all, refuse the message or raise stash_size_max"
            )
        if envelope not in self._turns:
            self._turn += 1
            self._turns[envelope] = self._turn
        self._envelopes.append(envelope)

    def withdraw(self, envelope: Envelope) -> None:
        """Its handler failed after all: it is no longer put off."""
        if envelope in self._envelopes:
            self._envelopes.remove(envelope)

    def unstash_all(self) -> None:
        """Give everything back to the mailbox."""
        returned = self._mailbox.put_back(self.take_all(), self._place)
        turns = self._turns
        self._turns = {envelope: turns[envelope] for envelope in returned if envelope in turns}

    def _place(self, envelope: Envelope) -> float:
        return self._turns.get(envelope, math.inf)  # what a predecessor left over was never stashed

    def take_all(self) -> list[Envelope]:
        """Everything that is put off, which it then is no longer."""
        envelopes, self._envelopes = self._envelopes, []
        return envelopes

    def statistics(self) -> StashStatistics:
        """What is stashed now."""
        return StashStatistics(self.size_max, len(self._envelopes), self._refused)
