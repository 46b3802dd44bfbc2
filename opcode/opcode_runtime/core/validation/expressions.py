"""Where expressions stand in a definition, what may be named there, and repairs for those that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Set
from dataclasses import dataclass
from typing import Any

import msgspec

from opcode_runtime.core.names import KnownSteps, StepNames
from opcode_runtime.core.validation.findings import Findings, below, pointer, replace
from opcode_runtime.core.validation.kinds import is_open
from opcode_runtime.core.validation.patching import value_at
from opcode_runtime.core.validation.wording import rewordings
from opcode_runtime.model.errors import Problem

ExpressionCheck = Callable[[Any, str, KnownSteps, Collection[str] | None], list[Problem]]
"""Checks the expressions in a value: (value, kind, names of steps there, declared inputs).

Kinds: `template` (any JSON, `${{ }}` in its strings), `params` and `inputs` (the same, where secrets may stand),
`guard` (one CEL expression), `over` (what a loop goes over, as text), `data_inject` (one value of it). Problems have
pointers into the value. The names also say `in_loop` and `in_error_hook`; declared inputs are None when any may be
named.
"""

_REPAIRS_MAX = 200
_TEXT_CHARS_MAX = 2_000
"""Every repair is compiled to see whether it repairs: after so many strings, and for longer ones, there is none."""

_GUARDS = {"condition": ("expression",), "loop": ("condition",)}
_TEMPLATES = {
    "wait": ("signal",),
    "reasoning": ("prompt_context", "target_agent", "fallback"),
}
_DURATIONS = {"wait": ("duration",), "reasoning": ("timeout",)}


class NamesHere(KnownSteps):
    """The names at one place, and those that will be known there when the shape is repaired."""

    __slots__ = ("_meant",)

    def __init__(
        self,
        names: StepNames,
        meant: Set[str] = frozenset(),
        *,
        in_loop: bool | None = None,
        in_error_hook: bool = False,
    ) -> None:
        super().__init__(names, in_loop=in_loop, in_error_hook=in_error_hook)
        self._meant = meant

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._meant

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*super().__iter__(), *self._meant)))


class Usable(Set[str]):
    """All the names at one place, of which only some are listed as what may be meant."""

    def __init__(self, names: Set[str], listed: Set[str]) -> None:
        self._names = names
        self._listed = listed

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


@dataclass(slots=True)
class Judge:
    """The judges of expressions, with the declared inputs, and how many repairs were tried."""

    errors: ExpressionCheck
    warnings: ExpressionCheck
    inputs: Collection[str] | None
    repairs: int = 0


def check_value(
    found: Findings,
    where: str,
    value: Any,
    kind: str,
    names: KnownSteps,
    judge: Judge,
    *,
    own_id: Any = None,
) -> None:
    """Check the expressions of one value; those that are wrong come with a repair where one is found.

    Arguments:
        own_id: the step that the value belongs to: no repair names it.
    """
    problems = judge.errors(value, kind, names, judge.inputs)
    mended = [_mended(found, problem, value, kind, names, judge, own_id) for problem in problems]
    found.errors.extend(below(where, mended))
    if not problems:
        found.warnings.extend(below(where, judge.warnings(value, kind, names, judge.inputs)))


def _mended(
    found: Findings,
    problem: Problem,
    value: Any,
    kind: str,
    names: KnownSteps,
    judge: Judge,
    own_id: Any,
) -> Problem:
    """The problem with the first rewording that no judge finds fault with."""
    text = _text_at(value, problem.pointer)
    if problem.patch is not None or text is None or len(text) > _TEXT_CHARS_MAX:
        return problem
    if judge.repairs >= _REPAIRS_MAX or not found.may_compare():
        return problem
    judge.repairs += 1
    others = {name: None for name in names if name != own_id}.keys()
    found.comparisons += len(others)
    for candidate in rewordings(text, kind, Usable(names, others), judge.inputs):
        if not judge.errors(candidate, kind, names, judge.inputs):
            return msgspec.structs.replace(
                problem, did_you_mean=candidate, patch=replace(problem.pointer, candidate)
            )
    return problem


def _text_at(value: Any, place: str) -> str | None:
    try:
        text = value_at(value, place)
    except (LookupError, ValueError, TypeError):
        return None
    return text if isinstance(text, str) else None


def expressions_of(
    step: dict[str, Any], names: NamesHere, inside: NamesHere
) -> Iterator[tuple[str, Any, str, NamesHere]]:
    """Every value of a step that may hold expressions: pointer below the step, value, kind, names there.

    Arguments:
        inside: what can be named inside the body of this step, when it is a loop.
    """
    kind = step.get("type", "action")
    if "params" in step and kind == "action":
        yield pointer("params"), step["params"], "params", names
    if isinstance(step.get("condition"), str):
        yield pointer("condition"), step["condition"], "guard", names
    for at, value in _durations_of(step):
        yield at, value, "template", names
    rule = step.get("on_interrupt")
    if isinstance(rule, dict) and isinstance(rule.get("done"), str):
        yield pointer("on_interrupt", "done"), rule["done"], "guard", names
    config = step.get("config")
    if isinstance(kind, str) and isinstance(config, dict):
        for at, value, use in _of_config(kind, config):
            is_loop_test = kind == "loop" and at == "/condition"
            yield pointer("config") + at, value, use, inside if is_loop_test else names


def _durations_of(step: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The durations of a step that hold references."""
    retry = step.get("retry")
    policy = retry if isinstance(retry, dict) else {}
    written = (
        (pointer("timeout"), step.get("timeout")),
        (pointer("retry", "delay"), policy.get("delay")),
        (pointer("retry", "max_delay"), policy.get("max_delay")),
    )
    yield from ((at, str(value)) for at, value in written if is_open(value))


def _of_config(kind: str, config: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    for key in _GUARDS.get(kind, ()):
        if isinstance(config.get(key), str):
            yield pointer(key), config[key], "guard"
    for key in _TEMPLATES.get(kind, ()):
        if isinstance(config.get(key), str):
            yield pointer(key), config[key], "template"
    for key in _DURATIONS.get(kind, ()):
        if is_open(config.get(key)):
            yield pointer(key), config[key], "template"
    if kind == "loop" and (over := config.get("over")) is not None:
        yield pointer("over"), over, "over" if isinstance(over, str) else "template"
    elif kind == "reasoning":
        yield from _of_reasoning(config)


def _of_reasoning(config: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    injected, options = config.get("data_inject"), config.get("options")
    for key, value in injected.items() if isinstance(injected, dict) else ():
        yield pointer("data_inject", key), value, "data_inject"
    if isinstance(options, list):
        yield pointer("options"), options, "template"
