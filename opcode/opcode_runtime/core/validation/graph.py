"""The dependencies of a definition: ids that exist once, references that lead somewhere, no circles."""

from __future__ import annotations

import re
from typing import Any

from opcode_runtime.core.validation.findings import Findings, closest, pointer
from opcode_runtime.model.errors import ErrorCode

_FORBIDDEN = re.compile(r"[./\[\]'\"`\x00-\x1f\x7f]")
_ID_CHARACTERS_MAX = 128

Steps = list[tuple[int, dict[str, Any]]]
"""The steps that are objects, with their places in the list."""


def check_ids(found: Findings, steps: Steps) -> dict[str, int]:
    """Check every id and return the place of each good one."""
    places: dict[str, int] = {}
    for index, step in steps:
        step_id = step.get("id")
        if not isinstance(step_id, str):
            continue
        where = pointer("steps", index, "id")
        if not step_id or len(step_id) > _ID_CHARACTERS_MAX:
            found.error(where, f"an id has 1 to {_ID_CHARACTERS_MAX} characters")
        elif _FORBIDDEN.search(step_id) or not step_id.isprintable():
            found.error(
                where, f"id {step_id!r}: dots, slashes, brackets and quotes cannot stand in an id"
            )
        elif step_id in places:
            found.error(where, f"id {step_id!r} is used twice (first at steps[{places[step_id]}])")
        else:
            places[step_id] = index
    return places


def check_references(found: Findings, steps: Steps, places: dict[str, int]) -> None:
    """Every `depends_on` and `fallback_step` names another step."""
    for index, step in steps:
        names = step.get("depends_on")
        for place, name in enumerate(names if isinstance(names, list) else []):
            _check_name(found, pointer("steps", index, "depends_on", place), name, places)
        _check_fallback(found, index, step, places)


def _check_fallback(
    found: Findings, index: int, step: dict[str, Any], places: dict[str, int]
) -> None:
    handler = step.get("on_error")
    if not isinstance(handler, dict):
        return
    where = pointer("steps", index, "on_error")
    target = handler.get("fallback_step")
    if handler.get("strategy") == "fallback_step" and not target:
        found.error(where, "strategy 'fallback_step' needs the id of a step in 'fallback_step'")
    elif target is not None:
        _check_name(found, where + pointer("fallback_step"), target, places)


def _check_name(found: Findings, where: str, name: Any, places: dict[str, int]) -> None:
    if not isinstance(name, str) or name in places:
        return
    meant = closest(name, places)
    patch = [{"op": "replace", "path": where, "value": meant}] if meant else None
    found.error(where, f"there is no step {name!r}", did_you_mean=meant, patch=patch)


def check_cycles(found: Findings, steps: Steps, places: dict[str, int]) -> None:
    """No step waits for itself, neither by `depends_on` nor by standing in for a step it depends on."""
    circle = _find_circle(_edges(steps, places))
    if circle:
        where = pointer("steps", places[circle[0]], "depends_on")
        path = " → ".join([*circle, circle[0]])
        found.error(where, f"steps wait for each other: {path}", code=ErrorCode.CYCLE_DETECTED)


def _edges(steps: Steps, places: dict[str, int]) -> dict[str, list[str]]:
    """What each step waits for. A fallback target waits to be called by the steps it stands in for."""
    edges: dict[str, list[str]] = {name: [] for name in places}
    for index, step in steps:
        name = step.get("id")
        if not isinstance(name, str) or places.get(name) != index:
            continue
        depends_on = step.get("depends_on")
        if isinstance(depends_on, list):
            edges[name] += [d for d in depends_on if isinstance(d, str) and d in places]
        handler = step.get("on_error")
        target = handler.get("fallback_step") if isinstance(handler, dict) else None
        if isinstance(target, str) and target in places:
            edges[target].append(name)
    return edges


def _find_circle(edges: dict[str, list[str]]) -> list[str]:
    """One circle of the graph, or nothing. Depth first without recursion: 2,000 steps may stand in a row."""
    done: set[str] = set()
    for start, first in edges.items():
        trail: dict[str, int] = {}
        stack = [(start, iter(first))] if start not in done else []
        while stack:
            node, rest = stack[-1]
            trail.setdefault(node, len(trail))
            following = next(rest, None)
            if following is None:
                stack.pop()
                trail.pop(node)
                done.add(node)
            elif following in trail:
                return list(trail)[trail[following] :]
            elif following not in done:
                stack.append((following, iter(edges[following])))
    return []
