"""Random definitions, as an agent would write them: JSON, valid, of every step type, nested up to depth 8.

`definition` draws one from a source of chance; `definitions()` is the same for Hypothesis.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import strategies as st

from opcode_runtime.core.plan import Limits, Plan
from opcode_runtime.core.planning import build_plan
from opcode_runtime.core.validation import Checks, validate
from opcode_runtime.model.action import ActionSpec
from opcode_runtime.model.definition import Definition, Template
from opcode_runtime.model.errors import Problem

ACTIONS = {
    "test.pure": ActionSpec("test.pure", "pure"),
    "test.look": ActionSpec("test.look", "read_only"),
    "test.act": ActionSpec("test.act", "effectful"),
    "workflow.run": ActionSpec("workflow.run", "effectful"),
}
"""The actions that drawn definitions use: one of each kind, and the one that runs another workflow."""

CHECKS = Checks(ACTIONS, lambda _spec, _params: ([], []), lambda *_: [], steps_max=2_000)
"""Checks that know these actions and find no fault with parameters and expressions."""

STEPS_MAX = 60
DEPTH_MAX = 8

_STRATEGIES = ("ignore", "fail_workflow", "fallback_step", "fallback_step", "retry")
_PLAIN = ("test.pure", "test.look", "test.act", "test.act", "action", "action")
_REST = ("workflow.run", "wait", "reasoning")
_FLOWS = ("condition", "loop", "parallel")


def definitions(steps_max: int = STEPS_MAX) -> st.SearchStrategy[dict[str, Any]]:
    """Valid definitions of 1 to `steps_max` steps, those of all bodies counted; most of them small."""
    size = st.integers(1, min(8, steps_max)) | st.integers(1, steps_max)
    return st.builds(definition, st.randoms(use_true_random=False), size)


def definition(chance: random.Random, steps: int) -> dict[str, Any]:
    """A valid definition of at most `steps` steps, hooks not counted."""
    author = _Author(chance, steps)
    document: dict[str, Any] = {"steps": author.top()}
    for hook, name in (("on_complete", "bye"), ("on_error", "sorry")):
        if chance.random() < 0.25:
            author.left = 3
            document[hook] = author.step([name], 0, 0)
    if chance.random() < 0.3:
        document["timeout"] = "30s"
        document["on_timeout"] = chance.choice(("fail", "cancel", "suspend"))
        document["timeout_includes_suspension"] = chance.random() < 0.5
    if chance.random() < 0.1:
        document["recovery"] = "suspend"
    _untangle(document)
    return document


class _Author:
    """Writes lists of steps as long as there are some `left` to write."""

    def __init__(self, chance: random.Random, steps: int) -> None:
        self.chance = chance
        self.left = steps
        self.deep = chance.random() < 0.15
        self.outer: list[str] = []
        self.standins: list[str] = []

    def top(self) -> list[dict[str, Any]]:
        """The top level; a deep definition has few steps there."""
        most = max(1, self.left // 6) if self.deep else self.left
        count = self.chance.randint((most + 2) // 3, most)
        self.outer = [_name(index) for index in range(count)]
        self.left -= len(self.outer)
        written = self._steps(self.outer, 0)
        self.chance.shuffle(written)
        return written

    def _list(self, depth: int, least: int = 0) -> list[dict[str, Any]]:
        """A list inside a step; its names are those of other lists too."""
        count = min(self.left, self.chance.randint(least, 2 if self.deep else 5))
        self.left -= count
        return self._steps([_name(index, "n") for index in range(count)], depth)

    def _steps(self, names: list[str], depth: int) -> list[dict[str, Any]]:
        self.standins = self.chance.sample(names, min(3, len(names)))
        ordered = depth > 0 and self.chance.random() < 0.6
        steps = [self.step(names, index, depth) for index in range(len(names))]
        if ordered:
            for step in steps:
                step.pop("depends_on", None)
        return steps

    def step(self, names: list[str], index: int, depth: int) -> dict[str, Any]:
        """One step: what it is, what it waits for, and how it takes trouble."""
        chance, earlier = self.chance, names[:index]
        standins = [name for name in self.standins if name in names[index + 1 :]]
        step: dict[str, Any] = {"id": names[index]} | self._kind(depth)
        if earlier and chance.random() < 0.6:
            step["depends_on"] = chance.sample(earlier, chance.randint(1, min(3, index)))
        if chance.random() < 0.15:
            step["condition"] = "inputs.go"
        if chance.random() < 0.35:
            step["retry"] = self._retry()
        if chance.random() < 0.45:
            step["on_error"] = self._on_error(standins or names[index + 1 :])
        if "action" in step and chance.random() < 0.5:
            step["on_interrupt"] = self._on_interrupt(names[index + 1 :])
        if step.get("action") in {None, "workflow.run"} and chance.random() < 0.25:
            step["timeout"] = "10s"
        return step

    def _kind(self, depth: int) -> dict[str, Any]:
        chance = self.chance
        kinds: tuple[str, ...] = _PLAIN + _REST
        if self.left and depth < DEPTH_MAX:
            kinds = _FLOWS if self.deep and chance.random() < 0.7 else kinds + _FLOWS
        kind = chance.choice(kinds)
        if kind in _FLOWS:
            inside = {"condition": self._condition, "loop": self._loop, "parallel": self._parallel}
            return {"type": kind, "config": inside[kind](depth + 1)}
        if kind == "wait":
            return {"type": kind, "config": self._wait()}
        if kind == "reasoning":
            return {"type": kind, "config": self._question()}
        action = kind if "." in kind else "test.act"
        params = {"workflow": "other"} if kind == "workflow.run" else {"text": "x"}
        return {"action": action, "params": params}

    def _condition(self, depth: int) -> dict[str, Any]:
        keys = self.chance.sample(("true", "false", "v1.2", "#3"), self.chance.randint(1, 3))
        config: dict[str, Any] = {
            "expression": "inputs.key",
            "branches": {key: self._list(depth) for key in keys},
        }
        if self.chance.random() < 0.5:
            config["default"] = self._list(depth)
        return config

    def _loop(self, depth: int) -> dict[str, Any]:
        chance = self.chance
        mode = chance.choice(("for_each", "for_each", "while", "until"))
        config: dict[str, Any] = {"body": self._list(depth, least=1)}
        config |= {"over": "inputs.list"} if mode == "for_each" else {"condition": "inputs.more"}
        if mode != "for_each" or chance.random() < 0.5:
            config["mode"] = mode
        if chance.random() < 0.4:
            config["max_iter"] = chance.randint(1, 3)
        if mode == "for_each" and chance.random() < 0.6:
            config["max_concurrency"] = chance.randint(1, 3)
        return config

    def _parallel(self, depth: int) -> dict[str, Any]:
        chance = self.chance
        branches = [self._list(depth) for _ in range(chance.randint(1, 3))]
        config: dict[str, Any] = {"branches": branches, "mode": chance.choice(("all", "race"))}
        if chance.random() < 0.3:
            config["max_concurrency"] = chance.randint(1, 2)
        return config

    def _wait(self) -> dict[str, Any]:
        kept = {"duration": self.chance.choice(("0", "1s", "5m"))}
        awaited = {"signal": self.chance.choice(("go", "stop", "${{inputs.name}}"))}
        return self.chance.choice((kept, awaited))

    def _question(self) -> dict[str, Any]:
        chance = self.chance
        config: dict[str, Any] = {"prompt_context": "well?"}
        if chance.random() < 0.7:
            config["options"] = [{"id": "yes"}, {"id": "no"}] if chance.random() < 0.7 else []
        if chance.random() < 0.3:
            config["fallback"] = "no"
        if chance.random() < 0.4:
            config["timeout"] = chance.choice(("10s", "1h"))
        if chance.random() < 0.2:
            config["target_agent"] = "bob"
        return config

    def _retry(self) -> dict[str, Any]:
        chance = self.chance
        policy: dict[str, Any] = {
            "max": chance.randint(0, 3),
            "backoff": chance.choice(("none", "constant", "linear", "exponential")),
            "delay": chance.choice(("0", "10ms", "1.5s")),
        }
        if chance.random() < 0.3:
            policy |= {"max_delay": "2s", "jitter": chance.choice((0, 0.5, 1))}
        return policy

    def _on_error(self, later: list[str]) -> dict[str, Any]:
        strategy = self.chance.choice(_STRATEGIES)
        if strategy != "fallback_step":
            return {"strategy": strategy}
        targets = self.outer if self.chance.random() < 0.2 else later
        if not targets:
            return {"strategy": "ignore"}
        return {"strategy": strategy, "fallback_step": self.chance.choice(targets)}

    def _on_interrupt(self, later: list[str]) -> Any:
        if later and self.chance.random() < 0.3:
            return {"verify": self.chance.choice(later)}
        return self.chance.choice(("retry", "retry", "ask", "fail"))


def _name(index: int, letter: str = "s") -> str:
    """Mostly plain; some need encoding in a path."""
    return f"{letter}{index}" if index % 7 != 5 else f"{letter}%{index}"


def problems(document: Any) -> tuple[Problem, ...]:
    """What is wrong with a definition; nothing is said of its parameters and expressions."""
    return validate(document, CHECKS).errors


def is_valid(document: Any) -> bool:
    """Whether a definition is accepted."""
    return not problems(document)


def _untangle(document: dict[str, Any]) -> None:
    """Take away from the steps that are found fault with what they say of others, until none is."""
    while found := problems(document):
        for problem in found:
            around = _step_at(document, problem.pointer)
            near = [*steps_of({"steps": [around]}), *steps_of(document)]
            if not any(_loosened(step) for step in near):
                raise AssertionError(f"{problem.pointer}: {problem.message}")


def _loosened(step: dict[str, Any]) -> bool:
    """Whether a step said something of others, which it now says no more."""
    for key in ("on_error", "on_interrupt", "depends_on"):
        said = step.get(key)
        if isinstance(said, list) or (
            isinstance(said, dict) and {"fallback_step", "verify"} & {*said}
        ):
            del step[key]
            return True
    return False


def _step_at(document: dict[str, Any], pointer: str) -> dict[str, Any]:
    """The innermost step on the way to `pointer`."""
    node: Any = document
    step = document
    for key in pointer.split("/")[1:]:
        if not isinstance(node, list | dict):
            break
        node = node[int(key)] if isinstance(node, list) else node.get(key)
        if isinstance(node, dict) and "id" in node:
            step = node
    return step


def steps_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every step of a definition, those of bodies and hooks too."""
    waiting = [*document["steps"]]
    waiting += [document[hook] for hook in ("on_complete", "on_error") if hook in document]
    while waiting:
        step = waiting.pop()
        yield step
        config = step.get("config") or {}
        branches = config.get("branches") or []
        lists = [*(branches.values() if isinstance(branches, dict) else branches)]
        lists += [config.get("body") or [], config.get("default") or []]
        waiting += [inner for each in lists for inner in each]


def plan_of(document: dict[str, Any], limits: Limits | None = None) -> Plan:
    """Prepare a valid definition."""
    template = Template("drawn", "v1", "digest", document)
    return build_plan(template, msgspec.convert(document, Definition), ACTIONS, limits=limits)
