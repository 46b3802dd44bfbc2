"""Say which events follow from a command. This page is the table of contents of the engine.

Rule 1: total. For a well-formed command `decide` answers a Decision or a Rejected in every state, and never raises.
Rule 2: silent when refused: a Rejected carries no events, and the state is never touched here.
Rule 3: a command that comes late (an old attempt, an ended workflow, a key already seen) decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opcode_runtime.core.advance import advance
from opcode_runtime.core.asked import asked_for
from opcode_runtime.core.begin import begin_again, begin_first
from opcode_runtime.core.decide_flow import (
    child_gone,
    child_seen,
    decision_due,
    evaluated,
    step_deadline,
    verified,
    wait_due,
)
from opcode_runtime.core.decide_recovery import recover
from opcode_runtime.core.decide_signal import signal
from opcode_runtime.core.failures import after_failure, final_failure
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.outcome import Completed
from opcode_runtime.model.state import StepState, WorkflowState, WorkflowStatus

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
        timeout_s=command.timeout_s,
        parent_workflow_id=command.parent_workflow_id,
        parent_step_id=command.parent_step_id,
        depth=command.depth,
        secret_inputs=command.secret_inputs,
    )
    return cmd.Decision((created,))


def _prepared(plan: Plan, state: WorkflowState, command: cmd.StepPrepared) -> Answer:
    step = state.steps.get(command.path)
    if step is None or command.path not in state.ready or not _is_active(state):
        return NOTHING
    match command.result:
        case cmd.Skip():
            return _just(ev.StepSkipped(at=command.at, step_id=step.path, reason="guard"))
        case cmd.Start():
            return cmd.Decision(begin_first(plan, state, step, command.result, command.at))
        case cmd.Refuse(error):
            return cmd.Decision(final_failure(plan, state, step, error, command.at))


def _reported(plan: Plan, state: WorkflowState, command: cmd.StepReported) -> Answer:
    step = state.steps.get(command.path)
    if step is None or not _is_current(plan, state, step, command.attempt):
        return NOTHING
    asked = _released(state, step, command.at)
    if command.outcome.requests:
        requests = command.outcome.requests
        asked = (*(asked_for(state, step, each, command.at) for each in requests), *asked)
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


def _released(state: WorkflowState, step: StepState, at: float) -> tuple[ev.AnyEvent, ...]:
    """The report of a sub-workflow's step is the end of the sub-workflow."""
    child = step.child_workflow_id
    if child is None or child not in state.children:
        return ()
    return (ev.ChildReleased(at=at, step_id=step.path, child_workflow_id=child),)


def _is_current(plan: Plan, state: WorkflowState, step: StepState, attempt: int) -> bool:
    """Whether a report is of the attempt that runs now; an older one, or one that was withdrawn, is fenced off.

    A timeout or a crash that held the workflow has left what ran in doubt: `resume` settles that, no late report.
    """
    if state.suspended_for in {"timeout", "recovery"} and not plan.steps[step.key].runs_child:
        return False
    return step.path in state.running and step.attempt == attempt


def _retry_due(plan: Plan, state: WorkflowState, command: cmd.RetryDue) -> Answer:
    step = state.steps.get(command.path)
    if step is None or step.path not in state.retrying or step.attempt != command.attempt:
        return NOTHING
    if not _is_active(state):
        return NOTHING
    return cmd.Decision(begin_again(plan, state, step, command.at, command.isolation))


def _deadline_passed(plan: Plan, state: WorkflowState, command: cmd.DeadlinePassed) -> Answer:
    if state.timeout_s is None or state.clock_since is None:
        return NOTHING
    if state.ending is not None or state.hook is not None or state.timed_out:
        return NOTHING
    return _just(ev.WorkflowTimedOut(at=command.at, timeout_s=state.timeout_s))


def _output_evaluated(plan: Plan, state: WorkflowState, command: cmd.OutputEvaluated) -> Answer:
    if not _is_active(state) or state.unfinished or state.ending is not None or state.failed:
        return NOTHING
    if state.output_known:
        return NOTHING
    hook = "on_complete" if command.error is None else "on_error"
    if hook in plan.hooks or state.children:
        evaluated_ = ev.OutputEvaluated(at=command.at, output=command.output, error=command.error)
        return _just(evaluated_)
    if command.error is not None:
        return _just(ev.WorkflowFailed(at=command.at, error=command.error, output=command.output))
    return _just(ev.WorkflowCompleted(at=command.at, output=command.output))


def _is_active(state: WorkflowState) -> bool:
    return state.status is WorkflowStatus.ACTIVE


def _tick(plan: Plan, state: WorkflowState, command: cmd.Tick) -> Answer:
    return cmd.Decision(advance(plan, state, command.at))


def _just(event: ev.AnyEvent) -> cmd.Decision:
    return cmd.Decision((event,))


_HANDLERS: dict[type[Any], Callable[[Plan, WorkflowState, Any], Answer]] = {
    cmd.Create: _create,
    cmd.StepPrepared: _prepared,
    cmd.StepReported: _reported,
    cmd.RetryDue: _retry_due,
    cmd.Evaluated: evaluated,
    cmd.WaitDue: wait_due,
    cmd.StepDeadlinePassed: step_deadline,
    cmd.DecisionDue: decision_due,
    cmd.ChildSeen: child_seen,
    cmd.ChildGone: child_gone,
    cmd.Verified: verified,
    cmd.DeadlinePassed: _deadline_passed,
    cmd.OutputEvaluated: _output_evaluated,
    cmd.SignalSent: signal,
    cmd.Recover: recover,
    cmd.Tick: _tick,
}
