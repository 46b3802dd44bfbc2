"""The lists of steps of a definition, from the outside in: the top level, the bodies in it, the hooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from opcode_runtime.core.names import StepNames, bodies
from opcode_runtime.core.validation.findings import pointer

HOOKS = ("on_complete", "on_error")


class Owner(NamedTuple):
    """A step that has lists of its own."""

    where: str
    id: str
    step: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StepList:
    """One list of steps.

    where: JSON pointer of the list (of the hook itself when `hook` names one).
    steps: the items that are objects, with their pointers.
    broken: the pointers of the items that are not.
    owner: the steps around it, from the outside in; none at the top level.
    hook: the hook that this list is, or is inside of.
    """

    where: str
    path: str
    steps: tuple[tuple[str, dict[str, Any]], ...]
    broken: tuple[str, ...]
    owner: tuple[Owner, ...]
    names: StepNames
    hook: str | None = None

    @property
    def depth(self) -> int:
        """How many steps it is inside of."""
        return len(self.owner)

    @property
    def is_hook(self) -> bool:
        """Whether its only step is a hook."""
        return self.hook is not None and not self.owner

    def ids(self) -> dict[str, str]:
        """Each id as written, with the pointer of the first step that has it."""
        found: dict[str, str] = {}
        for where, step in self.steps:
            if isinstance(step.get("id"), str):
                found.setdefault(step["id"], where)
        return found


def count_steps(steps: Any, stop: int) -> int:
    """How many steps a list and all below it hold; counting ends soon after `stop`."""
    counted, waiting = 0, [steps] if isinstance(steps, list) else []
    while waiting and counted <= stop:
        each = waiting.pop()
        counted += len(each)
        waiting += [body for step in each for _, body, _ in _bodies(step) if counted <= stop]
    return counted


def step_lists(document: dict[str, Any], nesting_max: int) -> Iterator[StepList]:
    """Every list of steps, outer ones first; those that are nested one deeper than allowed come last and end it."""
    raw = document.get("steps")
    top = StepNames(raw if isinstance(raw, list) else ())
    if isinstance(raw, list):
        yield from _descend(_list(pointer("steps"), raw, (), top, None), nesting_max)
    for key in HOOKS:
        hook = document.get(key)
        if isinstance(hook, dict):
            steps = ((pointer(key), hook),)
            first = StepList(pointer(key), "", steps, (), (), top.hook(hook), key)
            yield from _descend(first, nesting_max)


def _descend(first: StepList, nesting_max: int) -> Iterator[StepList]:
    waiting = [first]
    while waiting:
        each = waiting.pop(0)
        yield each
        if each.depth <= nesting_max:
            waiting += _below(each)


def _below(outer: StepList) -> Iterator[StepList]:
    seen: set[str] = set()
    for where, step in outer.steps:
        name = step.get("id")
        fresh = isinstance(name, str) and name not in seen
        for segment, steps, place in _bodies(step):
            names = None
            if fresh:
                names = _names_below(outer.names, str(name), segment)
            if names is None:  # a step without a good id: what is below it is judged all the same
                names = StepNames(steps, path="\x00", outer=outer.names, of_loop=segment == "iter")
            owner = (*outer.owner, Owner(where, name if isinstance(name, str) else "", step))
            yield _list(where + pointer("config", *place), steps, owner, names, outer.hook)
        if fresh:
            seen.add(str(name))


def _names_below(outer: StepNames, name: str, segment: str) -> StepNames | None:
    path = outer.find(name)
    return outer.lists.get(f"{path}.{segment}")


def _bodies(step: Any) -> Iterator[tuple[str, list[Any], tuple[str | int, ...]]]:
    for segment, steps, place in bodies(step) if isinstance(step, dict) else ():
        if isinstance(steps, list):
            yield segment, steps, place


def _list(
    where: str,
    steps: list[Any],
    owner: tuple[Owner, ...],
    names: StepNames,
    hook: str | None,
) -> StepList:
    places = [(where + pointer(index), step) for index, step in enumerate(steps)]
    return StepList(
        where=where,
        path=names.path,
        steps=tuple((at, step) for at, step in places if isinstance(step, dict)),
        broken=tuple(at for at, step in places if not isinstance(step, dict)),
        owner=owner,
        names=names,
        hook=hook,
    )
