"""What a compiled expression is made of: functions of an `Evaluation`, and paths, which can also be asked about.

Evaluation is synchronous and keeps no state outside its `Evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opcode_runtime.expressions._budget import Budget
from opcode_runtime.expressions._failures import Absent
from opcode_runtime.expressions._scope import Keys, Scope, member, walk_to_presence
from opcode_runtime.model.secret_text import SecretText


@dataclass(slots=True)
class Evaluation:
    """One evaluation under way: what names mean, what is left to spend, and the variables of macros."""

    scope: Scope
    budget: Budget
    variables: dict[str, Any] = field(default_factory=dict)

    def inner(self) -> Evaluation:
        """The same evaluation inside a macro, where a variable may hide another."""
        return Evaluation(self.scope, self.budget, dict(self.variables))


Node = Callable[[Evaluation], Any]
KeyNode = Callable[[Evaluation], Any] | str | int


@dataclass(frozen=True, slots=True)
class Path:
    """A namespace and fixed keys: the commonest expression, and one that needs no CEL."""

    root: str
    keys: Keys

    def __call__(self, evaluation: Evaluation) -> Any:
        evaluation.budget.spend()
        return evaluation.scope.resolve(self.root, self.keys)

    def probe(self, evaluation: Evaluation) -> tuple[bool, Any]:
        """Whether it leads somewhere, and where."""
        evaluation.budget.spend()
        return evaluation.scope.probe(self.root, self.keys)


@dataclass(frozen=True, slots=True)
class SecretName:
    """The name of a secret. Its value is never known here: it evaluates to the text that stands for it."""

    name: str

    def __call__(self, evaluation: Evaluation) -> Any:
        evaluation.budget.spend()
        return SecretText.of(self.name)


@dataclass(frozen=True, slots=True)
class DynamicPath:
    """A namespace and keys of which some are computed: `steps[inputs.which].choice`."""

    root: str
    keys: tuple[KeyNode, ...]

    def __call__(self, evaluation: Evaluation) -> Any:
        evaluation.budget.spend()
        return evaluation.scope.resolve(self.root, _computed_keys(self.keys, evaluation))

    def probe(self, evaluation: Evaluation) -> tuple[bool, Any]:
        """Whether it leads somewhere, and where."""
        try:
            keys = _computed_keys(self.keys, evaluation)
        except Absent:
            return False, None
        return evaluation.scope.probe(self.root, keys)


@dataclass(frozen=True, slots=True)
class Members:
    """Members of a value that is no namespace: a variable of a macro, or what a bracket gives."""

    base: Node
    keys: tuple[KeyNode, ...]
    spelling: str

    def __call__(self, evaluation: Evaluation) -> Any:
        value = self.base(evaluation)
        keys = _computed_keys(self.keys, evaluation)
        evaluation.budget.spend(len(keys))
        for depth, key in enumerate(keys):
            value = member(value, key, self.spelling, keys, depth)
        return value

    def probe(self, evaluation: Evaluation) -> tuple[bool, Any]:
        """Whether it leads somewhere, and where."""
        try:
            value = self.base(evaluation)
            keys = _computed_keys(self.keys, evaluation)
            return walk_to_presence(value, keys, 0, self.spelling)
        except Absent:
            return False, None


@dataclass(frozen=True, slots=True)
class Default:
    """`a ?? b ?? c`: the first side that is there and is not null; the last one as it is."""

    sides: tuple[Node, ...]

    def __call__(self, evaluation: Evaluation) -> Any:
        for side in self.sides[:-1]:
            value = _value_or_none(side, evaluation)
            if value is not None:
                return value
        return self.sides[-1](evaluation)


def _value_or_none(side: Node, evaluation: Evaluation) -> Any:
    if isinstance(side, Path | DynamicPath | Members):
        present, value = side.probe(evaluation)
        return value if present else None
    try:
        return side(evaluation)
    except Absent:
        return None


def _computed_keys(keys: tuple[KeyNode, ...], evaluation: Evaluation) -> Keys:
    return tuple(key(evaluation) if callable(key) else key for key in keys)
