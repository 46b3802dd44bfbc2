"""Expr's values: how they are called, when they are equal, and what they look like as text and as JSON.

Values are those of JSON, and beside them bytes, dates, durations and time zones. An integer has 64 bits.
Rule 1: int and float are two types that compare as numbers; true is no number.
Rule 2: text as `string` gives it is that of Go's `%v`; JSON is indented by two spaces with sorted keys.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from opcode_runtime.expressions._failures import fault
from opcode_runtime.expressions._text import number_text
from opcode_runtime.expressions.expr._limits import Meter
from opcode_runtime.expressions.expr._moments import Duration, Instant, Location, Month, Weekday

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
_EXACT = 1 << 53
_KINDS: dict[type, str] = {
    type(None): "nil",
    bool: "bool",
    int: "int",
    float: "float",
    str: "string",
    list: "array",
    tuple: "array",
    dict: "map",
    bytes: "array",
    Instant: "time.Time",
    Duration: "time.Duration",
    Location: "time.Location",
    Month: "time.Month",
    Weekday: "time.Weekday",
}


def kind(value: Any) -> str:
    """What `type` says of a value."""
    return _KINDS.get(type(value)) or ("map" if isinstance(value, Mapping) else "unknown")


def is_number(value: Any) -> bool:
    """Whether it is an int or a float."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def integer(value: Any, what: str) -> int:
    """A value as an integer: an int, or a float without a fraction.

    Raises:
        OpcodeError: EXECUTION_ERROR, it is something else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    raise fault(f"{what} has to be an integer, not {kind(value)}")


def bounded(value: int) -> int:
    """An integer that fits 64 bits. Raises OpcodeError."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise fault("an integer grows beyond 64 bits")


def equal(meter: Meter, left: Any, right: Any) -> bool:
    """Whether two values are the same; int and float alike, also inside of collections."""
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        meter.spend(1 + min(len(left), len(right)))
        return len(left) == len(right) and all(
            equal(meter, one, other) for one, other in zip(left, right, strict=True)
        )
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        meter.spend(1 + len(left))
        return left.keys() == right.keys() and all(
            equal(meter, value, right[key]) for key, value in left.items()
        )
    if isinstance(left, Instant) and isinstance(right, Instant):
        return left.ns == right.ns
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def text_of(meter: Meter, value: Any) -> str:
    """The text of a value."""
    if isinstance(value, str):
        return value
    pieces: list[str] = []
    _write(meter, value, pieces)
    return "".join(pieces)


def _write(meter: Meter, value: Any, out: list[str]) -> None:
    if isinstance(value, Mapping):
        out.append("map[")
        _write_items(meter, sorted(value.items(), key=lambda item: _order(item[0])), out)
    elif isinstance(value, list | tuple | bytes):
        out.append("[")
        _write_items(meter, [(None, item) for item in value], out)
    else:
        text = scalar_text(value)
        meter.write(len(text))
        out.append(text)


def _write_items(meter: Meter, items: list[tuple[Any, Any]], out: list[str]) -> None:
    for index, (key, item) in enumerate(items):
        if index:
            out.append(" ")
        if key is not None:
            out.append(f"{scalar_text(key)}:")
        _write(meter, item, out)
    out.append("]")


def _order(key: Any) -> tuple[str, Any]:
    return (type(key).__name__, key)


def scalar_text(value: Any) -> str:
    """The text of what is no collection."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Month | Weekday):
        return value.name
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, Location):
        return value.name
    return str(value)


def _float_text(number: float) -> str:
    """A float as `%v` writes it: shortest digits, an exponent below 1e-4 and from 1e6 on."""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else ("+Inf" if number > 0 else "-Inf")
    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    significant = "".join(map(str, digits)).rstrip("0") or "0"
    power = len(digits) + int(exponent) - 1 if significant != "0" else 0
    mark = "-" if sign else ""
    if -4 <= power < 6:
        text = format(Decimal(repr(number)), "f").removeprefix("-")
        return mark + (text.rstrip("0").rstrip(".") if "." in text else text)
    mantissa = significant if len(significant) == 1 else f"{significant[0]}.{significant[1:]}"
    return f"{mark}{mantissa}e{'+' if power >= 0 else '-'}{abs(power):02d}"


def json_text(meter: Meter, value: Any) -> str:
    """A value as indented JSON.

    Raises:
        OpcodeError: EXECUTION_ERROR for what JSON cannot hold.
    """
    pieces: list[str] = []
    _write_json(meter, value, "\n", pieces)
    return "".join(pieces)


def _write_json(meter: Meter, value: Any, indent: str, out: list[str]) -> None:
    if isinstance(value, Mapping) and value:
        deeper = indent + "  "
        entries = sorted(((key_text(k), v) for k, v in value.items()), key=lambda entry: entry[0])
        for index, (key, item) in enumerate(entries):
            out.append(("," if index else "{") + deeper + _quoted(key) + ": ")
            _write_json(meter, item, deeper, out)
        out.append(indent + "}")
    elif isinstance(value, list | tuple) and value:
        deeper = indent + "  "
        for index, item in enumerate(value):
            out.append(("," if index else "[") + deeper)
            _write_json(meter, item, deeper, out)
        out.append(indent + "]")
    else:
        text = _json_scalar(value)
        meter.write(len(text) + len(indent))
        out.append(text)


_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_ESCAPED = str.maketrans(_UNSAFE)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).translate(_ESCAPED)


def _json_scalar(value: Any) -> str:
    plain = plain_scalar(value)
    if isinstance(plain, str):
        return _quoted(plain)
    if isinstance(plain, bool) or plain is None:
        return {None: "null", True: "true", False: "false"}[plain]
    if isinstance(plain, int | float):
        return number_text(plain)
    return "[]" if isinstance(plain, list | tuple) else "{}"


def key_text(key: Any) -> str:
    """The key of a map as JSON has it."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool | int | float | Month | Weekday) or key is None:
        return "null" if key is None else scalar_text(key)
    return str(plain_scalar(key))


def plain_scalar(value: Any) -> Any:
    """What JSON has for a value that is no collection with something in it.

    Raises:
        OpcodeError: EXECUTION_ERROR for a number that is none, a time zone, and whatever else has no form in JSON.
    """
    if isinstance(value, float) and value - value != 0:
        raise fault("the result is not a number that JSON can hold: infinite, or none at all")
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Instant):
        return value.rfc3339()
    if isinstance(value, Duration):
        return value.ns
    if isinstance(value, list | tuple | Mapping) and not value:
        return value
    raise fault(f"a {kind(value)} has no form in JSON")


def as_json(meter: Meter, value: Any) -> Any:
    """A result as a JSON value. Raises OpcodeError as `plain_scalar`, and for two keys that look the same."""
    if isinstance(value, Mapping):
        meter.spend(1 + len(value))
        result = {key_text(key): as_json(meter, item) for key, item in value.items()}
        if len(result) < len(value):
            raise fault("two keys of a map are the same once they are text")
        return result
    if isinstance(value, list | tuple):
        meter.spend(1 + len(value))
        return [as_json(meter, item) for item in value]
    return plain_scalar(value)
