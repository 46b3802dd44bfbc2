"""The words of a jq program.

Source of the lexical grammar: the manual of jq 1.8 and the behaviour of its compiler, which the tests compare with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from opcode_runtime.expressions._failures import Malformed

KEYWORDS = frozenset(
    [
        *("def", "if", "then", "elif", "else", "end", "and", "or", "as", "reduce", "foreach"),
        *("try", "catch", "label", "break", "import", "include", "module"),
    ]
)

_BLANK = re.compile(r"(?:[ \t\r\n]+|\#(?:\\(?:\r?\n|\\)|[^\n])*)*")
_TOKEN = re.compile(
    r"""
      (?P<field>\.[A-Za-z_]\w*)
    | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<binding>\$(?:[A-Za-z_]\w*::)*[A-Za-z_]\w*)
    | (?P<word>(?:[A-Za-z_]\w*::)*[A-Za-z_]\w*)
    | (?P<format>@\w+)
    | (?P<quote>")
    | (?P<mark>!=|==|\?//|//=|//|[|+*/%<>-]=|\.\.|[].?=;,:|+*/%$<>(){}[-])
    """,
    re.VERBOSE | re.ASCII,
)
_IN_STRING = re.compile(
    r"""(?P<plain>[^"\\]+) | (?P<close>") | (?P<open>\\\()
    | \\(?: ["\\/bfnrt]
          | u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}
          | u(?![dD][89abAB])[0-9a-fA-F]{4} )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class JqToken:
    """One word: `kind` is a group of the lexer, or `end`."""

    kind: str
    text: str
    begin: int
    end: int


class JqTokens:
    """The words of a program, read one ahead."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._next: JqToken | None = None

    @property
    def next(self) -> JqToken:
        """The word that comes next.

        Raises:
            Malformed: a character that begins no word.
        """
        if self._next is None:
            self._next = self._scanned()
        return self._next

    @property
    def at(self) -> int:
        """Where what was gone past ends."""
        return self._at

    def take(self) -> JqToken:
        """The word that comes next, gone past."""
        token = self.next
        self._at, self._next = token.end, None
        return token

    def take_if(self, *texts: str) -> JqToken | None:
        """The next word, gone past, if it is one of these keywords or marks."""
        token = self.next
        return self.take() if token.kind in {"mark", "word"} and token.text in texts else None

    def expect(self, *texts: str) -> JqToken:
        """As `take_if`.

        Raises:
            Malformed: it is another word.
        """
        token = self.take_if(*texts)
        if token is None:
            raise self.unexpected(" or ".join(texts))
        return token

    def unexpected(self, wanted: str = "") -> Malformed:
        """The error for the next word."""
        token = self.next
        expected = f", expected {wanted}" if wanted else ""
        if token.kind == "end":
            return Malformed(token.begin, f"the jq program ends too early{expected}")
        return Malformed(token.begin, f"did not expect {token.text!r} in jq here{expected}")

    def text(self, begin: int, end: int) -> str:
        """A part of the source."""
        return self._source[begin:end]

    def string_piece(self) -> str:
        """Go on within a string, up to its end (`close`) or an interpolation (`open`), and past that.

        Raises:
            Malformed: a string that never ends, or an escape that JSON does not have.
        """
        while True:
            found = _IN_STRING.match(self._source, self._at)
            if found is None:
                ended = self._at >= len(self._source)
                problem = "this string is never closed" if ended else "there is no such escape"
                raise Malformed(min(self._at, len(self._source)), problem)
            self._at, self._next = found.end(), None
            if found.lastgroup in {"close", "open"}:
                return found.lastgroup

    def _scanned(self) -> JqToken:
        blank = _BLANK.match(self._source, self._at)
        begin = blank.end() if blank is not None else self._at
        if begin == len(self._source):
            return JqToken("end", "", begin, begin)
        found = _TOKEN.match(self._source, begin)
        if found is None or found.lastgroup is None:
            raise Malformed(begin, f"did not expect {self._source[begin]!r} in jq here")
        return JqToken(found.lastgroup, found[0], begin, found.end())
