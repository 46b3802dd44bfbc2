"""A player that lives a workflow through: outcomes, crashes, signals, late and repeated reports.

A `Player` stands where the shell stands: it looks at what is wanted and answers with commands. Everything it does
follows from its seed, and an outcome follows from (seed, step, failed attempts so far) alone, so that an attempt cut by
a crash ends the next time as it would have ended. `testing.drawn` has the definitions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st

from opcode_runtime.core.decide import Answer
from opcode_runtime.core.plan import Limits, Plan
from opcode_runtime.core.turn import take, unrest
from opcode_runtime.core.wanted import wanted
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed
from opcode_runtime.model.state import ENDED, WorkflowStatus
from opcode_runtime.testing.drawn import (
    ACTIONS,
    CHECKS,
    STEPS_MAX,
    definition,
    definitions,
    is_valid,
    plan_of,
    steps_of,
)
from opcode_runtime.testing.world import CALM, Chances, World

__all__ = [
    "ACTIONS",
    "CALM",
    "CHECKS",
    "PLAYED",
    "STEPS_MAX",
    "TURNS_MAX",
    "Chances",
    "Player",
    "Turn",
    "definition",
    "definitions",
    "is_valid",
    "plan_of",
    "plans",
    "steps_of",
]

TURNS_MAX = 4_000
"""More turns than any play takes: one that comes here does not end."""

PLAYED = Limits(iterations_max=20, executions_max=500, reopenings_max=3, inbox_max=20, depth_max=16)
"""Limits that plays run into."""

_DEADLINES = (fx.AwaitDeadline, fx.AwaitStepDeadline, fx.AwaitDecision)


def plans(steps_max: int = STEPS_MAX) -> st.SearchStrategy[Plan]:
    """Prepared definitions."""
    return definitions(steps_max).map(plan_of)


@dataclass(frozen=True, slots=True)
class Turn:
    """One command and what came of it."""

    command: cmd.AnyCommand
    answer: Answer

    @property
    def events(self) -> tuple[ev.AnyEvent, ...]:
        """What happened; nothing when the command was refused."""
        return self.answer.events if isinstance(self.answer, cmd.Decision) else ()


class Player(World):
    """Plays one workflow from its creation to its end, in an order and with trouble that follow from the seed."""

    def __init__(self, plan: Plan, seed: int, chances: Chances | None = None) -> None:
        super().__init__(plan, seed, chances)
        self.turns: list[Turn] = []

    @property
    def events(self) -> list[ev.AnyEvent]:
        """Everything that happened so far."""
        return [event for turn in self.turns for event in turn.events]

    def play(self) -> Iterator[Turn]:
        """Live the workflow through, and disturb it a little after its end."""
        yield self.take(self.create())
        while (command := self.next_command()) is not None:
            if len(self.turns) >= TURNS_MAX:
                raise AssertionError(f"after {TURNS_MAX} turns there is no end, last {command}")
            yield self.take(command)
        for _ in range(5):
            yield self.take(self._after_the_end(self._again()))
            yield self.take(self._after_the_end(self.stray()))

    def take(self, command: cmd.AnyCommand) -> Turn:
        """Let the workflow take one turn."""
        turn = Turn(command, take(self.plan, self.state, command))
        self.turns.append(turn)
        self.now += self._chance.choice((0.0, 0.01, 1.0))
        return turn

    def create(self) -> cmd.Create:
        """The command that begins the workflow."""
        return cmd.Create(
            at=self.now,
            workflow_id="w",
            name="drawn",
            template_name="drawn",
            template_version="v1",
            definition_digest="digest",
            inputs={},
            agent_id="ann",
            key=("run", "first", "d"),
        )

    def _after_the_end(self, command: cmd.AnyCommand) -> cmd.AnyCommand:
        """Nothing that would reopen the workflow, which then would have to be played on."""
        if getattr(command, "signal_type", None) in {"retry", "skip"}:
            return cmd.Tick(at=self.now)
        return command

    def next_command(self) -> cmd.AnyCommand | None:
        """What the shell, an agent or fate does next; None when nothing more can come."""
        if self.state.status in ENDED:
            return self._reopen()
        if unrest(self.plan, self.state):
            return self._chance.choice((cmd.Tick(at=self.now), self._trouble() or self.tick()))
        return self._trouble() or self._work() or self._reply() or self._resume()

    def tick(self) -> cmd.Tick:
        """Go on."""
        return cmd.Tick(at=self.now)

    def _work(self) -> cmd.AnyCommand | None:
        """The wanted effect that comes first and has something to report."""
        if self.state.suspended_for == "pause" and self._chance.random() < 0.3:
            return None
        wishes = [e for e in wanted(self.plan, self.state) if not isinstance(e, _DEADLINES)]
        for effect in sorted(wishes, key=self.rank):
            command = self.carry_out(effect)
            if command is not None:
                return command
        return None

    def _trouble(self) -> cmd.AnyCommand | None:
        drawn = self._chance.random()
        makers: tuple[tuple[float, Callable[[], cmd.AnyCommand | None]], ...] = (
            (self.chances.crash, self.crash),
            (self.chances.late, self._again),
            (self.chances.stray, self.stray),
            (self.chances.cancel, lambda: self._signal("cancel", None, {"reason": "enough"})),
            (self.chances.deadline, lambda: cmd.DeadlinePassed(at=self.now)),
            (self.chances.step_deadline, self._step_deadline),
            (self.chances.hold, lambda: self._signal("pause", None, {})),
            (self.chances.operate, self._operate),
        )
        for likely, make in makers:
            if drawn < likely:
                return make()
            drawn -= likely
        return None

    def crash(self) -> cmd.Recover:
        """The daemon dies and comes back, sometimes with answers given in advance."""
        answers: dict[str, cmd.DoubtAnswer] = {}
        for path in self.state.running:
            if self._chance.random() < 0.3:
                answers[path] = self._chance.choice(("retry", "skip", "fail"))
        self.now += 100.0
        return cmd.Recover(at=self.now, down_s=100.0, answers=answers)

    def _again(self) -> cmd.AnyCommand:
        """A report or signal that was heard before comes once more, or late."""
        command = self._chance.choice(self.turns).command
        return msgspec.structs.replace(command, at=self.now)

    def _step_deadline(self) -> cmd.AnyCommand | None:
        due = [e for e in wanted(self.plan, self.state) if isinstance(e, fx.AwaitStepDeadline)]
        return self.due(self._chance.choice(due)) if due else None

    def _operate(self) -> cmd.SignalSent:
        """An operator retries or skips some step."""
        path = self._chance.choice([None, *self.state.steps])
        return self._signal(self._chance.choice(("retry", "skip", "skip")), path, {})

    def _reply(self) -> cmd.AnyCommand | None:
        """An agent answers, or sends what is waited for; or it takes too long."""
        state = self.state
        asked = [(name, "") for name in state.asking.values()]
        awaited = [(path, name) for path, name in state.waiting.items() if name]
        if not asked + awaited or (self._held() and self._chance.random() < 0.5):
            return None
        path, name = min(asked + awaited, key=lambda each: self.order(each[0]))
        return self._awaited(path, name) if name else self._answer(path)

    def _answer(self, name: str) -> cmd.AnyCommand:
        decision = self.state.decisions[name]
        fate = random.Random(f"{self.seed}/{name}")
        due = decision.timeout_at
        if due is not None and (self.now >= due or fate.random() >= self.chances.prompt):
            self.now = max(self.now, due)
            return cmd.DecisionDue(at=self.now, decision_id=name)
        if fate.random() < 0.1:
            answer = self._signal("cancel", decision.step_id, {})
        else:
            choices = [str(option["id"]) for option in decision.options] or ["anything"]
            payload = {"choice": fate.choice(choices), "data": {"name": name}}
            answer = self._signal("decision", decision.step_id, payload)
        return msgspec.structs.replace(answer, agent_id=decision.target_agent_id or "ann")

    def _awaited(self, path: str, name: str) -> cmd.SignalSent:
        """The signal that a wait waits for, in one of the ways in which it may come."""
        ways: tuple[tuple[str, str | None, dict[str, Any]], ...]
        ways = ((name, None, {"n": 1}), ("data", path, {}), ("data", None, {"signal": name}))
        return self._signal(*random.Random(f"{self.seed}/{path}").choice(ways))

    def _held(self) -> bool:
        return self.state.suspended_for in {"pause", "timeout", "recovery"}

    def _resume(self) -> cmd.AnyCommand | None:
        return self._signal("resume", None, {}) if self._held() else None

    def _reopen(self) -> cmd.AnyCommand | None:
        """An operator does not put up with a failure."""
        state = self.state
        likely = self.chances.reopen / (1 + state.reopenings)
        if state.status is not WorkflowStatus.FAILED or self._chance.random() >= likely:
            return None
        return self._operate()

    def _signal(self, kind: str, path: str | None, payload: dict[str, Any]) -> cmd.SignalSent:
        key = ("signal", f"k{len(self.turns)}", "d") if self._chance.random() < 0.3 else None
        return cmd.SignalSent(
            at=self.now, signal_type=kind, step_id=path, payload=payload, agent_id="ann", key=key
        )

    def stray(self) -> cmd.AnyCommand:
        """A well-formed command that nothing called for."""
        chance, now = self._chance, self.now
        path = chance.choice([*self.state.steps, *self.plan.steps, "nowhere"])
        if chance.random() < 0.5:
            return chance.choice(self._stray_signals(path))
        attempt = chance.randint(0, 4)
        error = ErrorInfo(ErrorCode.EXECUTION_ERROR, "stray")
        made: list[cmd.AnyCommand] = [
            self.tick(),
            cmd.RetryDue(at=now, path=path, attempt=attempt),
            cmd.WaitDue(at=now, path=path, attempt=attempt),
            cmd.StepDeadlinePassed(at=now, path=path, attempt=attempt),
            cmd.DecisionDue(at=now, decision_id=f"w_{path}"),
            cmd.Evaluated(at=now, path=path, attempt=attempt, round=0, value="true"),
            cmd.Verified(at=now, path=path, attempt=attempt, done=True),
            cmd.ChildSeen(
                at=now, path=path, attempt=attempt, child_workflow_id="no", news="suspended"
            ),
            cmd.ChildGone(at=now, path=path, child_workflow_id="no"),
            cmd.OutputEvaluated(at=now, output=1),
            cmd.StepReported(at=now, path=path, attempt=attempt, outcome=Failed(error)),
            cmd.StepReported(at=now, path=path, attempt=attempt, outcome=Completed(1)),
            cmd.StepPrepared(at=now, path=path, result=cmd.Start({})),
            cmd.StepPrepared(at=now, path=path, result=cmd.Refuse(error)),
            self.create(),
        ]
        return chance.choice(made)

    def _stray_signals(self, path: str) -> list[cmd.AnyCommand]:
        chance = self._chance
        return [
            self._signal("decision", None, {"choice": "retry"}),
            self._signal("decision", path, {"choice": chance.choice(("maybe", "skip", ""))}),
            self._signal("decision", path, {}),
            self._signal("cancel", path, {}),
            self._signal("resume", None, {}),
            self._signal("data", None, {"key": path}),
            self._signal("data", path, {}),
            self._signal("data", None, {"name": "go"}),
            self._signal("go", None, {}),
            self._signal("hooray", path, {}),
        ]
