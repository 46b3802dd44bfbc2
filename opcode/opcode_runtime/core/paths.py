"""From the name of a step, as an expression or a signal writes it, to the step that is meant.

Rule 1: a name is looked up in the list it is written in, then in the lists around it, then at the top level; at each
place it may go on into a flow step: `route.true.deploy`, `each.iter_3.hash`.
Rule 2: a flow step without a mark means its newest attempt; `route#1.true.deploy` is history. Of a hook that ran more
than once `bye#2` is the second run, `bye#2#1.true.x` a step in the first attempt of that.
Rule 3: a name of the definition is known even when nothing of that name has run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from opcode_runtime.core.bookkeeping import marked
from opcode_runtime.core.plan import Plan, StepPlan
from opcode_runtime.model.ids import encode_segment
from opcode_runtime.model.state import WorkflowState

_ITERATION = re.compile(r"iter_\d{1,9}$")
_MARKED = re.compile(r"(.*?)#(\d{1,9}(?:#\d{1,9})*)$")


class Place(NamedTuple):
    """A list of steps: its key in the plan and its path in this workflow."""

    key: str = ""
    path: str = ""


class Found(NamedTuple):
    """A step of the definition, and the path it has or would have in this workflow."""

    key: str
    path: str


def find(plan: Plan, state: WorkflowState, name: str, place: Place = Place()) -> Found | None:  # noqa: B008
    """The step that `name` means at `place`; None when there is none of that name."""
    for each in enclosing(place):
        found = _walk(plan, state, name, each)
        if found is not None:
            return found
    return None


def place_of(key: str, path: str) -> Place:
    """The list that a step is in."""
    return Place(key.rpartition(".")[0], path.rpartition(".")[0])


def enclosing(place: Place) -> Iterator[Place]:
    """A list and those around it, the top level last."""
    while place.key:
        yield place
        place = place_of(place.key.rpartition(".")[0], place.path.rpartition(".")[0])
    yield Place()


def _walk(plan: Plan, state: WorkflowState, name: str, place: Place) -> Found | None:
    first, _, rest = name.partition(".")
    segment, mark = _unmark(plan, first, place)
    key = f"{place.key}.{segment}" if place.key else segment
    planned = plan.steps.get(key)
    if planned is None:
        return None
    path = f"{place.path}.{segment}" if place.path else segment
    if not rest:
        return Found(key, f"{path}#{mark}" if mark else state.newest.get(path, path))
    inside = _inside(planned, rest)
    if inside is None:
        return None
    namespace, runs, rest = inside
    step = state.steps.get(state.newest.get(path, path))
    prefix = (
        f"{path}#{mark}" if mark and mark != "1" else marked(step) if step and not mark else path
    )
    return _walk(plan, state, rest, Place(f"{key}.{namespace}", f"{prefix}.{runs}"))


def _unmark(plan: Plan, segment: str, place: Place) -> tuple[str, str]:
    """A segment as it stands in paths, without its mark; and the mark. An id may be written as it is or encoded."""
    for known in (encode_segment(segment), segment):
        if (f"{place.key}.{known}" if place.key else known) in plan.steps:
            return known, ""
    found = _MARKED.fullmatch(segment)
    return (found[1], found[2]) if found is not None else (segment, "")


def _inside(planned: StepPlan, rest: str) -> tuple[str, str, str] | None:
    """Cut `rest` into namespace and remaining name: (key of the namespace, namespace as it runs, name)."""
    runs, _, name = rest.partition(".")
    if planned.kind == "loop":
        good = _ITERATION.match(runs) is not None and bool(name)
        return ("iter", runs, name) if good else None
    if name and runs in planned.branches:
        return runs, runs, name
    for branch in (
        planned.definition.config.get("branches") or () if planned.kind == "condition" else ()
    ):
        namespace = encode_segment(branch)
        if namespace != branch and rest.startswith(f"{branch}.") and namespace in planned.branches:
            return namespace, namespace, rest[len(branch) + 1 :]
    return None
