"""One expression: compiled at `define`, evaluated as often as needed."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from opcode_runtime.expressions._budget import IN_PLACE, Budget, Limits
from opcode_runtime.expressions._cel_compiler import SECRETS_STAND, CelCompiler
from opcode_runtime.expressions._cel_parser import parse
from opcode_runtime.expressions._cel_values import plain
from opcode_runtime.expressions._failures import Malformed, described, fault, syntax_error
from opcode_runtime.expressions._nodes import Default, Evaluation, KeyNode, Node, Path, SecretName
from opcode_runtime.expressions._scope import Keys, Scope, longest_id
from opcode_runtime.expressions._syntax import (
    SOURCE_CHARS_MAX,
    mentioned_step_ids,
    original_offset,
    parse_path,
    quote_step_ids,
    split_defaults,
    unwrapped,
)
from opcode_runtime.model.secret_text import SECRET_NAME

Kind = Literal["path", "cel", "default", "jq", "secret"]
StepIds = Container[str] | Iterable[str]
"""The ids that mean a step: anything that answers `in` is asked and never listed; anything else is listed once."""
NamedPath = tuple[str, tuple[KeyNode, ...]]


@dataclass(frozen=True, slots=True)
class Roots:
    """What an expression names.

    namespaces: of those that exist (`iter` counts as `loop`).
    steps: step ids; the longest of the known ids that fits, else the first name after `steps`.
    inputs: names of inputs.
    context: top-level keys of `context`.
    whole: namespaces that are named without a fixed name after them, so that any part may be meant.
    unknown: names that stand where a namespace should stand and are none.
    """

    namespaces: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()
    context: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled expression.

    source: the text between the braces, trimmed.
    kind: `path`, `cel`, `default` (`a ?? b`), `jq`, or `secret`, which only templates that take secrets may hold.
    needs_worker: whether its cost does not follow from its text.
    roots: what it names.
    step_ids: the known step ids that its text mentions; with the source, all it takes to compile it again.
    """

    source: str
    kind: Kind
    needs_worker: bool
    roots: Roots
    step_ids: frozenset[str]
    node: Node = field(repr=False, compare=False)
    paths: tuple[NamedPath, ...] = field(repr=False, compare=False)


def compile_expression(text: str, *, step_ids: StepIds = ()) -> Compiled:
    """Compile a path, `a ?? b`, or CEL; `${{ }}` around the whole is allowed.

    Arguments:
        text: the expression as written.
        step_ids: every runtime id of the definition, so that hyphens and dots in ids are read as parts of them;
            whatever answers `in` will do.

    Raises:
        OpcodeError: VALIDATION_ERROR with `details["column"]` (1-based) for what is wrong as written. Whether names
            exist is not checked here: see `Compiled.roots`.
        TypeError: `text` is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"an expression is a text, not {type(text).__name__}")
    try:
        begin, end = unwrapped(text)
    except Malformed as error:
        raise syntax_error(text, error.offset, error.message) from None
    compiled = compile_part(text, begin, end, answering(step_ids))
    if compiled.kind == "secret":
        raise syntax_error(text, begin, SECRETS_STAND)
    return compiled


def answering(step_ids: StepIds) -> Container[str]:
    """Step ids in a form that is quick to ask for one of them."""
    if isinstance(step_ids, Container) and not isinstance(step_ids, list | tuple):
        return step_ids
    return frozenset(step_ids)


def compile_part(text: str, begin: int, end: int, known: Container[str]) -> Compiled:
    """Compile `text[begin:end]`; columns of errors count in the whole `text`."""
    source = text[begin:end].strip()
    try:
        compiled = _compiled(source, mentioned_step_ids(source, known))
    except Malformed as error:
        offset = begin + text[begin:end].find(source) + error.offset
        raise syntax_error(text, offset, error.message) from None
    return replace(compiled, roots=_roots(compiled.paths, compiled.roots.unknown, known))


def evaluate(compiled: Compiled, scope: Scope, *, limits: Limits = IN_PLACE) -> Any:
    """The value of an expression, as plain JSON.

    Raises:
        OpcodeError: INTERPOLATION_ERROR for a name that is not there, EXECUTION_ERROR for anything else.
        BudgetExceeded: over a limit; in place this means that a worker should have it.
    """
    try:
        return plain(compiled.node(Evaluation(scope, Budget(limits))))
    except RecursionError:
        raise fault("a value is nested too deeply for an expression") from None


def check_guard(value: Any, what: str = "a guard") -> bool:
    """What a guard or the condition of a loop decides: a boolean as it is, null as false.

    Arguments:
        value: what its expression gave.
        what: how the message calls it, such as `"the condition of a loop"`.

    Raises:
        OpcodeError: EXECUTION_ERROR for anything else.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    raise fault(
        f"{what} must give true or false; this gave {described(value)}: compare it, as in x == 1"
    )


