"""A step that was running when the daemon ended is in doubt: nobody knows how far it came.

Its `on_interrupt` says what follows: `retry` (a new attempt at once), `fail`, `ask` (a decision with the options retry,
skip, fail and done), or a probe: another step that finds out whether it was done. Doubt never counts against the retry
policy; the `INTERRUPTIONS_MAX`-th interruption in a row asks even under `retry`, so that a step that kills the daemon
does not do so for ever.
"""

from __future__ import annotations

from typing import Any

from opcode_runtime.core.bookkeeping import beside
from opcode_runtime.core.failures import final_failure, interrupted, is_failing
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import events as ev
from opcode_runtime.model.ids import decision_id
from opcode_runtime.model.state import StepState, StepStatus, WorkflowState

INTERRUPTIONS_MAX = 10

OPTIONS: list[dict[str, Any]] = [
    {"id": "retry", "description": "Run the step again, under the same idempotency key."},
    {"id": "skip", "description": "Leave the step out; what depends on it goes on."},
    {"id": "fail", "description": "Treat the step as failed; its on_error applies."},
    {"id": "done", "description": "It was done: complete it with `data` as its output."},
]


def settle_doubt(
    plan: Plan, state: WorkflowState, step: StepState, answer: str | None, at: float
) -> tuple[ev.AnyEvent, ...]:
    """The events for one step in doubt. `answer` was given in advance and stands in for asking."""
    planned = plan.steps[step.key]
    policy = planned.on_interrupt
    if planned.verify is not None and answer is None:
        if not is_failing(state, step):
            return _verify(plan, state, step, planned.verify.probe, at)
        policy = "ask"  # no probe starts in a list that fails; what asks there is withdrawn
    if policy == "retry" and step.interruptions + 1 >= INTERRUPTIONS_MAX:
        policy = "ask"
    if policy == "retry":
        return (retry(step, at),)
    if policy == "fail":
        return final_failure(plan, state, step, interrupted(), at)
    asked = ask(plan, state, step, at)
    if answer is None:
        return asked
    return asked + _answered(plan, state, step, asked[0], answer, at)


def resolve_doubt(
    plan: Plan,
    state: WorkflowState,
    step: StepState,
    choice: str,
    data: Any,
    by: str | None,
    at: float,
) -> tuple[ev.AnyEvent, ...]:
    """What follows when doubt about `step` is settled by `choice`, one of the ids in `OPTIONS`."""
    if choice == "retry":
        return (retry(step, at),)
    if choice == "skip":
        return (ev.StepSkipped(at=at, step_id=step.path, reason="signal"),)
    if choice == "fail":
        return final_failure(plan, state, step, interrupted(), at)
    return (
        ev.StepCompleted(
            at=at, step_id=step.path, attempt=step.attempt, output=data, resolved_by=by
        ),
    )


def _verify(
    plan: Plan, state: WorkflowState, step: StepState, probe: str, at: float
) -> tuple[ev.AnyEvent, ...]:
    """Run the probe of a step; one that has run for a step before runs again, under a mark."""
    first = beside(plan, step, probe)
    path, runs = first, 1
    while path in state.steps and _has_run(state.steps[path]):
        runs += 1
        path = f"{first}#{runs}"
    return (ev.StepVerifying(at=at, step_id=step.path, probe=path),)


def _has_run(probe: StepState) -> bool:
    return bool(probe.called_by) and probe.status not in {StepStatus.PENDING, StepStatus.SKIPPED}


def retry(step: StepState, at: float) -> ev.AnyEvent:
    """The next attempt of a step in doubt follows at once."""
    return ev.StepRetrying(
        at=at, step_id=step.path, attempt=step.attempt, delay_s=0.0, error=interrupted()
    )


def ask(plan: Plan, state: WorkflowState, step: StepState, at: float) -> tuple[ev.AnyEvent, ...]:
    """Open the decision about a step in doubt."""
    name = decision_id(state.workflow_id, step.path, step.openings + 1)
    action = plan.steps[step.key].definition.action
    requested = ev.DecisionRequested(
        at=at,
        step_id=step.path,
        decision_id=name,
        kind="doubt",
        prompt_context=(
            f"The daemon ended while step {step.path} ({action}) was running attempt {step.attempt}. "
            "It may have had its effect, partly or in full."
        ),
        options=OPTIONS,
        data={"attempt": step.attempt, "running_since": step.attempt_at, "input": step.params},
    )
    return requested, ev.StepSuspended(at=at, step_id=step.path, decision_id=name)


def _answered(
    plan: Plan, state: WorkflowState, step: StepState, asked: Any, choice: str, at: float
) -> tuple[ev.AnyEvent, ...]:
    resolved = ev.DecisionResolved(
        at=at,
        step_id=step.path,
        decision_id=asked.decision_id,
        choice=choice,
        reasoning="answered in advance",
        resolved_by="system",
    )
    return resolved, *resolve_doubt(plan, state, step, choice, None, "system", at)
