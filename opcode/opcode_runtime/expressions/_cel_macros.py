"""The macros that run an expression once per element, and the way truth values are joined.

Rule: an answer wins over an error (`false && error` is false), in either order; a spent budget wins over everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from opcode_runtime.expressions._cel_values import BuiltList, BuiltMap, from_key, no_overload
from opcode_runtime.expressions._failures import BudgetExceeded
from opcode_runtime.expressions._nodes import Evaluation, Node
from opcode_runtime.model.errors import OpcodeError

MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})


def decided(name: str, outcomes: Iterable[Callable[[], Any]], winner: bool) -> bool:
    """Join truth values: `winner` as soon as one of them is, else the opposite.

    Raises:
        OpcodeError: no outcome is `winner`, and one of them failed or is no boolean.
    """
    failure: Exception | None = None
    for outcome in outcomes:
        try:
            value = outcome()
        except BudgetExceeded:
            raise
        except OpcodeError as error:
            failure = failure or error
            continue
        if not isinstance(value, bool):
            failure = failure or no_overload(name, value)
        elif value is winner:
            return winner
    if failure is not None:
        raise failure
    return not winner


def logic(name: str, operands: list[Node], winner: bool) -> Node:
    """`a && b && …` (`winner` False) or `a || b || …` (`winner` True)."""

    def evaluate(evaluation: Evaluation) -> bool:
        evaluation.budget.spend()
        return decided(name, (partial(operand, evaluation) for operand in operands), winner)

    return evaluate


def macro(name: str, base: Node, variable: str, bodies: list[Node]) -> Node:
    """The node of `base.name(variable, bodies…)`; `map` alone may have two bodies, a filter before the mapping."""
    if name == "map":
        return _map(base, variable, bodies)
    if name == "filter":
        return _filter(base, variable, bodies[0])
    if name in {"exists_one", "existsOne"}:
        return _exists_one(base, variable, bodies[0])
    return _quantifier(name, base, variable, bodies[0])


def _quantifier(name: str, base: Node, variable: str, body: Node) -> Node:
    def evaluate(evaluation: Evaluation) -> bool:
        inner = evaluation.inner()
        elements = _elements(name, base(evaluation))
        outcomes = (partial(_applied, body, inner, variable, element) for element in elements)
        return decided(f"{name}()", outcomes, name == "exists")

    return evaluate


def _map(base: Node, variable: str, bodies: list[Node]) -> Node:
    def evaluate(evaluation: Evaluation) -> BuiltList:
        inner = evaluation.inner()
        mapped = BuiltList()
        for element in _elements("map", base(evaluation)):
            if len(bodies) == 1 or _holds("map", bodies[0], inner, variable, element):
                mapped.append(_applied(bodies[-1], inner, variable, element))
        return mapped

    return evaluate


def _filter(base: Node, variable: str, body: Node) -> Node:
    def evaluate(evaluation: Evaluation) -> BuiltList:
        inner = evaluation.inner()
        elements = _elements("filter", base(evaluation))
        return BuiltList(
            element for element in elements if _holds("filter", body, inner, variable, element)
        )

    return evaluate


def _exists_one(base: Node, variable: str, body: Node) -> Node:
    def evaluate(evaluation: Evaluation) -> bool:
        inner = evaluation.inner()
        elements = _elements("exists_one", base(evaluation))
        held = [_holds("exists_one", body, inner, variable, element) for element in elements]
        return sum(held) == 1

    return evaluate


def _elements(name: str, value: Any) -> Iterable[Any]:
    if isinstance(value, BuiltMap):
        return map(from_key, value)
    if isinstance(value, list | tuple | Mapping):
        return value
    raise no_overload(f"{name}()", value)


def _applied(body: Node, inner: Evaluation, variable: str, element: Any) -> Any:
    inner.budget.spend()
    inner.variables[variable] = element
    return body(inner)


def _holds(name: str, body: Node, inner: Evaluation, variable: str, element: Any) -> bool:
    outcome = _applied(body, inner, variable, element)
    if not isinstance(outcome, bool):
        raise no_overload(f"{name}()", outcome)
    return outcome