@lru_cache(maxsize=1024)
def _compiled(source: str, step_ids: frozenset[str]) -> Compiled:
    if not source:
        raise Malformed(0, "there is no expression here")
    if len(source) > SOURCE_CHARS_MAX:
        raise Malformed(0, f"an expression may have at most {SOURCE_CHARS_MAX} characters")
    sides = split_defaults(source)
    if len(sides) == 1:
        return _side(source, source, step_ids)
    compiled = [_side_at(offset, side, source, step_ids) for offset, side in sides]
    if any(side.kind == "secret" for side in compiled):
        raise Malformed(0, SECRETS_STAND)
    return Compiled(
        source,
        "default",
        any(side.needs_worker for side in compiled),
        Roots(unknown=frozenset().union(*(side.roots.unknown for side in compiled))),
        step_ids,
        Default(tuple(side.node for side in compiled)),
        tuple(path for side in compiled for path in side.paths),
    )


def _side_at(offset: int, side: str, source: str, step_ids: frozenset[str]) -> Compiled:
    lead = len(side) - len(side.lstrip())
    try:
        if not side.strip():
            raise Malformed(0, "there is nothing beside this ??")
        return _side(side.strip(), source, step_ids)
    except Malformed as error:
        raise Malformed(offset + lead + error.offset, error.message) from None


def _side(text: str, source: str, step_ids: frozenset[str]) -> Compiled:
    path = parse_path(text)
    if path is None:
        return _cel(text, source, step_ids)
    if path[0] == "secrets":
        return Compiled(
            source,
            "secret",
            False,
            Roots(),
            step_ids,
            _secret_name(path[1]),
            (("secrets", path[1]),),
        )
    return Compiled(source, "path", False, Roots(), step_ids, Path(*path), (path,))


def _secret_name(keys: Keys) -> SecretName:
    name = ".".join(str(key) for key in keys)
    if not SECRET_NAME.fullmatch(name):
        raise Malformed(
            0, "a secret is named as in ${{secrets.API_TOKEN}}: letters, digits, '_', '-' and '.'"
        )
    return SecretName(name)


def _cel(text: str, source: str, step_ids: frozenset[str]) -> Compiled:
    rewritten, moved = quote_step_ids(text, step_ids)
    compiler = CelCompiler()
    try:
        node = compiler.compile(parse(rewritten))
    except Malformed as error:
        raise Malformed(original_offset(error.offset, moved), error.message) from None
    roots = Roots(unknown=frozenset(compiler.unknown))
    paths = tuple(compiler.paths)
    return Compiled(source, "cel", compiler.needs_worker, roots, step_ids, node, paths)


def _roots(
    paths: tuple[NamedPath, ...], unknown: frozenset[str], step_ids: Container[str]
) -> Roots:
    named: dict[str, set[str]] = {"steps": set(), "inputs": set(), "context": set(), "whole": set()}
    namespaces = {"loop" if root == "iter" else root for root, _ in paths}
    for root, keys in paths:
        if not keys or not isinstance(keys[0], str):
            named["whole"].add("loop" if root == "iter" else root)
        elif root == "steps":
            named["steps"].add(step_named(keys, step_ids))
        elif root in named:
            named[root].add(keys[0])
    return Roots(
        namespaces=frozenset(namespaces),
        unknown=unknown,
        **{kind: frozenset(names) for kind, names in named.items()},
    )


def step_named(keys: tuple[KeyNode, ...], step_ids: Container[str]) -> str:
    """The step id that the keys after `steps` mean: the longest known one, else the first name."""
    step_id, _ = longest_id(keys, step_ids)
    return step_id if step_id is not None else str(keys[0])
