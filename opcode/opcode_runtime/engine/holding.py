"""Put every open workflow of a journal on hold: a copy of a journal does not act unasked.

It is done on disk, before any daemon runs on the copy. What a workflow had under way when it was copied is settled when
somebody resumes it, as after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.record import WorkflowRow
from opcode_runtime.model.state import HELD
from opcode_runtime.storage import OPEN, Append, Appended, Journal

_BATCH = 100


def hold_open(journal: Journal, now: float, only: Iterable[str] | None = None) -> list[str]:
    """Suspend the open workflows of `journal` for `recovery`, and return their ids.

    Arguments:
        now: UTC seconds, the time of the events.
        only: ids of the workflows in question; all open ones when left out.

    Raises:
        OpcodeError: the journal cannot be written to, or somebody else writes to it.
    """
    rows = [_row(journal, each) for each in (journal.open_workflows() if only is None else only)]
    open_rows = [row for row in rows if row.status in OPEN]
    to_hold = [row for row in open_rows if row.suspended_for not in HELD]
    for first in range(0, len(to_hold), _BATCH):
        _hold_all(journal, to_hold[first : first + _BATCH], now)
    return [row.id for row in to_hold]


def _row(journal: Journal, workflow_id: str) -> WorkflowRow:
    row = journal.workflow(workflow_id)
    if row is None:
        raise OpcodeError(ErrorCode.NOT_FOUND, f"there is no workflow {workflow_id!r} to hold")
    return row


def _hold_all(journal: Journal, rows: Sequence[WorkflowRow], now: float) -> None:
    for answer in journal.append(
        [Append(row.id, row.seq, holding_events(row, now)) for row in rows]
    ):
        if not isinstance(answer, Appended):
            reason = "somebody else writes to it"
            raise OpcodeError(ErrorCode.CONFLICT, f"the journal cannot be held: {reason}")


def holding_events(row: WorkflowRow, now: float) -> tuple[ev.AnyEvent, ...]:
    """What puts an open workflow on hold. One that has not started is started for it: only then can it be held.

    Arguments:
        row: the workflow as it stands, with the time of its last event.
    """
    at = max(now, row.updated_at)
    before: dict[str, tuple[ev.AnyEvent, ...]] = {
        "pending": (ev.WorkflowStarted(at=at),),
        "active": (ev.WorkflowInterrupted(at=at, down_s=at - row.updated_at),),
    }
    return *before.get(row.status, ()), ev.WorkflowSuspended(at=at, reason="recovery")
