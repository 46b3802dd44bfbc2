"""A scope to evaluate in, and the shortest way to do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from opcode_runtime.expressions import (
    IN_PLACE,
    Limits,
    Scope,
    compile_expression,
    compile_template,
    evaluate,
)

UNHURRIED = Limits(IN_PLACE.steps_max, cpu_s=60, text_chars_max=IN_PLACE.text_chars_max)
"""The limits of an evaluation in place, on a machine that may be busy."""


@dataclass
class Step:
    """A step as the engine shows it."""

    output: Any = None
    status: str = "completed"
    error: dict[str, Any] | None = None
    reason: str | None = None
    attempts: int = 1


FETCH = {
    "status_code": 200,
    "status": "of the output",
    "items": [{"id": 1, "ok": True, "price": 3.5}, {"id": 2, "ok": False, "price": 7.0}],
}
STEPS = {
    "fetch": Step(FETCH),
    "fetch-order": Step({"x": 1}),
    "skipped": Step(status="skipped", reason="guard", attempts=0),
    "broken": Step(status="failed", error={"code": "STEP_FAILED", "message": "no"}, attempts=3),
    "route": Step({"branch": "true"}),
    "route.true.deploy": Step({"ok": True, "choice": "sync"}),
    "a b": Step({"n": 5}),
}
INPUTS = {
    "n": 5,
    "f": 5.0,
    "half": 1.5,
    "huge": 2**70,
    "past_exact": float(2**53),
    "name": "report",
    "tags": ["a", "b"],
    "order": {"id": "o-1", "qty": 2, "the key": 7},
    "nothing": None,
}
WORKFLOW = {"run_id": "w-1", "name": "nightly", "template_version": "v1"}


@pytest.fixture
def step() -> type[Step]:
    return Step


@pytest.fixture
def scope_of() -> Callable[..., Scope]:
    """A scope with some namespaces replaced."""

    def build(**changes: Any) -> Scope:
        parts: dict[str, Any] = {
            "steps": STEPS,
            "inputs": INPUTS,
            "workflow": WORKFLOW,
            "context": {"region": "eu"},
        }
        return Scope(**(parts | changes))

    return build


@pytest.fixture
def value_of(scope_of: Callable[..., Scope]) -> Callable[..., Any]:
    """The value of an expression in that scope."""

    def value(text: str, **changes: Any) -> Any:
        scope = scope_of(**changes)
        compiled = compile_expression(text, step_ids=scope.steps.keys())
        return evaluate(compiled, scope, limits=UNHURRIED)

    return value


@pytest.fixture
def rendered(scope_of: Callable[..., Scope]) -> Callable[..., Any]:
    """A template filled in from that scope."""

    def render(template: Any, **changes: Any) -> Any:
        scope = scope_of(**changes)
        return compile_template(template, step_ids=scope.steps.keys()).render(scope)

    return render
