"""Reading the words of a source one by one, and counting what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from opcode_runtime.expressions._failures import Malformed
from opcode_runtime.expressions.expr._lexer import Token, tokens
from opcode_runtime.expressions.expr._limits import DEPTH_MAX, NODES_MAX

T = TypeVar("T")


class Cursor:
    """A place among the words of a source."""

    def __init__(self, source: str) -> None:
        self._tokens = tokens(source)
        self._place = 0
        self._nodes = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        """The word that stands here."""
        return self._tokens[self._place]

    @property
    def following(self) -> Token:
        """The word after it."""
        return self._tokens[min(self._place + 1, len(self._tokens) - 1)]

    def advance(self) -> Token:
        """Take the word that stands here."""
        token = self._tokens[self._place]
        self._place += token.kind != "end"
        return token

    def at(self, *values: str) -> bool:
        """Whether one of these operators or words of the language stands here."""
        token = self._tokens[self._place]
        return token.kind in {"op", "word"} and token.value in values

    def take(self, value: str) -> bool:
        """Take an operator or word if it stands here."""
        found = self.at(value)
        self._place += found
        return found

    def expect(self, value: str) -> Token:
        """Take an operator or word that has to stand here. Raises Malformed."""
        if not self.at(value):
            raise self.unexpected(f"{value!r} is expected here")
        return self.advance()

    def expect_end(self) -> None:
        """Raises Malformed unless everything was read."""
        if self.token.kind != "end":
            raise self.unexpected()

    def unexpected(self, wanted: str = "") -> Malformed:
        """The error about the word that stands here."""
        token = self.token
        met = "the end" if token.kind == "end" else repr(token.value)
        return Malformed(token.at, f"{met} cannot stand here" + (f"; {wanted}" if wanted else ""))

    def count(self, at: int) -> int:
        """Count a node that begins at `at`, which is returned. Raises Malformed over the limit."""
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise Malformed(at, f"an expression may have at most {NODES_MAX} parts")
        return at

    def nested(self, parse: Callable[[], T]) -> T:
        """Parse a part that is one deeper than what it stands in. Raises Malformed over the limit."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise Malformed(self.token.at, f"nested deeper than {DEPTH_MAX}")
        part = parse()
        self._depth -= 1
        return part

    def listed(self, closing: str, parse: Callable[[], T]) -> tuple[T, ...]:
        """Parts between commas, up to and including `closing`; a last comma may be left over."""
        parts: list[T] = []
        while not self.at(closing):
            parts.append(self.nested(parse))
            if not self.take(","):
                break
        self.expect(closing)
        return tuple(parts)
