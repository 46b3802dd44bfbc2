"""Requests to expression workers as frames, and their answers as values or errors."""

from __future__ import annotations

from typing import Any

from opcode_runtime.expressions import BudgetExceeded, Compiled, Scope, jq_input, scope_parts
from opcode_runtime.expressions.frames import pack
from opcode_runtime.model.errors import ErrorCode, OpcodeError


def request_frame(compiled: Compiled, scope: Scope) -> bytes:
    """The frame that asks for the value of an expression. Raises BudgetExceeded for values that nest too deeply."""
    if compiled.kind == "jq":
        return packed({"jq": compiled.source, "input": jq_input(compiled, scope)})
    fields = {
        "source": compiled.source,
        "step_ids": sorted(compiled.step_ids),
        "parts": scope_parts(compiled, scope),
    }
    return packed(fields)


def packed(fields: dict[str, Any]) -> bytes:
    """A frame. Raises BudgetExceeded for values that nest too deeply, or are too much."""
    try:
        return pack(fields)
    except (ValueError, RecursionError) as error:
        raise BudgetExceeded("nesting", f"the values are too much for a worker: {error}") from None


def result_of(reply: dict[str, Any]) -> Any:
    """The value in an answer, or its error raised."""
    error = reply.get("error")
    if error is None:
        return reply["value"]
    code, message, details = ErrorCode(error["code"]), error["message"], error["details"]
    if details and "limit" in details:
        raise BudgetExceeded(details["limit"], message)
    raise OpcodeError(code, message, details=details)
