"""One expression of Expr: compiled once, evaluated as often as needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from opcode_runtime.expressions._failures import BudgetExceeded, Malformed, fault, syntax_error
from opcode_runtime.expressions.expr._checker import check
from opcode_runtime.expressions.expr._compiler import Compiler
from opcode_runtime.expressions.expr._limits import SOURCE_BYTES_MAX, ExprLimits, Meter
from opcode_runtime.expressions.expr._methods import NAMES
from opcode_runtime.expressions.expr._parser import parse
from opcode_runtime.expressions.expr._values import as_json

_LIMITS = ExprLimits()


@dataclass(frozen=True, slots=True)
class CompiledExpr:
    """A compiled expression; `slot_count` is what an evaluation has to set aside for variables."""

    source: str
    slot_count: int
    run: Callable[[list[Any]], Any] = field(repr=False, compare=False)


@lru_cache(maxsize=256)
def compile_expr(source: str) -> CompiledExpr:
    """Parse and check an expression. The last 256 are kept.

    Raises:
        OpcodeError: VALIDATION_ERROR with `details["column"]` (1-based) for what is wrong as written, or too large.
    """
    try:
        if len(source.encode("utf-8", "surrogatepass")) > SOURCE_BYTES_MAX:
            raise Malformed(0, f"an expression may have at most {SOURCE_BYTES_MAX} bytes")
        if not source.strip():
            raise Malformed(0, "there is no expression here")
        node = parse(source)
        check(node, NAMES)
        compiler = Compiler()
        run = compiler.compile(node)
        return CompiledExpr(source, compiler.slot_count, run)
    except Malformed as error:
        raise syntax_error(source, error.offset, error.message) from None
    except RecursionError:
        raise syntax_error(source, 0, "the expression is nested too deeply") from None


def evaluate_expr(
    compiled: CompiledExpr,
    environment: dict[str, Any],
    *,
    limits: ExprLimits = _LIMITS,
    now_ns: int | None = None,
) -> Any:
    """The value of an expression, as JSON.

    Arguments:
        environment: variables by name: JSON values, which are not changed. Any other name is nil.
        now_ns: what `now()` gives, in nanoseconds since 1970; None refuses it.

    Raises:
        OpcodeError: EXECUTION_ERROR, the values do not fit the expression, or the result is no JSON.
        BudgetExceeded: `details["limit"]` is `steps`, `cpu`, `memory` or `nesting`.
    """
    meter = Meter(limits)
    slots: list[Any] = [environment, meter, now_ns, *[None] * (compiled.slot_count - 3)]
    try:
        return as_json(meter, compiled.run(slots))
    except RecursionError:
        raise BudgetExceeded("nesting", "a value is nested too deeply for an expression") from None
    except OverflowError:
        raise fault("a number is too large for a float") from None
