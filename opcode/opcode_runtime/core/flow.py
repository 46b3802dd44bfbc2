"""What a flow step does next: conditions, loops and parallels as functions of how far they have come.

Rule 1: a body that fails ends its flow step with the error, wrapped; what else runs of it finishes first.
Rule 2: of several errors that of the lowest number counts, in a race that of the first to come.
Rule 3: `max_iter` reached with more to do is success, with `truncated: true`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from opcode_runtime.core.plan import Plan, StepPlan
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.state import BodyState, FlowState, StepState, StepStatus, WorkflowState


class Move(NamedTuple):
    """The next move of a flow step; `number` is the iteration or branch it is about."""

    kind: Literal["branch_out", "iterate", "report", "complete", "fail"]
    number: int = 0


def next_move(plan: Plan, step: StepState) -> Move | None:
    """What follows for a running flow step from the state alone; None when it waits for something."""
    planned, flow = plan.steps[step.key], step.flow
    if flow is None:
        return None
    if planned.kind == "condition":
        return _condition_move(flow)
    if planned.kind == "parallel":
        return _parallel_move(planned, flow)
    return _loop_move(planned, flow)


def _condition_move(flow: FlowState) -> Move | None:
    if flow.key is None or flow.bodies:
        return None
    return Move("fail") if flow.errors else Move("complete")


def _parallel_move(planned: StepPlan, flow: FlowState) -> Move | None:
    if not flow.started:
        return Move("branch_out")
    if planned.mode("all") == "race":
        if flow.done:
            return Move("complete", next(iter(flow.done)))
        return Move("fail", next(iter(flow.errors))) if not flow.bodies else None
    if flow.bodies:
        return None
    return Move("fail", min(flow.errors)) if flow.errors else Move("complete")


def _loop_move(planned: StepPlan, flow: FlowState) -> Move | None:
    if flow.unreported:
        return Move("report", next(iter(flow.unreported)))
    if flow.errors:
        return Move("fail", min(flow.errors)) if not flow.bodies else None
    if planned.mode("for_each") == "for_each":
        return _for_each_move(planned, flow)
    first = planned.mode("for_each") == "until" and flow.next == 0
    return Move("iterate", 0) if first else None


def _for_each_move(planned: StepPlan, flow: FlowState) -> Move | None:
    if flow.items is None:
        return None
    total = min(len(flow.items), planned.number("max_iter", len(flow.items)))
    if flow.next < total and len(flow.bodies) < planned.number("max_concurrency", 1):
        return Move("iterate", flow.next)
    return Move("complete") if flow.next >= total and not flow.bodies else None


def is_truncated(planned: StepPlan, flow: FlowState) -> bool:
    """Whether a `for_each` that is complete had more items."""
    return flow.items is not None and flow.next < len(flow.items)


def flow_output(planned: StepPlan, flow: FlowState, *, index: int, truncated: bool) -> Any:
    """The output of a flow step that has ended well; `index` is the winner of a race."""
    if planned.kind == "condition":
        return _condition_output(planned, flow)
    if planned.kind == "parallel":
        if planned.mode("all") == "race":
            return {"mode": "race", "winner": index, "output": flow.done[index]}
        return {"mode": "all", "branches": [flow.done[n] for n in sorted(flow.done)]}
    output: dict[str, Any] = {
        "iterations": len(flow.done),
        "results": [flow.done[n] for n in sorted(flow.done)],
    }
    return output | {"truncated": True} if truncated else output


def _condition_output(planned: StepPlan, flow: FlowState) -> dict[str, Any]:
    if flow.branch is None:
        return {"branch": flow.key, "skipped": True}
    shown = "default" if flow.branch == "default" and not _has_key(planned, flow) else flow.key
    if not planned.branches[flow.branch].steps:
        return {"branch": shown}
    return {"branch": shown, "output": flow.done.get(0)}


def _has_key(planned: StepPlan, flow: FlowState) -> bool:
    return flow.key in (planned.definition.config.get("branches") or {})


def close_body(plan: Plan, state: WorkflowState, parent: StepState, body: BodyState) -> None:
    """All steps of a list have ended: keep what came of it with its flow step."""
    flow = parent.flow
    assert flow is not None
    del flow.bodies[body.index]
    if body.error is not None:
        flow.errors[body.index] = body.error
        return
    flow.done[body.index] = flow.last = _last_output(plan, state, body)
    if plan.steps[parent.key].kind == "loop":
        flow.unreported[body.index] = None


def _last_output(plan: Plan, state: WorkflowState, body: BodyState) -> Any:
    """The output of the last step of a list that completed."""
    namespace = body.key.rpartition(".")[2]
    steps = plan.steps[state.steps[body.parent].key].branches[namespace].steps
    for key in reversed(steps):
        step = state.steps[f"{body.path}.{plan.steps[key].segment}"]
        if step.status is StepStatus.COMPLETED:
            return step.output
    return None


def wrapped(error: ErrorInfo, path: str) -> ErrorInfo:
    """How the failure of a sub-step shows as that of its flow step; what cannot end otherwise says so."""
    code = ErrorCode.STEP_FAILED if error.retryable else ErrorCode.NON_RETRYABLE
    return ErrorInfo(code, f"step {path} failed: {error.message}", step_id=path, cause=error)
