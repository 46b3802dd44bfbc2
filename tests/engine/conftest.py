"""Actions that tests control, and definitions in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

import opcode_runtime
from opcode_runtime.actions import Action, Call

Step = dict[str, Any]


def step(step_id: str, action: str, *depends_on: str, **more: Any) -> Step:
    """One step; keyword arguments are further keys, `params` among them."""
    return {"id": step_id, "action": action, "depends_on": list(depends_on), **more}


def chain(count: int, action: str, **more: Any) -> dict[str, Any]:
    """A definition of `count` steps in a row."""
    return {
        "steps": [
            step(f"s{n}", action, *([f"s{n - 1}"] if n else []), **more) for n in range(count)
        ]
    }


class World:
    """The outside that test actions act on: what ran, in which order, and what is still running."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, int]] = []
        self.keys: dict[str, set[str]] = {}
        self.running = 0
        self.running_max = 0
        self.failures: dict[str, int] = {}
        self.started: dict[str, trio.Event] = {}

    def began(self, step_id: str) -> trio.Event:
        """Set when the step has begun at least once."""
        return self.started.setdefault(step_id, trio.Event())

    def actions(self) -> list[Action]:
        """`work.do` (takes `seconds`, fails as often as `failures` says) and `work.hang` (never ends)."""

        @opcode_runtime.action("work.do", kind="effectful")
        async def do(params: dict[str, Any], call: Call) -> Any:
            self._enter(call)
            try:
                await trio.sleep(float(params.get("seconds", 0)))
            finally:
                self.running -= 1
            if self.failures.get(call.step_id, 0) >= call.attempt:
                raise opcode_runtime.OpcodeError(
                    opcode_runtime.ErrorCode.EXECUTION_ERROR, f"attempt {call.attempt} failed"
                )
            return {"step": call.step_id, "attempt": call.attempt, "echo": params.get("echo")}

        @opcode_runtime.action("work.hang", kind="effectful")
        async def hang(params: dict[str, Any], call: Call) -> Any:
            self._enter(call)
            try:
                await trio.sleep_forever()
            finally:
                self.running -= 1

        return [do, hang]

    def _enter(self, call: Call) -> None:
        self.ran.append((call.step_id, call.attempt))
        self.keys.setdefault(call.step_id, set()).add(call.idempotency_key)
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        self.began(call.step_id).set()


@pytest.fixture
def world() -> World:
    """An outside of its own for each test."""
    return World()


@pytest.fixture
def make_step() -> Callable[..., Step]:
    """`step`, for tests in which an import would be longer than the use."""
    return step
