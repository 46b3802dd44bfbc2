"""What comes of things, as it follows from a seed: outcomes of attempts, answers of agents, and how long they take.

An outcome follows from (seed, workflow, step path, failures so far, resets) alone, so that an attempt that a crash cuts
ends the next time as it would have ended.
"""

from __future__ import annotations

import random
from typing import Any

import trio

import opcode_runtime
from drills.simulation.ledger import Followed, Ledger
from drills.simulation.plan import Scenario
from opcode_runtime.actions import Action, Call
from opcode_runtime.model.state import DecisionState, StepStatus
from opcode_runtime.testing.memory_disk import MemoryDisk

FAILURE = 0.15
_CODES = (
    opcode_runtime.ErrorCode.EXECUTION_ERROR,
    opcode_runtime.ErrorCode.TIMEOUT_ERROR,
    opcode_runtime.ErrorCode.ASSERTION_FAILED,
)


class Script:
    """The outside of one world: it performs steps, and knows what agents say."""

    def __init__(self, scenario: Scenario, ledger: Ledger, disk: MemoryDisk) -> None:
        self._seed = scenario.seed
        self._failure = FAILURE if "failures" in scenario.switches else 0.0
        self._timed = "timeouts" in scenario.switches
        self._doubts = "doubts" in scenario.switches
        self._ledger = ledger
        self._disk = disk
        self._keys: dict[tuple[str, str, int], str] = {}
        self.attempts = 0

    def fate(self, *names: object) -> random.Random:
        """A source of chance for one matter."""
        return random.Random("/".join(map(str, (self._seed, *names))))

    def actions(self) -> list[Action]:
        """The actions of drawn definitions."""

        @opcode_runtime.action("test.pure", kind="pure")
        def pure(params: dict[str, Any], call: Call) -> Any:
            label = self._ledger.followed[call.workflow_id].label if self._known(call) else "new"
            return self._end(self.fate(label, call.step_id), call)

        @opcode_runtime.action("test.look", kind="read_only")
        async def look(params: dict[str, Any], call: Call) -> Any:
            return await self._attempt(call)

        @opcode_runtime.action("test.act", kind="effectful")
        async def act(params: dict[str, Any], call: Call) -> Any:
            return await self._attempt(call)

        return [pure, look, act]

    def _known(self, call: Call) -> bool:
        return call.workflow_id in self._ledger.followed

    def _end(self, fate: random.Random, call: Call) -> Any:
        if fate.random() < self._failure:
            raise opcode_runtime.OpcodeError(fate.choice(_CODES), "no luck")
        return {"path": call.step_id, "done": fate.random() < 0.5}

    async def _attempt(self, call: Call) -> Any:
        await trio.lowlevel.checkpoint()
        self.attempts += 1
        followed = self._ledger.followed[call.workflow_id]
        if self._disk.process is None or not self._disk.process.dead:
            self._check_start(followed, call)
        step = followed.state.steps[call.step_id]
        fate = self.fate(followed.label, call.step_id, step.failures, step.resets)
        lasting = (0.0, 0.0, 0.5, 3.0, 9.0, 12.0) if self._timed else (0.0, 0.0, 0.5, 3.0)
        await trio.sleep(fate.choice(lasting))
        return self._end(fate, call)

    def _check_start(self, followed: Followed, call: Call) -> None:
        """Nothing leaves before it is durable, nothing runs twice, and the outside always sees the same key."""
        what = f"{followed.label} {call.step_id} attempt {call.attempt}"
        step = followed.state.steps.get(call.step_id)
        if step is None or step.attempt < call.attempt:
            self._ledger.breaks("I-R6 output_commit", f"{what} runs before it is on disk")
            return
        if step.attempt == call.attempt and step.status is StepStatus.COMPLETED:
            self._ledger.breaks("I-C8 completed_once", f"{what} runs, and is completed")
        key = self._keys.setdefault(
            (call.workflow_id, step.path, step.resets), call.idempotency_key
        )
        if key != call.idempotency_key:
            self._ledger.breaks("P4 stable_key", f"{what} has another idempotency key")

    def answer(self, followed: Followed, decision: DecisionState) -> dict[str, Any]:
        """What an agent says to a question."""
        name = decision.id.removeprefix(followed.stream)
        fate = self.fate("answer", followed.label, name)
        choices = [str(option["id"]) for option in decision.options] or ["anything"]
        if decision.kind == "doubt" and not self._doubts:
            choices = ["retry"]
        return {"choice": fate.choice(choices), "data": {"name": name}}
