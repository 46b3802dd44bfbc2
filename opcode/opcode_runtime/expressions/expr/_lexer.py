"""Expr's words: numbers, three kinds of string, bytes, names, operators; comments and white space between them.

The words are those of Expr's public language definition. Strings in single or double quotes take escapes and end on
their line; between backticks everything stands for itself, and two backticks are one.
"""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from opcode_runtime.expressions._failures import Malformed

Kind = Literal["value", "name", "word", "op", "end"]

WORDS = frozenset(
    {"and", "or", "not", "in", "matches", "contains", "startsWith", "endsWith"}
    | {"let", "if", "else", "true", "false", "nil"}
)
"""Names that mean something by themselves; every other name is a variable or, before `(`, a function."""

_INT_MAX = (1 << 63) - 1
_SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*[\s\S]*?\*/)+")
_NUMBER = re.compile(
    r"0[xX](?P<hex>[0-9a-fA-F_]+)|0[bB](?P<bin>[01_]+)|0[oO](?P<oct>[0-7_]+)"
    r"|(?P<dec>(?:\d[\d_]*(?P<dot>\.(?!\.)[\d_]*)?|(?P<lead>\.\d[\d_]*))(?P<exp>[eE][+-]?\d[\d_]*)?)"
)
_NAME = re.compile(r"(?:[^\W\d]|\$)[\w$]*")
_STRING = re.compile(r"""(b?)("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|`((?:[^`]|``)*)`""")
_OPERATOR = re.compile(r"\*\*|\.\.|\?\.|\?\?|\|\||&&|==|!=|<=|>=|[-+*/%^<>!|?:;,.#=()\[\]{}]")
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|U([0-9a-fA-F]{8})"
    r"|([0-3][0-7]{2})|(.))"
)
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}


class Token(NamedTuple):
    """One word: a finished value, a name, a word of the language, or an operator."""

    kind: Kind
    value: Any
    at: int


def tokens(source: str) -> list[Token]:
    """The words of a source, ended by one of kind `end`.

    Raises:
        Malformed: at the first thing that is no word.
    """
    found: list[Token] = []
    at = _skipped(source, 0)
    while at < len(source):
        token, end = _next(source, at)
        found.append(token)
        at = _skipped(source, end)
    found.append(Token("end", "", len(source)))
    return found


def _skipped(source: str, at: int) -> int:
    space = _SPACE.match(source, at)
    return space.end() if space else at


def _next(source: str, at: int) -> tuple[Token, int]:
    if string := _STRING.match(source, at):
        return Token("value", _string(string, at), at), string.end()
    if number := _NUMBER.match(source, at):
        if _NAME.match(source, number.end()):
            raise Malformed(at, "this number goes on with letters")
        return Token("value", _number(number, at), at), number.end()
    if name := _NAME.match(source, at):
        kind: Kind = "word" if name[0] in WORDS else "name"
        return Token(kind, name[0], at), name.end()
    if operator := _OPERATOR.match(source, at):
        if operator[0] == "/" and source.startswith("/*", at):
            raise Malformed(at, "this comment does not end")
        return Token("op", operator[0], at), operator.end()
    if source[at] in "\"'`":
        raise Malformed(at, "this string does not end")
    raise Malformed(at, f"{source[at]!r} means nothing here")


def _number(match: re.Match[str], at: int) -> int | float:
    for base, kind in ((16, "hex"), (2, "bin"), (8, "oct")):
        if match[kind]:
            return _integer(match[kind].replace("_", ""), base, at)
    text = match["dec"].replace("_", "")
    if match["dot"] is None and match["lead"] is None and match["exp"] is None:
        return _integer(text, 10, at)
    value = float(text)
    if value - value != 0:
        raise Malformed(at, "this number is too large for a float")
    return value


def _integer(digits: str, base: int, at: int) -> int:
    if not digits or len(digits) > 64:
        raise Malformed(at, "this is not an integer of 64 bits")
    value = int(digits, base)
    if value > _INT_MAX:
        raise Malformed(at, "this integer has over 64 bits")
    return value


def _string(match: re.Match[str], at: int) -> str | bytes:
    if match[2] is None:
        return match[3].replace("``", "`")
    inner, begin = match[2][1:-1], at + len(match[1]) + 1
    return _bytes(inner, begin) if match[1] else _text(inner, begin)


def _text(inner: str, begin: int) -> str:
    if "\\" not in inner:
        return inner
    text = _ESCAPE.sub(lambda escape: _char(escape, begin), inner)
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise Malformed(begin, "this string holds half a surrogate pair") from None


def _char(escape: re.Match[str], begin: int) -> str:
    code = escape[1] or escape[2] or escape[3] or escape[4]
    if code is not None and int(code, 16) <= 0x10FFFF:
        return chr(int(code, 16))
    if escape[5] is not None:
        return chr(int(escape[5], 8))
    if escape[6] in _SIMPLE:
        return _SIMPLE[escape[6]]
    raise Malformed(begin + escape.start(), f"{escape[0]!r} is not an escape")


def _bytes(inner: str, begin: int) -> bytes:
    out, at = bytearray(), 0
    for escape in _ESCAPE.finditer(inner):
        out += inner[at : escape.start()].encode()
        out += _byte(escape, begin)
        at = escape.end()
    return bytes(out + inner[at:].encode())


def _byte(escape: re.Match[str], begin: int) -> bytes:
    if escape[1] is not None:
        return bytes([int(escape[1], 16)])
    if escape[5] is not None:
        return bytes([int(escape[5], 8)])
    if escape[6] in _SIMPLE:
        return _SIMPLE[escape[6]].encode()
    raise Malformed(begin + escape.start(), f"{escape[0]!r} is not an escape of bytes")
