"""From text to syntax tree: a Pratt parser over the table of precedences of Expr.

Rule 1: a word binds as `_PRECEDENCES` says; a pipe binds least, `??` most; `?:` is below all of them.
Rule 2: rows of operators, members and pipes are loops; what really nests is counted against `DEPTH_MAX`.
Rule 3: `??` beside another operator on its right has to stand in brackets, since its precedence surprises.
"""

from __future__ import annotations

from opcode_runtime.expressions._failures import Malformed
from opcode_runtime.expressions.expr import _syntax as syn
from opcode_runtime.expressions.expr._lexer import Token
from opcode_runtime.expressions.expr._operands import Operands
from opcode_runtime.expressions.expr._signatures import BUILTINS, PREDICATED

_PRECEDENCES: dict[str, int] = {
    "||": 10, "or": 10, "&&": 15, "and": 15,
    "==": 20, "!=": 20, "<": 20, ">": 20, "<=": 20, ">=": 20,
    "in": 20, "matches": 20, "contains": 20, "startsWith": 20, "endsWith": 20,
    "..": 25, "+": 30, "-": 30, "*": 60, "/": 60, "%": 60, "**": 100, "^": 100, "??": 500,
}  # fmt: skip
_RIGHT_TO_LEFT = frozenset({"**", "^"})
_SIGNS: dict[str, int] = {"not": 50, "!": 50, "-": 90, "+": 90}
_NEGATABLE = frozenset({"in", "matches", "contains", "startsWith", "endsWith"})
_ORDERINGS = frozenset({"<", ">", "<=", ">="})
_ONE_NAME = {"&&": "and", "||": "or", "^": "**", "!": "not"}


def parse(source: str) -> syn.Node:
    """The syntax tree of a source.

    Raises:
        Malformed: where the text is wrong as written, or larger than the limits.
    """
    parser = _Parser(source)
    node = parser.sequence()
    parser.expect_end()
    return node


class _Parser(Operands):
    def __init__(self, source: str) -> None:
        super().__init__(source)
        self._names: list[str] = []

    def sequence(self) -> syn.Node:
        at, known = self.token.at, len(self._names)
        items = [self._statement()]
        while self.take(";"):
            if self.token.kind == "end" or self.at(")", "}"):
                break
            items.append(self._statement())
        del self._names[known:]
        return items[0] if len(items) == 1 else syn.Sequence(self.count(at), tuple(items))

    def _statement(self) -> syn.Node:
        return self._let() if self.at("let") else self.expression()

    def _let(self) -> syn.Node:
        at = self.count(self.advance().at)
        name = self.token
        if name.kind != "name":
            raise self.unexpected("a name is expected after let")
        self._check_new(self.advance())
        self.expect("=")
        value = self.nested(self.expression)
        self.expect(";")
        self._names.append(name.value)
        return syn.Let(at, name.value, value, self.nested(self.sequence))

    def _check_new(self, name: Token) -> None:
        if name.value in BUILTINS or name.value in PREDICATED or name.value == "$env":
            raise Malformed(name.at, f"{name.value} is a name of the language")
        if name.value in self._names:
            raise Malformed(name.at, f"{name.value} is already a variable here")

    def expression(self, lowest: int = 0) -> syn.Node:
        if lowest == 0 and self.at("let"):
            return self.sequence()
        if lowest == 0 and self.at("if"):
            return self._if()
        node, loose = self._signed(), False
        while True:
            if lowest == 0 and self.take("|"):
                node, loose = self._piped(node), False
                continue
            found = self._operator(lowest)
            if found is None:
                break
            if loose and found[1].value != "??":
                raise Malformed(found[1].at, "put brackets around the ?? before this operator")
            node, loose = self._operation(node, *found), found[1].value == "??"
        return self._conditional(node) if lowest == 0 else node

    def _piped(self, node: syn.Node) -> syn.Node:
        name = self.token
        if name.kind != "name":
            raise self.unexpected("a function is expected after |")
        self.advance()
        return self.members(self.call(name.value, self.count(name.at), (node,)))

    def _operator(self, lowest: int) -> tuple[bool, Token] | None:
        """The binary operator that stands here, taken, and whether `not` stands before it."""
        token = self.token
        negated = self.at("not") and self.following.value in _NEGATABLE
        if negated:
            token = self.following
        if token.kind not in {"op", "word"} or _PRECEDENCES.get(token.value, -1) < max(lowest, 1):
            return None
        if negated:
            self.advance()
        return negated, self.advance()

    def _operation(self, left: syn.Node, negated: bool, token: Token) -> syn.Node:
        op: str = token.value
        at = self.count(token.at)
        precedence = _PRECEDENCES[op]
        lowest = precedence if op in _RIGHT_TO_LEFT else precedence + 1
        right = self.nested(lambda: self.expression(lowest))
        if op in _ORDERINGS and self.at(*_ORDERINGS):
            return self._chain(left, at, op, right, lowest)
        node: syn.Node = syn.Binary(at, _ONE_NAME.get(op, op), left, right)
        return syn.Unary(self.count(at), "not", node) if negated else node

    def _chain(self, first: syn.Node, at: int, op: str, right: syn.Node, lowest: int) -> syn.Node:
        rest = [(at, op, right)]
        while self.at(*_ORDERINGS):
            token = self.advance()
            operand = self.nested(lambda: self.expression(lowest))
            rest.append((self.count(token.at), token.value, operand))
        return syn.Chain(at, first, tuple(rest))

    def _conditional(self, test: syn.Node) -> syn.Node:
        if not self.at("?"):
            return test
        at = self.count(self.advance().at)
        if self.take(":"):
            return syn.Elvis(at, test, self.nested(self.expression))
        then = self.nested(self.expression)
        self.expect(":")
        return syn.Conditional(at, test, then, self.nested(self.expression))

    def _if(self) -> syn.Node:
        at = self.count(self.advance().at)
        test = self.nested(self.expression)
        then = self._block()
        self.expect("else")
        other = self.nested(self._if) if self.at("if") else self._block()
        return syn.Conditional(at, test, then, other)

    def _block(self) -> syn.Node:
        self.expect("{")
        node = self.nested(self.sequence)
        self.expect("}")
        return node

    def _signed(self) -> syn.Node:
        token = self.token
        if token.kind == "value" or token.value not in _SIGNS:
            return self.operand()
        self.advance()
        operand = self.nested(lambda: self.expression(_SIGNS[token.value]))
        op: str = token.value
        return syn.Unary(self.count(token.at), _ONE_NAME.get(op, op), operand)
