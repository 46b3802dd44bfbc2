"""The first command after a restart: say that there was one, and settle what is in doubt."""

from __future__ import annotations

from opcode_runtime.core.advance import wake_at
from opcode_runtime.core.decide_signal import doubts
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import WorkflowState, WorkflowStatus


def recover(plan: Plan, state: WorkflowState, command: cmd.Recover) -> cmd.Decision | cmd.Rejected:
    """An active workflow goes on by itself, unless it is to be held; a suspended or ended one is as it was.

    In a paused one, what had been under way is settled now: nobody will report it any more.
    """
    if state.status is WorkflowStatus.SUSPENDED and state.suspended_for == "pause":
        return cmd.Decision(tuple(doubts(plan, state, command.at, command.answers)))
    if state.status is not WorkflowStatus.ACTIVE:
        return cmd.Decision()
    cut = ev.WorkflowInterrupted(at=command.at, down_s=command.down_s)
    if plan.recovery == "suspend":
        due = wake_at(plan, state, command.at, held=True)
        return cmd.Decision(
            (cut, ev.WorkflowSuspended(at=command.at, reason="recovery", wake_at=due))
        )
    resumed = ev.WorkflowResumed(at=command.at, reason="restart")
    events = doubts(plan, state, command.at, command.answers)
    return cmd.Decision((cut, resumed, *events))
