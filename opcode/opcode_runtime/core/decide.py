"""Say which events follow from a command. This page is the table of contents of the engine.

Rule 1: total. For a well-formed command `decide` answers a Decision or a Rejected in every state, and never raises.
Rule 2: silent when refused: a Rejected carries no events, and the state is never touched here.
Rule 3: a command that comes late (an old attempt, an ended workflow, a key already seen) decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opcode_runtime.core.advance import advance
from opcode_runtime.core.decide_recovery import recover
from opcode_runtime.core.decide_signal import signal
from opcode_runtime.core.failures import after_failure, final_failure, was_cut
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.outcome import Completed, EmitRequest, Request
from opcode_runtime.model.state import (
    ENDED,
    StepState,
    StepStatus,
    WorkflowState,
    WorkflowStatus,
)

Answer = cmd.Decision | cmd.Rejected

NOTHING = cmd.Decision()


def decide(plan: Plan, state: WorkflowState, command: cmd.AnyCommand) -> Answer:
    """The events that follow from `command` in `state`, and the reply once they are durable."""
    return _HANDLERS[type(command)](plan, state, command)


def _create(plan: Plan, state: WorkflowState, command: cmd.Create) -> Answer:
    if state.workflow_id:
        return NOTHING
    created = ev.WorkflowCreated(
        at=command.at,
        workflow_id=command.workflow_id,
        name=command.name,
        template_name=command.template_name,
        template_version=command.template_version,
        definition_digest=command.definition_digest,
        inputs=command.inputs,
        agent_id=command.agent_id,
        context=command.context,
        principal=command.principal,
        cwd=command.cwd,
        key=command.key,
    )
    return cmd.Decision((created,))


def _prepared(plan: Plan, state: WorkflowState, command: cmd.StepPrepared) -> Answer:
    step = state.steps.get(command.path)
    if step is None or command.path not in state.ready or not _moving(state):
        return NOTHING
    match command.result:
        case cmd.Skip():
            return _just(ev.StepSkipped(at=command.at, step_id=step.path, reason="guard"))
        case cmd.Start(params):
            return _just(ev.StepStarted(at=command.at, step_id=step.path, attempt=1, params=params))
        case cmd.Refuse(error):
            return cmd.Decision(final_failure(plan, state, step, error, command.at))


def _reported(plan: Plan, state: WorkflowState, command: cmd.StepReported) -> Answer:
    step = state.steps.get(command.path)
    if step is None or not _is_current(state, step, command.attempt):
        return NOTHING
    asked = tuple(_asked(step.path, request, command.at) for request in command.outcome.requests)
    if isinstance(command.outcome, Completed):
        completed = ev.StepCompleted(
            at=command.at,
            step_id=step.path,
            attempt=step.attempt,
            output=command.outcome.output,
            redacted=command.outcome.redacted,
        )
        return cmd.Decision((*asked, completed))
    failure = after_failure(plan, state, step, command.outcome.error, command.at)
    return cmd.Decision(asked + failure)


def _is_current(state: WorkflowState, step: StepState, attempt: int) -> bool:
    """Whether a report is of the attempt that runs now; an older one is fenced off."""
    return (
        step.status is StepStatus.RUNNING
        and step.attempt == attempt
        and state.status not in ENDED
        and not (state.ending is not None and state.ending.at_once)
    )


def _asked(path: str, request: Request, at: float) -> ev.AnyEvent:
    if isinstance(request, EmitRequest):
        return ev.WorkflowEmitted(
            at=at, step_id=path, event_type=request.event_type, payload=request.payload
        )
    return ev.WorkflowLogged(
        at=at,
        step_id=path,
        level=request.level,
        message=request.message,
        data=request.data,
        fields=request.fields,
    )


def _retry_due(plan: Plan, state: WorkflowState, command: cmd.RetryDue) -> Answer:
    step = state.steps.get(command.path)
    if step is None or step.status is not StepStatus.RETRYING or step.attempt != command.attempt:
        return NOTHING
    if not _moving(state) and not _finishing(state, step):
        return NOTHING
    return _just(ev.StepStarted(at=command.at, step_id=step.path, attempt=step.attempt + 1))


def _finishing(state: WorkflowState, step: StepState) -> bool:
    """On the way to a failure what runs may finish, also what a crash cut."""
    ending = state.ending
    return (
        state.status is WorkflowStatus.ACTIVE
        and ending is not None
        and not ending.at_once
        and was_cut(step)
    )


def _deadline_passed(plan: Plan, state: WorkflowState, command: cmd.DeadlinePassed) -> Answer:
    if not _moving(state) or plan.timeout_s is None or state.active_since is None:
        return NOTHING
    return _just(ev.WorkflowTimedOut(at=command.at, timeout_s=plan.timeout_s))


def _output_evaluated(plan: Plan, state: WorkflowState, command: cmd.OutputEvaluated) -> Answer:
    if not _moving(state) or state.unfinished:
        return NOTHING
    if command.error is not None:
        return _just(ev.WorkflowFailed(at=command.at, error=command.error, output=command.output))
    return _just(ev.WorkflowCompleted(at=command.at, output=command.output))


def _moving(state: WorkflowState) -> bool:
    return state.status is WorkflowStatus.ACTIVE and state.ending is None


def _tick(plan: Plan, state: WorkflowState, command: cmd.Tick) -> Answer:
    return cmd.Decision(advance(plan, state, command.at))


def _just(event: ev.AnyEvent) -> cmd.Decision:
    return cmd.Decision((event,))


_HANDLERS: dict[type[Any], Callable[[Plan, WorkflowState, Any], Answer]] = {
    cmd.Create: _create,
    cmd.StepPrepared: _prepared,
    cmd.StepReported: _reported,
    cmd.RetryDue: _retry_due,
    cmd.DeadlinePassed: _deadline_passed,
    cmd.OutputEvaluated: _output_evaluated,
    cmd.SignalSent: signal,
    cmd.Recover: recover,
    cmd.Tick: _tick,
}
