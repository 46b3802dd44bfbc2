"""The part of a scope that one expression names, as JSON to send to a worker, and back.

Rule 1: a worker sees no value that the expression does not name.
Rule 2: where a name leads nowhere, the names that there are go along (never their values), so that the error on the
other side lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from opcode_runtime.expressions._compiled import Compiled
from opcode_runtime.expressions._nodes import KeyNode
from opcode_runtime.expressions._scope import STEP_FIELDS, Scope, StepView, longest_id

_NAMES_MAX = 200


class _SentStep:
    """A step as it came over the pipe."""

    __slots__ = ("attempts", "child_workflow_id", "error", "output", "reason", "status")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.output = fields["output"]
        self.status: str = fields["status"]
        self.error: Mapping[str, Any] | None = fields["error"]
        self.reason: str | None = fields["reason"]
        self.attempts: int = fields["attempts"]
        self.child_workflow_id: str | None = fields["child_workflow_id"]


class _Partial(dict[str, Any]):
    """Part of a namespace; iterating over it gives the names of the whole."""

    def __init__(self, present: Mapping[str, Any], names: list[str]) -> None:
        super().__init__(present)
        self._names = names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names or super().__iter__())


def scope_parts(compiled: Compiled, scope: Scope) -> dict[str, Any]:
    """What a worker needs of `scope` to evaluate `compiled`: JSON values, shared with the scope and not copied."""
    parts: dict[str, Any] = {"names": {}}
    for root, keys in compiled.paths:
        namespace = "loop" if root == "iter" else root
        if namespace == "steps":
            _add_steps(parts, scope.steps, keys)
        elif getattr(scope, namespace) is not None:
            _add_members(parts, namespace, getattr(scope, namespace), keys)
    if scope.declared_inputs is not None and "inputs" in compiled.roots.namespaces:
        parts["declared_inputs"] = _declared(compiled, scope.declared_inputs)
    return parts


def scope_from_parts(parts: Mapping[str, Any]) -> Scope:
    """The scope that a worker evaluates in, from what `scope_parts` gave."""
    names = parts["names"]

    def partial(namespace: str) -> _Partial:
        return _Partial(parts.get(namespace, {}), names.get(namespace, []))

    steps = {step_id: _SentStep(fields) for step_id, fields in parts.get("steps", {}).items()}
    return Scope(
        steps=_Partial(steps, names.get("steps", [])),
        inputs=partial("inputs"),
        workflow=partial("workflow"),
        context=partial("context"),
        loop=partial("loop") if "loop" in parts else None,
        declared_inputs=parts.get("declared_inputs"),
    )


def _add_steps(
    parts: dict[str, Any], steps: Mapping[str, StepView], keys: tuple[KeyNode, ...]
) -> None:
    sent: dict[str, Any] = parts.setdefault("steps", {})
    step_id = longest_id(keys, steps)[0]
    if step_id is not None:
        sent[step_id] = _fields(steps[step_id])
    elif keys and isinstance(keys[0], str):
        parts["names"]["steps"] = list(islice(steps, _NAMES_MAX))
    else:
        sent.update((each, _fields(steps[each])) for each in steps)


def _add_members(
    parts: dict[str, Any], namespace: str, source: Mapping[str, Any], keys: tuple[KeyNode, ...]
) -> None:
    sent: dict[str, Any] = parts.setdefault(namespace, {})
    if not keys or not isinstance(keys[0], str):
        sent.update(source)
    elif keys[0] in source:
        sent[keys[0]] = source[keys[0]]
    else:
        parts["names"][namespace] = list(islice(source, _NAMES_MAX))


def _fields(view: StepView) -> dict[str, Any]:
    return {name: getattr(view, name, None) for name in STEP_FIELDS}


def _declared(compiled: Compiled, declared: Mapping[str, Any]) -> dict[str, Any]:
    if "inputs" in compiled.roots.whole:
        return dict(declared)
    return {name: declared[name] for name in compiled.roots.inputs if name in declared}
