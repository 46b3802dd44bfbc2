"""Carry out effects: each kind is one coroutine that ends by telling its workflow what came of it.

`Effects` holds what is running and compares it with what is wanted. That comparison is the same after a commit and
after a restart: there is no other way in which anything starts or is withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

import trio

from opcode_runtime.actions import Call, perform
from opcode_runtime.core.plan import StepPlan
from opcode_runtime.engine.evaluate import (
    evaluate_anywhere,
    output_anywhere,
    refusal,
    render_anywhere,
)
from opcode_runtime.engine.expr import expr_evaluator
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.scope import workflow_scope
from opcode_runtime.engine.templates import Loaded
from opcode_runtime.expressions import check_guard
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.ids import idempotency_key
from opcode_runtime.model.outcome import Failed
from opcode_runtime.model.state import WorkflowState


class Owner(Protocol):
    """The workflow actor, as effects know it."""

    def begin(self, fn: Callable[[], Coroutine[Any, Any, None]], name: str) -> None: ...

    def report(self, command: cmd.AnyCommand) -> None: ...


class Effects:
    """The effects of one workflow that are going on."""

    def __init__(self, kit: Kit, owner: Owner, loaded: Loaded, state: WorkflowState) -> None:
        self._kit = kit
        self._owner = owner
        self._loaded = loaded
        self._state = state
        self._running: dict[fx.Effect, trio.CancelScope] = {}
        self._slots: dict[str, object] = {}

    def reconcile(
        self, wanted: tuple[fx.Effect, ...], *, leave: Callable[[fx.Effect], bool]
    ) -> None:
        """Start what is wanted and not going on; withdraw what goes on and is not wanted.

        `leave` says which effects a turn will carry out by itself.
        """
        wishes = dict.fromkeys(wanted)
        for effect in [effect for effect in self._running if effect not in wishes]:
            self._running.pop(effect).cancel()
        for effect in wishes:
            if effect not in self._running and not leave(effect):
                self._start(effect)
        for path in self._slots.keys() - {path_of(effect) for effect in wishes}:
            self.release_slot(path)

    def is_running(self, effect: fx.Effect) -> bool:
        """Whether `effect` is going on."""
        return effect in self._running

    def take_slot_now(self, path: str) -> bool:
        """Take a slot for the step at `path` if one is free."""
        borrower = object()
        try:
            self._kit.slots.acquire_on_behalf_of_nowait(borrower)
        except trio.WouldBlock:
            return False
        self._keep_slot(path, borrower)
        return True

    def _keep_slot(self, path: str, borrower: object) -> None:
        self.release_slot(path)
        self._slots[path] = borrower

    def release_slot(self, path: str) -> None:
        """Give the slot of `path` back, if it holds one."""
        borrower = self._slots.pop(path, None)
        if borrower is not None:
            self._kit.slots.release_on_behalf_of(borrower)

    def withdraw_all(self) -> None:
        """The actor ends: give every slot back. Its tasks are cancelled by their nursery."""
        for path in list(self._slots):
            self.release_slot(path)

    def _start(self, effect: fx.Effect) -> None:
        scope = trio.CancelScope()
        self._running[effect] = scope

        async def carry_out() -> None:
            with scope:
                await _CARRY_OUT[type(effect)](self, effect)

        self._owner.begin(carry_out, f"{type(effect).__name__} {self._state.workflow_id}")

    async def _prepare(self, effect: fx.Prepare) -> None:
        """Guard, slot, parameters, in this order: a step that is not to run takes no slot."""
        path = effect.path
        try:
            result = await self._preparation(path)
        except OpcodeError as error:
            result = refusal(error, path)
        self._report(cmd.StepPrepared(at=self._now(), path=path, result=result))

    async def _preparation(self, path: str) -> cmd.Preparation:
        loaded, workers = self._loaded, self._kit.workers
        guard = loaded.guards.get(path)
        if guard is not None:
            scope = workflow_scope(loaded, self._state)
            if not check_guard(await evaluate_anywhere(guard, scope, workers)):
                return cmd.Skip()
        if not loaded.plan.steps[path].pure:
            await self._wait_for_slot(path)
        scope = workflow_scope(loaded, self._state)
        params = await render_anywhere(loaded.params[path], scope, workers)
        return cmd.Start(params)

    async def _await_retry(self, effect: fx.AwaitRetry) -> None:
        left_s = min(effect.due - self._now(), effect.delay_s)
        if left_s > 0:
            await trio.sleep(left_s)
        if not self._loaded.plan.steps[effect.path].pure:
            await self._wait_for_slot(effect.path)
        self._report(cmd.RetryDue(at=self._now(), path=effect.path, attempt=effect.attempt))

    async def _await_deadline(self, effect: fx.AwaitDeadline) -> None:
        await trio.sleep(max(0.0, effect.since + effect.left_s - self._now()))
        self._report(cmd.DeadlinePassed(at=self._now()))

    async def _wait_for_slot(self, path: str) -> None:
        """Take a slot for the step at `path`; it is given back when no effect of that step is wanted any more."""
        if path in self._slots:
            return
        borrower = object()
        await self._kit.slots.acquire_on_behalf_of(borrower)
        self._keep_slot(path, borrower)

    async def _run_step(self, effect: fx.RunStep) -> None:
        step = self._loaded.plan.steps[effect.path]
        try:
            action = self._kit.registry.get(step.definition.action or "")
        except OpcodeError as error:
            outcome: Any = Failed(error.info(effect.path))
        else:
            params = self._state.steps[effect.path].params or {}
            outcome = await perform(action, params, self.call(step, effect.attempt))
        self.release_slot(effect.path)
        self._report(
            cmd.StepReported(
                at=self._now(), path=effect.path, attempt=effect.attempt, outcome=outcome
            )
        )

    def call(self, step: StepPlan, attempt: int) -> Call:
        """What the action of a step is told about the attempt."""
        state, kit = self._state, self._kit
        return Call(
            workflow_id=state.workflow_id,
            step_id=step.path,
            attempt=attempt,
            idempotency_key=idempotency_key(state.workflow_id, step.path),
            agent_id=state.agent_id,
            cwd=Path(state.cwd) if state.cwd else None,
            timeout_s=step.timeout_s,
            settings=kit.action_settings,
            resources=kit.resources,
            children_dir=kit.children_dir,
            evaluate_expr=expr_evaluator(kit, self._loaded, state, step.path),
        )

    async def _evaluate_output(self, _: fx.EvaluateOutput) -> None:
        output, error = await output_anywhere(self._loaded, self._state, self._kit.workers)
        self._report(cmd.OutputEvaluated(at=self._now(), output=output, error=error))

    def _report(self, command: cmd.AnyCommand) -> None:
        self._owner.report(command)

    def _now(self) -> float:
        return self._kit.clock.now()


def path_of(effect: fx.Effect) -> str | None:
    """The step that an effect belongs to; None for those of the whole workflow."""
    return getattr(effect, "path", None)


_CARRY_OUT: dict[type[Any], Callable[[Effects, Any], Coroutine[Any, Any, None]]] = {
    fx.Prepare: Effects._prepare,
    fx.AwaitRetry: Effects._await_retry,
    fx.AwaitDeadline: Effects._await_deadline,
    fx.RunStep: Effects._run_step,
    fx.EvaluateOutput: Effects._evaluate_output,
}
"""One coroutine per kind of effect."""
