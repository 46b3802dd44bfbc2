"""One workflow played by hand: each method is one command, named as the test wants to say it."""

from __future__ import annotations

from typing import Any, TypeVar

from opcode_runtime.core.decide import Answer
from opcode_runtime.core.turn import take, unrest
from opcode_runtime.core.wanted import wanted
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed
from opcode_runtime.model.state import StepState, WorkflowState
from opcode_runtime.testing.workflows import plan_of

E = TypeVar("E")


def step(name: str, *needs: str, **keys: Any) -> dict[str, Any]:
    """A step as written: `step("b", "a", retry={"max": 1})`."""
    written: dict[str, Any] = {"id": name, "action": "test.act"} | keys
    return written | ({"depends_on": list(needs)} if needs else {})


def fallback(target: str) -> dict[str, str]:
    return {"strategy": "fallback_step", "fallback_step": target}


class Hand:
    """A workflow that was created and started at second 0."""

    def __init__(self, *steps: dict[str, Any], created: bool = True, **keys: Any) -> None:
        self.plan = plan_of({"steps": list(steps)} | keys)
        self.state = WorkflowState()
        self.events: list[ev.AnyEvent] = []
        self.now = 0.0
        if created:
            self.create()

    def take(self, command: cmd.AnyCommand) -> Answer:
        answer = take(self.plan, self.state, command)
        if isinstance(answer, cmd.Decision):
            self.events += answer.events
        return answer

    def create(self, key: tuple[str, str, str] | None = None) -> Answer:
        return self.take(
            cmd.Create(
                at=self.now,
                workflow_id="w",
                name="n",
                template_name="t",
                template_version="v1",
                definition_digest="d",
                inputs={},
                agent_id="ann",
                key=key,
            )
        )

    def start(self, *paths: str) -> None:
        for path in paths:
            self.take(cmd.StepPrepared(at=self.now, path=path, result=cmd.Start({"to": path})))

    def guard_says_no(self, path: str) -> None:
        self.take(cmd.StepPrepared(at=self.now, path=path, result=cmd.Skip()))

    def refuse(self, path: str) -> None:
        error = ErrorInfo(ErrorCode.INTERPOLATION_ERROR, "no such name")
        self.take(cmd.StepPrepared(at=self.now, path=path, result=cmd.Refuse(error)))

    def complete(self, path: str, output: Any = None) -> Answer:
        return self._report(path, Completed(output))

    def fail(self, path: str, code: ErrorCode = ErrorCode.EXECUTION_ERROR) -> Answer:
        return self._report(path, Failed(ErrorInfo(code, f"{path} broke")))

    def _report(self, path: str, outcome: Completed | Failed) -> Answer:
        attempt = self.state.steps[path].attempt
        return self.take(cmd.StepReported(at=self.now, path=path, attempt=attempt, outcome=outcome))

    def run(self, *paths: str) -> None:
        """Start each and complete it, one after the other."""
        for path in paths:
            self.start(path)
            self.complete(path, f"{path}!")

    def break_(self, *paths: str) -> None:
        """Start each and let it fail for good, one after the other."""
        for path in paths:
            self.start(path)
            self.fail(path, ErrorCode.ASSERTION_FAILED)

    def retry(self, path: str) -> Answer:
        attempt = self.state.steps[path].attempt
        return self.take(cmd.RetryDue(at=self.now, path=path, attempt=attempt))

    def crash(self, *, down_s: float = 100.0, **answers: cmd.DoubtAnswer) -> Answer:
        self.now += down_s
        return self.take(cmd.Recover(at=self.now, down_s=down_s, answers=answers))

    def signal(self, kind: str, path: str | None = None, **more: Any) -> Answer:
        return self.take(cmd.SignalSent(at=self.now, signal_type=kind, step_id=path, **more))

    def decide(
        self, choice: str, path: str | None = None, by: str = "ann", data: Any = None
    ) -> Answer:
        payload = {"choice": choice, "data": data}
        return self.signal("decision", path, payload=payload, agent_id=by)

    def deadline(self) -> Answer:
        return self.take(cmd.DeadlinePassed(at=self.now))

    def output(self, value: Any = None, error: ErrorInfo | None = None) -> Answer:
        return self.take(cmd.OutputEvaluated(at=self.now, output=value, error=error))

    def settle(self) -> None:
        """Ticks until nothing more follows."""
        while unrest(self.plan, self.state):
            self.take(cmd.Tick(at=self.now))

    def step(self, path: str) -> StepState:
        return self.state.steps[path]

    @property
    def statuses(self) -> dict[str, str]:
        """Each step's status, with the reason where it was skipped."""
        return {
            path: f"{s.status}" + (f" {s.reason}" if s.reason else "")
            for path, s in self.state.steps.items()
        }

    @property
    def ready(self) -> list[str]:
        return [effect.path for effect in self.wants(fx.Prepare)]

    @property
    def said(self) -> list[str]:
        """The types of all events so far."""
        return [str(event.__struct_config__.tag) for event in self.events]

    def wants(self, kind: type[E]) -> list[E]:
        return [e for e in wanted(self.plan, self.state) if isinstance(e, kind)]

    def all(self, kind: type[E]) -> list[E]:
        """All events of one type so far."""
        return [event for event in self.events if isinstance(event, kind)]


def refusal(answer: Answer) -> ErrorInfo:
    """The error of a refused command."""
    assert isinstance(answer, cmd.Rejected)
    return answer.error
