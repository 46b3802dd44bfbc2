"""The dependencies of a definition: ids that exist once, references that lead somewhere, no circles."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from opcode_runtime.core.validation.findings import Findings, pointer
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


def written_ids(steps: Steps) -> set[str]:
    """Every id that is written, also a bad one: what names it is not wrong for that."""
    return {step["id"] for _, step in steps if isinstance(step.get("id"), str)}


def check_references(found: Findings, steps: Steps, ids: Collection[str]) -> None:
    """Every `depends_on` and `fallback_step` names another step."""
    for index, step in steps:
        names = step.get("depends_on")
        for place, name in enumerate(names if isinstance(names, list) else []):
            _check_name(found, pointer("steps", index, "depends_on", place), name, ids)
        _check_fallback(found, index, step, ids)


def _check_fallback(
    found: Findings, index: int, step: dict[str, Any], ids: Collection[str]
) -> None:
    handler = step.get("on_error")
    if not isinstance(handler, dict):
        return
    where = pointer("steps", index, "on_error")
    target = handler.get("fallback_step")
    if handler.get("strategy") == "fallback_step" and not target:
        found.error(where, "strategy 'fallback_step' needs the id of a step in 'fallback_step'")
    elif target is not None:
        _check_name(found, where + pointer("fallback_step"), target, ids)


def _check_name(found: Findings, where: str, name: Any, ids: Collection[str]) -> None:
    if not isinstance(name, str) or name in ids:
        return
    meant = found.meant(name, ids)
    patch = [{"op": "replace", "path": where, "value": meant}] if meant else None
    found.error(where, f"there is no step {name!r}", did_you_mean=meant, patch=patch)


def check_cycles(found: Findings, steps: Steps, places: dict[str, int]) -> None:
    """No step waits for itself, neither by `depends_on` nor by a fallback that waits for what the fallback lets on."""
    for circle in _circles(_edges(steps, places)):
        names = list(dict.fromkeys(name for name, _ in circle))
        where = pointer("steps", places[names[0]], "depends_on")
        path = " → ".join([*names, names[0]])
        found.error(where, f"steps wait for each other: {path}", code=ErrorCode.CYCLE_DETECTED)


_Moment = tuple[str, str]
"""A step's `start`, or its `end`: when those that wait for it are told."""


def _edges(steps: Steps, places: dict[str, int]) -> dict[_Moment, list[_Moment]]:
    """What each moment waits for. A fallback starts after its primary did, and ends before its primary's end counts."""
    edges: dict[_Moment, list[_Moment]] = {}
    for name in places:
        edges[name, "start"] = []
        edges[name, "end"] = [(name, "start")]
    fallbacks = _fallbacks(steps, places)
    for name, target in fallbacks.items():
        edges[target, "start"].append((name, "start"))
        edges[name, "end"].append((target, "end"))
    for name, step in _named(steps, places):
        depends_on = step.get("depends_on")
        listed = depends_on if isinstance(depends_on, list) else []
        known = [d for d in listed if isinstance(d, str) and d in places]
        edges[name, "start"] += [(d, "end") for d in known if fallbacks.get(d) != name]
    return edges


def _named(steps: Steps, places: dict[str, int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The steps with good ids."""
    for index, step in steps:
        name = step.get("id")
        if isinstance(name, str) and places.get(name) == index:
            yield name, step


def _fallbacks(steps: Steps, places: dict[str, int]) -> dict[str, str]:
    """Each step that has a fallback, and which."""
    fallbacks: dict[str, str] = {}
    for name, step in _named(steps, places):
        handler = step.get("on_error")
        target = handler.get("fallback_step") if isinstance(handler, dict) else None
        if isinstance(target, str) and target in places:
            fallbacks[name] = target
    return fallbacks


def _circles(edges: dict[_Moment, list[_Moment]]) -> Iterator[list[_Moment]]:
    """Circles that share no step. Depth first without recursion: 2,000 steps may stand in a row."""
    done: set[_Moment] = set()
    for start in edges:
        circle = _circle_from(start, edges, done)
        if circle:
            done.update((name, moment) for name, _ in circle for moment in ("start", "end"))
            yield circle


def _circle_from(
    start: _Moment, edges: dict[_Moment, list[_Moment]], done: set[_Moment]
) -> list[_Moment]:
    trail: dict[_Moment, int] = {}
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
