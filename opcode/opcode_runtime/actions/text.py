"""Turning JSON values into text, as `semantics` demands wherever text is wanted."""

from __future__ import annotations

import json
import math
from typing import Any


def number_text(value: float) -> str:
    """Write a number as JavaScript does: shortest, an exponent only below 1e-6 or from 1e21.

    >>> number_text(5.0), number_text(1e-7), number_text(0.00001), number_text(1e21)
    ('5', '1e-7', '0.00001', '1e+21')
    """
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    shortest = repr(value)
    mantissa, _, exponent = shortest.partition("e")
    if not exponent:
        return shortest
    if 1e-6 <= abs(value) < 1e21:
        return f"{value:.{len(mantissa.replace('.', '').lstrip('-')) - 1 - int(exponent)}f}"
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"


def json_text(value: Any) -> str:
    """Compact JSON: keys in their order, non-ASCII as it is, numbers as `number_text` writes them."""
    if isinstance(value, dict):
        items = (
            f"{json.dumps(str(key), ensure_ascii=False)}:{json_text(item)}"
            for key, item in value.items()
        )
        return "{" + ",".join(items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(json_text, value)) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number_text(value)
    return json.dumps(value, ensure_ascii=False)


def plain_text(value: Any) -> str:
    """A scalar as plain text, an object or array as compact JSON."""
    return value if isinstance(value, str) else json_text(value)


def parse_json(text: str) -> Any:
    r"""The value when all of the text is one JSON value that a journal can hold, else the text itself.

    >>> parse_json("3\n"), parse_json("3 apples"), parse_json(""), parse_json("NaN")
    (3, '3 apples', '', 'NaN')
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return text
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
