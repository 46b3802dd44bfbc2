"""What Expr's operators do with values.

Rule 1: int with int is int, except that `/` and `**` always give a float; int with float is float. An integer never
wraps around: beyond 64 bits it is an error.
Rule 2: `%` takes integers and has the sign of its left side. A float without a fraction counts as an integer there, as
it does wherever an integer is asked for.
Rule 3: a float may become infinite or no number at all on the way, never in a result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from opcode_runtime.expressions._failures import fault
from opcode_runtime.expressions.expr._limits import Meter
from opcode_runtime.expressions.expr._moments import Duration, Instant
from opcode_runtime.expressions.expr._values import bounded, equal, integer, is_number, kind
from opcode_runtime.model.errors import OpcodeError

Operation = Callable[[Meter, Any, Any], Any]


def _mismatch(op: str, left: Any, right: Any) -> OpcodeError:
    return fault(f"{kind(left)} {op} {kind(right)} means nothing")


def _number(value: float) -> float:
    return bounded(value) if isinstance(value, int) else value


def add(meter: Meter, left: Any, right: Any) -> Any:
    """`left + right`: numbers, texts, a date and a duration, two durations."""
    if is_number(left) and is_number(right):
        return _number(left + right)
    if isinstance(left, str) and isinstance(right, str):
        meter.write(len(left) + len(right))
        return left + right
    if isinstance(left, Instant) and isinstance(right, Duration):
        return Instant(left.ns + right.ns, left.location)
    if isinstance(left, Duration) and isinstance(right, Duration | Instant):
        return (
            Duration(left.ns + right.ns) if isinstance(right, Duration) else add(meter, right, left)
        )
    raise _mismatch("+", left, right)


def subtract(_: Meter, left: Any, right: Any) -> Any:
    """`left - right`: numbers, two dates, a date and a duration, two durations."""
    if is_number(left) and is_number(right):
        return _number(left - right)
    if isinstance(right, Duration) and isinstance(left, Duration | Instant):
        ns = left.ns - right.ns
        return Duration(ns) if isinstance(left, Duration) else Instant(ns, left.location)
    if isinstance(left, Instant) and isinstance(right, Instant):
        return Duration(left.ns - right.ns)
    raise _mismatch("-", left, right)


def multiply(_: Meter, left: Any, right: Any) -> Any:
    """`left * right`: numbers, or a duration and a number."""
    if is_number(left) and is_number(right):
        return _number(left * right)
    if isinstance(left, int | float) and isinstance(right, Duration):
        left, right = right, left
    if isinstance(left, Duration) and is_number(right):
        product = left.ns * right
        return Duration(product) if isinstance(product, int) else product
    raise _mismatch("*", left, right)


def divide(_: Meter, left: Any, right: Any) -> Any:
    """`left / right`, always a float."""
    if not (is_number(left) and is_number(right)):
        raise _mismatch("/", left, right)
    if right == 0:
        sign = math.copysign(1.0, right)
        return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * sign
    return float(left) / float(right)


def remainder(_: Meter, left: Any, right: Any) -> int:
    """`left % right`, of integers."""
    if not (is_number(left) and is_number(right)):
        raise _mismatch("%", left, right)
    dividend, divisor = integer(left, "the left side of %"), integer(right, "the right side of %")
    if divisor == 0:
        raise fault("an integer is divided by zero")
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


def power(_: Meter, left: Any, right: Any) -> float:
    """`left ** right`, always a float."""
    if not (is_number(left) and is_number(right)):
        raise _mismatch("**", left, right)
    try:
        return math.pow(left, right)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if left == 0 else math.nan


def negate(value: Any) -> Any:
    """`-value`."""
    if not is_number(value):
        raise fault(f"- {kind(value)} means nothing")
    return _number(-value)


def keep(value: Any) -> Any:
    """`+value`."""
    if not is_number(value):
        raise fault(f"+ {kind(value)} means nothing")
    return value


def truth(value: Any) -> bool:
    """A condition's value. Raises OpcodeError for what is no bool."""
    if value is True or value is False:
        return bool(value)
    raise fault(f"a condition has to be true or false, not {kind(value)}")


def less(meter: Meter, left: Any, right: Any) -> bool:
    """`left < right`: numbers, texts, dates, durations."""
    if is_number(left) and is_number(right):
        return bool(left < right)
    if isinstance(left, str) and isinstance(right, str):
        meter.read(min(len(left), len(right)))
        return left < right
    if isinstance(left, Instant) and isinstance(right, Instant):
        return left.ns < right.ns
    if isinstance(left, Duration) and isinstance(right, Duration):
        return left.ns < right.ns
    raise _mismatch("<", left, right)


def _at_most(meter: Meter, left: Any, right: Any) -> bool:
    if is_number(left) and is_number(right):  # not the reverse of `>` for what is no number
        return bool(left <= right)
    return not less(meter, right, left)


