"""JSON with `${{ }}` inside its strings: parsed once, filled in as often as needed.

Rule 1: a string that is exactly one `${{ }}` becomes the value itself, whatever its type; inside a longer string the
value becomes text.
Rule 2: what is filled in is never looked at again. Data that looks like an expression stays data.
Rule 3: keys of objects are not expressions.
Rule 4: `${{secrets.NAME}}` may stand only in a template that takes secrets, and becomes a `SecretText`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opcode_runtime.expressions._budget import IN_PLACE, Limits
from opcode_runtime.expressions._cel_compiler import SECRETS_STAND
from opcode_runtime.expressions._compiled import (
    Compiled,
    StepIds,
    answering,
    compile_part,
    evaluate,
)
from opcode_runtime.expressions._failures import BudgetExceeded, Malformed, syntax_error
from opcode_runtime.expressions._scope import Scope
from opcode_runtime.expressions._syntax import split_template
from opcode_runtime.expressions._text import to_text
from opcode_runtime.model.errors import OpcodeError, Problem
from opcode_runtime.model.json_size import is_larger
from opcode_runtime.model.secret_text import SecretText

NESTING_MAX = 200


@dataclass(frozen=True, slots=True)
class _Value:
    """A string that is one expression."""

    pointer: str
    expression: Compiled


@dataclass(frozen=True, slots=True)
class _Text:
    """A string with expressions inside."""

    pointer: str
    pieces: tuple[str | Compiled, ...]


@dataclass(frozen=True, slots=True)
class _Filling:
    """What one rendering works with."""

    scope: Scope
    given: Mapping[str, Any]
    limits: Limits

    def value(self, pointer: str, expression: Compiled) -> Any:
        """The value of one expression; an error says where in the template it stands."""
        if expression.source in self.given:
            return self.given[expression.source]
        try:
            return evaluate(expression, self.scope, limits=self.limits)
        except OpcodeError as error:
            error.pointer = pointer
            raise


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A JSON value with expressions in its strings.

    needs_worker: whether any expression does.
    expressions: (JSON pointer of the string, expression), in document order.
    """

    needs_worker: bool
    expressions: tuple[tuple[str, Compiled], ...]
    _root: Any

    @property
    def names_secrets(self) -> bool:
        """Whether a secret is named."""
        return any(each.kind == "secret" for _, each in self.expressions)

    def render(
        self, scope: Scope, *, given: Mapping[str, Any] | None = None, limits: Limits = IN_PLACE
    ) -> Any:
        """Fill the template in.

        Arguments:
            scope: what names mean.
            given: values of expressions that were evaluated elsewhere, by `Compiled.source`.
            limits: of each single expression, and of each value that becomes part of a longer text.

        Raises:
            OpcodeError: as `evaluate`, with `pointer` set to the string at fault.
        """
        return _filled(self._root, _Filling(scope, given or {}, limits))


def compile_template(
    value: Any, *, step_ids: StepIds = (), takes_secrets: bool = False
) -> CompiledTemplate:
    """Parse every string of a JSON value.

    Arguments:
        takes_secrets: whether `${{secrets.NAME}}` may stand in it; where exactly is for others to say.

    Raises:
        OpcodeError: VALIDATION_ERROR with one problem for each string that is wrong; `pointer` and the message are
            those of the first.
    """
    compiler = _TemplateCompiler(step_ids, takes_secrets)
    root = compiler.part(value, "", 0)
    if compiler.problems:
        raise OpcodeError(
            compiler.problems[0].code,
            compiler.problems[0].message,
            pointer=compiler.problems[0].pointer,
            details=compiler.details,
            problems=tuple(compiler.problems),
        )
    expressions = tuple(compiler.expressions)
    return CompiledTemplate(any(each.needs_worker for _, each in expressions), expressions, root)


def template_of(expression: Compiled) -> CompiledTemplate:
    """The template that is one expression and nothing else."""
    return CompiledTemplate(expression.needs_worker, (("", expression),), _Value("", expression))


class _TemplateCompiler:
    """Walks a JSON value and keeps what it finds."""

    def __init__(self, step_ids: StepIds, takes_secrets: bool) -> None:
        self._step_ids = answering(step_ids)
        self._takes_secrets = takes_secrets
        self.expressions: list[tuple[str, Compiled]] = []
        self.problems: list[Problem] = []
        self.details: dict[str, Any] | None = None

    def part(self, value: Any, pointer: str, depth: int) -> Any:
        if depth > NESTING_MAX:
            self._refuse(pointer, syntax_error(pointer, 0, f"nested deeper than {NESTING_MAX}"))
            return None
        if isinstance(value, str):
            return self._string(value, pointer) if "${{" in value else value
        if isinstance(value, Mapping):
            return {
                key: self.part(item, f"{pointer}/{_pointer_token(key)}", depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.part(item, f"{pointer}/{at}", depth + 1) for at, item in enumerate(value)]
        return value

    def _string(self, text: str, pointer: str) -> Any:
        try:
            pieces = self._pieces(text, pointer)
        except OpcodeError as error:
            self._refuse(pointer, error)
            return None
        if len(pieces) == 1 and isinstance(pieces[0], Compiled):
            return _Value(pointer, pieces[0])
        if all(isinstance(piece, str) for piece in pieces):
            return "".join(str(piece) for piece in pieces)
        return _Text(pointer, tuple(pieces))

    def _pieces(self, text: str, pointer: str) -> list[str | Compiled]:
        try:
            split = split_template(text)
        except Malformed as error:
            raise syntax_error(text, error.offset, error.message) from None
        pieces: list[str | Compiled] = []
        for piece in split:
            if isinstance(piece, str):
                pieces.append(piece)
                continue
            expression = compile_part(text, *piece, self._step_ids)
            if expression.kind == "secret" and not self._takes_secrets:
                raise syntax_error(text, piece[0], SECRETS_STAND)
            self.expressions.append((pointer, expression))
            pieces.append(expression)
        return pieces

    def _refuse(self, pointer: str, error: OpcodeError) -> None:
        self.details = self.details or error.details
        self.problems.append(Problem(pointer, error.code, error.message))


def _filled(part: Any, filling: _Filling) -> Any:
    if isinstance(part, _Value):
        return filling.value(part.pointer, part.expression)
    if isinstance(part, _Text):
        pieces = [_piece_text(part.pointer, piece, filling) for piece in part.pieces]
        return SecretText.joined(pieces) if SecretText in map(type, pieces) else "".join(pieces)
    if isinstance(part, dict):
        return {key: _filled(item, filling) for key, item in part.items()}
    if isinstance(part, list):
        return [_filled(item, filling) for item in part]
    return part


def _piece_text(pointer: str, piece: str | Compiled, filling: _Filling) -> str:
    if isinstance(piece, str):
        return piece
    value = filling.value(pointer, piece)
    if not isinstance(value, str) and is_larger(value, filling.limits.text_chars_max):
        raise BudgetExceeded("text", "a value is too large to be written as text here")
    return to_text(value)


def _pointer_token(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
