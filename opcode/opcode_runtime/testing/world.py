"""The world outside of a workflow: what comes of the effects that are wanted, as it follows from a seed.

An outcome follows from (seed, step, failed attempts so far) alone, so that an attempt cut by a crash ends the next time
as it would have ended.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec

from opcode_runtime.core.plan import Plan
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, ContextRequest, Failed, LogRequest
from opcode_runtime.model.state import WorkflowState

_CODES = (ErrorCode.EXECUTION_ERROR, ErrorCode.TIMEOUT_ERROR, ErrorCode.ASSERTION_FAILED)


@dataclass(frozen=True, slots=True)
class Chances:
    """How likely each kind of trouble is, per turn.

    `failure` is per attempt, `no` per guard, `prompt` per decision with a deadline, `reopen` per failed workflow.
    """

    crash: float = 0.03
    late: float = 0.06
    stray: float = 0.1
    cancel: float = 0.003
    deadline: float = 0.004
    step_deadline: float = 0.01
    hold: float = 0.01
    operate: float = 0.02
    failure: float = 0.1
    no: float = 0.4
    prompt: float = 0.7
    reopen: float = 0.7


CALM = Chances(
    crash=0,
    late=0,
    stray=0,
    cancel=0,
    deadline=0,
    step_deadline=0,
    hold=0,
    operate=0,
    prompt=0,
    reopen=0,
)


class World:
    """Answers the effects of one workflow. `now` is its clock, which timers move on."""

    def __init__(self, plan: Plan, seed: int, chances: Chances | None = None) -> None:
        self.plan = plan
        self.seed = seed
        self.chances = chances or Chances()
        self.state = WorkflowState()
        self.now = 1_000.0
        self._chance = random.Random(seed)

    def rank(self, effect: fx.Effect) -> int:
        """An order that does not depend on the number of an attempt, which a crash moves on."""
        path = getattr(effect, "path", "")
        failures = self.state.steps[path].failures if path else 0
        round_ = getattr(effect, "round", 0)
        return self.order(f"{type(effect).__name__}/{path}/{failures}/{round_}")

    def order(self, name: str) -> int:
        """A place in an order that follows from the seed."""
        return zlib.crc32(f"{self.seed}/{name}".encode())

    def carry_out(self, effect: fx.Effect) -> cmd.AnyCommand | None:
        """What the shell reports of an effect; None when there is nothing to say for now."""
        now = self.now
        match effect:
            case fx.Prepare(path):
                return cmd.StepPrepared(at=now, path=path, result=self._preparation(path))
            case fx.RunStep(path, attempt):
                outcome = self.outcome(path)
                return cmd.StepReported(at=now, path=path, attempt=attempt, outcome=outcome)
            case fx.RunChild():
                return self._child(effect)
            case fx.ReleaseChild(path, child):
                return cmd.ChildGone(at=now, path=path, child_workflow_id=child)
            case fx.Evaluate():
                return self._evaluated(effect)
            case fx.Verify():
                return self._verified(effect)
            case fx.EvaluateOutput():
                return self._output()
            case _:
                return self.due(effect)

    def due(self, effect: fx.Effect) -> cmd.AnyCommand | None:
        """A timer is over."""
        match effect:
            case fx.AwaitRetry(path, attempt, due):
                self.now = max(self.now, due)
                return cmd.RetryDue(at=self.now, path=path, attempt=attempt)
            case fx.AwaitWait(path, attempt, due):
                self.now = max(self.now, due)
                return cmd.WaitDue(at=self.now, path=path, attempt=attempt)
            case fx.AwaitDecision(decision_id, due):
                self.now = max(self.now, due)
                return cmd.DecisionDue(at=self.now, decision_id=decision_id)
            case fx.AwaitStepDeadline(path, attempt):
                return cmd.StepDeadlinePassed(at=self.now, path=path, attempt=attempt)
            case fx.AwaitDeadline():
                return cmd.DeadlinePassed(at=self.now)
        return None

    def _fate(self, path: str) -> random.Random:
        return random.Random(f"{self.seed}/{path}/{self.state.steps[path].failures}")

    def _preparation(self, path: str) -> cmd.Preparation:
        fate = self._fate(path)
        planned = self.plan.steps[self.state.steps[path].key]
        if planned.definition.condition is not None and fate.random() < self.chances.no:
            return cmd.Skip()
        if fate.random() < self.chances.failure / 10:
            return cmd.Refuse(ErrorInfo(ErrorCode.INTERPOLATION_ERROR, "no such name"))
        if planned.kind in {"wait", "reasoning"}:
            answer = fate.choice((None, None, None, "yes", "maybe"))
            config = dict(planned.definition.config)
            if config.get("signal", "").startswith("$"):
                config["signal"] = "late"
            return cmd.Start(config, answer=answer if planned.kind == "reasoning" else None)
        return cmd.Start({"path": path})

    def outcome(self, path: str) -> Completed | Failed:
        """How the attempt of `path` that runs now ends."""
        fate = self._fate(path)
        said: tuple[Any, ...] = (LogRequest("info", "hi"),) if fate.random() < 0.1 else ()
        if fate.random() < 0.05:
            said += (ContextRequest({path: 1}),)
        if fate.random() < self.chances.failure:
            return Failed(ErrorInfo(fate.choice(_CODES), "no luck", step_id=path), said)
        return Completed({"path": path}, said)

    def _child(self, effect: fx.RunChild) -> cmd.AnyCommand | None:
        """A sub-workflow begins, is suspended, goes on, ends. Held, it is suspended sooner or later."""
        path, step = effect.path, self.state.steps[effect.path]
        idle = path in self.state.idle
        if step.child_workflow_id != effect.child_workflow_id:
            return self._news(effect, "started")
        if effect.paused:
            return None if idle else self._news(effect, "suspended")
        if idle:
            return self._news(effect, "resumed")
        if self.chances.crash and self._chance.random() < 0.3:
            return self._news(effect, "suspended")
        outcome = self.outcome(path)
        return cmd.StepReported(at=self.now, path=path, attempt=effect.attempt, outcome=outcome)

    def _news(self, effect: fx.RunChild, news: Any) -> cmd.ChildSeen:
        return cmd.ChildSeen(
            at=self.now,
            path=effect.path,
            attempt=effect.attempt,
            child_workflow_id=effect.child_workflow_id,
            news=news,
        )

    def _evaluated(self, effect: fx.Evaluate) -> cmd.Evaluated:
        """The key of a condition, the items of a loop, or whether it goes on."""
        fate = random.Random(f"{self.seed}/{effect.path}/{effect.round}")
        told = cmd.Evaluated(
            at=self.now, path=effect.path, attempt=effect.attempt, round=effect.round
        )
        if fate.random() < self.chances.failure / 5:
            wrong = ErrorInfo(ErrorCode.EXECUTION_ERROR, "no value", step_id=effect.path)
            return msgspec.structs.replace(told, error=wrong)
        planned = self.plan.steps[self.state.steps[effect.path].key]
        value: Any = fate.random() < 0.5
        if planned.kind == "condition":
            value = fate.choice(("true", "false", "v1.2", "#3", "other"))
        elif planned.mode("for_each") == "for_each":
            most = 4 if effect.path.count(".") < 4 else 1
            value = [{"n": n} for n in range(fate.randint(0, most))]
        return msgspec.structs.replace(told, value=value)

    def _verified(self, effect: fx.Verify) -> cmd.Verified:
        fate = self._fate(effect.path)
        kind = fate.choice(("done", "not", "unknown"))
        error = ErrorInfo(ErrorCode.STEP_FAILED, "nobody knows") if kind == "unknown" else None
        return cmd.Verified(
            at=self.now,
            path=effect.path,
            attempt=effect.attempt,
            done=kind == "done",
            output={"found": True},
            error=error,
        )

    def _output(self) -> cmd.OutputEvaluated:
        error: ErrorInfo | None = None
        if random.Random(f"{self.seed}/{self.state.reopenings}").random() < self.chances.failure:
            error = ErrorInfo(ErrorCode.VALIDATION_ERROR, "not what was promised")
        return cmd.OutputEvaluated(at=self.now, output={"n": len(self.plan.steps)}, error=error)
