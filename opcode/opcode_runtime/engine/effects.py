"""Carry out effects: each kind is a timer, or one coroutine, that ends by telling its workflow what came of it.

`Effects` holds what is running and compares it with what is wanted. That comparison is the same after a commit and
after a restart: there is no other way in which anything starts or is withdrawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import trio
from msgspec.structs import replace

from opcode_runtime.actions import Call
from opcode_runtime.core.plan import StepPlan, timeout_s
from opcode_runtime.engine.children import release_child, run_child
from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.evaluate import (
    answer_anywhere,
    guard_anywhere,
    output_anywhere,
    refusal,
    start_anywhere,
    verdict,
)
from opcode_runtime.engine.expr import expr_evaluator
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.lanes import Lane, Lanes
from opcode_runtime.engine.lanes import Owner as LaneOwner
from opcode_runtime.engine.moments import full_s, left_s, moment, only_waits, word_of
from opcode_runtime.engine.recovery import answer_keys
from opcode_runtime.engine.secret_attempts import perform_with_secrets
from opcode_runtime.engine.timers import Timer
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.ids import idempotency_key
from opcode_runtime.model.outcome import Failed
from opcode_runtime.model.state import StepState, WorkflowState


class Owner(LaneOwner, Protocol):
    """The workflow actor, as effects know it."""

    def report(self, command: cmd.AnyCommand) -> None: ...

    def tell(self, command: cmd.AnyCommand) -> None: ...

    def end_failed(self, error: Exception) -> None: ...


class Effects:
    """The effects of one workflow that are going on."""

    def __init__(
        self, kit: Kit, owner: Owner, loaded: Loaded, state: WorkflowState, *, passed: float
    ) -> None:
        """What was due until `passed` (UTC seconds) is over, whatever the wall clock says."""
        self._passed = passed
        self._kit = kit
        self._owner = owner
        self._loaded = loaded
        self._state = state
        self._lanes = Lanes(owner, self._carry_out, self._over)
        self._running: dict[fx.Effect, Lane | Timer | None] = {}
        """Those that go on, and as None those that are over and were not yet found unwanted."""
        self._slots: dict[str, object] = {}

    def reconcile(
        self, wanted: tuple[fx.Effect, ...], *, leave: Callable[[fx.Effect], bool]
    ) -> None:
        """Start what is wanted and not going on; withdraw what goes on and is not wanted.

        `leave` says which effects a turn will carry out by itself.
        """
        wishes, running = dict.fromkeys(wanted), self._running
        for effect in [effect for effect in running if effect not in wishes]:
            carrier = running.pop(effect)
            if carrier is not None:
                carrier.withdraw()
        for effect in wishes:
            if effect not in running and not leave(effect):
                self._start(effect)
        self._lanes.end_idle()
        if self._slots:
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
        if path in self._slots:
            self.release_slot(path)
        self._slots[path] = borrower

    def release_slot(self, path: str) -> None:
        """Give the slot of `path` back, if it holds one."""
        borrower = self._slots.pop(path, None)
        if borrower is not None:
            self._kit.slots.release_on_behalf_of(borrower)

    def far_due(self, wanted: tuple[fx.Effect, ...], far_s: float) -> float | None:
        """The next moment something falls due, in UTC seconds, when there is nothing to do but wait for it.

        None when something else goes on, or when that moment is less than `far_s` away; NEVER when there is none. A
        timer that has longer to go than it was set for (the wall clock was set back) stays in memory, which counts.
        """
        now, first = self._now(), NEVER
        for effect in wanted:
            due = moment(effect)
            if (
                due is None
                or due <= self._passed
                or not now + far_s <= due <= now + full_s(effect) + _ROUNDING_S
            ):
                return None
            first = min(first, due)
        return first

    def withdraw_all(self) -> None:
        """The actor ends, its tasks are over: withdraw its timers, give every slot back, know nobody any more."""
        for carrier in self._running.values():
            if isinstance(carrier, Timer):
                carrier.withdraw()
        self._running.clear()
        self._lanes.let_go()
        for path in list(self._slots):
            self.release_slot(path)

    def _start(self, effect: fx.Effect) -> None:
        if not only_waits(effect):
            self._running[effect] = self._lanes.start(effect)
            return
        wait_s = left_s(effect, self._now(), self._passed)
        self._running[effect] = self._kit.timers.start(wait_s, self._fell_due, effect)

    def _fell_due(self, effect: fx.Effect) -> None:
        """Called by the timers' task, which serves every workflow: what goes wrong ends this one's actor alone."""
        try:
            self._go_on(effect)
        except Exception as error:
            self._owner.end_failed(error)

    def _go_on(self, effect: fx.Effect) -> None:
        """A step that is to be tried again takes a slot first, and a task to wait for one."""
        if not isinstance(effect, fx.AwaitRetry):
            self._running[effect] = None
            self._owner.tell(word_of(effect, self._now()))
        elif self._lacks_slot(effect.path):
            self._running[effect] = self._lanes.start(effect)
        else:
            self._running[effect] = None
            self._owner.tell(self._retry_due(effect))

    def _lacks_slot(self, path: str) -> bool:
        if path in self._slots or not self.needs_slot(path):
            return False
        return not self.take_slot_now(path)

    def _carry_out(self, effect: fx.Effect) -> Coroutine[Any, Any, None]:
        return _CARRY_OUT[type(effect)](self, effect)

    def _over(self, effect: fx.Effect) -> None:
        self._running[effect] = None

    def needs_slot(self, path: str) -> bool:
        """Whether the step at `path` holds a slot while it runs: an action with an effect outside this process."""
        step = self._planned(path)
        return step.kind == "action" and not step.pure and not step.runs_child

    def completed(self, path: str, start: cmd.Start) -> cmd.Start:
        """The same start, with what the operator and the machine add to it: the answer to a reasoning step that was
        given in advance, and what an action that runs foreign code will be held to.

        Raises:
            OpcodeError: ISOLATION_ERROR, what the operator or the definition demands cannot be had here.
        """
        planned = self._planned(path)
        if planned.kind == "reasoning":
            answer = self._answer(path, planned.definition.id)
            return start if answer is None else replace(start, answer=answer)
        isolation = self._isolation(planned)
        return start if isolation is None else replace(start, isolation=isolation)

    def _answer(self, path: str, step_id: str) -> str | None:
        answers = self._kit.settings.answers
        names = answer_keys(self._state, step_id, path) if answers else ()
        return next((answers[name] for name in names if name in answers), None)

    def _isolation(self, planned: StepPlan) -> str | None:
        name = planned.definition.action
        if planned.pure or name is None or name not in self._kit.registry:
            return None
        rule = self._kit.registry.get(name).isolation
        demanded = self._loaded.plan.definition.min_isolation
        return None if rule is None else rule(self._kit.action_settings, demanded)

    def _retry_due(self, effect: fx.AwaitRetry) -> cmd.RetryDue:
        isolation: str | None = None
        with suppress(OpcodeError):  # the attempt itself will say so
            isolation = self._isolation(self._planned(effect.path))
        return cmd.RetryDue(
            at=self._now(), path=effect.path, attempt=effect.attempt, isolation=isolation
        )

    def _planned(self, path: str) -> StepPlan:
        return self._loaded.plan.steps[self._state.steps[path].key]

    async def _prepare(self, effect: fx.Prepare) -> None:
        """Guard, slot, parameters, in this order: a step that is not to run takes no slot."""
        path = effect.path
        try:
            result = await self._preparation(path)
        except OpcodeError as error:
            result = refusal(error, path)
        self._report(cmd.StepPrepared(at=self._now(), path=path, result=result))

    async def _preparation(self, path: str) -> cmd.Preparation:
        loaded, state, workers = self._loaded, self._state, self._kit.workers
        if not await guard_anywhere(loaded, state, path, workers):
            return cmd.Skip()
        if self.needs_slot(path):
            await self._wait_for_slot(path)
        return self.completed(path, await start_anywhere(loaded, state, path, workers))

    async def _evaluate(self, effect: fx.Evaluate) -> None:
        value, error = None, None
        try:
            value = await answer_anywhere(self._loaded, self._state, effect, self._kit.workers)
        except OpcodeError as failure:
            error = failure.info(effect.path)
        self._report(
            cmd.Evaluated(
                at=self._now(),
                path=effect.path,
                attempt=effect.attempt,
                round=effect.round,
                value=value,
                error=error,
            )
        )

    async def _verify(self, effect: fx.Verify) -> None:
        done, output, error = False, None, None
        try:
            done, output = await verdict(self._loaded, self._state, effect, self._kit.workers)
        except OpcodeError as failure:
            error = failure.info(effect.path)
        self._report(
            cmd.Verified(
                at=self._now(),
                path=effect.path,
                attempt=effect.attempt,
                done=done,
                output=output,
                error=error,
            )
        )

    async def _await_slot(self, effect: fx.AwaitRetry) -> None:
        await self._wait_for_slot(effect.path)
        self._report(self._retry_due(effect))

    async def _wait_for_slot(self, path: str) -> None:
        """Take a slot for the step at `path`; it is given back when no effect of that step is wanted any more."""
        if path in self._slots:
            return
        borrower, slots = object(), self._kit.slots
        await slots.acquire_on_behalf_of(borrower)
        try:  # it may have been withdrawn while it got one, which nobody would give back
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            slots.release_on_behalf_of(borrower)
            raise
        self._keep_slot(path, borrower)

    async def _run_step(self, effect: fx.RunStep) -> None:
        step = self._state.steps[effect.path]
        try:
            action = self._kit.registry.get(
                self._loaded.plan.steps[step.key].definition.action or ""
            )
        except OpcodeError as error:
            outcome: Any = Failed(error.info(effect.path))
        else:
            template = self._loaded.template
            outcome = await perform_with_secrets(self._kit, template, action, step, self.call(step))
        if effect in self._running:  # else the slot is that of an attempt which has come after it
            self.release_slot(effect.path)
        self._report(
            cmd.StepReported(
                at=self._now(), path=effect.path, attempt=effect.attempt, outcome=outcome
            )
        )

    def call(self, step: StepState) -> Call:
        """What the action of a step is told about the attempt."""
        state, kit = self._state, self._kit
        return Call(
            workflow_id=state.workflow_id,
            step_id=step.path,
            attempt=step.attempt,
            idempotency_key=idempotency_key(state.workflow_id, step.path, step.resets),
            agent_id=state.agent_id,
            cwd=Path(state.cwd) if state.cwd else None,
            timeout_s=timeout_s(self._loaded.plan.steps[step.key], step),
            settings=kit.action_settings,
            resources=kit.resources,
            children_dir=kit.children_dir,
            context=state.context,
            evaluate_expr=expr_evaluator(kit, self._loaded, state, step.path),
            min_isolation=self._loaded.plan.definition.min_isolation,
        )

    async def _run_child(self, effect: fx.RunChild) -> None:
        await run_child(self._kit, self._state, effect, self._report)

    async def _release_child(self, effect: fx.ReleaseChild) -> None:
        await release_child(self._kit, self._state, effect)
        self._report(
            cmd.ChildGone(
                at=self._now(), path=effect.path, child_workflow_id=effect.child_workflow_id
            )
        )

    async def _evaluate_output(self, _: fx.EvaluateOutput) -> None:
        output, error = await output_anywhere(self._loaded, self._state, self._kit.workers)
        self._report(cmd.OutputEvaluated(at=self._now(), output=output, error=error))

    def _report(self, command: cmd.AnyCommand) -> None:
        self._owner.report(command)

    def _now(self) -> float:
        return self._kit.clock.now()


NEVER = math.inf
"""The moment of what never falls due."""

_ROUNDING_S = 1.0


def path_of(effect: fx.Effect) -> str | None:
    """The step that an effect belongs to; None for those of the whole workflow."""
    return getattr(effect, "path", None)


_CARRY_OUT: dict[type[Any], Callable[[Effects, Any], Coroutine[Any, Any, None]]] = {
    fx.Prepare: Effects._prepare,
    fx.Evaluate: Effects._evaluate,
    fx.Verify: Effects._verify,
    fx.RunChild: Effects._run_child,
    fx.ReleaseChild: Effects._release_child,
    fx.AwaitRetry: Effects._await_slot,
    fx.RunStep: Effects._run_step,
    fx.EvaluateOutput: Effects._evaluate_output,
}
"""One coroutine per kind of effect that does more than wait."""
