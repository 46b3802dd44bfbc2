"""Ids: each step has one that can stand in a path, and no two in a list share it."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from opcode_runtime.core.validation import synonyms
from opcode_runtime.core.validation.findings import Findings, Patch, pointer, replace, shown
from opcode_runtime.core.validation.lists import StepList
from opcode_runtime.core.validation.patching import spelled
from opcode_runtime.core.validation.shape import TABLES
from opcode_runtime.core.validation.shorthands import slug

_FORBIDDEN = re.compile(r"[./\[\]'\"`\x00-\x1f\x7f]")
_ID_CHARACTERS_MAX = 128
_NAMED = re.compile(r"""\bsteps(?:\.([\w-]+)|\[['"]([^'".]+))""")


def check_ids(
    found: Findings,
    each: StepList,
    taken: dict[str, str],
    names: Collection[str],
    orphans: Collection[str] = (),
) -> dict[str, str]:
    """Check every id of a list and return the pointers of the steps with good ones.

    Arguments:
        taken: ids that others in the same space have, with their pointers; filled in.
        names: every id that is written in that space.
        orphans: what expressions name and no step is called: the one of a step without an id, probably.
    """
    places: dict[str, str] = {}
    fresh = _Fresh(each, names, orphans)
    for where, step in each.steps:
        step_id = step.get("id")
        if step_id is None:
            _say_missing(found, where, step, fresh)
        if not isinstance(step_id, str):
            continue
        problem = _fault(step_id)
        if problem is not None:
            _say_fault(found, where, step_id, problem, fresh)
        elif step_id in taken:
            found.error(
                where + pointer("id"),
                f"id {step_id!r} is used twice (first at {spelled(taken[step_id])})",
                patch=replace(where + pointer("id"), fresh.instead(step, step_id)),
            )
        else:
            taken[step_id] = places[step_id] = where
    return places


class _Fresh:
    """Ids that are still free in a list, and what the steps of the list call each other."""

    def __init__(self, each: StepList, names: Collection[str], orphans: Collection[str]) -> None:
        self._taken = set(names)
        self._last: dict[str, int] = {}
        self.references: dict[str, list[str]] = {}
        for where, step in each.steps:
            for at, name in written_references(step):
                if isinstance(name, str):
                    self.references.setdefault(name, []).append(where + at)
        missing = (self.references.keys() - self._taken) or set(orphans)
        self._orphan = missing.pop() if len(missing) == 1 else None

    def instead(self, step: dict[str, Any], name: str) -> str:
        """The one id that others speak of and that no step has; else one like `name`."""
        orphan = self._orphan
        if orphan is None or _fault(orphan) or orphan in _spoken_by(step):
            return self.like(name)
        self._orphan = None
        self._taken.add(orphan)
        return orphan

    def like(self, name: str) -> str:
        """An id like `name` that is not taken; it is from now on."""
        candidate, number = name, self._last.get(name, 1)
        while candidate in self._taken:
            number += 1
            candidate = f"{name[: _ID_CHARACTERS_MAX - 6]}-{number}"
        self._last[name] = number
        self._taken.add(candidate)
        return candidate


def _spoken_by(step: dict[str, Any]) -> set[Any]:
    """The names of steps that a step mentions."""
    written = {name for _, name in written_references(step) if isinstance(name, str)}
    return written | orphans_of(step, ())


def orphans_of(document: Any, known: Collection[str]) -> set[str]:
    """The names after `steps` anywhere in a document that no step has."""
    named: set[str] = set()
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and "steps" in value:
            named |= {one or other for one, other in _NAMED.findall(value)}
        elif isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
    return named - set(known)


def _fault(step_id: str) -> str | None:
    if not step_id or len(step_id) > _ID_CHARACTERS_MAX:
        return f"an id has 1 to {_ID_CHARACTERS_MAX} characters"
    if _FORBIDDEN.search(step_id) or not step_id.isprintable():
        return f"id {shown(step_id)}: dots, slashes, brackets and quotes cannot stand in an id"
    return None


def _say_missing(found: Findings, where: str, step: dict[str, Any], fresh: _Fresh) -> None:
    """Note a step without an id, with one that says what the step does."""
    strange = (key for key in step if key not in TABLES["step"])
    if any(found.meant(key, TABLES["step"], synonyms.KEYS["step"]) == "id" for key in strange):
        return  # it stands there under another name
    action = step.get("action")
    sources = (step.get("name"), action.split(".")[-1] if isinstance(action, str) else None)
    names = [slug(text) for text in (*sources, step.get("type")) if isinstance(text, str)]
    name = fresh.instead(step, next(filter(None, names), "step"))
    patch: Patch = [{"op": "add", "path": where + pointer("id"), "value": name}]
    found.error(where, "'id' is missing", patch=patch)


def _say_fault(found: Findings, where: str, step_id: str, problem: str, fresh: _Fresh) -> None:
    """Note a bad id; the repair renames what refers to it in the same list too."""
    clean = re.sub(r"[^\w-]+", "-", step_id[: 2 * _ID_CHARACTERS_MAX]).strip("-")
    clean = fresh.like(clean[:_ID_CHARACTERS_MAX].strip("-") or "step")
    patch = replace(where + pointer("id"), clean)
    for at in fresh.references.pop(step_id, ()) if step_id else ():
        patch += replace(at, clean)
    found.error(where + pointer("id"), problem, did_you_mean=clean, patch=patch)


def written_references(step: dict[str, Any]) -> list[tuple[str, Any]]:
    """What a step says of other steps outside expressions: pointers below the step, and the names."""
    depends_on = step.get("depends_on")
    listed = depends_on if isinstance(depends_on, list) else []
    found = [(pointer("depends_on", at), name) for at, name in enumerate(listed)]
    for key, inner in (("on_error", "fallback_step"), ("on_interrupt", "verify")):
        value = step.get(key)
        if isinstance(value, dict) and inner in value:
            found.append((pointer(key, inner), value[inner]))
    return found
