"""The syntax tree of Expr. `at` is the 0-based offset that an error about a node points to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, string, bytes, true, false or nil."""

    at: int
    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    """A variable: of a `let`, else of the environment; `$env` is the environment."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a predicate is about: `#` (name ""), `#index` or `#acc`."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """`-`, `+` or `not`."""

    at: int
    op: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands; `&&` and `||` are written `and` and `or`, `^` is `**`."""

    at: int
    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Chain:
    """`a < b <= c`: each neighbouring pair has to compare so."""

    at: int
    first: Node
    rest: tuple[tuple[int, str, Node], ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """`a ? b : c`, also written with `if`."""

    at: int
    test: Node
    then: Node
    other: Node


@dataclass(frozen=True, slots=True)
class Elvis:
    """`a ?: b`."""

    at: int
    test: Node
    other: Node


@dataclass(frozen=True, slots=True)
class Member:
    """`a.b` and `a[b]`; `optional` when written with `?.`."""

    at: int
    of: Node
    key: Node
    optional: bool


@dataclass(frozen=True, slots=True)
class Slice:
    """`a[b:c]`."""

    at: int
    of: Node
    begin: Node | None
    end: Node | None


@dataclass(frozen=True, slots=True)
class Method:
    """`a.b(…)`, of dates and durations."""

    at: int
    of: Node
    name: str
    arguments: tuple[Node, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Optional:
    """A row of members with a `?.` in it: nil as soon as one of those meets nil."""

    at: int
    inner: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A builtin."""

    at: int
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Predicate:
    """The argument of a builtin that is evaluated once for each element."""

    at: int
    body: Node


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = value; body`."""

    at: int
    name: str
    value: Node
    body: Node


@dataclass(frozen=True, slots=True)
class Sequence:
    """`a; b`: the last one's value."""

    at: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """`[a, b]`."""

    at: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Map:
    """`{a: b}`."""

    at: int
    pairs: tuple[tuple[Node, Node], ...]


Node = (
    Literal
    | Name
    | Pointer
    | Unary
    | Binary
    | Chain
    | Conditional
    | Elvis
    | Member
    | Slice
    | Method
    | Optional
    | Call
    | Predicate
    | Let
    | Sequence
    | Array
    | Map
)
