"""The whole check of a definition, in the order in which its parts can be judged.

Rule 1: first the shape: keys, kinds, types and their configs, ids. Then what refers to something else, judged against
the document as its repairs will leave it, so that a misspelt key does not make errors of everything that names what is
below it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from opcode_runtime.core.names import KnownSteps, StepNames
from opcode_runtime.core.validation.actions import ParamsCheck, check_action
from opcode_runtime.core.validation.configs import seconds_of
from opcode_runtime.core.validation.expressions import (
    ExpressionCheck,
    Judge,
    NamesHere,
    check_value,
    expressions_of,
)
from opcode_runtime.core.validation.findings import Findings, pointer
from opcode_runtime.core.validation.graph import check_cycles
from opcode_runtime.core.validation.ids import check_ids, orphans_of
from opcode_runtime.core.validation.kinds import is_open
from opcode_runtime.core.validation.lists import HOOKS, StepList, count_steps, step_lists
from opcode_runtime.core.validation.patching import as_meant
from opcode_runtime.core.validation.references import Place, check_references
from opcode_runtime.core.validation.steps import check_step
from opcode_runtime.core.validation.top import check_top
from opcode_runtime.model.action import ActionSpec
from opcode_runtime.model.definition import Definition
from opcode_runtime.model.errors import Problem

NESTING_MAX = 8
_RETRIES_USUAL = 10


def _no_problems(
    value: Any, kind: str, names: KnownSteps, inputs: Collection[str] | None
) -> list[Problem]:
    return []


@dataclass(frozen=True, slots=True)
class Checks:
    """What the shell lends to the check: the actions, judges of parameters and expressions, limits.

    plugin_prefixes: what the names of actions of plugins begin with that the settings name, connected or not.
    expression_warnings: as `expressions`, for what does not block; asked only where `expressions` finds nothing.
    """

    actions: Mapping[str, ActionSpec]
    params: ParamsCheck
    expressions: ExpressionCheck
    steps_max: int
    nesting_max: int = NESTING_MAX
    plugin_prefixes: Collection[str] = ()
    expression_warnings: ExpressionCheck = _no_problems


@dataclass(frozen=True, slots=True)
class Checked:
    """The result: a definition when there are no errors."""

    definition: Definition | None
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def validate(
    document: Any, checks: Checks, *, input_schema: dict[str, Any] | None = None
) -> Checked:
    """Check `document` whole; all problems at once."""
    found = Findings()
    if not isinstance(document, dict):
        found.error("", "a definition must be an object")
    else:
        _check(found, document, checks, input_schema)
    definition = None if found.errors else msgspec.convert(document, Definition)
    return Checked(definition, tuple(found.errors), tuple(found.warnings))


def _check(
    found: Findings, document: dict[str, Any], checks: Checks, schema: dict[str, Any] | None
) -> None:
    if not check_top(found, document) or not _fits(found, document, checks):
        return
    lists = [
        each for each in step_lists(document, checks.nesting_max) if _is_read(found, each, checks)
    ]
    places = _check_alone(found, document, lists, checks)
    view = _View(document, lists, found)
    for each in lists:
        check_references(found, each, view.place(each))
    inner = [other for other in lists if other.owner and other.hook is None]
    for each in lists:
        check_cycles(found, each, places[each.where], inner if each.where == "/steps" else ())
    inputs = _declared_inputs(document, schema)
    judge = Judge(checks.expressions, checks.expression_warnings, inputs)
    for each in lists:
        _check_steps(found, each, checks, view, judge)
    _check_values(found, document, view.names(lists[0]), judge)
    _check_times(found, document, lists)


def _check_values(
    found: Findings, document: dict[str, Any], names: NamesHere, judge: Judge
) -> None:
    """Check the expressions beside the steps."""
    for key, kind in (("output", "template"), ("context", "template"), ("inputs", "inputs")):
        check_value(found, pointer(key), document.get(key), kind, names, judge)
    if is_open(document.get("timeout")):
        check_value(found, "/timeout", document["timeout"], "template", names, judge)


def _fits(found: Findings, document: dict[str, Any], checks: Checks) -> bool:
    if not document["steps"]:
        found.error("/steps", "a definition has at least one step")
    hooks = [document[key] for key in HOOKS if isinstance(document.get(key), dict)]
    count = count_steps([*document["steps"], *hooks], checks.steps_max)
    if count > checks.steps_max:
        exact = len(document["steps"]) > checks.steps_max
        said = f"{len(document['steps'])} steps" if exact else f"more than {checks.steps_max} steps"
        found.error("/steps", f"{said}; limits.steps_max is {checks.steps_max}")
    return count <= checks.steps_max


def _is_read(found: Findings, each: StepList, checks: Checks) -> bool:
    if each.depth > checks.nesting_max:
        found.error(
            each.where, f"nested {each.depth} deep; limits.nesting_max is {checks.nesting_max}"
        )
    return each.depth <= checks.nesting_max


def _check_alone(
    found: Findings, document: dict[str, Any], lists: list[StepList], checks: Checks
) -> dict[str, dict[str, str]]:
    """Check what can be judged step by step, and the ids; where the good ones are, by list."""
    places: dict[str, dict[str, str]] = {}
    taken: dict[str, str] = {}
    shared = {name for each in lists if not each.owner for name in each.ids()}
    orphans = orphans_of(document, {name for each in lists for name in each.ids()})
    for each in lists:
        for at in each.broken:
            found.error(at, "a step must be an object")
        for where, step in each.steps:
            check_step(found, where, step, checks.actions)
        if each.owner:
            places[each.where] = check_ids(found, each, {}, each.ids(), orphans)
        else:
            places[each.where] = check_ids(found, each, taken, shared, orphans)
    return places


class _View:
    """The names of a definition, as written and as its repairs will leave them."""

    def __init__(self, document: dict[str, Any], lists: list[StepList], found: Findings) -> None:
        self._by_pointer = {each.where: each for each in lists}
        self._meant = StepNames(())
        if found.errors:
            meant = as_meant(document, [problem.patch for problem in found.errors])
            steps = meant.get("steps") if isinstance(meant, dict) else None
            self._meant = StepNames(steps if isinstance(steps, list) else ())
        top = [each for each in lists if not each.owner]
        self._top = {name for each in top[:1] for name in each.ids()} | set(self._meant.ids)
        self._hooks = {name for each in top[1:] for name in each.ids()}
        self._all: dict[str, str] = {}
        for each in lists:
            for name, where in each.ids().items():
                self._all.setdefault(name, where)

    def place(self, each: StepList) -> Place:
        """What the references of a list may name."""
        if each.is_hook:
            return Place((), self._top, self._hooks, self._all)
        meant = self._meant.lists.get(each.path)
        own = set(each.ids()) | set(meant.ids if meant else ())
        hooks = self._hooks - own
        return Place(own, self._top, hooks, self._all)

    def names(self, each: StepList) -> NamesHere:
        """What expressions in a list may name."""
        return self._here(each, each.names, each.path, None)

    def names_inside(self, each: StepList, where: str, step_id: Any) -> NamesHere:
        """What the condition of a loop may name: what its body may."""
        body = self._by_pointer.get(where + pointer("config", "body"))
        names = each.names if body is None else body.names
        path = each.names.find(step_id) if isinstance(step_id, str) else None
        return self._here(each, names, f"{path}.iter", True)

    def _here(self, each: StepList, names: StepNames, path: str, in_loop: bool | None) -> NamesHere:
        meant = self._meant.lists.get(path, self._meant).known()
        return NamesHere(names, meant, in_loop=in_loop, in_error_hook=each.hook == "on_error")


def _check_steps(
    found: Findings, each: StepList, checks: Checks, view: _View, judge: Judge
) -> None:
    names = view.names(each)
    for where, step in each.steps:
        check_action(found, where, step, checks.actions, checks.params, checks.plugin_prefixes)
        step_id = step.get("id")
        inside = view.names_inside(each, where, step_id) if step.get("type") == "loop" else names
        for at, value, kind, here in expressions_of(step, names, inside):
            check_value(found, where + at, value, kind, here, judge, own_id=step_id)


def _declared_inputs(
    document: dict[str, Any], schema: dict[str, Any] | None
) -> Collection[str] | None:
    """The inputs that may be named; None when anything may."""
    if schema is None:
        return None
    inputs = document.get("inputs")
    properties = schema.get("properties")
    names = set(inputs if isinstance(inputs, dict) else ())
    return names | set(properties if isinstance(properties, dict) else ())


def _check_times(found: Findings, document: dict[str, Any], lists: list[StepList]) -> None:
    """Warn of policies that take long, and of decisions that outlast the workflow."""
    counts = document.get("timeout_includes_suspension") is True
    limit = seconds_of(document.get("timeout")) if counts else 0.0
    for each in lists:
        for where, step in each.steps:
            retry, config = step.get("retry"), step.get("config")
            most = retry.get("max") if isinstance(retry, dict) else None
            if isinstance(most, int) and most > _RETRIES_USUAL:
                message = f"{most} retries may delay a failure for long"
                found.warning(where + pointer("retry", "max"), message)
            waits = seconds_of(config.get("timeout")) if isinstance(config, dict) else 0.0
            if limit and waits > limit and step.get("type") == "reasoning":
                found.warning(
                    where + pointer("config", "timeout"),
                    "the decision's timeout is longer than the workflow's, which counts while suspended",
                )
