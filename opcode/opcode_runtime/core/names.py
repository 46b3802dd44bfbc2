"""Names of steps: which ids can be named from which place, and which step of the definition each one means.

Rule 1: from inside a list one sees its own ids, then those of the list around it, and so on to the top level.
Rule 2: a step below is named by its runtime id, from any list that can be seen: the ids on the way down, each followed
by the body it leads into: a branch key or `default`, `iter_<n>` with any number, `branch_<n>`. Ids and keys may stand
as written or percent-encoded; a step with bodies may carry the mark `#n` of a reset.
Rule 3: a static path names a step of the definition, whatever iteration or reset: as a runtime path, with `iter` for
the body of a loop and without marks.

Definitions are read as JSON or as typed steps; what is malformed in them names nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from opcode_runtime.model.ids import encode_segment

_ITERATION = re.compile(r"iter_(?:0|[1-9][0-9]*)\.")
_MARK = re.compile(r"#[1-9][0-9]*\Z")
_DEPTH_MAX = 64
"""Lists below that are not read: no definition that is valid has them."""
LOOP_SEGMENT = "iter"
DEFAULT_SEGMENT = "default"


def member(step: Any, key: str) -> Any:
    """The value of a key of a step, whether it is JSON or typed; None when it is not there."""
    return step.get(key) if isinstance(step, Mapping) else getattr(step, key, None)


def bodies(step: Any) -> Iterator[tuple[str, list[Any] | tuple[Any, ...], tuple[str | int, ...]]]:
    """The lists of steps in a step's config: the segment of the static path, the list, its place in the config."""
    config, kind = member(step, "config"), member(step, "type")
    if not isinstance(config, Mapping):
        return
    branches = config.get("branches")
    if kind == "condition":
        for key, steps in branches.items() if isinstance(branches, Mapping) else ():
            if isinstance(steps, list | tuple):
                yield encode_segment(key), steps, ("branches", key)
        if isinstance(steps := config.get("default"), list | tuple):
            yield DEFAULT_SEGMENT, steps, ("default",)
    elif kind == "loop" and isinstance(steps := config.get("body"), list | tuple):
        yield LOOP_SEGMENT, steps, ("body",)
    elif kind == "parallel":
        for index, steps in enumerate(branches if isinstance(branches, list | tuple) else ()):
            if isinstance(steps, list | tuple):
                yield f"branch_{index}", steps, ("branches", index)


class _Step:
    """One step: its static path and its bodies, by segment; `written` holds the keys that a path encodes."""

    __slots__ = ("bodies", "path", "written")

    def __init__(self, path: str) -> None:
        self.path = path
        self.bodies: dict[str, StepNames] = {}
        self.written: dict[str, StepNames] = {}

    def below(self, rest: str) -> str | None:
        """The static path of what `rest`, a segment and more, names."""
        segment, _, inner = rest.partition(".")
        body = self.bodies.get(segment)
        loop = self.bodies.get(LOOP_SEGMENT)
        if loop is not None and loop.of_loop:
            body = loop if _ITERATION.match(rest) else None
        if body is not None:
            return body.find(inner)
        for key, branch in self.written.items():
            if rest.startswith(f"{key}.") and (path := branch.find(rest[len(key) + 1 :])):
                return path
        return None


