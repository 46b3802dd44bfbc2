"""Take back what is not wanted any more: the rest of a list that fails, of a race that is won, of a workflow that ends.

Rule 1: what is withdrawn is going to be skipped (`blocked`) and wants nothing any more; `advance` writes the events.
Rule 2: a gentle withdrawal spares what is under way: an attempt of an action, a sub-workflow, an attempt that a crash
cut. It ends as it ends; nothing new starts beside it.
Rule 3: a flow step is skipped after everything inside it.
"""

from __future__ import annotations

from typing import NamedTuple

from opcode_runtime.core import bookkeeping as books
from opcode_runtime.core.failures import is_failing, was_cut
from opcode_runtime.core.plan import BodyPlan, Plan
from opcode_runtime.model.state import SETTLED, StepState, StepStatus, WorkflowState


class Withdrawal(NamedTuple):
    """The reasons for the skips: of steps that had begun, and of those that had not."""

    begun: str
    pending: str
    gentle: bool = False


LIST_FAILS = Withdrawal("cancelled", "dependency", gentle=True)
WORKFLOW_FAILS = Withdrawal("workflow_ended", "workflow_ended", gentle=True)
WORKFLOW_STOPS = Withdrawal("workflow_ended", "workflow_ended")
WORKFLOW_CANCELLED = Withdrawal("cancelled", "workflow_ended")
FLOW_STOPS = Withdrawal("cancelled", "dependency")
RACE_LOST = Withdrawal("race_lost", "race_lost")


def withdraw_everything(plan: Plan, state: WorkflowState, how: Withdrawal) -> None:
    """Withdraw the top level, and a hook that runs; what was going to be reset stays as it is."""
    state.resetting.clear()
    withdraw_list(plan, state, plan.top, "", how)
    for path in [path for path in state.unfinished if not state.steps[path].body]:
        withdraw(plan, state, path, how)


def withdraw_list(
    plan: Plan, state: WorkflowState, body: BodyPlan, path: str, how: Withdrawal
) -> None:
    """Withdraw what is unfinished of the running list at `path`."""
    for key in body.steps:
        first = books.sibling(plan, key, path)
        withdraw(plan, state, first, how)
        runs = 2
        while plan.steps[key].standby and (again := f"{first}#{runs}") in state.steps:
            withdraw(plan, state, again, how)
            runs += 1


def withdraw_inside(plan: Plan, state: WorkflowState, step: StepState, how: Withdrawal) -> None:
    """Withdraw what is inside a flow step."""
    if step.flow is None:
        return
    planned = plan.steps[step.key]
    for path in list(step.flow.bodies.values()):
        namespace = state.bodies[path].key.rpartition(".")[2]
        withdraw_list(plan, state, planned.branches[namespace], path, how)


def withdraw(plan: Plan, state: WorkflowState, path: str, how: Withdrawal) -> None:
    """Withdraw one step and what is inside it."""
    step = state.steps[path]
    if step.status in SETTLED:
        return
    withdraw_inside(plan, state, step, how)
    if path in state.blocked or (how.gentle and _is_under_way(state, step)):
        return
    books.leave_lists(state, path)
    state.blocked[path] = how.pending if step.status is StepStatus.PENDING else how.begun


def _is_under_way(state: WorkflowState, step: StepState) -> bool:
    return step.path in state.running or was_cut(step)


def withdraw_if_failing(plan: Plan, state: WorkflowState, step: StepState) -> None:
    """A step has come to wait for a decision: in a list that fails already nobody is waited for."""
    if is_failing(state, step):
        withdraw(plan, state, step.path, LIST_FAILS if step.body else WORKFLOW_FAILS)
