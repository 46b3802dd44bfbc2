"""jq: compiled here, evaluated in a worker only.

The input of a program is one object `{inputs, steps, context, workflow, loop}`, of which it gets the parts that its
text can be seen to touch; `.steps["id"]` is the output of a step. What is not there is null, as ever in jq.

Numbers: those that a program only moves about arrive as they were, integers of any size and `10.0` as a float (a float
of 17 digits from 1e16 to 1e17 arrives as the integer that it equals). One that a program computes with becomes a double
(integers are exact up to 2^53) and comes back as an integer if it is integral.
Infinity comes back as the largest double, not-a-number as null. Comparing and sorting are exact.
Texts: any that is valid Unicode, NUL included. A lone surrogate, which JSON can write and jq cannot hold, is an error.
Results: one that is an array is the result; otherwise the results are the elements of one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from opcode_runtime.expressions._compiled import Compiled, NamedPath, Roots
from opcode_runtime.expressions._failures import BudgetExceeded, Malformed, fault, syntax_error
from opcode_runtime.expressions._jq_parser import parse_jq
from opcode_runtime.expressions._jq_touched import JQ_NAMESPACES, JqTouched
from opcode_runtime.expressions._nodes import Evaluation
from opcode_runtime.expressions._scope import Scope
from opcode_runtime.expressions._syntax import SOURCE_CHARS_MAX
from opcode_runtime.model.errors import ErrorCode, OpcodeError

_MESSAGE_CHARS_MAX = 300


def compile_jq(text: str) -> Compiled:
    """Compile a jq program; it always needs a worker.

    Raises:
        OpcodeError: VALIDATION_ERROR with `details["column"]` for what is wrong as written.
    """
    try:
        return _compiled_jq(text)
    except Malformed as error:
        raise syntax_error(text, error.offset, error.message) from None


def jq_input(compiled: Compiled, scope: Scope) -> dict[str, Any]:
    """What a program is given: the parts of the scope that it can touch, shared with the scope and not copied."""
    whole = {namespace for namespace, keys in compiled.paths if not keys}
    given: dict[str, dict[str, Any]] = {}
    for namespace, keys in compiled.paths:
        if namespace == "loop" and scope.loop is None:
            continue
        names = _names(scope, namespace) if namespace in whole else map(str, keys)
        part = given.setdefault(namespace, {})
        part.update(_members(scope, namespace, names))
    return given


def run_jq(source: str, given: Mapping[str, Any]) -> Any:
    """Evaluate a program here and now, for as long as it takes: for the inside of a worker.

    Raises:
        OpcodeError: VALIDATION_ERROR, jq itself refuses the program; EXECUTION_ERROR, it failed.
    """
    digits_max = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(0)
        text = json.dumps(given, allow_nan=False, check_circular=False, ensure_ascii=False)
        results = [json.loads(result) for result in _program(source).input_text(text)]
    except RecursionError:
        raise BudgetExceeded("nesting", "a value is nested too deeply for jq") from None
    except UnicodeEncodeError:
        raise fault("a text holds a lone surrogate, which jq cannot") from None
    except ValueError as error:
        raise fault(f"jq: {_shortened(error)}") from None
    finally:
        sys.set_int_max_str_digits(digits_max)
    return results[0] if len(results) == 1 and isinstance(results[0], list) else results


@lru_cache(maxsize=32)
def _program(source: str) -> Any:
    """The program, giving JSON texts: only as text do numbers leave jq unchanged."""
    import jq

    try:
        # The blank line ends a comment, even one that goes on past its own line.
        return jq.compile(f"({source}\n\n)|tojson")
    except ValueError as error:
        message, _, _ = _shortened(error).partition(" at <top-level>")
        raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"jq: {message}") from None


@lru_cache(maxsize=1024)
def _compiled_jq(source: str) -> Compiled:
    if len(source) > SOURCE_CHARS_MAX:
        raise Malformed(0, f"an expression may have at most {SOURCE_CHARS_MAX} characters")
    touched = parse_jq(source)
    paths: tuple[NamedPath, ...] = tuple(
        (namespace, () if name is None else (name,)) for namespace, name in touched.parts
    )
    if touched.everything:
        paths = tuple((namespace, ()) for namespace in JQ_NAMESPACES)
    return Compiled(source, "jq", True, _roots(touched), frozenset(), _elsewhere, paths)


def _roots(touched: JqTouched) -> Roots:
    """What a program names in so many words; a namespace that it may only happen to see is under `whole` alone."""

    def names(namespace: str) -> frozenset[str]:
        return frozenset(name for root, name in touched.parts if root == namespace and name)

    whole = {namespace for namespace, name in touched.parts if name is None}
    return Roots(
        namespaces=frozenset(namespace for namespace, _ in touched.parts),
        steps=names("steps"),
        inputs=names("inputs"),
        context=names("context"),
        whole=frozenset(JQ_NAMESPACES if touched.everything else whole),
        unknown=frozenset(touched.unknown),
    )


def _names(scope: Scope, namespace: str) -> list[str]:
    names = list(getattr(scope, namespace))
    if namespace == "inputs":
        names += [name for name in scope.declared_inputs or () if name not in scope.inputs]
    return names


def _members(scope: Scope, namespace: str, names: Any) -> dict[str, Any]:
    """The members of a namespace that there are, as they read."""
    found: dict[str, Any] = {}
    for name in names:
        if namespace == "inputs" and name in (scope.declared_inputs or ()):
            found[name] = scope.resolve("inputs", (name,))
        elif name in getattr(scope, namespace):
            value = getattr(scope, namespace)[name]
            found[name] = value.output if namespace == "steps" else value
    return found


def _elsewhere(_: Evaluation) -> Any:
    raise BudgetExceeded("place", "jq is evaluated in a worker only")


def _shortened(error: ValueError) -> str:
    text = " ".join(str(error).split())
    text = text.removeprefix("jq: error: ").removesuffix(" jq: 1 compile error")
    return text if len(text) <= _MESSAGE_CHARS_MAX else f"{text[: _MESSAGE_CHARS_MAX - 1]}…"