class StepNames:
    """The ids of one list of steps, with the lists around it and below it.

    Arguments:
        steps: the steps, as JSON or typed.
        path: the static path of the list; empty at the top level.
        outer: the list that holds the step whose body this is.
        of_loop: whether it is the body of a loop.
    """

    __slots__ = ("_encoded", "_steps", "depth", "in_loop", "lists", "of_loop", "outer", "path")

    def __init__(
        self,
        steps: Iterable[Any],
        *,
        path: str = "",
        outer: StepNames | None = None,
        of_loop: bool = False,
    ) -> None:
        self.path = path
        self.outer = outer
        self.of_loop = of_loop
        self.depth: int = 0 if outer is None else outer.depth + 1
        self.in_loop: bool = of_loop or (outer is not None and outer.in_loop)
        self.lists: dict[str, StepNames] = {} if outer is None else outer.lists
        """Every list of the definition by its static path."""
        self.lists.setdefault(path, self)
        self._steps: dict[str, _Step] = {}
        self._encoded: dict[str, _Step] = {}
        self.add(steps)

    def add(self, steps: Iterable[Any]) -> None:
        """Take more steps into the list."""
        for step in steps:
            self._add(step)

    @property
    def ids(self) -> Set[str]:
        """The ids as they are written."""
        return self._steps.keys()

    def hook(self, step: Any) -> StepNames:
        """The list that a hook stands in: alone, and it sees the top level."""
        return StepNames((step,), path=self.path, outer=self)

    def known(self) -> KnownSteps:
        """What can be named from inside this list."""
        return KnownSteps(self)

    def find(self, name: str) -> str | None:
        """The static path of the step that a name means when it is read from this list alone."""
        head, dot, rest = name.partition(".")
        step = self._steps.get(head) or self._encoded.get(head) or self._marked(head)
        if step is None or not dot:
            return step.path if step is not None else None
        return step.below(rest)

    def listed(self) -> Iterator[str]:
        """Every name that find() knows, but for those that hold the number of an iteration or of a reset."""
        yield from self._steps
        for name, step in self._steps.items():
            for segment, body in step.bodies.items():
                if not body.of_loop:
                    yield from (
                        f"{encode_segment(name)}.{segment}.{each}" for each in body.listed()
                    )

    def _add(self, step: Any) -> None:
        name = member(step, "id")
        if not isinstance(name, str) or name in self._steps:
            return
        segment = encode_segment(name)
        added = self._steps[name] = _Step(_joined(self.path, segment))
        if segment != name:
            self._encoded[segment] = added
        loop = member(step, "type") == "loop"
        for below, steps, place in bodies(step) if self.depth < _DEPTH_MAX else ():
            path = _joined(added.path, below)
            if (
                below in added.bodies
            ):  # a branch called `default` beside the default: they share their paths
                added.bodies[below].add(steps)
                continue
            added.bodies[below] = StepNames(steps, path=path, outer=self, of_loop=loop)
            if place[-1] != below and isinstance(place[-1], str) and not loop:
                added.written[place[-1]] = added.bodies[below]

    def _marked(self, head: str) -> _Step | None:
        mark = _MARK.search(head)
        name = head[: mark.start()] if mark else head
        step = self._steps.get(name) or self._encoded.get(name)
        return step if step is not None and step.bodies else None


class KnownSteps(Set[str]):
    """The names that stand for a step at one place; iterating gives those that can be listed.

    in_loop: whether `loop` and `iter` mean something there.
    in_error_hook: whether `workflow.error` does.
    """

    __slots__ = ("in_error_hook", "in_loop", "names")

    def __init__(
        self, names: StepNames, *, in_loop: bool | None = None, in_error_hook: bool = False
    ) -> None:
        self.names = names
        self.in_loop = names.in_loop if in_loop is None else in_loop
        self.in_error_hook = in_error_hook

    def path(self, name: str) -> str | None:
        """The static path of the step that a name means here, or None."""
        return next((path for each in self._inside_out() if (path := each.find(name))), None)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.path(name) is not None

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for names in self._inside_out():
            fresh = [name for name in names.listed() if name not in seen]
            seen.update(fresh)
            yield from fresh

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @classmethod
    def _from_iterable(cls, names: Iterable[Any]) -> frozenset[Any]:
        return frozenset(names)

    def _inside_out(self) -> Iterator[StepNames]:
        names: StepNames | None = self.names
        while names is not None:
            yield names
            names = names.outer


def _joined(path: str, segment: str) -> str:
    return f"{path}.{segment}" if path else segment
