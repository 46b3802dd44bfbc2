"""Values inside a CEL expression, and the operators on them.

Values are plain JSON: what an expression does not touch costs nothing. The differences from plain Python:

Rule 1: a float that comes from data, is integral and below 2^53 counts as an int. A `Double` was written or computed as
a double and stays one, whatever its value.
Rule 2: int with double gives double. Ints are 64 bits wide and overflow is an error; int division truncates.
Rule 3: numbers compare by value across types, exactly. A boolean equals no number. Other types compare only with
themselves for order, and are merely unequal to each other for `==`.
Rule 4: an unsigned integer computes with its like alone.
Rule 5: a truth value is a key of a map of its own, though Python takes True for 1.
Rule 6: a list or map made by the expression itself is a `BuiltList` or `BuiltMap`, so that only these are looked
through when the result is made plain JSON.
"""

from __future__ import annotations

import base64
import operator
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from math import isfinite, isnan
from typing import Any

from opcode_runtime.expressions._budget import Budget
from opcode_runtime.expressions._cel_times import moment_text, span_text
from opcode_runtime.expressions._failures import fault

INT_MIN, INT_MAX, UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_EXACT_INTS = float(1 << 53)

Number = int | float


class Double(float):
    """A double that the expression wrote or computed."""

    __slots__ = ()


class Uint(int):
    """An unsigned integer, from a literal such as `12u` or from `uint()`."""


class BuiltList(list[Any]):
    """A list that the expression made."""

    __slots__ = ()


class BuiltMap(dict[Any, Any]):
    """A map that the expression made."""

    __slots__ = ()


class BoolKey(Enum):
    """A truth value as a key of a `BuiltMap`."""

    FALSE = False
    TRUE = True

    def __str__(self) -> str:
        return self.name.lower()

    __repr__ = __str__


class CelType:
    """A type as a value: what `type(x)` gives and what the bare names `int`, `string`, … mean."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CelType) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


def number(value: Any) -> Number | None:
    """`value` as CEL computes with it, or None when it is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Double):
        return value
    if not isinstance(value, float):
        return None
    if value.is_integer() and abs(value) < _EXACT_INTS:
        return int(value)
    return Double(value)


def type_name(value: Any) -> str:
    """The CEL name of a value's type."""
    counted = number(value)
    if counted is not None:
        return "double" if isinstance(counted, float) else _int_name(counted)
    for kind, name in _TYPE_NAMES:
        if isinstance(value, kind):
            return name
    return "null_type"


def _int_name(value: int) -> str:
    return "uint" if isinstance(value, Uint) else "int"


_TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (str, "string"),
    (list, "list"),
    (tuple, "list"),
    (Mapping, "map"),
    (bytes, "bytes"),
    (datetime, "google.protobuf.Timestamp"),
    (timedelta, "google.protobuf.Duration"),
    (CelType, "type"),
)


def no_overload(name: str, *operands: Any) -> Exception:
    """The error for an operator or function that these types do not have."""
    types = " and ".join(type_name(operand) for operand in operands)
    return fault(f"{name} does not work on {types}")


def checked_int(value: int, *operands: Any) -> int:
    """An int result within its width.

    Raises:
        OpcodeError: EXECUTION_ERROR on overflow.
    """
    if operands and all(isinstance(operand, Uint) for operand in operands):
        if 0 <= value <= UINT_MAX:
            return Uint(value)
    elif INT_MIN <= value <= INT_MAX:
        return int(value)
    raise fault("integer overflow")


def equal(left: Any, right: Any, budget: Budget) -> bool:
    """`left == right`, whatever the types."""
    budget.spend()
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return len(left) == len(right) and all(
            key in right and equal(value, right[key], budget) for key, value in left.items()
        )
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(
            equal(one, two, budget) for one, two in zip(left, right, strict=True)
        )
    return type_name(left) == type_name(right) and bool(left == right)


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED = (str, bool, bytes, datetime, timedelta)


def ordered(symbol: str, left: Any, right: Any) -> bool:
    """`left < right` and its like.

    Raises:
        OpcodeError: EXECUTION_ERROR for types that have no order between them.
    """
    compare = _ORDERS[symbol]
    if number(left) is not None and number(right) is not None:
        return compare(left, right)
    for kind in _ORDERED:
        if isinstance(left, kind) and isinstance(right, kind):
            return compare(left, right)
    raise no_overload(symbol, left, right)


def contained(item: Any, container: Any, budget: Budget) -> bool:
    """`item in container`: an element of a list, or a key of a map."""
    if isinstance(container, Mapping):
        budget.spend()
        return item is not None and map_key("in", item) in container
    if isinstance(container, list | tuple):
        return any(equal(item, element, budget) for element in container)
    raise no_overload("in", item, container)


