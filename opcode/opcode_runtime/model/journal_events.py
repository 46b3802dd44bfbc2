"""What happens to the journal as a whole, in a stream of its own."""

from __future__ import annotations

from opcode_runtime.model.event import Event

JOURNAL_STREAM = "journal"
"""The stream that these events stand in."""


class ClockJumped(Event, tag="clock_jumped", frozen=True, kw_only=True):
    """The wall clock was set by more than a minute while the daemon ran; `by_s` is negative when it was set back."""

    by_s: float


class JournalChecked(Event, tag="journal_checked", frozen=True, kw_only=True):
    """Every record was checked at a start, since what stands beside the journal said too little; all was sound."""

    reason: str


class WorkflowsPruned(Event, tag="workflows_pruned", frozen=True, kw_only=True):
    """Ended workflows, `workflows` of them with `events` events in all, left the journal for good."""

    workflows: int
    events: int
