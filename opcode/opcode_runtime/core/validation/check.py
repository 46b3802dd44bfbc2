"""The whole check of a definition, in the order in which its parts can be judged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from opcode_runtime.core.validation.findings import Findings, pointer
from opcode_runtime.core.validation.graph import (
    Steps,
    check_cycles,
    check_ids,
    check_references,
    written_ids,
)
from opcode_runtime.core.validation.shape import check_object
from opcode_runtime.model.action import ActionSpec
from opcode_runtime.model.definition import Definition
from opcode_runtime.model.errors import ErrorCode, Problem

ParamsCheck = Callable[[ActionSpec, dict[str, Any]], tuple[list[Problem], list[Problem]]]
"""Checks parameters against an action; returns errors and warnings with pointers into the parameters."""

ExpressionCheck = Callable[[Any, str, Collection[str], Collection[str] | None], list[Problem]]
"""Checks the expressions in a value (`kind` is `template` or `guard`): (value, kind, step ids, declared inputs)."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What the shell lends to the check: the actions, and judges of parameters and expressions."""

    actions: Mapping[str, ActionSpec]
    params: ParamsCheck
    expressions: ExpressionCheck
    steps_max: int


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
    check_object(found, "", document, "workflow")
    raw = document.get("steps")
    if not isinstance(raw, list) or not _fits(found, raw, checks.steps_max):
        return
    steps = _steps(found, raw)
    for index, step in steps:
        check_object(found, pointer("steps", index), step, "step")
    places, ids = check_ids(found, steps), written_ids(steps)
    check_references(found, steps, ids)
    check_cycles(found, steps, places)
    inputs = _declared_inputs(document, schema)
    for index, step in steps:
        _check_action(found, index, step, checks)
        _check_expressions(found, index, step, checks, ids, inputs)
    for key in ("output", "context", "inputs"):
        problems = checks.expressions(document.get(key), "template", ids, inputs)
        found.errors.extend(_below(pointer(key), problems))


def _fits(found: Findings, raw: list[Any], steps_max: int) -> bool:
    if not raw:
        found.error("/steps", "a definition has at least one step")
    if len(raw) > steps_max:
        found.error("/steps", f"{len(raw)} steps; limits.steps_max is {steps_max}")
    return len(raw) <= steps_max


def _steps(found: Findings, raw: list[Any]) -> Steps:
    for index, step in enumerate(raw):
        if not isinstance(step, dict):
            found.error(pointer("steps", index), "a step must be an object")
    return [(index, step) for index, step in enumerate(raw) if isinstance(step, dict)]


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


def _check_action(found: Findings, index: int, step: dict[str, Any], checks: Checks) -> None:
    where = pointer("steps", index, "action")
    name = step.get("action")
    if name is None and step.get("type", "action") == "action":
        found.error(pointer("steps", index), "a step of type action needs an 'action'")
    if not isinstance(name, str):
        return
    spec = checks.actions.get(name)
    if spec is None:
        meant = found.meant(name, checks.actions)
        patch = [{"op": "replace", "path": where, "value": meant}] if meant else None
        found.error(
            where,
            f"there is no action {name!r}",
            code=ErrorCode.ACTION_UNAVAILABLE,
            did_you_mean=meant,
            patch=patch,
        )
        return
    params = step.get("params", {})
    if isinstance(params, dict):
        errors, warnings = checks.params(spec, params)
        found.errors.extend(_below(pointer("steps", index, "params"), errors))
        found.warnings.extend(_below(pointer("steps", index, "params"), warnings))


def _check_expressions(
    found: Findings,
    index: int,
    step: dict[str, Any],
    checks: Checks,
    ids: Collection[str],
    inputs: Collection[str] | None,
) -> None:
    for key, kind in (("params", "template"), ("condition", "guard")):
        if key in step:
            problems = checks.expressions(step[key], kind, ids, inputs)
            found.errors.extend(_below(pointer("steps", index, key), problems))


def _below(prefix: str, problems: list[Problem]) -> list[Problem]:
    """The same problems, with their pointers (and those of their patches) moved below `prefix`."""
    return [
        msgspec.structs.replace(
            problem, pointer=prefix + problem.pointer, patch=_move_patch(prefix, problem.patch)
        )
        for problem in problems
    ]


def _move_patch(prefix: str, patch: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    if patch is None:
        return None
    moved = ("path", "from")
    return [{k: prefix + v if k in moved else v for k, v in op.items()} for op in patch]
