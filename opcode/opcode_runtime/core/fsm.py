"""The two state machines as data: which event leads a workflow or a step from where to where.

Rule 1: every change of status is in these tables; `evolve` refuses anything else as a bug of ours.
Rule 2: an event that is in neither table changes no status.
"""

from __future__ import annotations

from opcode_runtime.model.state import StepStatus as S
from opcode_runtime.model.state import WorkflowStatus as W

WORKFLOW: dict[tuple[W, str], W] = {
    (W.PENDING, "workflow_created"): W.PENDING,
    (W.PENDING, "workflow_started"): W.ACTIVE,
    (W.PENDING, "workflow_cancelled"): W.CANCELLED,
    (W.ACTIVE, "workflow_suspended"): W.SUSPENDED,
    (W.SUSPENDED, "workflow_suspended"): W.SUSPENDED,
    (W.SUSPENDED, "workflow_resumed"): W.ACTIVE,
    (W.ACTIVE, "workflow_interrupted"): W.ACTIVE,
    (W.ACTIVE, "workflow_resumed"): W.ACTIVE,
    (W.ACTIVE, "workflow_timed_out"): W.ACTIVE,
    (W.SUSPENDED, "workflow_timed_out"): W.SUSPENDED,
    (W.ACTIVE, "workflow_completed"): W.COMPLETED,
    (W.ACTIVE, "workflow_failed"): W.FAILED,
    (W.ACTIVE, "workflow_cancelled"): W.CANCELLED,
    (W.SUSPENDED, "workflow_cancelled"): W.CANCELLED,
    (W.FAILED, "workflow_reopened"): W.ACTIVE,
}

_OPEN_STEPS = (S.PENDING, S.SCHEDULED, S.RUNNING, S.RETRYING, S.SUSPENDED)

STEP: dict[tuple[S, str], S] = {
    (S.PENDING, "step_started"): S.RUNNING,
    (S.PENDING, "step_failed"): S.FAILED,
    (S.PENDING, "step_completed"): S.COMPLETED,
    (S.RUNNING, "step_completed"): S.COMPLETED,
    (S.RUNNING, "step_failed"): S.FAILED,
    (S.RUNNING, "step_retrying"): S.RETRYING,
    (S.RUNNING, "step_suspended"): S.SUSPENDED,
    (S.RETRYING, "step_started"): S.RUNNING,
    (S.SUSPENDED, "step_retrying"): S.RETRYING,
    (S.SUSPENDED, "step_completed"): S.COMPLETED,
    (S.SUSPENDED, "step_failed"): S.FAILED,
    (S.FAILED, "step_skipped"): S.SKIPPED,
    (S.FAILED, "step_reset"): S.PENDING,
    (S.SKIPPED, "step_reset"): S.PENDING,
    (S.RETRYING, "step_failed"): S.FAILED,
    (S.RETRYING, "step_completed"): S.COMPLETED,
} | {(status, "step_skipped"): S.SKIPPED for status in _OPEN_STEPS}
"""A ready step is derived, not recorded: `scheduled` is how a pending step shows while it waits for a slot, so the
rows written as from `scheduled` in the documents start from `pending` here. `step_completed` from pending is an
ignored failure of a step whose parameters could not be resolved."""


class IllegalTransition(AssertionError):  # noqa: N818 - an assertion about ourselves, not an error of the caller's
    """An event that the tables do not allow: a bug of ours, never the caller's fault."""


def workflow_after(status: W, event: str) -> W:
    """The workflow's status after `event`.

    >>> workflow_after(W.PENDING, "workflow_started").value
    'active'
    """
    after = WORKFLOW.get((status, event))
    if after is None:
        raise IllegalTransition(f"a {status} workflow cannot take {event}")
    return after


def step_after(status: S, event: str, path: str) -> S:
    """The step's status after `event`."""
    after = STEP.get((status, event))
    if after is None:
        raise IllegalTransition(f"step {path} is {status} and cannot take {event}")
    return after