def map_key(name: str, value: Any) -> str | float | BoolKey:
    """A value as a key of a map or as an index: a double without a fraction means the integer.

    Raises:
        OpcodeError: EXECUTION_ERROR, it cannot be a key; `name` says of what operation.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return BoolKey(value)
    counted = number(value)
    if counted is None:
        raise no_overload(name, value)
    return int(counted) if isinstance(counted, int) or counted.is_integer() else counted


def from_key(key: Any) -> Any:
    """What a key of a map is as a value."""
    return key.value if isinstance(key, BoolKey) else key


def add(left: Any, right: Any, budget: Budget) -> Any:
    """`left + right` for numbers, texts, lists, bytes and times."""
    one, two = number(left), number(right)
    if one is not None and two is not None:
        return _computed("+", operator.add, one, two)
    if isinstance(left, str) and isinstance(right, str):
        joined = left + right
        budget.read(joined)
        return joined
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        budget.spend(len(left) + len(right))
        return BuiltList([*left, *right])
    if isinstance(left, bytes) and isinstance(right, bytes):
        return left + right
    if isinstance(left, timedelta | datetime) and isinstance(right, timedelta | datetime):
        return _timed(operator.add, "+", left, right)
    raise no_overload("+", left, right)


def subtract(left: Any, right: Any, _budget: Budget) -> Any:
    """`left - right` for numbers and times."""
    one, two = number(left), number(right)
    if one is not None and two is not None:
        return _computed("-", operator.sub, one, two)
    if isinstance(left, timedelta | datetime) and isinstance(right, timedelta | datetime):
        return _timed(operator.sub, "-", left, right)
    raise no_overload("-", left, right)


def multiply(left: Any, right: Any, _budget: Budget) -> Any:
    """`left * right`."""
    one, two = number(left), number(right)
    if one is None or two is None:
        raise no_overload("*", left, right)
    return _computed("*", operator.mul, one, two)


def divide(left: Any, right: Any, _budget: Budget) -> Any:
    """`left / right`: towards zero between ints, as IEEE 754 says between doubles."""
    one, two = number(left), number(right)
    if one is None or two is None:
        raise no_overload("/", left, right)
    _check_alike("/", one, two)
    if isinstance(one, float) or isinstance(two, float):
        return _divided(float(one), float(two))
    if two == 0:
        raise fault("division by zero")
    quotient = abs(one) // abs(two)
    return checked_int(quotient if (one < 0) == (two < 0) else -quotient, one, two)


def modulo(left: Any, right: Any, _budget: Budget) -> Any:
    """`left % right` between ints; the result has the sign of `left`."""
    one, two = number(left), number(right)
    if not isinstance(one, int) or not isinstance(two, int):
        raise no_overload("%", left, right)
    _check_alike("%", one, two)
    if two == 0:
        raise fault("modulus by zero")
    if one == INT_MIN and two == -1:
        raise fault("integer overflow")
    rest = abs(one) % abs(two)
    return checked_int(-rest if one < 0 else rest, one, two)


def negate(value: Any) -> Any:
    """`-value`."""
    counted = number(value)
    if counted is None or isinstance(counted, Uint):
        raise no_overload("-", value)
    if isinstance(counted, float):
        return Double(-counted)
    return checked_int(-counted)


_PLAIN = frozenset({str, int, float, bool, type(None), dict, list})
"""The types of plain JSON; a subclass of one is something else."""


def plain(value: Any) -> Any:
    """A result as plain JSON: times and bytes become text, as the JSON mapping of CEL says.

    Raises:
        OpcodeError: EXECUTION_ERROR for a type, or a number that JSON has not.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, BuiltList):
        return [plain(item) for item in value]
    if isinstance(value, BuiltMap):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Double | Uint):
        return _plain_number(value)
    if isinstance(value, datetime | timedelta):
        return moment_text(value) if isinstance(value, datetime) else span_text(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, CelType):
        raise fault(f"the result is the type {value.name}, which JSON cannot hold")
    if isinstance(value, Mapping) and not isinstance(value, dict):
        return dict(value)
    return value


def _check_alike(symbol: str, one: Number, two: Number) -> None:
    if isinstance(one, Uint) is not isinstance(two, Uint):
        raise no_overload(symbol, one, two)


def _computed(symbol: str, compute: Callable[[Any, Any], Any], one: Number, two: Number) -> Number:
    _check_alike(symbol, one, two)
    if isinstance(one, float) or isinstance(two, float):
        return Double(compute(_as_double(one), _as_double(two)))
    return checked_int(compute(int(one), int(two)), one, two)


def _as_double(value: Number) -> float:
    try:
        return float(value)
    except OverflowError:
        raise fault("integer overflow") from None


def _divided(one: float, two: float) -> Double:
    if two != 0:
        return Double(one / two)
    if isnan(one) or one == 0:
        return Double("nan")
    negative = (one < 0) != (str(two)[0] == "-")
    return Double("-inf" if negative else "inf")


def _timed(compute: Callable[[Any, Any], Any], symbol: str, left: Any, right: Any) -> Any:
    try:
        return compute(left, right)
    except TypeError:
        raise no_overload(symbol, left, right) from None
    except OverflowError:
        raise fault("a time out of range") from None


def _plain_number(value: Double | Uint) -> Number:
    if isinstance(value, Uint):
        return int(value)
    if not isfinite(value):
        raise fault(f"the result is {float(value)!r}, which JSON cannot hold")
    return float(value)
