"""The shape of a definition as tables: which keys may stand where, and of which kind their values are.

Rule 1: every key of the language is in a table here, also those that this release cannot execute yet (`LATER`): they
are refused by name instead of being ignored.
Rule 2: a broken part is reported once and hides only what cannot be judged without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opcode_runtime.core.validation.findings import Findings, pointer
from opcode_runtime.model.durations import parse_duration_s


@dataclass(frozen=True, slots=True)
class Key:
    """One key: the kind of its value, its enumeration if it has one, its table if it is an object of ours."""

    kind: str
    allowed: tuple[str, ...] = ()
    table: str | None = None
    required: bool = False


TABLES: dict[str, dict[str, Key]] = {
    "workflow": {
        "steps": Key("array", required=True),
        "inputs": Key("object"),
        "context": Key("object"),
        "timeout": Key("duration"),
        "on_timeout": Key("string", allowed=("fail", "cancel")),
        "metadata": Key("object"),
        "output": Key("any"),
    },
    "step": {
        "id": Key("string", required=True),
        "type": Key("string", allowed=("action",)),
        "action": Key("string"),
        "params": Key("object"),
        "depends_on": Key("strings"),
        "condition": Key("string"),
        "retry": Key("object", table="retry"),
        "timeout": Key("duration"),
        "on_error": Key("object", table="on_error"),
        "on_interrupt": Key("string", allowed=("retry", "ask", "fail")),
        "idempotent": Key("boolean"),
        "name": Key("string"),
        "description": Key("string"),
    },
    "retry": {
        "max": Key("count"),
        "backoff": Key("string", allowed=("none", "linear", "exponential", "constant")),
        "delay": Key("duration"),
        "max_delay": Key("duration"),
        "jitter": Key("fraction"),
    },
    "on_error": {
        "strategy": Key(
            "string",
            allowed=("ignore", "fail_workflow", "fallback_step", "retry"),
            required=True,
        ),
        "fallback_step": Key("string"),
    },
}

LATER: dict[str, frozenset[str]] = {
    "workflow": frozenset(
        {"on_complete", "on_error", "recovery", "min_isolation", "timeout_includes_suspension"}
    ),
    "step": frozenset({"config"}),
    "type": frozenset({"condition", "loop", "parallel", "wait", "reasoning"}),
    "on_timeout": frozenset({"suspend"}),
}
"""What belongs to the language and is not executed by this release."""


def check_object(found: Findings, where: str, value: dict[str, Any], table: str) -> None:
    """Check the keys of one object against its table, and their values against their kinds."""
    keys = TABLES[table]
    for key, item in value.items():
        at = where + pointer(key)
        if key in LATER.get(table, ()):
            found.error(at, f"{key!r} is part of the language, but not available in this release")
        elif key not in keys:
            found.unknown_key(where, key, keys, value)
        else:
            check_value(found, at, key, item, keys[key])
    for key, rule in keys.items():
        if rule.required and key not in value:
            found.error(where, f"{key!r} is missing")


def check_value(found: Findings, where: str, key: str, value: Any, rule: Key) -> None:
    """Check one value against its kind."""
    problem = _KINDS[rule.kind](value)
    if _is_later(key, value):
        found.error(
            where, f"{key} {value!r} is part of the language, but not available in this release"
        )
    elif problem is not None:
        found.error(where, f"{key!r} must be {problem}")
    elif rule.allowed and value not in rule.allowed:
        found.wrong_value(where, value, rule.allowed)
    elif rule.table is not None and isinstance(value, dict):
        check_object(found, where, value, rule.table)


def _is_later(key: str, value: Any) -> bool:
    """Whether a value means something that this release cannot do yet."""
    if isinstance(value, dict):
        return key == "on_interrupt" and "verify" in value
    return isinstance(value, str) and value in LATER.get(key, ())


def _is(kind: type | tuple[type, ...], name: str) -> Callable[[Any], str | None]:
    return lambda value: None if isinstance(value, kind) else name


def _duration(value: Any) -> str | None:
    if not isinstance(value, str):
        return "a duration such as 30s"
    if "${{" in value:
        return "a fixed duration; references in durations are not available in this release"
    try:
        parse_duration_s(value)
    except ValueError as error:
        return f"a duration: {error}"
    return None


def _strings(value: Any) -> str | None:
    good = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if good else "a list of strings"


def _count(value: Any) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if good else "a whole number, 0 or more"


def _fraction(value: Any) -> str | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return None if good else "a number from 0 to 1"


_KINDS: dict[str, Callable[[Any], str | None]] = {
    "any": lambda _: None,
    "string": _is(str, "a string"),
    "object": _is(dict, "an object"),
    "array": _is(list, "a list"),
    "boolean": _is(bool, "true or false"),
    "duration": _duration,
    "strings": _strings,
    "count": _count,
    "fraction": _fraction,
}
