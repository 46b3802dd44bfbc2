"""One step: its keys, its type and what the type asks for, and keys that stand one level too high or too low."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opcode_runtime.core.validation import synonyms
from opcode_runtime.core.validation.configs import check_config
from opcode_runtime.core.validation.findings import Findings, Patch, pointer, replace
from opcode_runtime.core.validation.shape import CONFIGURED, STEP_TYPES, TABLES, check_object
from opcode_runtime.model.action import ActionSpec

_UNMISTAKABLE = {
    "loop": ("body", "over", "max_iter"),
    "condition": ("expression",),
    "wait": ("signal", "duration"),
    "reasoning": ("prompt_context", "options", "data_inject", "target_agent", "fallback"),
}
"""Keys of a config that no other type has."""


def check_step(
    found: Findings, where: str, step: dict[str, Any], actions: Mapping[str, ActionSpec]
) -> None:
    """Check one step by itself; what it says of other steps is checked elsewhere."""
    kind = step.get("type", "action")
    skip = {"id"} if step.get("id") is None else set()
    if _is_action_name(step, actions):
        skip |= {"type"}
        _say_action_for_type(found, where, step)
    elif _lacks_type(found, step):
        skip |= _say_type(found, where, step)
    elif kind == "action":
        skip |= _check_action_step(found, where, step, actions)
    elif kind in CONFIGURED:
        skip |= _check_configured(found, where, step, kind)
    check_object(found, where, step, "step", skip=skip)


def _is_action_name(step: dict[str, Any], actions: Mapping[str, ActionSpec]) -> bool:
    kind = step.get("type")
    return isinstance(kind, str) and kind not in STEP_TYPES and kind in actions


def _say_action_for_type(found: Findings, where: str, step: dict[str, Any]) -> None:
    at = where + pointer("type")
    move: Patch = [{"op": "move", "from": at, "path": where + pointer("action")}]
    found.error(
        at,
        f"{step['type']!r} is an action, not a type; write it as 'action'",
        did_you_mean="action",
        patch=move if "action" not in step else replace(at, "action"),
    )


def _lacks_type(found: Findings, step: dict[str, Any]) -> bool:
    """Whether neither type nor action say what this is."""
    said = "type" in step or step.get("action") is not None
    return not said and not _renamed(found, step, "action") and not _renamed(found, step, "type")


def _renamed(found: Findings, step: dict[str, Any], key: str) -> bool:
    """Whether `key` stands there under another name; the unknown key is noted as such."""
    known = TABLES["step"]
    strange = (name for name in step if name not in known)
    return any(found.meant(name, known, synonyms.KEYS["step"]) == key for name in strange)


def _say_type(found: Findings, where: str, step: dict[str, Any]) -> set[str]:
    """Note a step that is nothing yet; the keys that this has settled."""
    config = step.get("config")
    inner = config if isinstance(config, dict) else step
    kind = inferred_type(inner)
    if kind is None:
        found.error(where, "a step of type action needs an 'action'")
        return set()
    patch: Patch = [{"op": "add", "path": where + pointer("type"), "value": kind}]
    hoisted = [] if inner is config else _hoisted(step, kind)
    found.error(
        where,
        f"a step of type action needs an 'action'; this looks like type {kind!r}",
        did_you_mean=kind,
        patch=patch + _into(where, "config", hoisted, step),
    )
    return set(hoisted)


def inferred_type(keys: Mapping[str, Any]) -> str | None:
    """The type that the keys of a config belong to."""
    for kind, sure in _UNMISTAKABLE.items():
        if any(key in keys for key in sure):
            return kind
    branches = keys.get("branches")
    if isinstance(branches, list):
        return "parallel"
    return "condition" if isinstance(branches, dict) else None


def _hoisted(step: dict[str, Any], kind: str) -> list[str]:
    """The keys of a step that belong into its config."""
    other = TABLES["step"]
    ours = TABLES[kind]
    return [key for key in step if key in ours and key not in other]


def _into(where: str, holder: str, keys: list[str], step: dict[str, Any]) -> Patch:
    """The patch that moves keys of a step into its `holder`, which it makes where there is none."""
    place = where + pointer(holder)
    patch: Patch = []
    if not isinstance(step.get(holder), dict):
        patch.append({"op": "add", "path": place, "value": {}})
    patch += [
        {"op": "move", "from": where + pointer(key), "path": place + pointer(key)} for key in keys
    ]
    return patch if keys else []


def _say_hoisted(
    found: Findings, where: str, step: dict[str, Any], holder: str, keys: list[str], owner: str
) -> None:
    """Note keys that belong into `config` or `params`: the first one brings the repair for all."""
    present = step.get(holder)
    inside = present if isinstance(present, dict) else {}
    free = [key for key in keys if key not in inside]
    for index, key in enumerate(keys):
        at = where + pointer(key)
        patch = _into(where, holder, free, step) if index == 0 and free else None
        found.error(at, f"{key!r} belongs into '{holder}' of {owner}", patch=patch)


def _check_action_step(
    found: Findings, where: str, step: dict[str, Any], actions: Mapping[str, ActionSpec]
) -> set[str]:
    skip: set[str] = set()
    name = step.get("action")
    if name is None and not _renamed(found, step, "action"):
        _say_no_action(found, where, step)
    spec = actions.get(name) if isinstance(name, str) else None
    params = (spec.params or {}).get("properties", {}) if spec is not None else {}
    hoisted = [key for key in step if key in params and key not in TABLES["step"]]
    if hoisted and isinstance(step.get("params", {}), dict | None):
        _say_hoisted(found, where, step, "params", hoisted, f"a step with action {name}")
        skip |= set(hoisted)
    if step.get("config") is not None:
        _say_config(found, where, step, params)
        skip.add("config")
    return skip


def _say_no_action(found: Findings, where: str, step: dict[str, Any]) -> None:
    config = step.get("config")
    kind = inferred_type(config) if isinstance(config, dict) else None
    patch = [{"op": "add", "path": where + pointer("type"), "value": kind}] if kind else None
    found.error(where, "a step of type action needs an 'action'", did_you_mean=kind, patch=patch)


def _say_config(
    found: Findings, where: str, step: dict[str, Any], params: Mapping[str, Any]
) -> None:
    """Note a config on an action step: parameters under the wrong name, or of no use."""
    at = where + pointer("config")
    config = step["config"]
    if step.get("action") is None and isinstance(config, dict) and inferred_type(config):
        return
    meant = isinstance(config, dict) and bool(config) and all(key in params for key in config)
    patch: Patch = [{"op": "remove", "path": at}]
    if meant and not step.get("params"):
        patch = [{"op": "move", "from": at, "path": where + pointer("params")}]
    found.error(
        at,
        "a step of type action has no 'config'" + ("; these are 'params'" if meant else ""),
        did_you_mean="params" if meant else None,
        patch=patch,
    )


def _check_configured(found: Findings, where: str, step: dict[str, Any], kind: str) -> set[str]:
    hoisted = _hoisted(step, kind)
    config = step.get("config")
    if config is None:
        if hoisted:
            found.error(
                where,
                f"a step of type {kind} needs a 'config'; {', '.join(hoisted)} belong into it",
                patch=_into(where, "config", hoisted, step),
            )
        else:
            _say_no_config(found, where, step, kind)
        return {*hoisted, "config"}
    if hoisted:
        _say_hoisted(found, where, step, "config", hoisted, f"a step of type {kind}")
    if isinstance(config, dict):
        check_config(found, where + pointer("config"), config, kind, step)
    for key in ("action", "params"):
        if step.get(key):
            found.warning(where + pointer(key), f"a step of type {kind} does not use {key!r}")
    return set(hoisted)


def _say_no_config(found: Findings, where: str, step: dict[str, Any], kind: str) -> None:
    if _renamed(found, step, "config"):
        return
    patch: Patch | None = None
    if isinstance(step.get("params"), dict) and set(step["params"]) <= TABLES[kind].keys():
        patch = [
            {"op": "move", "from": where + pointer("params"), "path": where + pointer("config")}
        ]
    elif isinstance(step.get("action"), str):
        patch = [{"op": "add", "path": where + pointer("type"), "value": "action"}]
    elif kind == "reasoning":
        patch = [{"op": "add", "path": where + pointer("config"), "value": {}}]
    found.error(where, f"a step of type {kind} needs a 'config'", patch=patch)
