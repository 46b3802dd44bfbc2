"""Finds in a syntax tree what cannot work whatever the variables are: types that do not fit, patterns that are none.

Rule 1: the type of a variable and of its members is `any`, which fits everywhere. Only what a text says by itself is an
error here: `1 + "a"`, `upper(5)`, `filter(nums, 1)`.
Rule 2: what may work for some values is left to the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opcode_runtime.expressions._failures import Malformed
from opcode_runtime.expressions.expr import _syntax as syn
from opcode_runtime.expressions.expr._operators import regex
from opcode_runtime.expressions.expr._signatures import BUILTINS, PREDICATED, Signature, Type
from opcode_runtime.model.errors import OpcodeError

_LITERALS: dict[type, Type] = {
    type(None): "nil", bool: "bool", int: "int", float: "float", str: "string", bytes: "bytes",
}  # fmt: skip
_NUMBERS = frozenset({"int", "float"})
_COUNTED = frozenset({"int", "float", "month", "weekday"})
_ORDERED = ("string", "time", "duration")
_SUMS: dict[tuple[str, Type, Type], Type] = {
    ("+", "string", "string"): "string",
    ("+", "time", "duration"): "time",
    ("+", "duration", "time"): "time",
    ("+", "duration", "duration"): "duration",
    ("-", "time", "time"): "duration",
    ("-", "time", "duration"): "time",
    ("-", "duration", "duration"): "duration",
    ("*", "duration", "int"): "duration",
    ("*", "int", "duration"): "duration",
    ("*", "duration", "float"): "float",
    ("*", "float", "duration"): "float",
}
_RESULTS: dict[str, Type] = {"/": "float", "**": "float", "%": "int"}
_MEMBERED = frozenset({"any", "map", "time", "duration"})
_INDEXED = frozenset({"any", "map", "array", "bytes"})


def check(node: syn.Node, methods: dict[Type, frozenset[str]]) -> None:
    """Check a whole tree.

    Arguments:
        methods: the methods that values of a type have.

    Raises:
        Malformed: at the first thing that cannot work.
    """
    _Checker(methods).type_of(node)


class _Checker:
    def __init__(self, methods: dict[Type, frozenset[str]]) -> None:
        self._methods = methods
        self._names: dict[str, Type] = {}

    def type_of(self, node: syn.Node) -> Type:
        """The type of a node's value."""
        return _RULES[type(node)](self, node)

    def _literal(self, node: syn.Literal) -> Type:
        return _LITERALS[type(node.value)]

    def _name(self, node: syn.Name) -> Type:
        return "map" if node.name == "$env" else self._names.get(node.name, "any")

    def _pointer(self, node: syn.Pointer) -> Type:
        return "int" if node.name == "index" else "any"

    def _unary(self, node: syn.Unary) -> Type:
        operand = self.type_of(node.operand)
        fits = {"any", "bool"} if node.op == "not" else {"any", *_NUMBERS}
        if operand not in fits:
            raise Malformed(node.at, f"{node.op} of {operand} means nothing")
        return "bool" if node.op == "not" else operand

    def _binary(self, node: syn.Binary) -> Type:
        row: list[syn.Binary] = []
        first: syn.Node = node
        while isinstance(first, syn.Binary):
            row.append(first)
            first = first.left
        found = self.type_of(first)
        for each in reversed(row):
            found = self._operation(each, found, self.type_of(each.right))
        return found

    def _operation(self, node: syn.Binary, left: Type, right: Type) -> Type:
        found = _result(node.op, left, right)
        if found is None:
            raise Malformed(node.at, f"{left} {node.op} {right} means nothing")
        if node.op == "matches" and isinstance(node.right, syn.Literal):
            self._check_pattern(node.right)
        return found

    def _check_pattern(self, node: syn.Literal) -> None:
        try:
            regex(node.value)
        except OpcodeError as error:
            raise Malformed(node.at, error.message) from None

    def _chain(self, node: syn.Chain) -> Type:
        left = self.type_of(node.first)
        for at, op, operand in node.rest:
            right = self.type_of(operand)
            if _result(op, left, right) is None:
                raise Malformed(at, f"{left} {op} {right} means nothing")
            left = right
        return "bool"

    def _condition(self, node: syn.Node) -> None:
        found = self.type_of(node)
        if found not in {"any", "bool"}:
            raise Malformed(node.at, f"a condition has to be true or false, not {found}")

    def _conditional(self, node: syn.Conditional) -> Type:
        self._condition(node.test)
        return _same(self.type_of(node.then), self.type_of(node.other))

    def _elvis(self, node: syn.Elvis) -> Type:
        self._condition(node.test)
        return _same("bool", self.type_of(node.other))

    def _member(self, node: syn.Member) -> Type:
        row: list[syn.Member] = []
        first: syn.Node = node
        while isinstance(first, syn.Member):
            row.append(first)
            first = first.of
        found = self.type_of(first)
        for each in reversed(row):
            self._check_member(each, found, self.type_of(each.key))
            found = "any"
        return found

    def _check_member(self, node: syn.Member, of: Type, key: Type) -> None:
        dotted = isinstance(node.key, syn.Literal) and isinstance(node.key.value, str)
        if of not in (_MEMBERED if dotted else _INDEXED):
            raise Malformed(node.at, f"{of} has no such member")
        if of == "map" and key not in {"any", "string"}:
            raise Malformed(node.at, f"the keys of this map are strings; {key} is none")
        if of in {"array", "bytes"} and key not in {"any", *_COUNTED}:
            raise Malformed(node.at, f"an element of {of} has a number, not {key}")

    def _slice(self, node: syn.Slice) -> Type:
        found = self.type_of(node.of)
        if found not in {"any", "array", "string", "bytes"}:
            raise Malformed(node.at, f"{found} cannot be sliced")
        for bound in (node.begin, node.end):
            if bound is not None and self.type_of(bound) not in {"any", *_NUMBERS}:
                raise Malformed(bound.at, "a bound has to be a number")
        return found

    def _method(self, node: syn.Method) -> Type:
        of = self.type_of(node.of)
        for argument in node.arguments:
            self.type_of(argument)
        if of != "any" and node.name not in self._methods.get(of, ()):
            raise Malformed(node.at, f"{of} has no method {node.name}")
        if all(node.name not in names for names in self._methods.values()):
            raise Malformed(node.at, f"there is no method {node.name}")
        return "any"

    def _optional(self, node: syn.Optional) -> Type:
        self.type_of(node.inner)
        return "any"

    def _call(self, node: syn.Call) -> Type:
        signature = PREDICATED.get(node.name) or BUILTINS[node.name]
        types = [self.type_of(argument) for argument in node.arguments]
        for index, (argument, found) in enumerate(zip(node.arguments, types, strict=True)):
            _check_argument(node.name, signature, index, argument, found)
        return types[0] if signature.result == "first" else signature.result

    def _predicate(self, node: syn.Predicate) -> Type:
        return self.type_of(node.body)

    def _let(self, node: syn.Let) -> Type:
        known = dict(self._names)
        self._names[node.name] = self.type_of(node.value)
        found = self.type_of(node.body)
        self._names = known
        return found

    def _sequence(self, node: syn.Sequence) -> Type:
        return [self.type_of(item) for item in node.items][-1]

    def _array(self, node: syn.Array) -> Type:
        for item in node.items:
            self.type_of(item)
        return "array"

    def _map(self, node: syn.Map) -> Type:
        for key, value in node.pairs:
            if self.type_of(key) not in {"any", "string"}:
                raise Malformed(key.at, "the key of a map has to be a string")
            self.type_of(value)
        return "map"


