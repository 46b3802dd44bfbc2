"""Random workflows, and a player that lives them through: outcomes, crashes, signals, late and repeated reports.

`definitions()` draws definitions as an agent would write them (JSON), `plan_of` prepares one. A `Player` stands where
the shell stands: it looks at what is wanted and answers with commands. Everything it does follows from its seed, and an
outcome follows from (seed, step, failed attempts so far) alone, so that an attempt cut by a crash ends the next time as
it would have ended.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st

from opcode_runtime.core.decide import Answer
from opcode_runtime.core.plan import Plan
from opcode_runtime.core.planning import build_plan
from opcode_runtime.core.turn import take, unrest
from opcode_runtime.core.validation import Checks, validate
from opcode_runtime.core.wanted import wanted
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.action import ActionSpec
from opcode_runtime.model.definition import Definition, Template
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed, LogRequest
from opcode_runtime.model.state import ENDED, WorkflowState

ACTIONS = {
    "test.pure": ActionSpec("test.pure", "pure"),
    "test.look": ActionSpec("test.look", "read_only"),
    "test.act": ActionSpec("test.act", "effectful"),
}
"""The actions that drawn definitions use: one of each kind."""

CHECKS = Checks(ACTIONS, lambda _spec, _params: ([], []), lambda *_: [], steps_max=2_000)
"""Checks that know these actions and find no fault with parameters and expressions."""

STEPS_MAX = 60
TURNS_MAX = 3_000

_STRATEGIES = ("ignore", "fail_workflow", "fallback_step", "fallback_step", "retry")
_CODES = (ErrorCode.EXECUTION_ERROR, ErrorCode.TIMEOUT_ERROR, ErrorCode.ASSERTION_FAILED)


def definitions(steps_max: int = STEPS_MAX) -> st.SearchStrategy[dict[str, Any]]:
    """Valid definitions of 1 to `steps_max` action steps, most of them small."""
    size = st.integers(1, min(8, steps_max)) | st.integers(1, steps_max)
    return st.builds(definition, st.randoms(use_true_random=False), size)


def plans(steps_max: int = STEPS_MAX) -> st.SearchStrategy[Plan]:
    """Prepared definitions."""
    return definitions(steps_max).map(plan_of)


def definition(chance: random.Random, steps: int) -> dict[str, Any]:
    """A valid definition of `steps` steps. Dependencies lead back, fallbacks lead ahead."""
    names = [_name(index) for index in range(steps)]
    standins = chance.sample(names, min(3, steps))
    written = [_step(chance, names, index, standins) for index in range(steps)]
    chance.shuffle(written)
    document: dict[str, Any] = {"steps": written}
    _untangle(chance, document)
    if chance.random() < 0.3:
        document["timeout"] = "30s"
        document["on_timeout"] = chance.choice(("fail", "cancel"))
    return document


def _untangle(chance: random.Random, document: dict[str, Any]) -> None:
    """Take fallbacks away until none waits for what itself lets on."""
    while not is_valid(document):
        tangled = [
            step for step in document["steps"] if "fallback_step" in step.get("on_error", ())
        ]
        del chance.choice(tangled)["on_error"]


def is_valid(document: Any) -> bool:
    """Whether a definition is accepted; nothing is said of its parameters and expressions."""
    return not validate(document, CHECKS).errors


def _name(index: int) -> str:
    """Mostly plain; some need encoding in a path."""
    return f"s{index}" if index % 7 != 5 else f"s#{index}%"


def _step(
    chance: random.Random, names: list[str], index: int, standins: list[str]
) -> dict[str, Any]:
    earlier, later = names[:index], names[index + 1 :]
    step: dict[str, Any] = {"id": names[index], "action": chance.choice(sorted(ACTIONS))}
    if earlier and chance.random() < 0.7:
        step["depends_on"] = chance.sample(earlier, chance.randint(1, min(3, index)))
    if chance.random() < 0.2:
        step["condition"] = "inputs.go"
    if chance.random() < 0.4:
        step["retry"] = _retry(chance)
    if chance.random() < 0.5:
        step["on_error"] = _on_error(chance, later, standins)
    if chance.random() < 0.5:
        step["on_interrupt"] = chance.choice(("retry", "retry", "ask", "fail"))
    return step


def _retry(chance: random.Random) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "max": chance.randint(0, 3),
        "backoff": chance.choice(("none", "constant", "linear", "exponential")),
        "delay": chance.choice(("0", "10ms", "1.5s")),
    }
    if chance.random() < 0.3:
        policy |= {"max_delay": "2s", "jitter": chance.choice((0, 0.5, 1))}
    return policy


def _on_error(chance: random.Random, later: list[str], standins: list[str]) -> dict[str, Any]:
    strategy = chance.choice(_STRATEGIES)
    if strategy != "fallback_step":
        return {"strategy": strategy}
    shared = [name for name in standins if name in later]
    if not later:
        return {"strategy": "ignore"}
    return {"strategy": strategy, "fallback_step": chance.choice(shared or later)}


def plan_of(document: dict[str, Any]) -> Plan:
    """Prepare a valid definition."""
    template = Template("drawn", "v1", "digest", document)
    return build_plan(template, msgspec.convert(document, Definition), ACTIONS)


@dataclass(frozen=True, slots=True)
class Chances:
    """How likely each kind of trouble is, per turn; `failure` is per attempt and `no` per guard."""

    crash: float = 0.04
    late: float = 0.1
    stray: float = 0.1
    cancel: float = 0.005
    deadline: float = 0.005
    failure: float = 0.1
    no: float = 0.4


CALM = Chances(crash=0, late=0, stray=0, cancel=0, deadline=0)


@dataclass(frozen=True, slots=True)
class Turn:
    """One command and what came of it."""

    command: cmd.AnyCommand
    answer: Answer

    @property
    def events(self) -> tuple[ev.AnyEvent, ...]:
        """What happened; nothing when the command was refused."""
        return self.answer.events if isinstance(self.answer, cmd.Decision) else ()


class Player:
    """Plays one workflow from its creation to its end, in an order and with trouble that follow from the seed."""

    def __init__(self, plan: Plan, seed: int, chances: Chances | None = None) -> None:
        self.plan = plan
        self.seed = seed
        self.chances = chances or Chances()
        self.state = WorkflowState()
        self.turns: list[Turn] = []
        self.now = 1_000.0
        self._chance = random.Random(seed)

    @property
    def events(self) -> list[ev.AnyEvent]:
        """Everything that happened so far."""
        return [event for turn in self.turns for event in turn.events]

    def play(self) -> Iterator[Turn]:
        """Live the workflow through, and disturb it a little after its end."""
        yield self.take(self.create())
        while (command := self.next_command()) is not None and len(self.turns) < TURNS_MAX:
            yield self.take(command)
        for _ in range(5):
            yield self.take(self._again())
            yield self.take(self.stray())

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

    def next_command(self) -> cmd.AnyCommand | None:
        """What the shell, an agent or fate does next; None when nothing more can come."""
        if self.state.status in ENDED:
            return None
        if unrest(self.plan, self.state):
            return cmd.Tick(at=self.now)
        trouble = self._trouble()
        if trouble is not None:
            return trouble
        work = [e for e in wanted(self.plan, self.state) if not isinstance(e, fx.AwaitDeadline)]
        if work:
            return self.carry_out(min(work, key=self._rank))
        return self._reply() if self.state.asking else None

    def _trouble(self) -> cmd.AnyCommand | None:
        drawn = self._chance.random()
        for likely, make in (
            (self.chances.crash, self.crash),
            (self.chances.late, self._again),
            (self.chances.stray, self.stray),
            (self.chances.cancel, self._cancel),
            (self.chances.deadline, lambda: cmd.DeadlinePassed(at=self.now)),
        ):
            if drawn < likely:
                return make()
            drawn -= likely
        return None

    def _rank(self, effect: fx.Effect) -> int:
        """An order that does not depend on the number of an attempt, which a crash moves on."""
        path = getattr(effect, "path", "")
        failures = self.state.steps[path].failures if path else 0
        return zlib.crc32(f"{self.seed}/{type(effect).__name__}/{path}/{failures}".encode())

    def carry_out(self, effect: fx.Effect) -> cmd.AnyCommand:
        """What the shell reports of an effect."""
        match effect:
            case fx.Prepare(path):
                return cmd.StepPrepared(at=self.now, path=path, result=self._preparation(path))
            case fx.RunStep(path, attempt):
                outcome = self.outcome(path)
                return cmd.StepReported(at=self.now, path=path, attempt=attempt, outcome=outcome)
            case fx.AwaitRetry(path, attempt, due):
                self.now = max(self.now, due)
                return cmd.RetryDue(at=self.now, path=path, attempt=attempt)
            case fx.AwaitDeadline():
                return cmd.DeadlinePassed(at=self.now)
            case fx.EvaluateOutput():
                return cmd.OutputEvaluated(at=self.now, output={"steps": len(self.plan.steps)})

    def _fate(self, path: str) -> random.Random:
        return random.Random(f"{self.seed}/{path}/{self.state.steps[path].failures}")

    def _preparation(self, path: str) -> cmd.Preparation:
        fate = self._fate(path)
        guard = self.plan.steps[self.state.steps[path].key].definition.condition
        if guard is not None and fate.random() < self.chances.no:
            return cmd.Skip()
        if fate.random() < self.chances.failure / 10:
            return cmd.Refuse(ErrorInfo(ErrorCode.INTERPOLATION_ERROR, "no such name"))
        return cmd.Start({"path": path})

    def outcome(self, path: str) -> Completed | Failed:
        """How the attempt of `path` that runs now ends."""
        fate = self._fate(path)
        said = (LogRequest("info", f"from {path}"),) if fate.random() < 0.1 else ()
        if fate.random() < self.chances.failure:
            return Failed(ErrorInfo(fate.choice(_CODES), "no luck", step_id=path), said)
        return Completed({"path": path}, said)

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

    def _cancel(self) -> cmd.SignalSent:
        return self._signal("cancel", None, {"reason": "enough"})

    def _reply(self) -> cmd.SignalSent:
        path = self._chance.choice(list(self.state.asking))
        if self._chance.random() < 0.1:
            return self._signal("cancel", path, {})
        choice = self._chance.choice(("retry", "skip", "fail", "done"))
        return self._signal("decision", path, {"choice": choice, "data": {"path": path}})

    def _signal(self, kind: str, path: str | None, payload: dict[str, Any]) -> cmd.SignalSent:
        key = ("signal", f"k{len(self.turns)}", "d") if self._chance.random() < 0.5 else None
        return cmd.SignalSent(
            at=self.now, signal_type=kind, step_id=path, payload=payload, agent_id="ann", key=key
        )

    def stray(self) -> cmd.AnyCommand:
        """A well-formed command that nothing called for."""
        chance = self._chance
        path = chance.choice([*self.plan.steps, "nowhere"])
        attempt = chance.randint(0, 4)
        error = ErrorInfo(ErrorCode.EXECUTION_ERROR, "stray")
        made: list[cmd.AnyCommand] = [
            cmd.Tick(at=self.now),
            cmd.RetryDue(at=self.now, path=path, attempt=attempt),
            cmd.OutputEvaluated(at=self.now, output=1),
            cmd.StepReported(at=self.now, path=path, attempt=attempt, outcome=Failed(error)),
            cmd.StepReported(at=self.now, path=path, attempt=attempt, outcome=Completed(1)),
            cmd.StepPrepared(at=self.now, path=path, result=cmd.Start({})),
            cmd.StepPrepared(at=self.now, path=path, result=cmd.Refuse(error)),
            self._signal("decision", None, {"choice": "retry"}),
            self._signal("decision", path, {"choice": chance.choice(("maybe", "skip", ""))}),
            self._signal("decision", path, {}),
            self._signal("cancel", path, {}),
            self._signal("hooray", path, {}),
            self.create(),
        ]
        return chance.choice(made)
