"""What happens to one step of whatever type, and to the decisions it asks for."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.event import Event, SkipReason
from opcode_runtime.model.secret_text import SecretPlace


class StepStarted(Event, tag="step_started", frozen=True, kw_only=True):
    """An attempt begins. The first one carries the resolved `params` (secrets as references); later ones reuse them.

    `timings` are those durations of the step, in seconds, that hold references: `timeout`, `delay`, `max_delay`.
    `secrets` are the places in `params` where secrets belong, each as in `SecretPlace`.
    """

    step_id: str
    attempt: int
    params: dict[str, Any] | None = None
    isolation: str | None = None
    timings: dict[str, float] | None = None
    secrets: tuple[SecretPlace, ...] = ()


class StepCompleted(Event, tag="step_completed", frozen=True, kw_only=True):
    """The step is done; `output` is any JSON."""

    step_id: str
    attempt: int
    output: Any = None
    redacted: bool = False
    resolved_by: str | None = None


class StepFailed(Event, tag="step_failed", frozen=True, kw_only=True):
    """The step's last attempt failed. `handled`: a handler lets the flow go on."""

    step_id: str
    attempt: int
    error: ErrorInfo
    handled: bool = False


class StepRetrying(Event, tag="step_retrying", frozen=True, kw_only=True):
    """An attempt failed or was interrupted; the next begins `delay_s` after `at`."""

    step_id: str
    attempt: int
    delay_s: float
    error: ErrorInfo


class StepRetryAttempt(Event, tag="step_retry_attempt", frozen=True, kw_only=True):
    """The retry policy grants another attempt: the `attempt`-th of at most `max_attempts` further ones."""

    step_id: str
    attempt: int
    max_attempts: int
    error: ErrorInfo
    retryable: bool = True


class StepReset(Event, tag="step_reset", frozen=True, kw_only=True):
    """An ended step is as if it had never run: a signal has reopened the workflow."""

    step_id: str


class StepVerifying(Event, tag="step_verifying", frozen=True, kw_only=True):
    """A step in doubt waits for what the step `probe` finds."""

    step_id: str
    probe: str


class StepSuspended(Event, tag="step_suspended", frozen=True, kw_only=True):
    """The step waits for a decision."""

    step_id: str
    decision_id: str


class StepSkipped(Event, tag="step_skipped", frozen=True, kw_only=True):
    """The step ends without a result."""

    step_id: str
    reason: SkipReason


class StepIgnored(Event, tag="step_ignored", frozen=True, kw_only=True):
    """A failure was ignored: the step completes with output null and keeps its error."""

    step_id: str
    attempt: int
    error: ErrorInfo


class StepFallback(Event, tag="step_fallback", frozen=True, kw_only=True):
    """A failure is handled by another step, which now becomes ready."""

    step_id: str
    fallback_step: str


class ErrorHandlerInvoked(Event, tag="error_handler_invoked", frozen=True, kw_only=True):
    """The attempts are used up and `on_error` decides."""

    step_id: str
    strategy: str
    error: ErrorInfo
    fallback: str | None = None


class DecisionRequested(Event, tag="decision_requested", frozen=True, kw_only=True):
    """A question is open. `kind` is `doubt` when a crash interrupted the step, else `reasoning`."""

    step_id: str
    decision_id: str
    kind: Literal["reasoning", "doubt"]
    prompt_context: str
    options: list[dict[str, Any]]
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    target_agent_id: str | None = None
    timeout_at: float | None = None
    fallback: str | None = None


class DecisionTimedOut(Event, tag="decision_timed_out", frozen=True, kw_only=True):
    """Nobody has answered in time, and there is no fallback."""

    step_id: str
    decision_id: str


class DecisionResolved(Event, tag="decision_resolved", frozen=True, kw_only=True):
    """A question is answered."""

    step_id: str
    decision_id: str
    choice: str
    reasoning: str | None = None
    data: Any = None
    resolved_by: str | None = None


class CircuitBreakerChanged(Event, frozen=True, kw_only=True):
    """What the three events of a circuit breaker share. `action` and `target` name the breaker."""

    step_id: str
    action: str
    target: str
    consecutive_failures: int = 0
    cooldown_s: float = 0.0


class CircuitBreakerOpen(
    CircuitBreakerChanged, tag="circuit_breaker_open", frozen=True, kw_only=True
):
    """A target failed too often in a row: for `cooldown_s` nothing reaches it."""


class CircuitBreakerHalfOpen(
    CircuitBreakerChanged, tag="circuit_breaker_half_open", frozen=True, kw_only=True
):
    """The cooldown is over and this step is the probe."""


class CircuitBreakerClosed(
    CircuitBreakerChanged, tag="circuit_breaker_closed", frozen=True, kw_only=True
):
    """The probe succeeded."""
