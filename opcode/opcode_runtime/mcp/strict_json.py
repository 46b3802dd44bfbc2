"""JSON that comes from outside, read strictly.

Rule 1: UTF-8 only, no NaN or Infinity, no number beyond a double, no lone surrogate (RFC 8259, I-JSON of RFC 7493).
Rule 2: nesting is measured before anything recursive touches the text.
Rule 3: an integer must fit into 64 bits, because the journal keeps it as one.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

JSON_DEPTH_MAX = 64
INT_MIN, INT_MAX = -(2**63), 2**64 - 1

_NO_BRACKET = re.compile(rb'(?:[^][{}"]++|"(?:[^"\\]++|\\.)*+"?)++', re.DOTALL)
"""All between two brackets that count. A string without its closing quote is one too, or the search is quadratic."""

_ONE_BRACKET = bytes.maketrans(b"{}", b"[]")

Where = tuple[Any, ...]
"""A place in a document as nested pairs (parent, key); the root is ()."""


def decode_json(text: bytes, *, depth_max: int = JSON_DEPTH_MAX) -> Any:
    """Decode one JSON document.

    Raises:
        ValueError: the text is not strict JSON or nests deeper than `depth_max`; the message is a sentence.
    """
    if is_deeper_than(text, depth_max):
        raise ValueError(f"The JSON nests deeper than {depth_max} levels.")
    try:
        text.decode("utf-8")
        return msgspec.json.decode(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"The text is not UTF-8 (byte {error.start}).") from None
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ValueError(f"The text is not JSON: {error}.") from None


def is_deeper_than(text: bytes, depth_max: int) -> bool:
    """Whether brackets nest deeper than `depth_max`, in time linear in the text for each level and without recursion.

    Each pass removes the innermost pairs; what is not a pair is malformed and left for the decoder to name.
    """
    if text.count(b"[") + text.count(b"{") <= depth_max:
        return False
    brackets = _NO_BRACKET.sub(b"", text).translate(_ONE_BRACKET)
    for _ in range(depth_max):
        rest = brackets.replace(b"[]", b"")
        if len(rest) == len(brackets):
            break
        brackets = rest
    return b"[]" in brackets or brackets.count(b"[") > depth_max + brackets.count(b"]")


def unusable_values(document: Any, *, depth_max: int = JSON_DEPTH_MAX) -> list[tuple[str, str]]:
    """Name what could not be kept or sent on in a decoded document, as pairs of JSON pointer and sentence."""
    found: list[tuple[str, str]] = []
    todo: list[tuple[Any, Where, int]] = [(document, (), 0)]
    while todo and len(found) < 20:
        value, where, depth = todo.pop()
        if depth > depth_max:
            found.append((pointer_to(where), f"nests deeper than {depth_max} levels"))
        elif isinstance(value, dict):
            todo += [(member, (where, key), depth + 1) for key, member in value.items()]
            todo += [(key, where, depth) for key in value]
        elif isinstance(value, list):
            todo += [(item, (where, at), depth + 1) for at, item in enumerate(value)]
        elif (complaint := _complaint(value)) is not None:
            found.append((pointer_to(where), complaint))
    return found


def _complaint(value: Any) -> str | None:
    if isinstance(value, str):
        return None if value.isascii() or _is_encodable(value) else "holds half of a surrogate pair"
    if isinstance(value, float):
        return None if math.isfinite(value) else "is not a finite number"
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return None if INT_MIN <= value <= INT_MAX else "does not fit into 64 bits: send it as text"
    return "is not a JSON value"


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def pointer_to(where: Where) -> str:
    """Write a place as a JSON pointer (RFC 6901).

    >>> pointer_to((((), "params"), "a/b"))
    '/params/a~1b'
    """
    parts: list[str] = []
    while where:
        where, key = where
        parts.append(escape_pointer(str(key)))
    return "".join(f"/{part}" for part in reversed(parts))


def escape_pointer(segment: str) -> str:
    """Escape one segment of a JSON pointer; what could not be sent is replaced.

    >>> escape_pointer("a/b~c")
    'a~1b~0c'
    """
    sound = segment.encode(errors="replace").decode()
    return sound.replace("~", "~0").replace("/", "~1")
