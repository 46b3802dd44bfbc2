"""The operands of Expr's operators: literals, variables, calls, collections, and the members after them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from opcode_runtime.expressions._failures import Malformed
from opcode_runtime.expressions.expr import _syntax as syn
from opcode_runtime.expressions.expr._cursor import Cursor
from opcode_runtime.expressions.expr._lexer import Token
from opcode_runtime.expressions.expr._signatures import BUILTINS, PREDICATED, nearest

_CONSTANTS = {"true": True, "false": False, "nil": None}


class Operands(Cursor, ABC):
    """The half of the parser that knows no operators."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self._reduces: list[bool] = []

    @abstractmethod
    def sequence(self) -> syn.Node:
        """`a; b; c`, up to whatever cannot go on."""

    @abstractmethod
    def expression(self, lowest: int = 0) -> syn.Node:
        """An expression of operators that bind at least as `lowest`."""

    def operand(self) -> syn.Node:
        """An operand with its members. Raises Malformed."""
        token = self.token
        if token.kind == "value":
            literal = syn.Literal(self.count(self.advance().at), token.value)
            return self.members(literal) if isinstance(token.value, str | bytes) else literal
        if token.kind == "word" and token.value in _CONSTANTS:
            return syn.Literal(self.count(self.advance().at), _CONSTANTS[token.value])
        if token.kind == "name":
            return self.members(self._named(self.advance()))
        if token.kind == "op" and token.value in {"(", "[", "{", "#", "."}:
            return self.members(self._bracketed(token.value))
        raise self.unexpected()

    def _bracketed(self, opening: str) -> syn.Node:
        if opening == "(":
            return self._parenthesised()
        if opening == "[":
            at = self.count(self.advance().at)
            return syn.Array(at, self.listed("]", self.expression))
        if opening == "{":
            at = self.count(self.advance().at)
            return syn.Map(at, self.listed("}", self._pair))
        if not self._reduces:
            raise self.unexpected("it means something only in a predicate")
        return self._pointer() if opening == "#" else syn.Pointer(self.count(self.token.at), "")

    def _parenthesised(self) -> syn.Node:
        self.advance()
        node = self.nested(self.sequence)
        self.expect(")")
        return node

    def _pair(self) -> tuple[syn.Node, syn.Node]:
        key = self._map_key()
        self.expect(":")
        return key, self.expression()

    def _map_key(self) -> syn.Node:
        if self.at("("):
            return self._parenthesised()
        token = self.token
        if token.kind in {"end", "op"} or isinstance(token.value, bytes):
            raise self.unexpected("a key of a map is expected here")
        return syn.Literal(self.count(self.advance().at), str(token.value))

    def _pointer(self) -> syn.Node:
        at = self.count(self.advance().at)
        token = self.token
        if token.kind != "name" or token.at != at + 1:
            return syn.Pointer(at, "")
        if token.value not in ({"index", "acc"} if self._reduces[-1] else {"index"}):
            raise Malformed(at, f"there is no #{token.value} here")
        return syn.Pointer(at, self.advance().value)

    def _named(self, token: Token) -> syn.Node:
        at = self.count(token.at)
        return self.call(token.value, at, ()) if self.at("(") else syn.Name(at, token.value)

    def call(self, name: str, at: int, piped: tuple[syn.Node, ...]) -> syn.Node:
        """The call of a builtin whose bracket stands here; `piped` comes before its arguments."""
        self.expect("(")
        if name in PREDICATED:
            arguments = self._predicated(name, piped)
        elif name in BUILTINS:
            arguments = (*piped, *self.listed(")", self.expression))
        else:
            near = nearest(name)
            hint = f"; did you mean {near}?" if near else ""
            raise Malformed(at, f"there is no function {name}{hint}")
        least, most = (PREDICATED.get(name) or BUILTINS[name]).arity
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            wanted = f"at least {least}" if most > 99 else wanted
            raise Malformed(at, f"{name} takes {wanted} arguments, not {len(arguments)}")
        return syn.Call(at, name, arguments)

    def _predicated(self, name: str, piped: tuple[syn.Node, ...]) -> tuple[syn.Node, ...]:
        arguments = list(piped)
        self._reduces.append(name == "reduce")
        while not self.at(")"):
            if len(arguments) == 1:
                arguments.append(self.nested(self._predicate))
            else:
                arguments.append(self._outside())
            if not self.take(","):
                break
        self._reduces.pop()
        self.expect(")")
        return tuple(arguments)

    def _outside(self) -> syn.Node:
        """An argument that is no predicate, in which the innermost `#` is that of the predicate around the call."""
        reduces = self._reduces.pop()
        node = self.nested(self.expression)
        self._reduces.append(reduces)
        return node

    def _predicate(self) -> syn.Node:
        at = self.count(self.token.at)
        if not self.take("{"):
            return syn.Predicate(at, self.expression())
        body = self.sequence()
        self.expect("}")
        return syn.Predicate(at, body)

    def members(self, node: syn.Node) -> syn.Node:
        """A node with the members that stand after it."""
        optional = isinstance(node, syn.Optional)
        if isinstance(node, syn.Optional):
            node = node.inner
        begun = node.at
        while self.at(".", "?.", "["):
            token = self.advance()
            optional |= token.value == "?."
            node = self._member(node, token)
        return syn.Optional(begun, node) if optional else node

    def _member(self, of: syn.Node, token: Token) -> syn.Node:
        at, optional = self.count(token.at), token.value == "?."
        if token.value == "[" or (optional and self.take("[")):
            return self._index(of, at, optional)
        name = self.token
        if name.kind not in {"name", "word"}:
            raise self.unexpected("the name of a member is expected here")
        self.advance()
        if self.take("("):
            return syn.Method(at, of, name.value, self.listed(")", self.expression), optional)
        return syn.Member(at, of, syn.Literal(self.count(name.at), name.value), optional)

    def _index(self, of: syn.Node, at: int, optional: bool) -> syn.Node:
        begin = None if self.at(":") else self.nested(self.expression)
        if begin is not None and self.take("]"):
            return syn.Member(at, of, begin, optional)
        self.expect(":")
        end = None if self.at("]") else self.nested(self.expression)
        self.expect("]")
        return syn.Slice(at, of, begin, end)
