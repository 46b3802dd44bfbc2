"""Expr's functions of texts, numbers, dates and conversions. Each takes the meter and its checked arguments.

Rule 1: positions in a text count its bytes in UTF-8; `len` counts its characters.
Rule 2: `now` is the one moment that the caller gave for the evaluation.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from typing import Any

from opcode_runtime.expressions._failures import BudgetExceeded, fault
from opcode_runtime.expressions.expr import _layouts, _moments
from opcode_runtime.expressions.expr._limits import Meter
from opcode_runtime.expressions.expr._operators import fetch, usable_key
from opcode_runtime.expressions.expr._values import (
    bounded,
    integer,
    json_text,
    kind,
    text_of,
)

Function = Callable[..., Any]

_WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"  # noqa: E501
_REPEATS_MAX = 1_000_000
_INTEGER = re.compile(r"[+-]?\d{1,25}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_HEX_FLOAT = re.compile(r"[+-]?0[xX][0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?[pP][+-]?\d{1,5}", re.ASCII)


def _recased(text: str, change: Callable[[str], str]) -> str:
    """Each character in another case, where that is one character."""
    if text.isascii():
        return change(text)
    changed = ((char, change(char)) for char in text)
    return "".join(new if len(new) == 1 else old for old, new in changed)


def _upper(meter: Meter, text: str) -> str:
    meter.write(len(text))
    return _recased(text, str.upper)


def _lower(meter: Meter, text: str) -> str:
    meter.write(len(text))
    return _recased(text, str.lower)


def _trim(meter: Meter, text: str, chars: str = _WHITE) -> str:
    meter.read(len(text) * (1 + len(chars) // 64))
    return text.strip(chars)


def _trim_prefix(meter: Meter, text: str, prefix: str) -> str:
    meter.read(len(text))
    return text.removeprefix(prefix)


def _trim_suffix(meter: Meter, text: str, suffix: str) -> str:
    meter.read(len(text))
    return text.removesuffix(suffix)


def _split(meter: Meter, text: str, delimiter: str, most: Any = -1) -> list[str]:
    count = integer(most, "the number of parts")
    meter.grow(1 + (text.count(delimiter) if delimiter else len(text)))
    meter.write(len(text))
    if count == 0:
        return []
    if delimiter:
        return text.split(delimiter, count - 1 if count > 0 else -1)
    parts = list(text)
    return parts if count < 0 or len(parts) <= count else [*parts[: count - 1], text[count - 1 :]]


def _split_after(meter: Meter, text: str, delimiter: str, most: Any = -1) -> list[str]:
    parts = _split(meter, text, delimiter, most)
    return [part + delimiter for part in parts[:-1]] + parts[-1:]


def _replace(meter: Meter, text: str, old: str, new: str, most: Any = -1) -> str:
    limit = integer(most, "the number of replacements")
    meter.read(len(text))
    count = text.count(old) if limit < 0 else min(text.count(old), limit)
    meter.write(len(text) + count * max(0, len(new) - len(old)))
    return text.replace(old, new, limit if limit >= 0 else -1)


def _repeat(meter: Meter, text: str, times: Any) -> str:
    count = integer(times, "the number of repetitions")
    if count < 0:
        raise fault(f"a text cannot be repeated {count} times")
    if count > _REPEATS_MAX:
        raise BudgetExceeded("memory", f"a text may be repeated at most {_REPEATS_MAX} times")
    meter.write(len(text) * count)
    return text * count


def _index_of(meter: Meter, text: str, part: str) -> int:
    meter.read(len(text))
    return _in_bytes(text, text.find(part))


def _last_index_of(meter: Meter, text: str, part: str) -> int:
    meter.read(len(text))
    return _in_bytes(text, text.rfind(part))


def _in_bytes(text: str, index: int) -> int:
    if index <= 0 or text.isascii():
        return index
    return len(text[:index].encode("utf-8", "surrogatepass"))


def _has_prefix(meter: Meter, text: str, prefix: str) -> bool:
    meter.read(len(prefix))
    return text.startswith(prefix)


def _has_suffix(meter: Meter, text: str, suffix: str) -> bool:
    meter.read(len(suffix))
    return text.endswith(suffix)


def _date(meter: Meter, text: str, layout: str | None = None, zone: str | None = None) -> Any:
    meter.spend(50)
    place = _moments.GREENWICH if zone is None else _moments.location(zone)
    layouts = _layouts.DEFAULT_LAYOUTS if layout is None else (layout,)
    for each in layouts:
        found = _layouts.parsed(text[:1000], each, place)
        if found is not None:
            return found
    raise fault(f"{text[:50]!r} is not a date" + ("" if layout is None else f" as {layout[:50]!r}"))


def _abs(_: Meter, value: Any) -> Any:
    return bounded(abs(value)) if isinstance(value, int) else abs(value)


def _rounded(rounding: Callable[[float], float]) -> Function:
    def function(_: Meter, value: Any) -> float:
        number = float(value)
        return number if number - number != 0 or abs(number) >= 1 << 53 else float(rounding(number))

    return function


def _half_away(number: float) -> float:
    whole = math.trunc(number)
    return whole + math.copysign(1, number) if abs(number - whole) >= 0.5 else whole


def _int(_: Meter, value: Any) -> int:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise fault(f"{value[:50]!r} is not an integer")
        return bounded(int(value))
    if isinstance(value, _moments.Duration):
        return value.ns
    if isinstance(value, float) and value - value != 0:
        raise fault("what is infinite or no number has no integer")
    return bounded(int(value))


def _float(_: Meter, value: Any) -> float:
    if not isinstance(value, str):
        return float(value)
    if _HEX_FLOAT.fullmatch(value):
        number = float.fromhex(value)
    elif len(value) <= 1000 and _FLOAT.fullmatch(value):
        number = float(value)
    else:
        raise fault(f"{value[:50]!r} is not a number")
    if number - number != 0:
        raise fault(f"{value[:50]!r} is too large for a float")
    return number


def _from_json(meter: Meter, text: str) -> Any:
    meter.write(len(text))
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise fault(f"a text is not JSON: {str(error)[:100]}") from None
    meter.grow(text.count(",") + text.count("[") + text.count("{"))
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _to_base64(meter: Meter, text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    meter.write(len(data) * 4 // 3)
    return base64.b64encode(data).decode()


def _from_base64(meter: Meter, text: str) -> str:
    meter.write(len(text))
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode(
            "utf-8", "replace"
        )
    except (binascii.Error, ValueError):
        raise fault("a text is not Base64") from None


def _len(meter: Meter, value: Any) -> int:
    if isinstance(value, str):
        meter.read(len(value))
    return len(value)


def _get(_: Meter, of: Any, key: Any) -> Any:
    if of is None:
        return None
    if isinstance(of, dict):
        return of.get(usable_key(of, key))
    length = len(of.encode("utf-8", "surrogatepass")) if isinstance(of, str) else len(of)
    index = integer(key, "the position of an element")
    return fetch(of, index) if -length <= index < length else None


def _signed(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _bits(operation: Callable[[int, int], int]) -> Function:
    def function(_: Meter, left: Any, right: Any) -> int:
        one, other = integer(left, "a row of bits"), integer(right, "a row of bits")
        return _signed(operation(bounded(one), bounded(other)))

    return function


def _shift(operation: Callable[[int, int], int]) -> Function:
    def function(_: Meter, value: Any, count: Any) -> int:
        bits, by = bounded(integer(value, "a row of bits")), integer(count, "a shift")
        if by < 0:
            raise fault(f"bits cannot be shifted by {by}")
        return _signed(operation(bits, min(by, 64)))

    return function


def _unsigned_right(value: int, by: int) -> int:
    return (value & ((1 << 64) - 1)) >> by


SCALAR_FUNCTIONS: dict[str, Function] = {
    "trim": _trim,
    "trimPrefix": _trim_prefix,
    "trimSuffix": _trim_suffix,
    "upper": _upper,
    "lower": _lower,
    "split": _split,
    "splitAfter": _split_after,
    "replace": _replace,
    "repeat": _repeat,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "hasPrefix": _has_prefix,
    "hasSuffix": _has_suffix,
    "duration": lambda _, text: _layouts.duration(text),
    "date": _date,
    "timezone": lambda _, name: _moments.location(name),
    "abs": _abs,
    "ceil": _rounded(math.ceil),
    "floor": _rounded(math.floor),
    "round": _rounded(_half_away),
    "type": lambda _, value: kind(value),
    "int": _int,
    "float": _float,
    "string": text_of,
    "toJSON": json_text,
    "fromJSON": _from_json,
    "toBase64": _to_base64,
    "fromBase64": _from_base64,
    "len": _len,
    "get": _get,
    "bitand": _bits(lambda left, right: left & right),
    "bitor": _bits(lambda left, right: left | right),
    "bitxor": _bits(lambda left, right: left ^ right),
    "bitnand": _bits(lambda left, right: left & ~right),
    "bitnot": lambda _, value: ~bounded(integer(value, "a row of bits")),
    "bitshl": _shift(lambda value, by: value << by),
    "bitshr": _shift(lambda value, by: value >> by),
    "bitushr": _shift(_unsigned_right),
}
