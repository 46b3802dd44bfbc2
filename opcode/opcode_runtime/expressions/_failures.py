"""How an expression fails: as written, for want of a name, while it runs, or by costing too much."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from opcode_runtime.model.errors import ErrorCode, OpcodeError

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES_SHOWN_MAX = 20


class Absent(OpcodeError):  # noqa: N818 - a verdict
    """A name that means nothing here; `has()` and `??` ask without meeting it."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.INTERPOLATION_ERROR, message)


class BudgetExceeded(OpcodeError):  # noqa: N818 - a verdict
    """An evaluation that went over a limit.

    In place it means: give this expression to a worker. `details["limit"]` names the limit: `steps`, `cpu` or `text`
    here, `time`, `memory`, `cpu` or `result` from a worker.
    """

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(ErrorCode.EXECUTION_ERROR, message, details={"limit": limit})
        self.limit = limit


def fault(message: str) -> OpcodeError:
    """An expression that cannot go on with the values it met."""
    return OpcodeError(ErrorCode.EXECUTION_ERROR, message)


class Malformed(Exception):  # noqa: N818 - never leaves this package
    """A text that is wrong as written, at a 0-based `offset`; becomes a VALIDATION_ERROR where it is compiled."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


def syntax_error(source: str, offset: int, message: str) -> OpcodeError:
    """An expression that is wrong as written, at a 0-based `offset` into `source`."""
    column = offset + 1
    return OpcodeError(
        ErrorCode.VALIDATION_ERROR,
        f"{shortened(message, 300)} (column {column} of {shortened(source)!r})",
        details={"column": column, "expression": shortened(source)},
    )


def absent(what: str, name: object, names: Iterable[object]) -> Absent:
    """The error for `name` that `what` does not have, with what it has instead."""
    shown = [str(known) for known in islice(names, 200)]
    listing = ", ".join(shown[:NAMES_SHOWN_MAX]) or "nothing"
    more = ", …" if len(shown) > NAMES_SHOWN_MAX else ""
    near = get_close_matches(str(name), shown, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return Absent(f"{what} has no {str(name)!r}; available: {listing}{more}{hint}")


def shortened(text: str, chars_max: int = 200) -> str:
    """A text, or as much of it as fits into a message."""
    return text if len(text) <= chars_max else f"{text[: chars_max - 1]}…"


def described(value: object) -> str:
    """A JSON value for a message: of what kind it is, and what it is if that is short.

    >>> described(3), described("abc"), described({"a": 1}), described(None)
    ('the number 3', "the text 'abc'", 'an object', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {shortened(value, 60)!r}"
    if isinstance(value, int | float):
        is_short = isinstance(value, float) or value.bit_length() <= 128
        return f"the number {value}" if is_short else "a long number"
    return "an object" if isinstance(value, Mapping) else "a list"
