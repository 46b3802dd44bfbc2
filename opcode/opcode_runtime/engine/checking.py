"""Judge the expressions of a definition that is being defined: what they are as written, and what they name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opcode_runtime.core.names import KnownSteps
from opcode_runtime.engine.secret_places import misplaced_in_inputs
from opcode_runtime.expressions import (
    Compiled,
    compile_data_inject,
    compile_expression,
    compile_over,
    compile_template,
)
from opcode_runtime.model.errors import ErrorCode, OpcodeError, Problem

Found = tuple[tuple[str, Compiled], ...]


def expression_problems(
    value: Any, kind: str, names: KnownSteps, inputs: Collection[str] | None
) -> list[Problem]:
    """Problems of the expressions in `value`: syntax, steps and inputs that do not exist."""
    try:
        found = _compiled(value, kind, names)
    except OpcodeError as error:
        return list(error.problems) or [Problem(error.pointer or "", error.code, error.message)]
    except TypeError:
        return []  # not a string where one is wanted: the shape check has said so
    problems = [
        Problem(where, ErrorCode.VALIDATION_ERROR, message)
        for where, compiled in found
        for message in unknown_names(compiled, names, inputs)
    ]
    return problems + misplaced_in_inputs(found, value) if kind == "inputs" else problems


def expression_warnings(
    value: Any, kind: str, names: KnownSteps, _inputs: Collection[str] | None
) -> list[Problem]:
    """What is not wrong, but may not be meant: a text handed to an agent that looks like no reference."""
    if kind != "data_inject":
        return []
    warning = compile_data_inject(value, step_ids=names).warning
    return [Problem("", ErrorCode.VALIDATION_ERROR, warning)] if warning else []


def _compiled(value: Any, kind: str, names: KnownSteps) -> Found:
    if kind == "guard":
        return (("", compile_expression(value, step_ids=names)),)
    if kind == "over":
        return compile_over(value, step_ids=names).expressions
    if kind == "data_inject":
        return compile_data_inject(value, step_ids=names).template.expressions
    takes_secrets = kind in {"params", "inputs"}
    return compile_template(value, step_ids=names, takes_secrets=takes_secrets).expressions


def unknown_names(
    compiled: Compiled, names: KnownSteps, inputs: Collection[str] | None
) -> list[str]:
    """What an expression names that is not there, as messages."""
    roots = compiled.roots
    messages = [f"there is no namespace {name!r}" for name in sorted(roots.unknown)]
    messages += [f"there is no step {name!r}" for name in sorted(roots.steps) if name not in names]
    if "loop" in roots.namespaces and not names.in_loop:
        messages.append("'loop' means something only inside a loop")
    if not names.in_error_hook and _names_error(compiled):
        messages.append("'workflow.error' means something only in the on_error hook")
    if inputs is not None:
        known = ", ".join(sorted(inputs)) or "none"
        messages += [
            f"input {name!r} is not declared; declared: {known}"
            for name in sorted(roots.inputs)
            if name not in inputs
        ]
    return messages


def _names_error(compiled: Compiled) -> bool:
    return any(root == "workflow" and keys[:1] == ("error",) for root, keys in compiled.paths)
