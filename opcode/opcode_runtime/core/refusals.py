"""How a command is refused."""

from __future__ import annotations

from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.event import Destination
from opcode_runtime.model.state import WorkflowState

Answer = cmd.Decision | cmd.Rejected


def refuse(code: ErrorCode, message: str) -> cmd.Rejected:
    """The refusal with that error."""
    return cmd.Rejected(ErrorInfo(code, message))


def ended(state: WorkflowState) -> cmd.Rejected:
    """The refusal of what an ended workflow cannot take."""
    return refuse(ErrorCode.CONFLICT, f"the workflow has ended already ({state.status})")


def received(command: cmd.SignalSent, destination: Destination | None = None) -> ev.SignalReceived:
    """The event of an accepted signal."""
    return ev.SignalReceived(
        at=command.at,
        signal_type=command.signal_type,
        step_id=command.step_id,
        agent_id=command.agent_id,
        payload=command.payload,
        reasoning=command.reasoning,
        key=command.key,
        destination=destination,
    )
