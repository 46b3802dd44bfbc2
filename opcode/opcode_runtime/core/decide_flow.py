"""What follows from the news of flow steps, waits, probes and sub-workflows."""

from __future__ import annotations

from typing import Any

from opcode_runtime.core.doubt import ask, retry
from opcode_runtime.core.failures import after_failure
from opcode_runtime.core.moves import complete, iterate, too_many_iterations
from opcode_runtime.core.plan import Plan, timeout_s
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.durations import format_duration
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.state import (
    HELD,
    FlowState,
    StepState,
    StepStatus,
    WorkflowState,
    WorkflowStatus,
)

NOTHING = cmd.Decision()


def evaluated(plan: Plan, state: WorkflowState, command: cmd.Evaluated) -> cmd.Decision:
    """An expression of a flow step has a value."""
    step = state.steps.get(command.path)
    if step is None or step.flow is None or step.attempt != command.attempt:
        return NOTHING
    if (
        state.evaluating.get(step.path) != command.round
        or state.status is not WorkflowStatus.ACTIVE
    ):
        return NOTHING
    if command.error is not None:
        return cmd.Decision(after_failure(plan, state, step, command.error, command.at))
    planned = plan.steps[step.key]
    if planned.kind == "condition":
        return _branch(plan, step, str(command.value), command.at)
    if planned.mode("for_each") == "for_each":
        return _items(plan, state, step, command.value, command.at)
    return _verdict(plan, state, step, step.flow, command)


def _branch(plan: Plan, step: StepState, key: str, at: float) -> cmd.Decision:
    config = plan.steps[step.key].definition.config
    branch: str | None = None
    if key in (config.get("branches") or {}):
        branch = key
    elif config.get("default"):
        branch = "default"
    chosen = ev.ConditionEvaluated(
        at=at,
        step_id=step.path,
        expression=str(config.get("expression", "")),
        result=key,
        branch=branch,
    )
    return cmd.Decision((chosen,))


def _items(
    plan: Plan, state: WorkflowState, step: StepState, value: Any, at: float
) -> cmd.Decision:
    limit = plan.limits.iterations_max
    planned = plan.steps[step.key]
    error: ErrorInfo | None = None
    if not isinstance(value, list):
        error = ErrorInfo(ErrorCode.EXECUTION_ERROR, "`over` must give a list")
    elif min(len(value), planned.number("max_iter", len(value))) > limit:
        error = too_many_iterations(limit, f"`over` gives {len(value)} items")
    if error is not None:
        return cmd.Decision(after_failure(plan, state, step, error, at))
    return cmd.Decision((ev.LoopStarted(at=at, step_id=step.path, items=value),))


def _verdict(
    plan: Plan, state: WorkflowState, step: StepState, flow: FlowState, command: cmd.Evaluated
) -> cmd.Decision:
    """A `while` goes on as long as its condition holds, an `until` as long as it does not."""
    planned, limit = plan.steps[step.key], plan.limits.iterations_max
    goes_on = bool(command.value) == (planned.mode("for_each") == "while")
    ended = len(flow.done)
    if not goes_on:
        return cmd.Decision(complete(plan, step, command.at))
    if ended >= planned.number("max_iter", limit + 1):
        return cmd.Decision(complete(plan, step, command.at, truncated=True))
    if ended >= limit:
        error = too_many_iterations(limit, f"the loop has run {ended} iterations")
        return cmd.Decision(after_failure(plan, state, step, error, command.at))
    return cmd.Decision((iterate(step, ended, command.at),))


def wait_due(plan: Plan, state: WorkflowState, command: cmd.WaitDue) -> cmd.Decision:
    """A wait for a duration is over. Under a pause it has to wait for its end."""
    step = state.steps.get(command.path)
    if step is None or state.waiting.get(step.path) != "" or step.attempt != command.attempt:
        return NOTHING
    if state.status is not WorkflowStatus.ACTIVE:
        return NOTHING
    waited = ev.WaitCompleted(at=command.at, step_id=step.path)
    output = {"waited": round(step.wait_s * 1000)}
    done = ev.StepCompleted(at=command.at, step_id=step.path, attempt=step.attempt, output=output)
    return cmd.Decision((waited, done))