def contained(meter: Meter, left: Any, right: Any) -> bool:
    """`left in right`: an element of an array, a key of a map; nil holds nothing."""
    if right is None:
        return False
    if isinstance(right, list | tuple | bytes):
        meter.spend(1 + len(right) // 8)
        return any(equal(meter, left, item) for item in right)
    if isinstance(right, Mapping):
        return usable_key(right, left) in right
    raise fault(f"in {kind(right)} means nothing; it has to be an array or a map")


def usable_key(of: Mapping[Any, Any], key: Any) -> Any:
    """A key that may be looked up in a map. Raises OpcodeError for one that never can be in it."""
    if isinstance(key, str):
        return key
    if isinstance(key, list | dict) or any(isinstance(each, str) for each in list(of)[:1]):
        raise fault(f"the keys of this map are strings; {kind(key)} is none")
    return key


def span(meter: Meter, left: Any, right: Any) -> list[int]:
    """`left..right`: the integers from one to the other, both included."""
    begin, end = integer(left, "the begin of .."), integer(right, "the end of ..")
    meter.grow(max(0, end - begin + 1))
    return list(range(begin, end + 1))


def matches(meter: Meter, text: Any, pattern: Any) -> bool:
    """`text matches pattern`, somewhere in the text; nil matches nothing."""
    if text is None:
        return False
    _check_texts("matches", text, pattern)
    meter.read(len(text))
    try:
        return bool(regex(pattern).search(text))
    except UnicodeEncodeError:
        raise fault("half a surrogate pair is no text to match") from None


@lru_cache(maxsize=64)
def regex(pattern: str) -> Any:
    """A compiled pattern of RE2, which takes linear time. Raises OpcodeError."""
    import re2  # the linear-time engine that cel-python brings along

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it is no pattern"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise fault(f"a pattern is wrong as written: {text}") from None
    except UnicodeEncodeError:
        raise fault("half a surrogate pair is no pattern") from None


def _check_texts(op: str, left: Any, right: Any) -> None:
    if not (isinstance(left, str) and isinstance(right, str)):
        raise _mismatch(op, left, right)


def _on_texts(op: str, test: Callable[[str, str], bool]) -> Operation:
    def operation(meter: Meter, left: Any, right: Any) -> bool:
        if left is None:
            return False
        _check_texts(op, left, right)
        meter.read(len(left))
        return test(left, right)

    return operation


OPERATIONS: dict[str, Operation] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "**": power,
    "..": span,
    "==": equal,
    "!=": lambda meter, left, right: not equal(meter, left, right),
    "<": less,
    ">": lambda meter, left, right: less(meter, right, left),
    "<=": _at_most,
    ">=": lambda meter, left, right: _at_most(meter, right, left),
    "in": contained,
    "matches": matches,
    "contains": _on_texts("contains", lambda text, part: part in text),
    "startsWith": _on_texts("startsWith", str.startswith),
    "endsWith": _on_texts("endsWith", str.endswith),
}
"""Every operator of two values that evaluates both of them."""


def fetch(of: Any, key: Any) -> Any:
    """`of[key]`: the member of a map, nil where it has none; the element of an array, from the end when negative."""
    if isinstance(of, Mapping):
        return of.get(usable_key(of, key))
    if isinstance(of, list | tuple | str | bytes):
        return _element(of, key)
    raise fault(f"{_shown(key)} is no member of {kind(of)}")


def _shown(key: Any) -> str:
    return repr(key)[:60] if isinstance(key, str | int) else kind(key)


def _element(of: Any, key: Any) -> Any:
    if not is_number(key) or key - key != 0:
        raise fault(f"an element of {kind(of)} has a number, not {_shown(key)}")
    row = of.encode("utf-8", "surrogatepass") if isinstance(of, str) else of
    index = int(key)
    if not -len(row) <= index < len(row):
        raise fault(f"there is no element {index} in {kind(of)} of length {len(row)}")
    return row[index]


def sliced(meter: Meter, of: Any, begin: Any, end: Any) -> Any:
    """`of[begin:end]`: what there is between the two; of a text, by its bytes in UTF-8."""
    if not isinstance(of, list | tuple | str | bytes):
        raise fault(f"{kind(of)} cannot be sliced")
    row = of.encode("utf-8", "surrogatepass") if isinstance(of, str) and not of.isascii() else of
    low = 0 if begin is None else _bound(begin, len(row))
    high = len(row) if end is None else _bound(end, len(row))
    part = row[low : max(low, high)]
    if isinstance(part, str | bytes):
        meter.write(len(part))
    else:
        meter.grow(len(part))
    return (
        part.decode("utf-8", "replace") if isinstance(of, str) and isinstance(part, bytes) else part
    )


def _bound(value: Any, length: int) -> int:
    index = int(value) if is_number(value) and value - value == 0 else integer(value, "a bound")
    return max(0, min(index + length if index < 0 else index, length))
