"""Text → syntax tree, by the grammar of cel-python.

cel-python keeps one parser per process, in a class attribute, and whoever builds another kind there breaks the first.
So this module takes a parser of its own and leaves the attribute as it found it. The package is slow to import; it is
imported with the first expression that is no path.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, cast

from opcode_runtime.expressions._failures import Malformed
from opcode_runtime.expressions._syntax import _outside_quotes as outside_quotes

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

_LAST_COMMA = re.compile(r",(?:\s|//[^\n]*\n)*[\]}]")


def parse(source: str) -> Tree[Token]:
    """Parse CEL.

    Raises:
        Malformed: it is no CEL.
    """
    from lark.exceptions import LarkError, UnexpectedInput

    try:
        return _parser().parse(_without_last_commas(source))
    except UnexpectedInput as error:
        raise _wrong(source, error) from None
    except LarkError as error:
        raise Malformed(0, f"this is no CEL expression: {error}") from None


def _without_last_commas(source: str) -> str:
    """The source without commas before a closing bracket, which the grammar of cel-python does not know.

    A blank takes the place of each, so that columns stay what they are.
    """
    if not _LAST_COMMA.search(source):
        return source
    chars, comma = list(source), -1
    for at, char, _ in outside_quotes(source, 0):
        if char in "]}" and comma >= 0:
            chars[comma] = " "
        if not char.isspace():
            comma = at if char == "," else -1
    return "".join(chars)


def _wrong(source: str, error: UnexpectedInput) -> Malformed:
    offset: int | None = getattr(error, "pos_in_stream", None)
    if offset is None or getattr(getattr(error, "token", None), "type", None) == "$END":
        return Malformed(len(source), "the expression ends too early")
    return Malformed(offset, f"did not expect {source[offset : offset + 12]!r} here")


@cache
def _parser() -> Lark:
    from celpy.celparser import CELParser

    before = CELParser.CEL_PARSER
    CELParser.CEL_PARSER = None
    try:
        CELParser()
        return cast("Lark", CELParser.CEL_PARSER)
    finally:
        CELParser.CEL_PARSER = before
