"""Calls of builtins: arguments are evaluated, checked against the signature, and handed on with the meter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from opcode_runtime.expressions._failures import fault
from opcode_runtime.expressions.expr import _syntax as syn
from opcode_runtime.expressions.expr._collections import (
    COLLECTION_FUNCTIONS,
    NIL_AS_ABSENT,
    WITH_PREDICATE,
)
from opcode_runtime.expressions.expr._functions import SCALAR_FUNCTIONS
from opcode_runtime.expressions.expr._moments import Duration, Instant, Location, Month, Weekday
from opcode_runtime.expressions.expr._signatures import BUILTINS, PREDICATED
from opcode_runtime.expressions.expr._values import is_number, kind

Slots = list[Any]
Run = Callable[[Slots], Any]

_FUNCTIONS = SCALAR_FUNCTIONS | COLLECTION_FUNCTIONS
_CLASSES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "letters": (str,),
    "bool": (bool,),
    "array": (list,),
    "map": (dict,),
    "bytes": (bytes,),
    "duration": (Duration,),
    "time": (Instant,),
    "location": (Location,),
    "month": (Month,),
    "weekday": (Weekday,),
}
_METER, _NOW = 1, 2


class Scope(Protocol):
    """What a call needs of the compiler."""

    pointers: list[dict[str, int]]

    def compile(self, node: syn.Node) -> Run: ...

    def new_slot(self) -> int: ...


def compile_call(compiler: Scope, node: syn.Call) -> Run:
    """The function that evaluates a call."""
    if node.name == "now":
        return _now
    if node.name == "reduce":
        return _compile_reduce(compiler, node)
    if node.name in PREDICATED:
        return _compile_predicated(compiler, node)
    function = _FUNCTIONS[node.name]
    arguments = [compiler.compile(each) for each in node.arguments]
    checks = [_check_for(node.name, index) for index in range(len(arguments))]

    def run(slots: Slots) -> Any:
        values = [each(slots) for each in arguments]
        for check, value in zip(checks, values, strict=True):
            check(value)
        return function(slots[_METER], *values)

    return run


def _now(slots: Slots) -> Instant:
    if slots[_NOW] is None:
        raise fault("there is no now() here")
    return Instant(slots[_NOW])


def _check_for(name: str, index: int) -> Callable[[Any], None]:
    accepted = BUILTINS[name].accepts(index)
    classes = tuple(each for word in accepted for each in _CLASSES.get(word, ()))
    numbers = bool(accepted & {"int", "float"})
    anything = "anything" in accepted
    nil_too = index == 0 and name in NIL_AS_ABSENT

    def check(value: Any) -> None:
        if anything or isinstance(value, classes) or (numbers and is_number(value)):
            return
        if value is None and nil_too:
            return
        wanted = " or ".join(sorted(accepted - {"letters"}))
        raise fault(f"argument {index + 1} of {name} is {kind(value)}; it takes {wanted}")

    return check


def _array(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise fault(f"argument 1 of {name} is {kind(value)}; it takes array")
    return value


class _Predicate:
    """A compiled predicate and the slots it reads. Its cost is a step for each of its nodes."""

    def __init__(self, compiler: Scope, node: syn.Node) -> None:
        assert isinstance(node, syn.Predicate)
        self.item, self.index, self.before = (compiler.new_slot() for _ in range(3))
        compiler.pointers.append({"": self.item, "index": self.index, "acc": self.before})
        self.body = compiler.compile(node.body)
        compiler.pointers.pop()
        self.cost = 1 + _size(node.body)

    def over(self, slots: Slots) -> Callable[[Any, int], Any]:
        """The predicate as a function of an element and its index."""
        body, meter, cost = self.body, slots[_METER], self.cost
        item, index = self.item, self.index

        def each(value: Any, place: int) -> Any:
            meter.spend(cost)
            slots[item] = value
            slots[index] = place
            return body(slots)

        return each


def _size(node: Any) -> int:
    """How many nodes there are below a node, found without recursion."""
    count, left = 0, [node]
    while left:
        each = left.pop()
        if isinstance(each, tuple):
            left.extend(each)
        elif hasattr(each, "__dataclass_fields__"):
            count += 1
            left.extend(getattr(each, name) for name in each.__dataclass_fields__)
    return count


def _compile_predicated(compiler: Scope, node: syn.Call) -> Run:
    name, function = node.name, WITH_PREDICATE[node.name]
    array = compiler.compile(node.arguments[0])
    more = [compiler.compile(each) for each in node.arguments[2:]]
    if len(node.arguments) == 1:
        return lambda slots: function(slots[_METER], _array(name, array(slots)))
    predicate = _Predicate(compiler, node.arguments[1])

    def run(slots: Slots) -> Any:
        values = _array(name, array(slots)), predicate.over(slots), *(each(slots) for each in more)
        return function(slots[_METER], *values)

    return run


def _compile_reduce(compiler: Scope, node: syn.Call) -> Run:
    array, begin = compiler.compile(node.arguments[0]), None
    predicate = _Predicate(compiler, node.arguments[1])
    if len(node.arguments) == 3:
        begin = compiler.compile(node.arguments[2])

    def run(slots: Slots) -> Any:
        items = _array("reduce", array(slots))
        if begin is None and not items:
            raise fault("reduce of an empty array needs a value to begin with")
        value = items[0] if begin is None else begin(slots)
        each = predicate.over(slots)
        for index in range(begin is None, len(items)):
            slots[predicate.before] = value
            value = each(items[index], index)
        return value

    return run
