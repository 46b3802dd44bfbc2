"""Definitions for the kill drill: drawn by chance, with real effects, and with one possible ending each.

What is drawn (opcode_runtime/testing/drawn.py) is of every step type and nested; here it gets actions that leave a
trace:

| action | its trace |
| --- | --- |
| shell.exec | a line `workflow step attempt` in `effects`, under a lock that an attempt which is still alive holds |
| fs.append | a line `workflow label` in `appended` |

Rule: the ending must not depend on when the daemon dies. So a race becomes a parallel, a timeout goes, only a step
fails whose failure is handled, and a loop ends by its index.
"""

from __future__ import annotations

import random
from typing import Any

from opcode_runtime.testing import drawn

EFFECTS = "effects"
APPENDED = "appended"
OVERLAP = "OVERLAP"
CHILD_MARK = "OPCODE_DRILL"
ENDLESS = "endless"
NEVER = "never"
"""A signal that nobody sends."""

_SHELL = (
    'exec 9>>"lock.$OPCODE_WORKFLOW_ID.$OPCODE_STEP_ID"; '
    f'flock -n 9 || echo "{OVERLAP} $OPCODE_WORKFLOW_ID $OPCODE_STEP_ID $OPCODE_ATTEMPT" >> {EFFECTS}; '
    f'echo "$OPCODE_WORKFLOW_ID $OPCODE_STEP_ID $OPCODE_ATTEMPT" >> {EFFECTS}; '
    "sleep 0.%d"
)
_STEPS = (4, 14)
_EXECUTIONS_MAX = 40
_ITERATIONS = 2


def definitions(seed: int, count: int, mark: str) -> dict[str, dict[str, Any]]:
    """Definitions by name. `mark` stands in the environment of their children, so that these can be found."""
    made = {"other": _other(mark), "flat": _flat(mark), ENDLESS: _endless(mark)}
    chance = random.Random(seed)
    while len(made) < count:
        document = drawn.definition(chance, chance.randint(*_STEPS))
        if _executions(document["steps"]) <= _EXECUTIONS_MAX:
            made[f"drawn{len(made)}"] = _Effectful(chance, mark).of(document)
    return made


def shell_step(step_id: str, mark: str, tenths_s: int = 1, **more: Any) -> dict[str, Any]:
    """A step that runs a command for a while."""
    params = {"command": _SHELL % tenths_s, "shell": True, "env": {CHILD_MARK: mark}}
    return {
        "id": step_id,
        "action": "shell.exec",
        "params": params,
        "on_interrupt": "retry",
        **more,
    }


def append_step(step_id: str, label: str, **more: Any) -> dict[str, Any]:
    """A step that appends one line to a file."""
    content = f"${{{{workflow.run_id}}}} {label}\n"
    params = {"path": APPENDED, "content": content}
    return {
        "id": step_id,
        "action": "fs.append",
        "params": params,
        "on_interrupt": "retry",
        **more,
    }


def wait_step(step_id: str, after: str, **config: Any) -> dict[str, Any]:
    """A step that waits."""
    return {"id": step_id, "type": "wait", "config": config, "depends_on": [after]}


def _other(mark: str) -> dict[str, Any]:
    steps = [append_step("a", "a"), wait_step("w", "a", duration="20ms")]
    return {"steps": [*steps, shell_step("b", mark, depends_on=["w"])], "output": "other"}


def _flat(mark: str) -> dict[str, Any]:
    """Two rows of steps side by side."""
    steps = []
    for n in range(12):
        after: dict[str, Any] = {"depends_on": [f"s{n - 2}"]} if n > 1 else {}
        make = shell_step(f"s{n}", mark, **after) if n % 6 == 0 else None
        steps.append(make or append_step(f"s{n}", f"s{n}", **after))
    return {"steps": steps, "output": "flat"}


def _endless(mark: str) -> dict[str, Any]:
    """It waits for a signal that never comes: whoever runs it cancels it then."""
    steps = [append_step("a", "a"), shell_step("b", mark, depends_on=["a"])]
    return {"steps": [*steps, wait_step("w", "b", signal=NEVER)], "output": "never"}


def _executions(steps: list[dict[str, Any]]) -> int:
    """How many steps run at most, with every loop at its full length."""
    count = 0
    for step in steps:
        config = step.get("config") or {}
        branches = config.get("branches") or []
        lists = [*(branches.values() if isinstance(branches, dict) else branches)]
        inside = sum(_executions(each) for each in [*lists, config.get("default") or []])
        count += 1 + inside + _ITERATIONS * _executions(config.get("body") or [])
    return count


class _Effectful:
    """Makes a drawn definition real."""

    def __init__(self, chance: random.Random, mark: str) -> None:
        self._chance = chance
        self._mark = mark
        self._labels = 0

    def of(self, document: dict[str, Any]) -> dict[str, Any]:
        """The definition with real actions and one possible ending."""
        for key in ("timeout", "on_timeout", "timeout_includes_suspension", "on_error"):
            document.pop(key, None)
        for step in drawn.steps_of(document):
            self._mend(step)
        document["inputs"] = {
            "go": self._chance.random() < 0.8,
            "key": self._chance.choice(("true", "v1.2", "other")),
            "list": list(range(_ITERATIONS)),
            "name": "named",
        }
        document["output"] = {"key": "${{inputs.key}}"}
        return document

    def _mend(self, step: dict[str, Any]) -> None:
        step.pop("timeout", None)
        if isinstance(step.get("on_interrupt"), dict | str):
            step["on_interrupt"] = "ask" if self._chance.random() < 0.2 else "retry"
        if "retry" in step:
            step["retry"] = {"max": step["retry"]["max"], "backoff": "constant", "delay": "10ms"}
        if step.get("on_error", {}).get("strategy") in {"fail_workflow", "retry"}:
            del step["on_error"]
        if "action" in step:
            self._act(step)
        config = step.get("config", {})
        config.pop("timeout", None)
        if step.get("type") == "loop":
            self._mend_loop(config)
        elif step.get("type") == "parallel":
            config["mode"] = "all"
        elif step.get("type") == "wait" and "duration" in config:
            config["duration"] = self._chance.choice(("0", "30ms", "200ms"))
        elif step.get("type") == "reasoning":
            config.pop("fallback", None)

    def _act(self, step: dict[str, Any]) -> None:
        if step["action"] == "workflow.run":
            step["params"] = {"template_name": "other"}
            step.pop("on_interrupt", None)
            return
        if "on_error" in step and self._chance.random() < 0.5:
            step |= {"action": "assert.equals", "params": {"expected": 1, "actual": 2}}
            return
        self._labels += 1
        kept = {key: value for key, value in step.items() if key not in {"action", "params"}}
        kept.setdefault("on_interrupt", "retry")
        name = kept.pop("id")
        kind = self._chance.random()
        if kind < 0.15:
            made = shell_step(name, self._mark, self._chance.randint(1, 3), **kept)
        elif kind < 0.75:
            made = append_step(name, f"{self._labels}", **kept)
        else:
            hashed = {"action": "crypto.hash", "params": {"data": "${{inputs.key}}"}}
            made = {"id": name, **hashed, **kept}
        step.clear()
        step.update(made)

    def _mend_loop(self, config: dict[str, Any]) -> None:
        if config.get("mode") == "while":
            config["condition"] = f"iter.index < {_ITERATIONS}"
        elif config.get("mode") == "until":
            config["condition"] = "iter.index >= 1"
