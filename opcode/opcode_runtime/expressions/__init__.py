"""Paths, CEL, jq and `${{ }}`: compiled when a workflow is defined, evaluated over what its names mean at one moment.

`compile_template` takes any JSON value with `${{ }}` in its strings; `compile_expression` takes the text of a guard or
condition; `compile_over` and `compile_data_inject` take what stands under these keys. What they return names its roots,
so that references can be checked, and says whether it may be evaluated in place or needs a killable worker
(`opcode_runtime.engine.expression_workers`).
"""

from opcode_runtime.expressions._budget import IN_PLACE, IN_WORKER, Limits
from opcode_runtime.expressions._compiled import (
    Compiled,
    Roots,
    StepIds,
    check_guard,
    compile_expression,
    evaluate,
)
from opcode_runtime.expressions._data_inject import DataInject, compile_data_inject
from opcode_runtime.expressions._failures import BudgetExceeded
from opcode_runtime.expressions._jq import compile_jq, jq_input, run_jq
from opcode_runtime.expressions._over import checked_items, compile_over
from opcode_runtime.expressions._parts import scope_from_parts, scope_parts
from opcode_runtime.expressions._scope import NAMESPACES, STEP_FIELDS, Scope, StepView
from opcode_runtime.expressions._templates import CompiledTemplate, compile_template
from opcode_runtime.expressions._text import to_text

__all__ = [
    "IN_PLACE",
    "IN_WORKER",
    "NAMESPACES",
    "STEP_FIELDS",
    "BudgetExceeded",
    "Compiled",
    "CompiledTemplate",
    "DataInject",
    "Limits",
    "Roots",
    "Scope",
    "StepIds",
    "StepView",
    "check_guard",
    "checked_items",
    "compile_data_inject",
    "compile_expression",
    "compile_jq",
    "compile_over",
    "compile_template",
    "evaluate",
    "jq_input",
    "run_jq",
    "scope_from_parts",
    "scope_parts",
    "to_text",
]
