"""The first command after a restart: say that there was one, and settle what is in doubt."""

from __future__ import annotations

from opcode_runtime.core.doubt import settle_doubt
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import WorkflowState, WorkflowStatus


def recover(plan: Plan, state: WorkflowState, command: cmd.Recover) -> cmd.Decision | cmd.Rejected:
    """An active workflow goes on by itself; a suspended or ended one is as it was."""
    if state.status is not WorkflowStatus.ACTIVE:
        return cmd.Decision()
    events: list[ev.AnyEvent] = [
        ev.WorkflowInterrupted(at=command.at, down_s=command.down_s),
        ev.WorkflowResumed(at=command.at, reason="restart"),
    ]
    if state.ending is None or not state.ending.at_once:
        for path in state.running:
            answer = command.answers.get(path)
            events += settle_doubt(plan, state, state.steps[path], answer, command.at)
    return cmd.Decision(tuple(events))
