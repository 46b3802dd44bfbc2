"""Syntax tree → functions over plain JSON.

Why not the evaluator of cel-python: it converts the whole scope first, its comparisons are mended only by changing its
classes for the whole process, and its macros swallow the exception that should stop them. Here a name costs what it
touches and nothing else.

Rule 1: long chains of one operator are loops, not recursion; what really nests is bounded.
Rule 2: whatever calls itself once per element (a macro), and `matches`, needs a worker.
Rule 3: what the expression names is noted, so that a reference can be checked without evaluating anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from opcode_runtime.expressions import _cel_values as values
from opcode_runtime.expressions._cel_functions import FUNCTIONS, TYPES
from opcode_runtime.expressions._cel_literals import literal
from opcode_runtime.expressions._cel_macros import MACROS, logic, macro
from opcode_runtime.expressions._failures import Malformed, fault
from opcode_runtime.expressions._nodes import (
    DynamicPath,
    Evaluation,
    KeyNode,
    Members,
    Node,
    Path,
)
from opcode_runtime.expressions._scope import NAMESPACES

if TYPE_CHECKING:
    from lark import Token, Tree

NESTING_MAX = 50
SECRETS_STAND = (
    "a secret cannot stand here: ${{secrets.NAME}}, nothing else between the braces, may stand in "
    "the params of http.*, env and stdin of shell.exec, key and data of crypto.hmac, "
    "content of fs.write and fs.append, and as the whole default of an input under 'inputs'"
)
_TYPES_IN_PACKAGES: dict[tuple[KeyNode, ...], values.CelType] = {
    ("google", "protobuf", "Timestamp"): values.CelType("google.protobuf.Timestamp"),
    ("google", "protobuf", "Duration"): values.CelType("google.protobuf.Duration"),
}
_ORDERS = {"relation_lt": "<", "relation_le": "<=", "relation_gt": ">", "relation_ge": ">="}
_ARITHMETIC = {
    "addition_add": values.add,
    "addition_sub": values.subtract,
    "multiplication_mul": values.multiply,
    "multiplication_div": values.divide,
    "multiplication_mod": values.modulo,
}


@dataclass(slots=True)
class CelCompiler:
    """Compiles one tree and notes what it names on the way: `paths`, `unknown` roots, `needs_worker`."""

    paths: list[tuple[str, tuple[KeyNode, ...]]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    needs_worker: bool = False
    _variables: list[str] = field(default_factory=list)
    _depth: int = 0

    def compile(self, tree: Tree[Token]) -> Node:
        """The function that a tree stands for.

        Raises:
            Malformed: it parses and yet means nothing.
        """
        tree = _collapsed(tree)
        if self._depth >= NESTING_MAX:
            raise _wrong(tree, f"this is nested deeper than {NESTING_MAX}")
        self._depth += 1
        try:
            return self._dispatch(tree)
        finally:
            self._depth -= 1

    def _dispatch(self, tree: Tree[Token]) -> Node:
        handler = _HANDLERS.get(tree.data)
        if handler is None:
            raise _wrong(tree, "messages such as Name{…} are not part of workflow expressions")
        return handler(self, tree)

    def _conditional(self, tree: Tree[Token]) -> Node:
        cases: list[tuple[Node, Node]] = []
        while tree.data == "expr" and len(tree.children) == 3:
            test, then, tree = (_tree(child) for child in tree.children)
            cases.append((self.compile(test), self.compile(then)))
            tree = _collapsed(tree)
        otherwise = self.compile(tree)

        def evaluate(evaluation: Evaluation) -> Any:
            evaluation.budget.spend()
            for test, then in cases:
                chosen = test(evaluation)
                if not isinstance(chosen, bool):
                    raise values.no_overload("? :", chosen)
                if chosen:
                    return then(evaluation)
            return otherwise(evaluation)

        return evaluate

    def _logic(self, tree: Tree[Token]) -> Node:
        kind = tree.data
        operands: list[Node] = []
        while tree.data == kind:
            left, right = (_tree(child) for child in tree.children)
            operands.append(self.compile(right))
            tree = _collapsed(left)
        operands.append(self.compile(tree))
        operands.reverse()
        name, winner = ("||", True) if kind == "conditionalor" else ("&&", False)
        return logic(name, operands, winner)

    def _relation(self, tree: Tree[Token]) -> Node:
        operator, right_tree = (_tree(child) for child in tree.children)
        left, right = self.compile(_tree(operator.children[0])), self.compile(right_tree)
        compare = _comparison(operator.data)

        def evaluate(evaluation: Evaluation) -> bool:
            evaluation.budget.spend()
            return compare(left(evaluation), right(evaluation), evaluation)

        return evaluate

    def _arithmetic(self, tree: Tree[Token]) -> Node:
        kind = tree.data
        steps: list[tuple[Callable[..., Any], Node]] = []
        while tree.data == kind:
            operator, right = (_tree(child) for child in tree.children)
            steps.append((_ARITHMETIC[operator.data], self.compile(right)))
            tree = _collapsed(_tree(operator.children[0]))
        first = self.compile(tree)
        steps.reverse()

        def evaluate(evaluation: Evaluation) -> Any:
            value = first(evaluation)
            for apply, operand in steps:
                evaluation.budget.spend()
                value = apply(value, operand(evaluation), evaluation.budget)
            return value

        return evaluate

    def _unary(self, tree: Tree[Token]) -> Node:
        signs: list[str] = []
        while tree.data == "unary":
            sign, operand_tree = (_tree(child) for child in tree.children)
            signs.append(sign.data)
            tree = _collapsed(operand_tree)
        operand = self.compile(tree)
        signs.reverse()

        def evaluate(evaluation: Evaluation) -> Any:
            value = operand(evaluation)
            for sign in signs:
                evaluation.budget.spend()
                value = _not(value) if sign == "unary_not" else values.negate(value)
            return value

        return evaluate

    def _literal(self, tree: Tree[Token]) -> Node:
        value = _literal_value(tree)
        return lambda _: value

    def _list(self, tree: Tree[Token]) -> Node:
        items = [self.compile(item) for item in _arguments(tree, 0)]

        def evaluate(evaluation: Evaluation) -> values.BuiltList:
            evaluation.budget.spend()
            return values.BuiltList(item(evaluation) for item in items)

        return evaluate

    def _map(self, tree: Tree[Token]) -> Node:
        parts = [self.compile(item) for item in _arguments(tree, 0)]
        entries = list(zip(parts[::2], parts[1::2], strict=True))

        def evaluate(evaluation: Evaluation) -> values.BuiltMap:
            evaluation.budget.spend()
            built = values.BuiltMap()
            for key_node, value_node in entries:
                key = _new_key(key_node(evaluation), built)
                built[key] = value_node(evaluation)
            return built

        return evaluate

    def _global_call(self, tree: Tree[Token]) -> Node:
        name, arguments = str(tree.children[0]), _arguments(tree, 1)
        if name == "has":
            return self._has(tree, arguments)
        return self._call(tree, name, arguments, is_method=False)

    def _method_call(self, tree: Tree[Token]) -> Node:
        target, name = _tree(tree.children[0]), str(tree.children[1])
        arguments = _arguments(tree, 2)
        if name in MACROS:
            return self._macro(tree, name, target, arguments)
        return self._call(tree, name, [target, *arguments], is_method=True)

    def _call(
        self, tree: Tree[Token], name: str, arguments: list[Tree[Token]], *, is_method: bool
    ) -> Node:
        function = FUNCTIONS.get(name)
        if function is None:
            raise _wrong(tree, f"there is no function {name!r}{_suggestion(name)}")
        counts = function.as_method if is_method else function.as_global
        if counts is None:
            form = f"{name}(value)" if is_method else f"value.{name}()"
            raise _wrong(tree, f"{name!r} is written {form}")
        if len(arguments) - is_method not in counts:
            raise _wrong(tree, f"{name!r} does not take {len(arguments) - is_method} arguments")
        self.needs_worker = self.needs_worker or function.needs_worker
        nodes, call = [self.compile(argument) for argument in arguments], function.call

        def evaluate(evaluation: Evaluation) -> Any:
            evaluation.budget.spend()
            return call(evaluation.budget, *[node(evaluation) for node in nodes])

        return evaluate

    def _has(self, tree: Tree[Token], arguments: list[Tree[Token]]) -> Node:
        node = self.compile(arguments[0]) if len(arguments) == 1 else None
        if not isinstance(node, Path | DynamicPath | Members) or not node.keys:
            raise _wrong(tree, "has() takes one member, as in has(inputs.name)")
        return lambda evaluation: node.probe(evaluation)[0]

    def _macro(
        self, tree: Tree[Token], name: str, target: Tree[Token], arguments: list[Tree[Token]]
    ) -> Node:
        counts = {2, 3} if name == "map" else {2}
        variable = _collapsed(arguments[0]) if arguments else None
        if len(arguments) not in counts or variable is None or variable.data != "ident":
            raise _wrong(tree, f"{name!r} is written list.{name}(item, expression)")
        self.needs_worker = True
        base = self.compile(target)
        self._variables.append(str(variable.children[0]))
        bodies = [self.compile(body) for body in arguments[1:]]
        return macro(name, base, self._variables.pop(), bodies)

    def _members(self, tree: Tree[Token]) -> Node:
        keys: list[KeyNode] = []
        while tree.data in {"member_dot", "member_index"}:
            base, last = tree.children
            keys.append(str(last) if tree.data == "member_dot" else self._key(_tree(last)))
            tree = _collapsed(_tree(base))
        keys.reverse()
        if tree.data not in {"ident", "dot_ident"}:
            return Members(self.compile(tree), tuple(keys), "the value")
        name = str(tree.children[0])
        if tree.data == "ident" and name in self._variables:
            return Members(lambda evaluation: evaluation.variables[name], tuple(keys), name)
        return self._named(tree, name, tuple(keys))

    def _named(self, tree: Tree[Token], name: str, keys: tuple[KeyNode, ...]) -> Node:
        of_type = TYPES.get(name) if not keys else _TYPES_IN_PACKAGES.get((name, *keys))
        if of_type is not None:
            return lambda _: of_type
        if name == "secrets":
            raise _wrong(tree, SECRETS_STAND)
        if name in NAMESPACES:
            self.paths.append((name, keys))
        else:
            self.unknown.add(name)
        fixed = tuple(key for key in keys if not callable(key))
        return Path(name, fixed) if len(fixed) == len(keys) else DynamicPath(name, keys)

    def _key(self, tree: Tree[Token]) -> KeyNode:
        tree = _collapsed(tree)
        if tree.data == "literal":
            value = _literal_value(tree)
            if isinstance(value, str | int) and not isinstance(value, bool):
                return value
        node = self.compile(tree)
        return lambda evaluation: values.map_key("[]", node(evaluation))


_HANDLERS: dict[str, Callable[[CelCompiler, Tree[Token]], Node]] = {
    "expr": CelCompiler._conditional,
    "conditionalor": CelCompiler._logic,
    "conditionaland": CelCompiler._logic,
    "relation": CelCompiler._relation,
    "addition": CelCompiler._arithmetic,
    "multiplication": CelCompiler._arithmetic,
    "unary": CelCompiler._unary,
    "literal": CelCompiler._literal,
    "list_lit": CelCompiler._list,
    "map_lit": CelCompiler._map,
    "ident_arg": CelCompiler._global_call,
    "dot_ident_arg": CelCompiler._global_call,
    "member_dot_arg": CelCompiler._method_call,
    "member_dot": CelCompiler._members,
    "member_index": CelCompiler._members,
    "ident": CelCompiler._members,
    "dot_ident": CelCompiler._members,
}
_TRANSPARENT = frozenset(
    [
        *("expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication"),
        *("unary", "member", "primary", "paren_expr"),
    ]
)


def _collapsed(tree: Tree[Token]) -> Tree[Token]:
    """The tree below levels of the grammar that add nothing."""
    while tree.data in _TRANSPARENT and len(tree.children) == 1:
        tree = _tree(tree.children[0])
    return tree


def _tree(child: Any) -> Tree[Token]:
    found: Tree[Token] = child
    return found


def _arguments(tree: Tree[Token], after: int) -> list[Tree[Token]]:
    """The expressions listed in a call or container whose list stands after `after` other children."""
    return (
        [_tree(item) for item in _tree(tree.children[after]).children]
        if tree.children[after:]
        else []
    )


def _wrong(tree: Tree[Token], message: str) -> Malformed:
    return Malformed(0 if tree.meta.empty else tree.meta.start_pos, message)


def _literal_value(tree: Tree[Token]) -> Any:
    token: Any = tree.children[0]
    try:
        return literal(token.type, str(token))
    except ValueError as error:
        raise _wrong(tree, str(error)) from None


def _comparison(kind: str) -> Callable[[Any, Any, Evaluation], bool]:
    if kind in _ORDERS:
        symbol = _ORDERS[kind]
        return lambda left, right, _: values.ordered(symbol, left, right)
    if kind == "relation_in":
        return lambda left, right, evaluation: values.contained(left, right, evaluation.budget)
    wanted = kind == "relation_eq"
    return lambda left, right, evaluation: values.equal(left, right, evaluation.budget) is wanted


def _not(value: Any) -> bool:
    if not isinstance(value, bool):
        raise values.no_overload("!", value)
    return not value


def _new_key(value: Any, built: values.BuiltMap) -> Any:
    key = values.map_key("a key of a map", value)
    if isinstance(key, float) or isinstance(value, values.Double):
        raise values.no_overload("a key of a map", value)
    if key in built:
        raise fault(f"the key {value!r} stands twice in a map")
    return key


def _suggestion(name: str) -> str:
    near = get_close_matches(name, [*FUNCTIONS, *MACROS, "has"], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
