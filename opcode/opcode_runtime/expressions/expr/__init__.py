"""Expr, as the public language definition of expr-lang says: an evaluator of our own.

`compile_expr` parses and checks a text; `evaluate_expr` evaluates it over an environment of JSON values within limits.
There is no clock, no chance and no way out in it: `now()` is a moment given by the caller, or refused.
"""

from opcode_runtime.expressions.expr._evaluation import (
    CompiledExpr,
    compile_expr,
    evaluate_expr,
)
from opcode_runtime.expressions.expr._limits import NODES_MAX, SOURCE_BYTES_MAX, ExprLimits
from opcode_runtime.expressions.expr._mentions import Mentions, mentions
from opcode_runtime.expressions.expr._signatures import BUILTINS, PREDICATED

__all__ = [
    "BUILTINS",
    "NODES_MAX",
    "PREDICATED",
    "SOURCE_BYTES_MAX",
    "CompiledExpr",
    "ExprLimits",
    "Mentions",
    "compile_expr",
    "evaluate_expr",
    "mentions",
]
