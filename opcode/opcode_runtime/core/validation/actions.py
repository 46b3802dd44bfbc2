"""Actions and their parameters: an action that is there, parameters that fit its schema, repairs where not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

from opcode_runtime.core.validation.findings import Findings, Patch, below, pointer, replace, shown
from opcode_runtime.core.validation.kinds import NOTHING, is_open, mend
from opcode_runtime.core.validation.patching import apply_patch, parts_of, value_at
from opcode_runtime.core.validation.shape import CONFIGURED
from opcode_runtime.model.action import ActionSpec
from opcode_runtime.model.errors import ErrorCode, Problem

ParamsCheck = Callable[[ActionSpec, dict[str, Any]], tuple[list[Problem], list[Problem]]]
"""Checks parameters against an action; returns errors and warnings with pointers into the parameters."""


def check_action(
    found: Findings,
    where: str,
    step: dict[str, Any],
    actions: Mapping[str, ActionSpec],
    check: ParamsCheck,
    plugin_prefixes: Collection[str],
) -> None:
    """Check the action of a step and its parameters.

    Arguments:
        plugin_prefixes: what the names of actions of configured plugins begin with, without the dot.
    """
    name = step.get("action")
    if not isinstance(name, str) or step.get("type", "action") in CONFIGURED:
        return
    spec = actions.get(name)
    if spec is None:
        _say_no_action(found, where + pointer("action"), name, actions, plugin_prefixes)
        return
    params = step.get("params", {})
    if isinstance(params, dict):
        errors, warnings = check(spec, params)
        mended = [_mended(problem, spec, params, check) for problem in errors]
        found.errors.extend(below(where + pointer("params"), mended))
        found.warnings.extend(below(where + pointer("params"), warnings))


def _say_no_action(
    found: Findings,
    at: str,
    name: str,
    actions: Mapping[str, ActionSpec],
    plugin_prefixes: Collection[str],
) -> None:
    prefix, dot, _ = name.partition(".")
    if dot and prefix in plugin_prefixes:
        found.warning(
            at,
            f"action {shown(name)} belongs to plugin {prefix!r}, which is not connected: it cannot be checked",
            code=ErrorCode.ACTION_UNAVAILABLE,
        )
        return
    same_end = [each for each in actions if each.rpartition(".")[2] == name.strip().casefold()]
    meant = same_end[0] if len(same_end) == 1 else found.meant(name, actions)
    found.error(
        at,
        f"there is no action {shown(name)}",
        code=ErrorCode.ACTION_UNAVAILABLE,
        did_you_mean=meant,
        patch=replace(at, meant) if meant else None,
    )


def _mended(
    problem: Problem, spec: ActionSpec, params: dict[str, Any], check: ParamsCheck
) -> Problem:
    """The problem with the first repair after which there is one problem less."""
    if problem.patch is not None:
        return problem
    before = len(check(spec, params)[0])
    for patch in _patches(problem, spec.params or {}, params):
        try:
            changed = apply_patch(params, patch)
        except ValueError:
            return problem
        if len(check(spec, changed)[0]) < before:
            value = patch[0].get("value")
            meant = value if isinstance(value, str) else None
            return msgspec.structs.replace(problem, patch=patch, did_you_mean=meant)
    return problem


def _patches(problem: Problem, schema: dict[str, Any], params: dict[str, Any]) -> Iterator[Patch]:
    yield from _renames(problem, schema, params)
    try:
        value = value_at(params, problem.pointer)
    except LookupError:
        return
    rule = _rule_at(schema, problem.pointer)
    for guess in _guesses(rule, value):
        if guess is not NOTHING and guess is not None:
            yield replace(problem.pointer, guess)


def _renames(problem: Problem, schema: dict[str, Any], params: dict[str, Any]) -> Iterator[Patch]:
    """The only parameter that is unknown may be the only one that is missing."""
    known = schema.get("properties", {})
    missing = [name for name in schema.get("required", ()) if name not in params]
    strange = [name for name in params if name not in known]
    if problem.pointer == "" and len(missing) == 1 and len(strange) == 1:
        yield [{"op": "move", "from": pointer(strange[0]), "path": pointer(missing[0])}]


def _rule_at(schema: Any, place: str) -> dict[str, Any]:
    """What a schema says about the value at a pointer; nothing where it does not say."""
    for part in parts_of(place):
        if not isinstance(schema, dict):
            return {}
        known = schema.get("properties", {})
        inner = known.get(part, schema.get("additionalProperties"))
        schema = schema.get("items") if part.isdigit() and part not in known else inner
    return schema if isinstance(schema, dict) else {}


def _guesses(rule: dict[str, Any], value: Any) -> Iterator[Any]:
    allowed = [each for each in rule.get("enum", ()) if isinstance(each, str)]
    if allowed and isinstance(value, str):
        yield Findings().meant(value, allowed)
    if rule.get("x-duration") and not is_open(value):
        yield mend("duration", value)
    kinds = rule.get("type", ())
    for kind in (kinds,) if isinstance(kinds, str) else kinds:
        yield from _of_kind(kind, rule, value)


def _of_kind(kind: str, rule: dict[str, Any], value: Any) -> Iterator[Any]:
    if kind == "array":
        items = rule.get("items", {})
        yield mend("strings", value) if items.get("type") == "string" else mend("array", value)
        yield [value]
    elif kind == "object":
        yield mend("object", value)
    elif kind == "boolean":
        yield mend("boolean", value)
    elif kind in {"integer", "number"}:
        yield mend("count", value)
