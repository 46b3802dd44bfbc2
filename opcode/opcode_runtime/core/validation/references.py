"""What steps say of each other by id: `depends_on`, `fallback_step`, `verify`.

Rule 1: a dependency names another step of the same list.
Rule 2: a fallback and a probe stand in the same list or at the top level.
Rule 3: hooks depend on nothing and nothing depends on them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from opcode_runtime.core.names import StepNames
from opcode_runtime.core.validation.findings import Findings, Patch, pointer, replace, shown
from opcode_runtime.core.validation.lists import StepList
from opcode_runtime.core.validation.patching import spelled

_REFERENCE = re.compile(
    r"""\s*(?:\$\{\{\s*)?(?:steps\s*)?(?:\.\s*|\[['"])?(?P<id>[^.\[\]'"{}]+?)(?:['"]\])?(?:\.[\w.]+)?\s*(?:\}\})?\s*\Z"""
)
_REFERENCE_CHARS_MAX = 256


@dataclass(slots=True)
class Place:
    """What a list knows of the ids around it.

    own: ids of the list as written, with those that its repairs will bring.
    top: the same of the top level.
    hooks: ids of hooks.
    elsewhere: every other id, with the pointer of its step.
    """

    own: Collection[str]
    top: Collection[str]
    hooks: Collection[str]
    elsewhere: Mapping[str, str] = field(default_factory=dict)


def check_references(found: Findings, each: StepList, place: Place) -> None:
    """Every name in `depends_on`, `fallback_step` and `verify` of a list leads to a step that may be named there."""
    for where, step in each.steps:
        names = step.get("depends_on")
        if each.is_hook and names:
            at = where + pointer("depends_on")
            found.warning(
                at,
                "a hook runs after all steps; 'depends_on' means nothing there",
                patch=[{"op": "remove", "path": at}],
            )
        elif isinstance(names, list):
            _check_dependencies(found, each, where, names, place, step.get("id"))
        _check_fallback(found, where, step, place)
        _check_probe(found, where, step, place)


def _check_dependencies(
    found: Findings, each: StepList, where: str, names: list[Any], place: Place, own_id: Any
) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        at = where + pointer("depends_on", index)
        if not isinstance(name, str):
            continue
        if name in seen:
            found.error(
                at,
                f"has duplicate dependency {shown(name)}",
                patch=[{"op": "remove", "path": at}],
            )
        elif name not in place.own:
            _say_no_dependency(found, each, at, name, place, own_id)
        seen.add(name)


def _say_no_dependency(
    found: Findings, each: StepList, at: str, name: str, place: Place, own_id: Any
) -> None:
    """Note a dependency that leads out of the list, or nowhere."""
    if name in place.hooks:
        remove: Patch = [{"op": "remove", "path": at}]
        found.error(at, f"{shown(name)} is a hook; no step can wait for it", patch=remove)
        return
    if any(owner.id == name for owner in each.owner):
        message = f"{shown(name)} is the step around this one, which cannot wait for it"
        found.error(at, message, patch=[{"op": "remove", "path": at}])
    elif (outer := _list_around(each, name)) is not None:
        _say_outer(found, each, at, name, outer)
    elif name in place.elsewhere:
        _say_inner(found, each, at, name, place)
    else:
        say_no_step(found, at, name, place.own, but=own_id)


def _list_around(each: StepList, name: str) -> int | None:
    """How deep the list around this one is that has the step `name`."""
    names: StepNames | None = each.names.outer
    depth = each.depth - 1
    while names is not None and depth >= 0:
        if name in names.ids:
            return depth
        names, depth = names.outer, depth - 1
    return None


def _say_outer(found: Findings, each: StepList, at: str, name: str, depth: int) -> None:
    """Note a dependency on a step outside; the step around this one, which stands beside it, has to wait instead."""
    owner = each.owner[depth]
    place = owner.where + pointer("depends_on")
    patch: Patch = [{"op": "remove", "path": at}]
    waits_for = owner.step.get("depends_on")
    if not isinstance(waits_for, list):
        patch.append({"op": "add", "path": place, "value": [name]})
    elif name not in waits_for:
        patch.append({"op": "add", "path": place + pointer("-"), "value": name})
    found.error(
        at,
        f"step {shown(name)} is in a list around this one; let {shown(owner.id)} depend on it",
        did_you_mean=owner.id,
        patch=patch,
    )


def _say_inner(found: Findings, each: StepList, at: str, name: str, place: Place) -> None:
    """Note a dependency on a step inside a body; the step with that body is what can be waited for."""
    there = place.elsewhere[name]
    holder = next(
        (owner for where, owner in _with_ids(each) if there.startswith(where + "/")), None
    )
    usable = holder is not None and not at.startswith(_pointer_of(each, holder) + "/")
    found.error(
        at,
        f"step {shown(name)} is in another list ({spelled(there)}); only steps of the same list can be waited for",
        did_you_mean=holder if usable else None,
        patch=replace(at, holder) if usable else [{"op": "remove", "path": at}],
    )


def _with_ids(each: StepList) -> list[tuple[str, str]]:
    """The steps of a list with ids: pointer and id."""
    return [(where, step["id"]) for where, step in each.steps if isinstance(step.get("id"), str)]


def _pointer_of(each: StepList, name: str | None) -> str:
    return next((where for where, other in _with_ids(each) if other == name), "\x00")


def say_no_step(
    found: Findings, at: str, name: str, known: Collection[str], *, but: Any = None
) -> None:
    """Note a name that no step has, with the one that was probably meant."""
    names = [each for each in known if each != but]
    reference = _REFERENCE.match(name) if len(name) <= _REFERENCE_CHARS_MAX else None
    meant = reference["id"] if reference and reference["id"] in names else None
    meant = meant or found.meant(name, names)
    found.error(
        at,
        f"there is no step {shown(name)}",
        did_you_mean=meant,
        patch=replace(at, meant) if meant else None,
    )


def _check_fallback(found: Findings, where: str, step: dict[str, Any], place: Place) -> None:
    handler = step.get("on_error")
    if not isinstance(handler, dict):
        return
    at = where + pointer("on_error")
    target, strategy = handler.get("fallback_step"), handler.get("strategy")
    if strategy == "fallback_step" and not target:
        found.error(at, "strategy 'fallback_step' needs the id of a step in 'fallback_step'")
    elif target is not None:
        _check_target(found, at + pointer("fallback_step"), target, step, place)
        if strategy in ("ignore", "fail_workflow", "retry"):
            found.warning(
                at + pointer("fallback_step"),
                f"strategy {strategy!r} does not use 'fallback_step'",
                did_you_mean="fallback_step",
                patch=replace(at + pointer("strategy"), "fallback_step"),
            )


def _check_probe(found: Findings, where: str, step: dict[str, Any], place: Place) -> None:
    rule = step.get("on_interrupt")
    if isinstance(rule, dict) and "verify" in rule:
        _check_target(found, where + pointer("on_interrupt", "verify"), rule["verify"], step, place)


def _check_target(
    found: Findings, at: str, target: Any, step: dict[str, Any], place: Place
) -> None:
    if not isinstance(target, str) or target in place.own or target in place.top:
        return
    if target in place.hooks:
        found.error(at, f"{shown(target)} is a hook and cannot stand in for a step")
        return
    known = [*place.own, *(name for name in place.top if name not in place.own)]
    name = step.get("id")
    if target in place.elsewhere:
        found.error(
            at,
            f"step {shown(target)} is in another list ({spelled(place.elsewhere[target])}); "
            "name one of the same list or of the top level",
            did_you_mean=found.meant(target, known),
        )
    else:
        say_no_step(found, at, target, known, but=name)