def step_deadline(
    plan: Plan, state: WorkflowState, command: cmd.StepDeadlinePassed
) -> cmd.Decision:
    """The timeout of a flow step, a wait or a sub-workflow ran out."""
    step = state.steps.get(command.path)
    if step is None or step.path not in state.timed or step.attempt != command.attempt:
        return NOTHING
    if state.status is not WorkflowStatus.ACTIVE:
        return NOTHING
    limit_s = timeout_s(plan.steps[step.key], step) or 0.0
    error = ErrorInfo(
        ErrorCode.TIMEOUT_ERROR, f"took over {format_duration(limit_s)}", step_id=step.path
    )
    return cmd.Decision(after_failure(plan, state, step, error, command.at))


def decision_due(plan: Plan, state: WorkflowState, command: cmd.DecisionDue) -> cmd.Decision:
    """Nobody has answered in time: the fallback answers, or the step fails. Under a pause that has to wait."""
    decision = state.decisions.get(command.decision_id)
    if decision is None or state.asking.get(decision.step_id) != decision.id:
        return NOTHING
    if state.suspended_for in HELD:
        return NOTHING
    if decision.timeout_at is None:
        return NOTHING
    if decision.fallback is None:
        gone = ev.DecisionTimedOut(at=command.at, step_id=decision.step_id, decision_id=decision.id)
        return cmd.Decision((gone,))
    resolved = ev.DecisionResolved(
        at=command.at,
        step_id=decision.step_id,
        decision_id=decision.id,
        choice=decision.fallback,
        reasoning="timeout_auto_resolved",
        resolved_by="system",
    )
    return cmd.Decision((resolved,))


def child_seen(plan: Plan, state: WorkflowState, command: cmd.ChildSeen) -> cmd.Decision:
    """News of a sub-workflow that its step still waits for."""
    step = state.steps.get(command.path)
    if step is None or step.path not in state.running or step.attempt != command.attempt:
        return NOTHING
    child = command.child_workflow_id
    if command.news == "started":
        if step.child_workflow_id == child:
            return NOTHING
        started = ev.ChildStarted(
            at=command.at,
            step_id=step.path,
            attempt=step.attempt,
            child_workflow_id=child,
            template_name=command.template_name,
            template_version=command.template_version,
        )
        return cmd.Decision((started,))
    suspended = command.news == "suspended"
    if suspended == (step.path in state.idle) or step.child_workflow_id != child:
        return NOTHING
    kind = ev.ChildSuspended if suspended else ev.ChildResumed
    return cmd.Decision((kind(at=command.at, step_id=step.path, child_workflow_id=child),))


def child_gone(plan: Plan, state: WorkflowState, command: cmd.ChildGone) -> cmd.Decision:
    """A sub-workflow that nobody waits for has been told to end."""
    if state.children.get(command.child_workflow_id) != command.path:
        return NOTHING
    released = ev.ChildReleased(
        at=command.at, step_id=command.path, child_workflow_id=command.child_workflow_id
    )
    return cmd.Decision((released,))


def verified(plan: Plan, state: WorkflowState, command: cmd.Verified) -> cmd.Decision:
    """A probe has judged a step in doubt."""
    step = state.steps.get(command.path)
    if step is None or step.path not in state.verifying or step.attempt != command.attempt:
        return NOTHING
    if step.status is not StepStatus.RUNNING or state.status is not WorkflowStatus.ACTIVE:
        return NOTHING
    if command.error is not None:
        return cmd.Decision(ask(plan, state, step, command.at))
    if not command.done:
        return cmd.Decision((retry(step, command.at),))
    done = ev.StepCompleted(
        at=command.at, step_id=step.path, attempt=step.attempt, output=command.output
    )
    return cmd.Decision((done,))
