"""What a failed attempt leads to: another attempt, a handler, or the step's end.

Delay before retry k (0-based): none 0; constant d; linear d(k+1); exponential d 2^k; capped by `max_delay`; then spread
by `jitter`: the delay is shortened by at most that fraction.
"""

from __future__ import annotations

import math

from opcode_runtime.core.bookkeeping import beside, is_probe
from opcode_runtime.core.plan import Plan, RetryPlan, retry_plan
from opcode_runtime.model import events as ev
from opcode_runtime.model.durations import format_duration
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.ids import jitter_fraction
from opcode_runtime.model.state import StepState, StepStatus, WorkflowState

_DOUBLINGS_MAX = 62
"""Beyond this an exponential delay is longer than any clock, whatever the base."""

_ASKED_S_MAX = 86_400.0
"""Nobody outside makes a step wait for longer."""


def retry_delay_s(policy: RetryPlan, failures: int, spread: float) -> float:
    """Seconds before the next attempt after `failures` earlier failed ones; `spread` is in [0, 1).

    >>> retry_delay_s(RetryPlan(max=3, backoff="exponential", delay_s=1.0, max_delay_s=3.0), 2, 0.0)
    3.0
    """
    factor = {
        "none": 0.0,
        "constant": 1.0,
        "linear": failures + 1.0,
        "exponential": 2.0 ** min(failures, _DOUBLINGS_MAX),
    }[policy.backoff]
    delay_s = policy.delay_s * factor
    if policy.max_delay_s is not None:
        delay_s = min(delay_s, policy.max_delay_s)
    return delay_s * (1.0 - policy.jitter * spread)


def after_failure(
    plan: Plan, state: WorkflowState, step: StepState, error: ErrorInfo, at: float
) -> tuple[ev.AnyEvent, ...]:
    """The events that follow when the running attempt of `step` has failed with `error`."""
    policy = retry_plan(plan.steps[step.key], step)
    if error.code is ErrorCode.INTERRUPTED:
        # The code is ours, for doubt, which counts against no policy; an action that says it has failed.
        error = ErrorInfo(ErrorCode.EXECUTION_ERROR, error.message, step_id=step.path, cause=error)
    if error.retryable and step.failures < policy.max and not is_failing(state, step):
        spread = jitter_fraction(state.workflow_id, step.path, step.attempt)
        delay_s = max(retry_delay_s(policy, step.failures, spread), _asked_s(error))
        granted = ev.StepRetryAttempt(
            at=at,
            step_id=step.path,
            attempt=step.failures + 1,
            max_attempts=policy.max,
            error=error,
        )
        retrying = ev.StepRetrying(
            at=at, step_id=step.path, attempt=step.attempt, delay_s=delay_s, error=error
        )
        return granted, retrying
    if error.retryable and 0 < policy.max <= step.failures:
        error = _exhausted(step, error)
    return final_failure(plan, state, step, error, at)


def _asked_s(error: ErrorInfo) -> float:
    """How long the next attempt waits whatever the policy says: for an open breaker, or as a server asks."""
    name = "cooldown_remaining_s" if error.code is ErrorCode.CIRCUIT_OPEN else "retry_after_s"
    asked_s = (error.details or {}).get(name)
    if not isinstance(asked_s, int | float) or not 0 < asked_s < math.inf:
        return 0.0
    return min(float(asked_s), _ASKED_S_MAX)


def is_failing(state: WorkflowState, step: StepState) -> bool:
    """Whether the list that `step` is in, or one around it, fails already: then nothing new starts in it."""
    top = step
    while (body := state.bodies.get(top.body)) is not None:
        if body.error is not None:
            return True
        top = state.steps[body.parent]
    return state.ending is not None and top.path != state.hook


def _exhausted(step: StepState, error: ErrorInfo) -> ErrorInfo:
    message = f"failed {step.failures + 1} times; the last error: {error.message}"
    return ErrorInfo(ErrorCode.RETRY_EXHAUSTED, message, step_id=step.path, cause=error)


def final_failure(
    plan: Plan, state: WorkflowState, step: StepState, error: ErrorInfo, at: float
) -> tuple[ev.AnyEvent, ...]:
    """The events of a failure that no further attempt follows: the handler's, then the step's end."""
    planned = plan.steps[step.key]
    strategy = planned.handler
    failed = ev.StepFailed(
        at=at,
        step_id=step.path,
        attempt=step.attempt,
        error=error,
        handled=strategy != "fail_workflow" and is_probe(state, step),
    )
    if strategy is None:
        return (failed,)
    fallback = beside(plan, step, planned.fallback) if planned.fallback else None
    invoked = ev.ErrorHandlerInvoked(
        at=at, step_id=step.path, strategy=strategy, error=error, fallback=fallback
    )
    if strategy == "ignore":
        ignored = ev.StepIgnored(at=at, step_id=step.path, attempt=step.attempt, error=error)
        return invoked, ignored, ev.StepCompleted(at=at, step_id=step.path, attempt=step.attempt)
    if strategy == "fallback_step" and fallback is not None and _can_stand_in(state, fallback):
        called = ev.StepFallback(at=at, step_id=step.path, fallback_step=fallback)
        handled = ev.StepFailed(
            at=at, step_id=step.path, attempt=step.attempt, error=error, handled=True
        )
        return invoked, called, handled
    return invoked, failed


def _can_stand_in(state: WorkflowState, fallback: str) -> bool:
    """A target that is blocked or has ended badly cannot help; one that has let others on before can."""
    step = state.steps[fallback]
    while step.status is StepStatus.FAILED:
        if step.fallback is None:
            return False
        step = state.steps[step.fallback]
    if step.status is StepStatus.SKIPPED:
        return step.reason in {"guard", "signal"}
    return step.path not in state.blocked


def workflow_error(error: ErrorInfo, step_id: str | None) -> ErrorInfo:
    """How a step's failure shows as the workflow's: its own code stays visible underneath."""
    if step_id is None:
        return error
    return ErrorInfo(
        ErrorCode.STEP_FAILED,
        f"step {step_id} failed: {error.message}",
        step_id=step_id,
        cause=error,
    )


def workflow_timeout(timeout_s: float) -> ErrorInfo:
    """The error of a workflow that was active for longer than its `timeout`."""
    return ErrorInfo(
        ErrorCode.TIMEOUT_ERROR, f"the workflow was active for {format_duration(timeout_s)}"
    )


def was_cut(step: StepState) -> bool:
    """Whether `step` waits to take up an attempt that a crash cut. That is no new start: it belongs to what runs."""
    return (
        step.status is StepStatus.RETRYING
        and step.error is not None
        and step.error.code is ErrorCode.INTERRUPTED
    )


def interrupted() -> ErrorInfo:
    """The error of an attempt that was running when the daemon ended."""
    return ErrorInfo(ErrorCode.INTERRUPTED, "the daemon ended while this step was running")
