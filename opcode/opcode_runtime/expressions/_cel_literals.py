"""Literals of CEL: what a token of the grammar stands for."""

from __future__ import annotations

import re
from typing import Any

from opcode_runtime.expressions._cel_values import INT_MAX, INT_MIN, UINT_MAX, Double, Uint

_DIGITS_MAX = 25
_FLOAT = re.compile(r"-?[0-9]*(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(
    r"""\\(?:x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2})|(?P<char>.))""",
    re.DOTALL,
)
_CHARACTERS = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip


def literal(kind: str, text: str) -> Any:
    """The value of a literal.

    Arguments:
        kind: the name of its terminal in the grammar, such as `INT_LIT`.
        text: the token as written.

    Raises:
        ValueError: it has the form of a literal but no value, with a message for the reader.
    """
    match kind:
        case "BOOL_LIT":
            return text == "true"
        case "NULL_LIT":
            return None
        case "INT_LIT":
            return _integer(text, INT_MIN, INT_MAX)
        case "UINT_LIT":
            return Uint(_integer(text[:-1], 0, UINT_MAX))
        case "FLOAT_LIT":
            return _double(text)
        case "BYTES_LIT":
            return _bytes(text[1:])
    return _text(text)


def _integer(text: str, least: int, most: int) -> int:
    value = int(text, 0) if "x" in text else int(text) if len(text) <= _DIGITS_MAX else most + 1
    if not least <= value <= most:
        raise ValueError("this integer does not fit into 64 bits")
    return value


def _double(text: str) -> Double:
    if not _FLOAT.fullmatch(text):
        raise ValueError("a digit must follow the point, as in 1.0")
    value = Double(text)
    if value in {float("inf"), float("-inf")}:
        raise ValueError("this number is too big for a double")
    return value


def _text(text: str) -> str:
    raw = text[0] in "rR"
    body = text[1:] if raw else text
    quotes = 3 if body[:3] in {'"""', "'''"} else 1
    inside = body[quotes:-quotes]
    return inside if raw else _ESCAPE.sub(_unescaped, inside)


def _bytes(text: str) -> bytes:
    """Bytes; `\\x` and octal escapes are bytes, everything else is UTF-8."""
    raw = text[0] in "rR"
    body = text[1:] if raw else text
    quotes = 3 if body[:3] in {'"""', "'''"} else 1
    inside = body[quotes:-quotes]
    if raw:
        return inside.encode()
    out, at = bytearray(), 0
    for found in _ESCAPE.finditer(inside):
        out += inside[at : found.start()].encode()
        byte = found["x"] or found["octal"]
        if found["u"] or found["U"]:
            raise ValueError(f"{found[0]} is a character; bytes are written \\xNN")
        out += bytes([int(byte, 16 if found["x"] else 8)]) if byte else _unescaped(found).encode()
        at = found.end()
    return bytes(out + inside[at:].encode())


def _unescaped(found: re.Match[str]) -> str:
    if found["char"]:
        if found["char"] not in _CHARACTERS:
            raise ValueError(f"there is no escape {found[0]!r}; write \\\\ for a backslash")
        return _CHARACTERS[found["char"]]
    if found["octal"]:
        return chr(int(found["octal"], 8))
    code = int(found["x"] or found["u"] or found["U"], 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"{found[0]} is no character")
    return chr(code)
