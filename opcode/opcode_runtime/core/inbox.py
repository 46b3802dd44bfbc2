"""Signals for waits: where one goes that a wait may take, and which wait takes it.

Rule 1: a signal is kept until a wait takes it, in the order in which signals came.
Rule 2: a `data` signal that names no wait is merged into the context instead.
Rule 3: one that no wait of this definition could ever take is refused with the names of those it has.
"""

from __future__ import annotations

from opcode_runtime.core.paths import find
from opcode_runtime.core.plan import Plan
from opcode_runtime.core.refusals import Answer, ended, received, refuse
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.ids import unmarked
from opcode_runtime.model.state import ENDED, SETTLED, KeptSignal, WorkflowState


def deliver(plan: Plan, state: WorkflowState, command: cmd.SignalSent) -> Answer:
    """Accept a `data` signal or one of the author's own kind."""
    if state.status in ENDED:
        return ended(state)
    if command.step_id is not None:
        refusal = _check_wait(plan, state, command.step_id)
        if refusal is not None:
            return refusal
    elif command.signal_type == "data":
        if not _is_awaited(plan, _names(command.payload, None)):
            return cmd.Decision((received(command, "context"),))
    elif not _any_name(plan) and command.signal_type not in plan.signals:
        return refuse(
            ErrorCode.VALIDATION_ERROR,
            f"no wait of this workflow takes a signal {command.signal_type!r}; "
            f"waits: {', '.join(plan.signals) or 'none'}; "
            "other signals: cancel, data, decision, pause, resume, retry, skip",
        )
    if len(state.inbox) >= plan.limits.inbox_max:
        return refuse(
            ErrorCode.CONFLICT,
            f"{len(state.inbox)} signals have not been taken by any wait yet; "
            f"limits.inbox_max is {plan.limits.inbox_max}",
        )
    return cmd.Decision((received(command, "inbox"),))


def _check_wait(plan: Plan, state: WorkflowState, step_id: str) -> cmd.Rejected | None:
    found = find(plan, state, step_id)
    if found is None:
        return refuse(ErrorCode.NOT_FOUND, f"there is no step {step_id!r}")
    planned = plan.steps[found.key]
    if planned.kind != "wait" or not planned.definition.config.get("signal"):
        return refuse(ErrorCode.VALIDATION_ERROR, f"step {step_id!r} waits for no signal")
    step = state.steps.get(found.path)
    if step is not None and step.status in SETTLED:
        return refuse(ErrorCode.CONFLICT, f"step {step_id!r} waits no more: it is {step.status}")
    return None


def _names(payload: object, signal_type: str | None) -> set[str]:
    """The signals that a payload names."""
    named = {signal_type} if signal_type is not None else set()
    if isinstance(payload, dict):
        named |= {v for k in ("signal", "name") if isinstance(v := payload.get(k), str)}
    return named


def _is_awaited(plan: Plan, names: set[str]) -> bool:
    """Whether a wait may be for one of these signals; some names are only known at run time."""
    return bool(names) and (_any_name(plan) or not names.isdisjoint(plan.signals))


def _any_name(plan: Plan) -> bool:
    return any("${{" in name for name in plan.signals)


def taken(plan: Plan, state: WorkflowState, at: float) -> tuple[ev.AnyEvent, ...]:
    """The events of the first wait that finds its signal among those that are kept."""
    for path, name in state.waiting.items():
        if not name:
            continue
        for kept in state.inbox.values():
            if _fits(plan, state, kept, path, name):
                return _take(state, path, name, kept, at)
    return ()


def _fits(plan: Plan, state: WorkflowState, kept: KeptSignal, path: str, name: str) -> bool:
    if kept.step_id is not None:
        meant = find(plan, state, kept.step_id)
        return meant is not None and unmarked(meant.path) == unmarked(path)
    own = kept.signal_type if kept.signal_type != "data" else None
    return name in _names(kept.payload if own is None else None, own) or kept.signal_type == name


def _take(
    state: WorkflowState, path: str, name: str, kept: KeptSignal, at: float
) -> tuple[ev.AnyEvent, ...]:
    over = ev.WaitCompleted(at=at, step_id=path, signal_seq=kept.seq)
    output = {"signal": name, "payload": kept.payload}
    attempt = state.steps[path].attempt
    return over, ev.StepCompleted(at=at, step_id=path, attempt=attempt, output=output)
