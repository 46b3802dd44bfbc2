"""From syntax tree to closures: each node becomes a function of the evaluation's slots.

Rule 1: a slot holds the environment, the meter, the moment of `now`, or one variable; which, is settled here, so that
evaluating looks no name up but those of the environment.
Rule 2: rows of operators and of members are loops: how long they are is no depth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opcode_runtime.expressions._failures import fault
from opcode_runtime.expressions.expr import _syntax as syn
from opcode_runtime.expressions.expr._calls import compile_call
from opcode_runtime.expressions.expr._methods import call_method
from opcode_runtime.expressions.expr._operators import (
    OPERATIONS,
    fetch,
    keep,
    negate,
    sliced,
    truth,
)

Slots = list[Any]
Run = Callable[[Slots], Any]
Step = Callable[[Slots, Any], Any]

ENVIRONMENT, METER, NOW = 0, 1, 2
_SIGNS: dict[str, Callable[[Any], Any]] = {
    "-": negate,
    "+": keep,
    "not": lambda value: not truth(value),
}


class _Missing:
    """What a `?.` leaves when it met nil, up to the end of its row of members."""


_MISSING = _Missing()


class Compiler:
    """Compiles one expression and counts the slots it needs."""

    def __init__(self) -> None:
        self.slot_count = 3
        self._names: dict[str, int] = {}
        self.pointers: list[dict[str, int]] = []

    def new_slot(self) -> int:
        """A slot that nothing else uses."""
        self.slot_count += 1
        return self.slot_count - 1

    def compile(self, node: syn.Node) -> Run:
        """The function that evaluates a node."""
        return _RULES[type(node)](self, node)

    def _literal(self, node: syn.Literal) -> Run:
        value = node.value
        return lambda _: value

    def _name(self, node: syn.Name) -> Run:
        name, slot = node.name, self._names.get(node.name)
        if slot is not None:
            return lambda slots: slots[slot]
        if name == "$env":
            return lambda slots: slots[ENVIRONMENT]
        return lambda slots: slots[ENVIRONMENT].get(name)

    def _pointer(self, node: syn.Pointer) -> Run:
        slot = self.pointers[-1][node.name]
        return lambda slots: slots[slot]

    def _unary(self, node: syn.Unary) -> Run:
        operand, sign = self.compile(node.operand), _SIGNS[node.op]
        return lambda slots: sign(operand(slots))

    def _binary(self, node: syn.Binary) -> Run:
        row: list[syn.Binary] = []
        first: syn.Node = node
        while isinstance(first, syn.Binary):
            row.append(first)
            first = first.left
        begin = self.compile(first)
        steps = [self._step(each) for each in reversed(row)]
        return _in_order(begin, steps)

    def _step(self, node: syn.Binary) -> Step:
        right = self.compile(node.right)
        if node.op == "and":
            return lambda slots, left: right(slots) if truth(left) else False
        if node.op == "or":
            return lambda slots, left: True if truth(left) else right(slots)
        if node.op == "??":
            return lambda slots, left: right(slots) if left is None else left
        operation = OPERATIONS[node.op]
        return lambda slots, left: operation(slots[METER], left, right(slots))

    def _chain(self, node: syn.Chain) -> Run:
        first = self.compile(node.first)
        rest = [(OPERATIONS[op], self.compile(operand)) for _, op, operand in node.rest]

        def run(slots: Slots) -> bool:
            left = first(slots)
            for compare, operand in rest:
                right = operand(slots)
                if not compare(slots[METER], left, right):
                    return False
                left = right
            return True

        return run

    def _conditional(self, node: syn.Conditional) -> Run:
        test, then, other = map(self.compile, (node.test, node.then, node.other))
        return lambda slots: then(slots) if truth(test(slots)) else other(slots)

    def _elvis(self, node: syn.Elvis) -> Run:
        test, other = self.compile(node.test), self.compile(node.other)
        return lambda slots: True if truth(test(slots)) else other(slots)

    def _members(self, node: syn.Member | syn.Slice | syn.Method) -> Run:
        row: list[syn.Member | syn.Slice | syn.Method] = []
        first: syn.Node = node
        while isinstance(first, syn.Member | syn.Slice | syn.Method):
            row.append(first)
            first = first.of
        begin = self.compile(first)
        steps = [self._member_step(each) for each in reversed(row)]
        return _in_order(begin, steps)

    def _member_step(self, node: syn.Member | syn.Slice | syn.Method) -> Step:
        if isinstance(node, syn.Member):
            step = self._member(node)
        elif isinstance(node, syn.Slice):
            step = self._slice(node)
        else:
            step = self._method(node)
        optional = not isinstance(node, syn.Slice) and node.optional

        def guarded(slots: Slots, of: Any) -> Any:
            if of is _MISSING or (optional and of is None):
                return _MISSING
            return step(slots, of)

        return guarded

    def _member(self, node: syn.Member) -> Step:
        if isinstance(node.key, syn.Literal):
            fixed = node.key.value
            return lambda _, of: fetch(of, fixed)
        key = self.compile(node.key)
        return lambda slots, of: fetch(of, key(slots))

    def _slice(self, node: syn.Slice) -> Step:
        begin, end = (
            None if each is None else self.compile(each) for each in (node.begin, node.end)
        )

        def step(slots: Slots, of: Any) -> Any:
            low = None if begin is None else begin(slots)
            high = None if end is None else end(slots)
            return sliced(slots[METER], of, low, high)

        return step

    def _method(self, node: syn.Method) -> Step:
        name, arguments = node.name, [self.compile(each) for each in node.arguments]
        return lambda slots, of: call_method(of, name, [each(slots) for each in arguments])

    def _optional(self, node: syn.Optional) -> Run:
        inner = self.compile(node.inner)

        def run(slots: Slots) -> Any:
            value = inner(slots)
            return None if value is _MISSING else value

        return run

    def _call(self, node: syn.Call) -> Run:
        return compile_call(self, node)

    def _let(self, node: syn.Let) -> Run:
        value, known, slot = self.compile(node.value), dict(self._names), self.new_slot()
        self._names[node.name] = slot
        body = self.compile(node.body)
        self._names = known

        def run(slots: Slots) -> Any:
            slots[slot] = value(slots)
            return body(slots)

        return run

    def _sequence(self, node: syn.Sequence) -> Run:
        *before, last = map(self.compile, node.items)

        def run(slots: Slots) -> Any:
            for each in before:
                each(slots)
            return last(slots)

        return run

    def _array(self, node: syn.Array) -> Run:
        if all(isinstance(item, syn.Literal) for item in node.items):
            fixed = [item.value for item in node.items if isinstance(item, syn.Literal)]
            return lambda _: fixed
        items = [self.compile(item) for item in node.items]

        def run(slots: Slots) -> list[Any]:
            slots[METER].grow(len(items))
            return [item(slots) for item in items]

        return run

    def _map(self, node: syn.Map) -> Run:
        pairs = [(self.compile(key), self.compile(value)) for key, value in node.pairs]

        def run(slots: Slots) -> dict[str, Any]:
            slots[METER].grow(len(pairs))
            return {_checked_key(key(slots)): value(slots) for key, value in pairs}

        return run


def _checked_key(key: Any) -> str:
    if not isinstance(key, str):
        raise fault("the key of a map has to be a string")
    return key


def _in_order(begin: Run, steps: list[Step]) -> Run:
    if len(steps) == 1:
        (only,) = steps
        return lambda slots: only(slots, begin(slots))

    def run(slots: Slots) -> Any:
        value = begin(slots)
        for step in steps:
            value = step(slots, value)
        return value

    return run


_RULES: dict[type, Callable[[Compiler, Any], Run]] = {
    syn.Literal: Compiler._literal,
    syn.Name: Compiler._name,
    syn.Pointer: Compiler._pointer,
    syn.Unary: Compiler._unary,
    syn.Binary: Compiler._binary,
    syn.Chain: Compiler._chain,
    syn.Conditional: Compiler._conditional,
    syn.Elvis: Compiler._elvis,
    syn.Member: Compiler._members,
    syn.Slice: Compiler._members,
    syn.Method: Compiler._members,
    syn.Optional: Compiler._optional,
    syn.Call: Compiler._call,
    syn.Let: Compiler._let,
    syn.Sequence: Compiler._sequence,
    syn.Array: Compiler._array,
    syn.Map: Compiler._map,
}
