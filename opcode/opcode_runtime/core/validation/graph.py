"""The circles of a definition: steps that wait for each other, by a dependency, a fallback or a probe.

Rule 1: each list is a graph of its own. A fallback or probe at the top level that a step further inside names counts as
one of the top-level step around it, which does not end before it.
Rule 2: a fallback starts after its primary did, and ends before its primary's end counts; a probe likewise.
Rule 3: one that is never called ends with the steps it stands by for. So whoever waits for it waits for their ends too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from opcode_runtime.core.validation.findings import Findings, Patch, pointer
from opcode_runtime.core.validation.lists import StepList
from opcode_runtime.model.errors import ErrorCode

Moment = tuple[str, str]
"""A step's `start`, or its `end`: when those that wait for it are told."""

Standin = tuple[str, str, bool]
"""A step, what stands in for it, and whether it names that itself (else a step inside of it does)."""


def check_cycles(
    found: Findings, each: StepList, places: dict[str, str], inner: Iterable[StepList] = ()
) -> None:
    """No step of a list waits for itself.

    Arguments:
        places: the steps with good ids, and where they are.
        inner: the lists below, when `each` is the top level.
    """
    steps = {
        step["id"]: (where, step)
        for where, step in each.steps
        if isinstance(step.get("id"), str) and places.get(step["id"]) == where
    }
    standins = [*_own_standins(steps), *_inner_standins(steps, inner)]
    order = {name: index for index, name in enumerate(steps)}
    for circle in _circles(_edges(steps, standins)):
        names = list(dict.fromkeys(name for name, _ in circle))
        where, step = steps[names[0]]
        key = "depends_on" if step.get("depends_on") else "on_error"
        found.error(
            where + pointer(key if key in step else "id"),
            f"steps wait for each other: {' → '.join([*names, names[0]])}",
            code=ErrorCode.CYCLE_DETECTED,
            patch=_opened(circle, steps, order),
        )


def _opened(
    circle: list[Moment], steps: dict[str, tuple[str, dict[str, Any]]], order: dict[str, int]
) -> Patch | None:
    """The patch that takes away the one dependency of a circle that leads back to a step written later."""
    names = list(dict.fromkeys(name for name, _ in circle))
    back: list[str] = []
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        where, step = steps[name]
        listed = step.get("depends_on")
        if isinstance(listed, list) and other in listed and order[other] >= order[name]:
            back.append(where + pointer("depends_on", listed.index(other)))
    return [{"op": "remove", "path": back[0]}] if len(back) == 1 else None


def _edges(
    steps: dict[str, tuple[str, dict[str, Any]]], standins: list[Standin]
) -> dict[Moment, list[Moment]]:
    """What each moment waits for."""
    edges: dict[Moment, list[Moment]] = {}
    for name in steps:
        edges[name, "start"] = []
        edges[name, "end"] = [(name, "start")]
    called: set[tuple[str, str]] = set()
    callers: dict[str, list[str]] = {}
    for name, target, direct in standins:
        callers.setdefault(target, []).append(name)
        edges[target, "start"].append((name, "start"))
        edges[name, "end"].append((target, "end"))
        if direct:
            called.add((target, name))
    for name, (_, step) in steps.items():
        depends_on = step.get("depends_on")
        listed = depends_on if isinstance(depends_on, list) else []
        known = [d for d in listed if isinstance(d, str) and d in steps]
        waited_for = [d for d in known if (name, d) not in called]
        waited_for += [caller for d in waited_for for caller in callers.get(d, ())]
        edges[name, "start"] += [(d, "end") for d in dict.fromkeys(waited_for)]
    return edges


def _own_standins(steps: dict[str, tuple[str, dict[str, Any]]]) -> Iterator[Standin]:
    for name, (_, step) in steps.items():
        yield from ((name, target, True) for target in targets(step) if target in steps)


def _inner_standins(
    steps: dict[str, tuple[str, dict[str, Any]]], inner: Iterable[StepList]
) -> Iterator[Standin]:
    """What steps further inside name at the top level, where their own list has no step of that name."""
    for each in inner:
        own = each.ids()
        holder = each.owner[0].id if each.owner else ""
        if holder not in steps or steps[holder][0] != each.owner[0].where:
            continue
        for _, step in each.steps:
            yield from (
                (holder, target, False)
                for target in targets(step)
                if target in steps and target not in own
            )


def targets(step: dict[str, Any]) -> Iterator[str]:
    """The steps that may stand in for a step, or judge whether it was done."""
    for key, inner in (("on_error", "fallback_step"), ("on_interrupt", "verify")):
        value = step.get(key)
        target = value.get(inner) if isinstance(value, dict) else None
        if isinstance(target, str):
            yield target


def _circles(edges: dict[Moment, list[Moment]]) -> Iterator[list[Moment]]:
    """Circles that share no step. Depth first without recursion: 2,000 steps may stand in a row."""
    done: set[Moment] = set()
    for start in edges:
        circle = _circle_from(start, edges, done)
        if circle:
            done.update((name, moment) for name, _ in circle for moment in ("start", "end"))
            yield circle


def _circle_from(
    start: Moment, edges: dict[Moment, list[Moment]], done: set[Moment]
) -> list[Moment]:
    trail: dict[Moment, int] = {}
    stack = [(start, iter(edges[start]))] if start not in done else []
    while stack:
        node, rest = stack[-1]
        trail.setdefault(node, len(trail))
        following = next(rest, None)
        if following is None:
            stack.pop()
            trail.pop(node)
            done.add(node)
        elif following in trail:
            done.update(trail)
            return list(trail)[trail[following] :]
        elif following not in done:
            stack.append((following, iter(edges[following])))
    return []
