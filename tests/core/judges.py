"""What tests lend to the check of a definition: made-up actions, or the real ones with the real expressions."""

from __future__ import annotations

from typing import Any

from opcode_runtime.actions import check_params, param_warnings
from opcode_runtime.actions.builtin import builtin_registry
from opcode_runtime.core.validation import Checks
from opcode_runtime.engine.checking import expression_problems, expression_warnings
from opcode_runtime.model.action import ActionSpec

ACTIONS = {
    "test.pure": ActionSpec("test.pure", "pure"),
    "test.look": ActionSpec("test.look", "read_only"),
    "test.act": ActionSpec("test.act", "effectful"),
}

CHECKS = Checks(ACTIONS, lambda _spec, _params: ([], []), lambda *_: [], steps_max=2_000)
"""Checks that know these actions and find no fault with parameters and expressions."""


def step(name: str, *needs: str, **keys: Any) -> dict[str, Any]:
    """A step as written: `step("b", "a", retry={"max": 1})`."""
    written: dict[str, Any] = {"id": name, "action": "test.act"} | keys
    return written | ({"depends_on": list(needs)} if needs else {})


def fallback(target: str) -> dict[str, str]:
    return {"strategy": "fallback_step", "fallback_step": target}


REAL = Checks(
    builtin_registry().specs(),
    lambda spec, params: (check_params(spec, params), param_warnings(spec, params)),
    expression_problems,
    steps_max=2_000,
    expression_warnings=expression_warnings,
)
"""Checks with the actions of every runtime and its expressions."""
