"""How a value looks inside a longer text.

Numbers are written as JavaScript writes them (ECMA-262, Number::toString): the shortest digits that read back as the
same number, an exponent only below 1e-6 or from 1e21 on, no `.0`. Integers are exact at any size. Objects and arrays
are compact JSON with the same numbers, keys in their order, non-ASCII as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from opcode_runtime.expressions._failures import fault


def to_text(value: Any) -> str:
    """The text of a JSON value: a string as it is, anything else as JSON.

    Raises:
        OpcodeError: EXECUTION_ERROR for what is no JSON, or is nested too deeply.

    >>> to_text(5.0), to_text(None), to_text({"a": [1.5, "x"]})
    ('5', 'null', '{"a":[1.5,"x"]}')
    """
    if isinstance(value, str):
        return value
    try:
        return "".join(_chunks(value, []))
    except RecursionError:
        raise fault("a value is nested too deeply to be written as text") from None


def number_text(number: float) -> str:
    """A number as JavaScript writes it.

    >>> number_text(1e21), number_text(0.000001), number_text(1e-7), number_text(-0.0)
    ('1e+21', '0.000001', '1e-7', '0')
    """
    if isinstance(number, int):
        return _integer_text(number)
    if number - number != 0:
        raise fault("not a number that JSON can hold: infinite, or not a number at all")
    if number == 0:
        return "0"
    sign, digits, exponent = Decimal(float.__repr__(number)).as_tuple()
    significant = "".join(map(str, digits)).rstrip("0")
    point = len(digits) + int(exponent)
    return ("-" if sign else "") + _placed(significant, point)


def _placed(digits: str, point: int) -> str:
    """Digits with the decimal point after `point` of them (ECMA-262, steps 6 to 12)."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    power = point - 1
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{'+' if power > 0 else '-'}{abs(power)}"


def _integer_text(number: int) -> str:
    try:
        return int.__repr__(number)
    except ValueError:  # longer than Python prints unasked
        return format(Decimal(number), "f")


def _chunks(value: Any, out: list[str]) -> list[str]:
    if isinstance(value, str):
        out.append(json.dumps(value, ensure_ascii=False))
    elif value is None or isinstance(value, bool):
        out.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, int | float):
        out.append(number_text(value))
    elif isinstance(value, Mapping):
        _object_chunks(value, out)
    elif isinstance(value, list | tuple):
        _array_chunks(value, out)
    else:
        raise fault(f"a value of type {type(value).__name__} cannot be written as text")
    return out


def _object_chunks(value: Mapping[Any, Any], out: list[str]) -> None:
    mark = "{"
    for key, item in value.items():
        out += (mark, json.dumps(str(key), ensure_ascii=False), ":")
        _chunks(item, out)
        mark = ","
    out.append("}" if value else "{}")


def _array_chunks(value: list[Any] | tuple[Any, ...], out: list[str]) -> None:
    mark = "["
    for item in value:
        out.append(mark)
        _chunks(item, out)
        mark = ","
    out.append("]" if value else "[]")
