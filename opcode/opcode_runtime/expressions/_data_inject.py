"""What a reasoning step hands to its agent.

Rule 1: a text with `${{ }}` is a template; any other text is itself one reference or expression, if it parses and names
a namespace.
Rule 2: any other text is a literal, with a warning: `2024-01-15` parses, yet was not meant to be worked out.
Rule 3: what is no text is JSON, whose strings may hold `${{ }}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opcode_runtime.expressions._cel_compiler import SECRETS_STAND
from opcode_runtime.expressions._compiled import Compiled, StepIds, compile_expression
from opcode_runtime.expressions._failures import shortened
from opcode_runtime.expressions._templates import CompiledTemplate, compile_template, template_of
from opcode_runtime.model.errors import OpcodeError


@dataclass(frozen=True, slots=True)
class DataInject:
    """One value of `data_inject`.

    template: renders to the value.
    warning: why a text is taken as it is written, where one might expect otherwise; else None.
    """

    template: CompiledTemplate
    warning: str | None = None


def compile_data_inject(value: Any, *, step_ids: StepIds = ()) -> DataInject:
    """Compile one value of `data_inject`.

    Raises:
        OpcodeError: VALIDATION_ERROR for a template that is wrong as written, and for a reference to a secret.
    """
    if not isinstance(value, str) or "${{" in value:
        return DataInject(compile_template(value, step_ids=step_ids))
    compiled = _reference(value, step_ids)
    if isinstance(compiled, Compiled):
        return DataInject(template_of(compiled))
    shown = shortened(value, 60)
    message = f"{shown!r} {compiled}, so it is handed on as it is written"
    return DataInject(compile_template(value), message)


def _reference(text: str, step_ids: StepIds) -> Compiled | str:
    """The expression that a text is, or why it is none."""
    try:
        compiled = compile_expression(text, step_ids=step_ids)
    except OpcodeError as error:
        if error.message.startswith(SECRETS_STAND[:40]):
            raise
        return "is no expression"
    return compiled if compiled.roots.namespaces else "names no namespace"
