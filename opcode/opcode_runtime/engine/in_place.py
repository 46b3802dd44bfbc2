"""What a turn does without a task: guards and parameters of bounded cost, pure steps, the output.

Rule 1: nothing here waits, and nothing here has an effect outside.
Rule 2: what turns out to need a worker, a slot or a task is left to its effect, and not tried again in place.
"""

from __future__ import annotations

from opcode_runtime.actions import perform_in_place
from opcode_runtime.core.plan import timeout_s
from opcode_runtime.core.wanted import in_reach
from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.effects import Effects
from opcode_runtime.engine.evaluate import (
    NeedsWorker,
    answer_in_place,
    guard_in_place,
    output_in_place,
    refusal,
    start_in_place,
)
from opcode_runtime.engine.kit import Kit
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.json_size import is_larger
from opcode_runtime.model.state import WorkflowState

INPUT_BYTES_MAX = 64 << 10

_IN_PLACE = (fx.Prepare, fx.Evaluate, fx.EvaluateOutput)


class InPlace:
    """Finds the next effect of one workflow that can be carried out at once, and does so."""

    def __init__(self, kit: Kit, loaded: Loaded, state: WorkflowState, effects: Effects) -> None:
        self._kit = kit
        self._loaded = loaded
        self._state = state
        self._effects = effects
        self._left: set[fx.Effect] = set()

    def next_command(self) -> cmd.AnyCommand | None:
        """Carry out the next effect and return what came of it; None when no effect is left for this place."""
        while (effect := self._next_effect()) is not None:
            try:
                return self._carry_out(effect)
            except NeedsWorker:
                self._left.add(effect)
        return None

    def _next_effect(self) -> fx.Effect | None:
        for effect in in_reach(self._loaded.plan, self._state):
            if self.may(effect):
                return effect
        return None

    def may(self, effect: fx.Effect) -> bool:
        """Whether an effect is to be carried out in place, in this turn or the next."""
        if isinstance(effect, fx.RunStep):
            if not self._is_light(effect.path):
                return False
        elif not isinstance(effect, _IN_PLACE):
            return False
        return effect not in self._left and not self._effects.is_running(effect)

    def _is_light(self, path: str) -> bool:
        """Whether a step may run inside the turn: pure, small input, no secrets, no deadline of its own."""
        state = self._state.steps[path]
        step = self._loaded.plan.steps[state.key]
        if not step.pure or state.secrets or timeout_s(step, state) is not None:
            return False
        name = step.definition.action or ""
        if name not in self._kit.registry or not self._kit.registry.get(name).in_place:
            return False
        return not is_larger(state.params, INPUT_BYTES_MAX)

    def _carry_out(self, effect: fx.Effect) -> cmd.AnyCommand:
        now = self._kit.clock.now()
        if isinstance(effect, fx.Prepare):
            return cmd.StepPrepared(at=now, path=effect.path, result=self._prepare(effect))
        if isinstance(effect, fx.Evaluate):
            return self._evaluate(effect, now)
        if isinstance(effect, fx.RunStep):
            return self._run(effect, now)
        output, error = output_in_place(self._loaded, self._state)
        return cmd.OutputEvaluated(at=now, output=output, error=error)

    def _prepare(self, effect: fx.Prepare) -> cmd.Preparation:
        path = effect.path
        try:
            if not guard_in_place(self._loaded, self._state, path):
                return cmd.Skip()
            if self._effects.needs_slot(path) and not self._effects.take_slot_now(path):
                raise NeedsWorker
            return self._effects.completed(path, start_in_place(self._loaded, self._state, path))
        except OpcodeError as error:
            return refusal(error, path)

    def _evaluate(self, effect: fx.Evaluate, now: float) -> cmd.Evaluated:
        value, error = None, None
        try:
            value = answer_in_place(self._loaded, self._state, effect)
        except OpcodeError as failure:
            error = failure.info(effect.path)
        return cmd.Evaluated(
            at=now,
            path=effect.path,
            attempt=effect.attempt,
            round=effect.round,
            value=value,
            error=error,
        )

    def _run(self, effect: fx.RunStep, now: float) -> cmd.StepReported:
        state = self._state.steps[effect.path]
        action = self._kit.registry.get(self._loaded.plan.steps[state.key].definition.action or "")
        outcome = perform_in_place(action, state.params or {}, self._effects.call(state))
        outcome = self._kit.vault.redacted(outcome)
        return cmd.StepReported(at=now, path=effect.path, attempt=effect.attempt, outcome=outcome)