def _check_argument(
    name: str, signature: Signature, index: int, argument: syn.Node, found: Type
) -> None:
    accepted = signature.accepts(index)
    if found == "any" or "anything" in accepted or "any" in accepted or found in accepted:
        return
    if index == 1 and name in PREDICATED:
        raise Malformed(argument.at, f"the predicate of {name} gives {found}")
    wanted = " or ".join(sorted(accepted - {"letters"}))
    raise Malformed(argument.at, f"argument {index + 1} of {name} is {found}; it takes {wanted}")


def _same(left: Type, right: Type) -> Type:
    return left if left == right else "any"


def _equality(left: Type, right: Type) -> bool:
    if left == right or {left, right} & {"any", "nil"}:
        return True
    return left in _COUNTED and right in _COUNTED


def _ordering(left: Type, right: Type) -> bool:
    if left == "any" or right == "any":
        return not {left, right} & {"nil", "bool", "array", "map", "bytes"}
    return (left in _COUNTED and right in _COUNTED) or (left == right and left in _ORDERED)


def _arithmetic(op: str, left: Type, right: Type) -> Type | None:
    if op == "%" and "float" in {left, right}:
        return None
    if "any" in {left, right}:
        other = right if left == "any" else left
        fits = {
            "any",
            *_NUMBERS,
            *(("string", "time", "duration") if op in {"+", "-", "*"} else ()),
        }
        if other not in fits - ({"string"} if op != "+" else set()):
            return None
        return _RESULTS.get(op, "any")
    if left in _NUMBERS and right in _NUMBERS:
        if op in _RESULTS:
            return _RESULTS[op]
        return "int" if left == right == "int" else "float"
    return _SUMS.get((op, left, right))


def _result(op: str, left: Type, right: Type) -> Type | None:
    """The type of an operation; None when it cannot work."""
    if op in {"and", "or"}:
        return "bool" if {left, right} <= {"any", "bool"} else None
    if op == "??":
        return _same(left, right)
    if op in {"==", "!="}:
        return "bool" if _equality(left, right) else None
    if op in {"<", ">", "<=", ">="}:
        return "bool" if _ordering(left, right) else None
    if op == "in":
        fits = right in {"any", "array", "bytes"} or (right == "map" and left in {"any", "string"})
        return "bool" if fits else None
    if op in {"matches", "contains", "startsWith", "endsWith"}:
        return "bool" if {left, right} <= {"any", "string"} else None
    if op == "..":
        return "array" if {left, right} <= {"any", "int"} else None
    return _arithmetic(op, left, right)


_RULES: dict[type, Callable[[_Checker, Any], Type]] = {
    syn.Literal: _Checker._literal,
    syn.Name: _Checker._name,
    syn.Pointer: _Checker._pointer,
    syn.Unary: _Checker._unary,
    syn.Binary: _Checker._binary,
    syn.Chain: _Checker._chain,
    syn.Conditional: _Checker._conditional,
    syn.Elvis: _Checker._elvis,
    syn.Member: _Checker._member,
    syn.Slice: _Checker._slice,
    syn.Method: _Checker._method,
    syn.Optional: _Checker._optional,
    syn.Call: _Checker._call,
    syn.Predicate: _Checker._predicate,
    syn.Let: _Checker._let,
    syn.Sequence: _Checker._sequence,
    syn.Array: _Checker._array,
    syn.Map: _Checker._map,
}
