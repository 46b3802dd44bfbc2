"""What may go wrong on a disk in memory, and when.

A commit is the only thing that can be cut: LMDB writes new pages beside the old ones and then one meta page within one
sector, so a crash shows the whole commit or none of it. Torn commits are impossible here by construction; the crash
states of real files are another drill's business.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class Fault(enum.Enum):
    """One thing that goes wrong at a commit."""

    CRASH_BEFORE = "crash before a commit"
    """The process ends before the meta page is written: the commit is not there."""
    CRASH_AFTER = "crash after a commit"
    """It ends right after: the commit is there, nobody was told, and the witness has not noted it."""
    POWER_LOSS = "power loss"
    """As `CRASH_AFTER`, and the notes of the witness that the system had not written yet are lost too."""
    UNKNOWN_WRITTEN = "unknown result, written"
    """The commit raises an I/O error and is there. The environment takes further commits, as LMDB's does."""
    UNKNOWN_LOST = "unknown result, not written"
    """The commit raises an I/O error and is not there. The environment takes further commits."""
    MAP_FULL = "map full"
    """No room in the map, for some commits in a row; nothing is written."""
    NO_SPACE = "no space"
    """The file system is full before the meta page, for some commits in a row; nothing is written."""
    PANIC = "no space for the meta page"
    """The file system is full at the meta page: nothing is written, and every later transaction panics."""


CRASHES = frozenset({Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.POWER_LOSS})
FULL = frozenset({Fault.MAP_FULL, Fault.NO_SPACE})
UNKNOWN = frozenset({Fault.UNKNOWN_WRITTEN, Fault.UNKNOWN_LOST, Fault.PANIC})


@dataclass(slots=True)
class FaultPlan:
    """Which commit meets which fault. It outlives the process, as the disk does.

    Arguments:
        at: faults by the number of the commit, counted from 1 over all processes; commits that fail count.
        full_commits: how many commits in a row find no room once the disk is full.
        notes_lost: how many notes of the witness a power loss takes back.
    """

    at: Mapping[int, Fault] = field(default_factory=dict)
    full_commits: int = 3
    notes_lost: int = 5
    met: list[tuple[int, Fault]] = field(default_factory=list)
    commits: int = 0
    _full: Fault | None = None
    _full_until: int = 0

    @classmethod
    def drawn(
        cls, chance: random.Random, kinds: Sequence[Fault], count: int, commits: int
    ) -> FaultPlan:
        """`count` faults of these kinds somewhere in the first `commits` commits."""
        places = chance.sample(range(1, commits + 1), min(count, commits)) if kinds else []
        return cls(
            {place: chance.choice(kinds) for place in sorted(places)},
            full_commits=chance.randint(1, 6),
            notes_lost=chance.randint(1, 8),
        )

    def next(self) -> Fault | None:
        """What the commit that comes now meets."""
        self.commits += 1
        fault = self.at.get(self.commits)
        if fault in FULL:
            self._full, self._full_until = fault, self.commits + self.full_commits
        if fault not in CRASHES | UNKNOWN and self.commits < self._full_until:
            fault = self._full
        if fault is not None:
            self.met.append((self.commits, fault))
        return fault
