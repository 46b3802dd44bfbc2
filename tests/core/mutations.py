"""Single faults put into valid definitions, each by one rule, at every place where the rule applies.

Each kind of fault is marked by hand: `repairable` when what was meant still stands in the document, so that a program
can find it; else `why` says what only the author could know.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from opcode_runtime.core.names import bodies
from opcode_runtime.core.validation.findings import pointer
from opcode_runtime.core.validation.shape import TABLES
from tests.core.mutations_bases import BASES, Json

SITES_MAX = 12
"""How often one kind is used: on the first places of the first definitions, so that none outweighs the others."""

Faults = Iterator[tuple[str, Json]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. `make` yields (place, faulty definition) for one base."""

    name: str
    make: Callable[[Json], Faults]
    why: str = ""

    @property
    def repairable(self) -> bool:
        return not self.why


@dataclass(frozen=True, slots=True)
class Mutation:
    """One faulty definition."""

    kind: Kind
    base: str
    place: str
    document: Json
    schema: Json | None

    def __str__(self) -> str:
        return f"{self.kind.name} at {self.base}{self.place}"


def mutations(kinds: tuple[Kind, ...]) -> list[Mutation]:
    """Every mutation, in an order that never changes."""
    made: list[Mutation] = []
    for kind in kinds:
        per_base = [
            [Mutation(kind, base, place, faulty, schema) for place, faulty in kind.make(definition)]
            for base, (definition, schema) in BASES.items()
        ]
        # Bases take turns, so that a kind is tried on as many of them as there are.
        turns = (
            each[at] for at in range(max(map(len, per_base))) for each in per_base if at < len(each)
        )
        made += [mutation for mutation, _ in zip(turns, range(SITES_MAX), strict=False)]
    return made


def steps_of(definition: Json) -> Iterator[tuple[str, Json, list[Json]]]:
    """Every step with its pointer and its list, hooks included."""
    for key in ("on_complete", "on_error"):
        if key in definition:
            yield pointer(key), definition[key], []
    waiting = [("/steps", definition["steps"])]
    while waiting:
        where, steps = waiting.pop(0)
        for index, step in enumerate(steps):
            yield where + pointer(index), step, steps
            for _, body, place in bodies(step):
                waiting.append((where + pointer(index, "config", *place), body))


def each_step(change: Callable[[Json, list[Json]], Iterator[Any]]) -> Callable[[Json], Faults]:
    """A rule from a generator that changes a step in place and yields once for each change it can make.

    Each run of `change` gets a fresh copy and is stopped after its n-th yield.
    """

    def make(definition: Json) -> Faults:
        for at in range(sum(1 for _ in steps_of(definition))):
            turn = 0
            while True:
                faulty = copy.deepcopy(definition)
                where, step, steps = list(steps_of(faulty))[at]
                before = copy.deepcopy(faulty)
                if not _advance(change(step, steps), turn) or faulty == before:
                    break
                yield where, faulty
                turn += 1

    return make


def whole(change: Callable[[Json], Iterator[Any]]) -> Callable[[Json], Faults]:
    """As `each_step`, for a change of the definition itself. What it yields, if anything, is the new definition."""

    def make(definition: Json) -> Faults:
        turn = 0
        while True:
            faulty = copy.deepcopy(definition)
            generator = change(faulty)
            results = list(islice(generator, turn + 1))
            if len(results) <= turn:
                return
            yield "", results[turn] if isinstance(results[turn], dict) else faulty
            turn += 1

    return make


def _advance(changes: Iterator[Any], turn: int) -> bool:
    """Let a generator make its `turn`-th change alone: it undoes one before it makes the next."""
    return all(next(changes, changes) is not changes for _ in range(turn + 1))


def typo(word: str) -> str:
    """A word with two letters swapped, or one doubled where that changes nothing."""
    middle = max(1, len(word) // 2)
    swapped = word[: middle - 1] + word[middle : middle + 1] + word[middle - 1] + word[middle + 1 :]
    return swapped if swapped not in {word, ""} and len(word) > 2 else word + word[-1]


def camel(word: str) -> str:
    head, *rest = word.split("_")
    return head + "".join(part.capitalize() for part in rest)


def renamed(holder: Json, key: str, other: str) -> Iterator[None]:
    """Rename one key for a moment, keeping the order of keys."""
    items = list(holder.items())
    holder.clear()
    holder.update((other if name == key else name, value) for name, value in items)
    yield
    holder.clear()
    holder.update(items)


def changed(holder: Any, key: Any, value: Any) -> Iterator[None]:
    """Change one value for a moment."""
    before = copy.deepcopy(holder[key])
    holder[key] = value
    yield
    holder[key] = before


def without(holder: Json, *keys: str) -> Iterator[None]:
    """Leave keys out for a moment."""
    items = list(holder.items())
    for key in keys:
        del holder[key]
    yield
    holder.clear()
    holder.update(items)


def renames(
    path: tuple[str, ...], change: Callable[[str], str], keys: set[str] | None = None
) -> Callable[[Json, list[Json]], Iterator[None]]:
    """Rename every known key of the object at `path` of a step, one after another."""

    def rename(step: Json, _: list[Json]) -> Iterator[None]:
        holder: Any = step
        for part in path:
            holder = holder.get(part) if isinstance(holder, dict) else None
        table = step.get("type", "action") if path == ("config",) else (path or ("step",))[-1]
        known = TABLES.get(table, {})
        for key in list(holder) if isinstance(holder, dict) else ():
            if key in known and (keys is None or key in keys) and change(key) not in {key, *known}:
                yield from renamed(holder, key, change(key))

    return rename


def values(
    path: tuple[str, ...], change: Callable[[Any], Iterator[Any]]
) -> Callable[[Json, list[Json]], Iterator[None]]:
    """Change the value at `path` of a step in every way that `change` gives."""

    def replace(step: Json, _: list[Json]) -> Iterator[None]:
        holder: Any = step
        for part in path[:-1]:
            holder = holder.get(part) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and path[-1] in holder:
            for value in change(holder[path[-1]]):
                yield from changed(holder, path[-1], value)

    return replace


def texts(
    kinds: tuple[str, ...], change: Callable[[str], str | None]
) -> Callable[[Json, list[Json]], Iterator[None]]:
    """Change the texts of a step that hold expressions: `guard` and the like, or `template` with a `${{`."""

    def replace(step: Json, _: list[Json]) -> Iterator[None]:
        for holder, key in _texts_of(step, kinds):
            other = change(holder[key])
            if other is not None and other != holder[key]:
                yield from changed(holder, key, other)

    return replace


def _texts_of(step: Json, kinds: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    config = step.get("config", {})
    if "guard" in kinds:
        yield from ((step, "condition") for _ in (1,) if "condition" in step)
        yield from (
            (config, key)
            for key in ("expression", "condition", "over")
            if isinstance(config.get(key), str)
        )
    if "template" in kinds:
        yield from _open_texts(step.get("params", {}))
        if "${{" in config.get("prompt_context", ""):
            yield config, "prompt_context"


def _open_texts(value: Any) -> Iterator[tuple[Any, Any]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in list(items):
        if isinstance(item, str) and "${{" in item:
            yield value, key
        else:
            yield from _open_texts(item)
