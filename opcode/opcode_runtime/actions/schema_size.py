"""How much work a JSON Schema can make, seen before it is used.

References let a few lines stand for millions of alternatives, and an explanation of what does not fit lists all of
them. The size counts every subschema as often as references lead to it; a schema that leads back to itself is counted
once around, and what matters then is whether it does so through alternatives, where each round multiplies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_BRANCHING = frozenset({"anyOf", "oneOf"})
_DATA = frozenset({"const", "enum", "default", "examples"})


class SchemaSize(NamedTuple):
    """`least` subschemas, references followed; `branches_for_ever` when it leads back to itself by alternatives."""

    least: int
    branches_for_ever: bool


def schema_size(schema: Any) -> SchemaSize:
    """Count a schema.

    >>> one = {"$ref": "#/$defs/a"}
    >>> schema_size({"$defs": {"a": {"anyOf": [True, False]}}, "allOf": [one, one]})
    SchemaSize(least=13, branches_for_ever=False)
    """
    counter = _Counter(schema)
    return SchemaSize(counter.count(schema), counter.branches_for_ever)


class _Counter:
    def __init__(self, document: Any) -> None:
        self.branches_for_ever = False
        self._document = document
        self._known: dict[str, int] = {}
        self._open: dict[str, int] = {}
        self._alternatives = 0

    def count(self, schema: Any) -> int:
        if isinstance(schema, list):
            return sum(map(self.count, schema))
        if not isinstance(schema, dict):
            return 1
        return 1 + sum(self._member(key, value) for key, value in schema.items())

    def _member(self, key: str, value: Any) -> int:
        if key in _DATA:
            return 0
        if key in {"$ref", "$dynamicRef"} and isinstance(value, str):
            return self._referred(value)
        self._alternatives += key in _BRANCHING
        size = self.count(value)
        self._alternatives -= key in _BRANCHING
        return size

    def _referred(self, reference: str) -> int:
        if reference in self._open:
            self.branches_for_ever |= self._alternatives > self._open[reference]
            return 1
        if reference not in self._known:
            self._open[reference] = self._alternatives
            self._known[reference] = self.count(self._target(reference))
            del self._open[reference]
        return self._known[reference]

    def _target(self, reference: str) -> Any:
        """What a pointer leads to; a name (`$anchor`, `$id`) counts as the whole document."""
        found = self._document
        pointer = reference.partition("#")[2]
        for part in pointer.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                found = found.get(name, True) if isinstance(found, dict) else True
        return found
