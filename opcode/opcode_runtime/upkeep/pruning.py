"""Remove workflows that ended long ago, while no daemon runs. The daemon does the same by its own settings."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.storage import Journal, Prune, Pruned
from opcode_runtime.upkeep.children import Progress, no_progress

_BATCH = 200
_FOUND_MAX = 1_000_000


class PrunedWorkflows(msgspec.Struct, frozen=True):
    """What was removed; with `dry`, what would have been. `events` is then 0."""

    workflows: list[str]
    events: int
    dry: bool


def prune(
    directory: Path,
    *,
    older_than_s: float | None = None,
    keep: int | None = None,
    dry: bool = False,
    progress: Progress = no_progress,
) -> PrunedWorkflows:
    """Remove ended workflows, with all their events.

    Arguments:
        older_than_s: those that ended longer ago.
        keep: all but the newest so many.
        dry: only say which.

    Raises:
        OpcodeError: VALIDATION_ERROR when neither is given; JournalLocked when a daemon runs.
    """
    if older_than_s is None and keep is None:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            "what is to be pruned was not said",
            next="give --older-than, such as 720h, or --keep with a number, or both",
        )
    now = time.time()
    ended_before = None if older_than_s is None else now - older_than_s
    with Journal.open(directory) as journal:
        if dry:
            return PrunedWorkflows(journal.prunable(ended_before, keep, now, _FOUND_MAX), 0, dry)
        gone: list[str] = []
        events = 0
        while found := journal.prunable(ended_before, keep, now, _BATCH):
            events += _remove(journal, found)
            gone += found
            progress(len(gone), 0)
    return PrunedWorkflows(gone, events, dry)


def _remove(journal: Journal, found: list[str]) -> int:
    """Remove some in one commit; how many events they had."""
    [answer] = journal.append([Prune(tuple(found))])
    if not isinstance(answer, Pruned):
        raise OpcodeError(ErrorCode.CONFLICT, f"the journal cannot be pruned: {answer}")
    return answer.events
