"""Two accounts of time: what was active, and what counts for the workflow's timeout.

Rule 1: active time is what the timeouts of flow steps, waits and sub-workflows are measured by. Suspended, paused or
down, nothing counts.
Rule 2: the workflow's own timeout counts the same, and suspended time too under `timeout_includes_suspension`.
"""

from __future__ import annotations

from opcode_runtime.core.plan import Plan
from opcode_runtime.model.state import WorkflowState, WorkflowStatus


def active_s(state: WorkflowState, at: float) -> float:
    """Seconds for which the workflow has been active until `at`."""
    return state.active_s + _open_s(state.active_since, at)


def clock_s(state: WorkflowState, at: float) -> float:
    """Seconds that count for the workflow's timeout until `at`."""
    return state.clock_s + _open_s(state.clock_since, at)


def keep_accounts(plan: Plan, state: WorkflowState, at: float) -> None:
    """The workflow's status has changed: begin or stop counting."""
    active = state.status is WorkflowStatus.ACTIVE
    state.active_s, state.active_since = _turned(state.active_s, state.active_since, active, at)
    suspended = state.status is WorkflowStatus.SUSPENDED
    counts = active or (suspended and plan.definition.timeout_includes_suspension)
    state.clock_s, state.clock_since = _turned(state.clock_s, state.clock_since, counts, at)


def leave_out(state: WorkflowState, since: float, until: float) -> None:
    """The daemon was away: what lies between counts in neither account."""
    state.active_s, state.active_since = active_s(state, since), until
    state.clock_s, state.clock_since = clock_s(state, since), until


def _open_s(since: float | None, at: float) -> float:
    return max(0.0, at - since) if since is not None else 0.0


def _turned(
    total_s: float, since: float | None, counts: bool, at: float
) -> tuple[float, float | None]:
    if counts:
        return total_s, at if since is None else since
    return total_s + _open_s(since, at), None
