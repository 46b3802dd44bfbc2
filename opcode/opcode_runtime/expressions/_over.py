"""What a loop goes over.

Rule 1: a JSON array, as a list in the definition or as a text, is that list; its strings may hold `${{ }}`.
Rule 2: `jq:` in front means jq and `cel:` means CEL. Without either, a leading `.` or a single `|` outside quotes means
jq, since no CEL has them; anything else is a path or CEL.
Rule 3: a text that is one `${{ }}` is what is inside. jq and `${{ }}` do not mix.
Rule 4: the result must be a list; its elements stay what they are.
"""

from __future__ import annotations

import json
import re
from typing import Any

from opcode_runtime.expressions._compiled import StepIds, compile_expression
from opcode_runtime.expressions._failures import described, fault, syntax_error
from opcode_runtime.expressions._jq import compile_jq
from opcode_runtime.expressions._syntax import is_wrapped
from opcode_runtime.expressions._templates import (
    CompiledTemplate,
    compile_template,
    template_of,
)
from opcode_runtime.model.errors import ErrorCode, OpcodeError

_QUOTED_OR_PIPE = re.compile(
    r"""'''(?:\\.|[^\\])*?''' | \"\"\"(?:\\.|[^\\])*?\"\"\"
      | '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" | \|\| | (?P<pipe>\|)""",
    re.VERBOSE | re.DOTALL,
)
_JQ_HINT = "; a jq program is written with jq: in front"


def compile_over(value: Any, *, step_ids: StepIds = ()) -> CompiledTemplate:
    """Compile what stands under `over`: a list, or the text of an expression.

    Returns:
        A template that renders to the value to go over; hand that to `checked_items`.

    Raises:
        OpcodeError: VALIDATION_ERROR for what is wrong as written, or is neither a list nor a text.
    """
    if isinstance(value, list | tuple):
        return compile_template(value, step_ids=step_ids)
    if not isinstance(value, str):
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, f"over is a list or an expression, not {described(value)}"
        )
    text = value.strip()
    written = _json_list(text)
    if written is not None:
        return compile_template(written, step_ids=step_ids)
    return _expression(value, text, step_ids)


def checked_items(value: Any) -> list[Any]:
    """The elements to go over.

    Raises:
        OpcodeError: EXECUTION_ERROR, the value is no list.
    """
    if isinstance(value, list | tuple):
        return list(value)
    raise fault(f"over must give a list; this gave {described(value)}")


def _expression(value: str, text: str, step_ids: StepIds) -> CompiledTemplate:
    language, colon, rest = text.partition(":")
    if colon and language == "jq":
        return template_of(compile_jq(rest.strip()))
    if colon and language == "cel":
        return template_of(compile_expression(rest, step_ids=step_ids))
    if "${{" in text and not is_wrapped(text) and not _is_jq(text):
        message = "text around ${{ }} gives a text, and over needs a list"
        raise syntax_error(value, value.find("${{"), message)
    if not is_wrapped(text) and _is_jq(text):
        return template_of(compile_jq(text))
    try:
        return template_of(compile_expression(value, step_ids=step_ids))
    except OpcodeError as error:
        error.message += _JQ_HINT
        error.args = (error.message,)
        raise


def _is_jq(text: str) -> bool:
    return text.startswith(".") or any(found["pipe"] for found in _QUOTED_OR_PIPE.finditer(text))


def _json_list(text: str) -> list[Any] | None:
    """The list that a text is as JSON; None when it is something else."""
    if not text.startswith("["):
        return None
    try:
        written = json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return None
    return written if isinstance(written, list) else None


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
