"""The events with which an attempt of a step begins, by the type of the step."""

from __future__ import annotations

from typing import Any

from opcode_runtime.core.failures import after_failure, final_failure
from opcode_runtime.core.plan import Plan, StepPlan, timeout_s
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.durations import parse_duration_s
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.ids import decision_id
from opcode_runtime.model.state import StepState, WorkflowState

Events = tuple[ev.AnyEvent, ...]


def begin_first(
    plan: Plan, state: WorkflowState, step: StepState, start: cmd.Start, at: float
) -> Events:
    """The first attempt of a step that was prepared."""
    planned = plan.steps[step.key]
    error = _wrong(planned, start.params) or _over_limit(plan, state)
    if error is not None:
        return final_failure(plan, state, step, error, at)
    started = ev.StepStarted(
        at=at,
        step_id=step.path,
        attempt=step.attempt + 1,
        params=start.params,
        timings=start.timings,
        secrets=start.secrets,
        isolation=start.isolation,
    )
    more = _more(planned, state, step, start.params, start.timings, at)
    return started, *more, *_answered(more, start.answer, at)


def begin_again(
    plan: Plan, state: WorkflowState, step: StepState, at: float, isolation: str | None = None
) -> Events:
    """The next attempt of a step, with the parameters of the first."""
    error = _over_limit(plan, state)
    if error is not None:
        return after_failure(plan, state, step, error, at)
    attempt = step.attempt + 1
    started = ev.StepStarted(at=at, step_id=step.path, attempt=attempt, isolation=isolation)
    params = step.params or {}
    return started, *_more(plan.steps[step.key], state, step, params, step.timings, at)


def _over_limit(plan: Plan, state: WorkflowState) -> ErrorInfo | None:
    limit = plan.limits.executions_max
    if state.executions < limit:
        return None
    return ErrorInfo(
        ErrorCode.TOO_LARGE,
        f"the workflow has run {limit} steps; limits.executions_max is {limit}",
    )


def _wrong(planned: StepPlan, params: dict[str, Any]) -> ErrorInfo | None:
    """What a rendered configuration has that cannot be begun with."""
    name = {"wait": "duration", "reasoning": "timeout"}.get(planned.kind)
    text = params.get(name) if name else None
    if text is None:
        return None
    try:
        parse_duration_s(str(text))
    except ValueError as error:
        return ErrorInfo(ErrorCode.VALIDATION_ERROR, f"{name}: {error}")
    return None


def _more(
    planned: StepPlan,
    state: WorkflowState,
    step: StepState,
    params: dict[str, Any],
    timings: dict[str, float] | None,
    at: float,
) -> Events:
    if planned.kind == "wait":
        return (_wait(step, params, at),)
    if planned.kind == "reasoning":
        probe = StepState(step.path, timings=timings)
        return _question(state, step, params, timeout_s(planned, probe), at)
    return ()


def _wait(step: StepState, params: dict[str, Any], at: float) -> ev.AnyEvent:
    duration, signal = params.get("duration"), params.get("signal")
    return ev.WaitStarted(
        at=at,
        step_id=step.path,
        duration=str(duration or ""),
        signal=str(signal or ""),
        duration_s=parse_duration_s(str(duration)) if duration else None,
    )


def _question(
    state: WorkflowState, step: StepState, params: dict[str, Any], limit_s: float | None, at: float
) -> Events:
    """Ask. Of the decision's timeout and the step's the smaller counts."""
    name = decision_id(state.workflow_id, step.path, step.openings + 1)
    text = params.get("timeout")
    limits = [s for s in (limit_s, parse_duration_s(str(text)) if text else None) if s]
    requested = ev.DecisionRequested(
        at=at,
        step_id=step.path,
        decision_id=name,
        kind="reasoning",
        prompt_context=str(params.get("prompt_context") or ""),
        options=params.get("options") or [],
        data=params.get("data_inject") or {},
        target_agent_id=params.get("target_agent") or None,
        timeout_at=at + min(limits) if limits else None,
        fallback=params.get("fallback") or None,
    )
    return requested, ev.StepSuspended(at=at, step_id=step.path, decision_id=name)


def _answered(events: Events, answer: str | None, at: float) -> Events:
    """The operator's answer to a question, given in advance; one that is no option answers nothing."""
    asked = events[0] if events else None
    if answer is None or not isinstance(asked, ev.DecisionRequested):
        return ()
    if asked.options and answer not in [option.get("id") for option in asked.options]:
        return ()
    resolved = ev.DecisionResolved(
        at=at,
        step_id=asked.step_id,
        decision_id=asked.decision_id,
        choice=answer,
        reasoning="answered in advance",
        resolved_by="system",
    )
    return (resolved,)
