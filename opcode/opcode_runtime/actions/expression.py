"""expr.eval: data computed from data, in the expression language Expr."""

from __future__ import annotations

from typing import Any

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.registry import action
from opcode_runtime.model.errors import ErrorCode, OpcodeError

_EVAL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "expression": {
            "type": "string",
            "description": "In the language Expr, such as filter(items, {.score >= threshold}).",
        },
        "data": {
            "description": "What the expression sees as data; the keys of an object also by name."
        },
    },
    "required": ["expression"],
}
_RESULT: dict[str, Any] = {"type": "object", "properties": {"result": {}}, "required": ["result"]}


@action("expr.eval", kind="pure", params=_EVAL, output=_RESULT)
async def expr_eval(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Evaluate an Expr expression over the inputs by name, data, steps, inputs, workflow and context."""
    if call.evaluate_expr is None:
        raise OpcodeError(ErrorCode.ACTION_UNAVAILABLE, "expr.eval works only inside a workflow")
    given = {"data": params["data"]} if "data" in params else {}
    return {"result": await call.evaluate_expr(params["expression"], given)}
