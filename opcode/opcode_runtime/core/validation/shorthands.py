"""Short forms that other languages allow, written out in full; and values that follow from what is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from opcode_runtime.core.validation import synonyms
from opcode_runtime.core.validation.kinds import NOTHING, mend

_STRATEGIES = ("ignore", "fail_workflow", "fallback_step", "retry")
_STEP_KEYS = frozenset({"id", "type", "action", "config"})
_CASE_KEYS = ("key", "case", "value", "when", "name")


def in_full(table: str, key: str, value: Any) -> Any:
    """What a short form stands for, or NOTHING."""
    write = _SHORTHANDS.get((table, key))
    return NOTHING if write is None else write(value)


def missing_value(table: str, key: str, value: dict[str, Any]) -> Any:
    """The value of a required key that is not there, where the other keys say it, or NOTHING."""
    if (table, key) == ("on_error", "strategy") and isinstance(value.get("fallback_step"), str):
        return "fallback_step"
    if (table, key) == ("option", "id") and isinstance(value.get("description"), str):
        return slug(value["description"]) or NOTHING
    return NOTHING


def slug(text: str) -> str:
    """A text as an id.

    >>> slug("Send the report!")
    'send-the-report'
    """
    return re.sub(r"\W+", "-", text.casefold()).strip("-")[:64].strip("-")


def step_list(value: Any) -> Any:
    """A list of steps from one step, or from an object that holds steps by their ids."""
    if not isinstance(value, dict) or not value:
        return NOTHING
    if _STEP_KEYS & value.keys():
        return [value]
    if not all(isinstance(step, dict) for step in value.values()):
        return NOTHING
    return [{"id": name, **step} for name, step in value.items()]


def branch_list(value: Any) -> Any:
    """The branches of a parallel from an object that names them."""
    if not isinstance(value, dict):
        return NOTHING
    lists = [step_list(each) if isinstance(each, dict) else each for each in value.values()]
    return lists if all(isinstance(each, list) for each in lists) else NOTHING


def _one_step(value: Any) -> Any:
    """The hook in a list of one."""
    good = isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)
    return value[0] if good else NOTHING


def _retry(value: Any) -> Any:
    most = mend("count", value)
    return NOTHING if most is NOTHING else {"max": most}


def _on_error(value: Any) -> Any:
    if not isinstance(value, str):
        return NOTHING
    word = synonyms.VALUES["strategy"].get(value, value)
    if word in _STRATEGIES:
        return {"strategy": word} if word != "fallback_step" else NOTHING
    return {"strategy": "fallback_step", "fallback_step": value}


def _branches(value: Any) -> Any:
    """The branches of a condition from a list of objects that each hold a key and its steps."""
    if not isinstance(value, list) or not value:
        return NOTHING
    branches: dict[str, Any] = {}
    for each in value:
        case = each if isinstance(each, dict) else {}
        key = next((case[name] for name in _CASE_KEYS if name in case), None)
        steps = case.get("steps", case.get("do"))
        if key is None or isinstance(key, dict | list) or not isinstance(steps, list):
            return NOTHING
        branches[str(key).lower() if isinstance(key, bool) else str(key)] = steps
    return branches


def _options(value: Any) -> Any:
    if isinstance(value, str):
        return [{"id": name} for name in re.split(r"\s*[,|]\s*", value.strip()) if name] or NOTHING
    if isinstance(value, dict):
        return [
            {"id": name, "description": text} if isinstance(text, str) else {"id": name}
            for name, text in value.items()
        ]
    return NOTHING


def _data_inject(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return NOTHING
    return {
        (re.findall(r"[\w-]+", name) or [f"value_{at}"])[-1]: name for at, name in enumerate(names)
    }


_SHORTHANDS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("workflow", "steps"): step_list,
    ("workflow", "on_complete"): _one_step,
    ("workflow", "on_error"): _one_step,
    ("step", "retry"): _retry,
    ("step", "on_error"): _on_error,
    ("condition", "branches"): _branches,
    ("condition", "default"): step_list,
    ("loop", "body"): step_list,
    ("parallel", "branches"): branch_list,
    ("reasoning", "options"): _options,
    ("reasoning", "data_inject"): _data_inject,
}
