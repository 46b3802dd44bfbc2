"""What the language's own core answers, through its binding for Python."""

from __future__ import annotations

import json
from typing import Any

Answer = dict[str, Any]
_AT_COMPILE_TIME = ("CompileError", "TypeMismatchError", "UndefinedVariableError")


def answer(engine: Any, source: str, variables: dict[str, Any]) -> Answer:
    """`{"value": …}`, or `{"error": "compile"}`, or `{"error": "run"}`."""
    try:
        return {"value": engine.eval(source, variables)}
    except Exception as error:
        if "collection results unsupported" not in str(error):
            at_compile_time = type(error).__name__ in _AT_COMPILE_TIME
            return {"error": "compile" if at_compile_time else "run"}
    return {"value": json.loads(engine.eval(f"toJSON(({source}\n))", variables))}


def agree(ours: Answer, theirs: Answer) -> bool:
    """Whether two answers are the same: equal values of the same type, or an error each."""
    if "error" in ours or "error" in theirs:
        return "error" in ours and "error" in theirs
    return ours["value"] == theirs["value"] and type(ours["value"]) is type(theirs["value"])
