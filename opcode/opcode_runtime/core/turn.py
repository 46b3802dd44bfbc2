"""One command carried through to rest: decide, evolve, and whatever follows from the state alone."""

from __future__ import annotations

from opcode_runtime.core.advance import LAYER_MAX, advance
from opcode_runtime.core.decide import Answer, decide
from opcode_runtime.core.evolve import evolve
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import WorkflowState

EVENTS_MAX = 256
"""Events between two turns; a larger step of progress continues in the next."""

SHORT_EVENTS = EVENTS_MAX - LAYER_MAX
"""A turn that brought no more events than this has left the state at rest."""


def take(plan: Plan, state: WorkflowState, command: cmd.AnyCommand) -> Answer:
    """Apply `command` to `state` and return all events that came of it, or the refusal.

    After this the state is at rest unless `unrest` says otherwise.
    """
    answer = decide(plan, state, command)
    if isinstance(answer, cmd.Rejected):
        return answer
    events: list[ev.AnyEvent] = []
    layer: tuple[ev.AnyEvent, ...] = answer.events
    while layer:
        for event in layer:
            evolve(plan, state, event)
        events += layer
        if len(events) > SHORT_EVENTS:
            break
        layer = advance(plan, state, command.at)
    return cmd.Decision(tuple(events), answer.reply)


def unrest(plan: Plan, state: WorkflowState) -> bool:
    """Whether more follows from the state alone than the last turn could hold."""
    return bool(advance(plan, state, state.last_at))
