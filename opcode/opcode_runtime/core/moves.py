"""The events of a flow step's next move: an iteration, a report, an end."""

from __future__ import annotations

from typing import Literal

from opcode_runtime.core.failures import after_failure
from opcode_runtime.core.flow import Move, flow_output, is_truncated
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.state import StepState, WorkflowState

Events = tuple[ev.AnyEvent, ...]


def move(plan: Plan, state: WorkflowState, step: StepState, next_: Move, at: float) -> Events:
    """What happens when a flow step makes its next move."""
    planned, flow = plan.steps[step.key], step.flow
    assert flow is not None
    match next_.kind:
        case "branch_out":
            mode: Literal["all", "race"] = "race" if planned.mode("all") == "race" else "all"
            count = len(planned.branches)
            return (ev.ParallelStarted(at=at, step_id=step.path, mode=mode, branches=count),)
        case "iterate":
            return (iterate(step, next_.number, at),)
        case "report":
            item = flow.items[next_.number] if flow.items is not None else None
            ended = ev.LoopIterCompleted(
                at=at, step_id=step.path, iteration=next_.number, item=item
            )
            return (ended,)
        case "fail":
            return after_failure(plan, state, step, flow.errors[next_.number], at)
        case "complete":
            truncated = is_truncated(planned, flow)
            return complete(plan, step, at, index=next_.number, truncated=truncated)


def iterate(step: StepState, index: int, at: float) -> ev.AnyEvent:
    """An iteration begins."""
    assert step.flow is not None
    item = step.flow.items[index] if step.flow.items is not None else None
    return ev.LoopIterStarted(at=at, step_id=step.path, iteration=index, item=item)


def complete(
    plan: Plan, step: StepState, at: float, *, index: int = 0, truncated: bool = False
) -> Events:
    """A flow step ends well; `index` is the winner of a race."""
    planned, flow = plan.steps[step.key], step.flow
    assert flow is not None
    events: list[ev.AnyEvent] = []
    if planned.kind == "loop":
        if truncated:
            events.append(ev.LoopTruncated(at=at, step_id=step.path, iterations=len(flow.done)))
        events.append(ev.LoopCompleted(at=at, step_id=step.path))
    elif planned.kind == "parallel":
        winner = index if planned.mode("all") == "race" else None
        events.append(ev.ParallelCompleted(at=at, step_id=step.path, winner=winner))
    output = flow_output(planned, flow, index=index, truncated=truncated)
    done = ev.StepCompleted(at=at, step_id=step.path, attempt=step.attempt, output=output)
    return *events, done


def too_many_iterations(limit: int, what: str) -> ErrorInfo:
    """The error of a loop without an end in sight."""
    return ErrorInfo(
        ErrorCode.TOO_LARGE,
        f"{what}; limits.iterations_max is {limit}; set max_iter to stop earlier",
    )
