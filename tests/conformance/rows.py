"""Rows of conformance: a scenario each, with the test that plays it and the features of the language it shows.

Rule 1: a row has the id of the scenario in the engine that opcode descends from, or `ours/...` where that has none.
Rule 2: a row's test asserts something about the outcome, unconditionally; a row that does not counts as failed.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

Test = Callable[..., Any]
MARK = "conformance_rows"
"""The attribute of a test function that holds its rows."""


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario: its id, what happens in words, and the names of the features it covers."""

    id: str
    says: str
    covers: tuple[str, ...]


def row(row_id: str, says: str, *covers: str) -> Callable[[Test], Test]:
    """Say which row a test plays."""

    def mark(test: Test) -> Test:
        played = _in_virtual_time(test)
        setattr(played, MARK, (Row(row_id, says, covers),))
        return played

    return mark


def rows(names: str, table: Iterable[tuple[Any, ...]], *covers: str) -> Callable[[Test], Test]:
    """Have a test played once for each row of a table.

    Arguments:
        names: the parameters of the test that the table gives, separated by commas.
        table: for each row its id, what it says, and the values of the parameters.
    """
    lines = list(table)

    def mark(test: Test) -> Test:
        played = _in_virtual_time(test)
        setattr(played, MARK, tuple(Row(line[0], line[1], covers) for line in lines))
        values = [line[2:] if "," in names else line[2] for line in lines]
        ids = [line[0] for line in lines]
        marked: Test = pytest.mark.parametrize(names, values, ids=ids)(played)
        return marked

    return mark


def _in_virtual_time(test: Test) -> Test:
    """The same test with a clock that jumps: a fixture's clock counts only where the test itself asks for it."""
    signature = inspect.signature(test)
    if not inspect.iscoroutinefunction(test) or "autojump_clock" in signature.parameters:
        return test

    @functools.wraps(test)
    async def played(*, autojump_clock: Any, **given: Any) -> None:
        await test(**given)

    clock = inspect.Parameter("autojump_clock", inspect.Parameter.KEYWORD_ONLY)
    parameters = [*signature.parameters.values(), clock]
    setattr(played, "__signature__", signature.replace(parameters=parameters))  # noqa: B010
    return played


def rows_of(test: Test) -> tuple[Row, ...]:
    """The rows that a test plays."""
    found: tuple[Row, ...] = getattr(test, MARK, ())
    return found


def asserts_outcome(test: Test) -> bool:
    """Whether a test asserts anything that is not fixed beforehand, whatever happens before it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(test))).body[0]
    assert isinstance(body, ast.FunctionDef | ast.AsyncFunctionDef)
    return any(_is_about_something(each) for each in _unconditional(body.body))


def _unconditional(body: list[ast.stmt]) -> Iterator[ast.stmt | ast.withitem]:
    """Statements that are reached whenever the test gets to its end."""
    for statement in body:
        if isinstance(statement, ast.With | ast.AsyncWith):
            yield from statement.items
            yield from _unconditional(statement.body)
        else:
            yield statement


def _is_about_something(node: ast.stmt | ast.withitem) -> bool:
    if isinstance(node, ast.Assert):
        return _names_something(node.test)
    if isinstance(node, ast.withitem):
        return _is_raises(node.context_expr)
    return False


def _is_raises(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "raises"
    )


def _names_something(node: ast.expr) -> bool:
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return bool(names - set(vars(builtins)))
