"""The shape of a definition as tables: which keys may stand where, and of which kind their values are.

Rule 1: every key of the language is in a table here, and no other key means anything: an unknown one is an error.
Rule 2: a broken part is reported once and hides only what cannot be judged without it.
Rule 3: `null` for a key that may be missing counts as missing where the language says so (`nullable`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from opcode_runtime.core.validation import synonyms
from opcode_runtime.core.validation.findings import Findings, Patch, pointer, replace
from opcode_runtime.core.validation.kinds import NOTHING, judge, mend
from opcode_runtime.core.validation.shorthands import in_full, missing_value


@dataclass(frozen=True, slots=True)
class Key:
    """One key: the kind of its value, its enumeration if it has one, its table if it is an object of ours."""

    kind: str
    allowed: tuple[str, ...] = ()
    table: str | None = None
    required: bool = False
    nullable: bool = False


STEP_TYPES = ("action", "condition", "loop", "parallel", "wait", "reasoning")
CONFIGURED = STEP_TYPES[1:]
"""The types that have a `config`, each with a table of its name."""

TABLES: dict[str, dict[str, Key]] = {
    "workflow": {
        "steps": Key("array", required=True),
        "inputs": Key("object"),
        "context": Key("object"),
        "timeout": Key("duration", nullable=True),
        "on_timeout": Key("string", allowed=("fail", "suspend", "cancel")),
        "on_complete": Key("object", nullable=True),
        "on_error": Key("object", nullable=True),
        "metadata": Key("object"),
        "output": Key("any"),
        "recovery": Key("string", allowed=("resume", "suspend"), nullable=True),
        "min_isolation": Key("string", allowed=("rlimits", "landlock", "bwrap"), nullable=True),
        "timeout_includes_suspension": Key("boolean"),
    },
    "step": {
        "id": Key("string", required=True),
        "type": Key("string", allowed=STEP_TYPES),
        "action": Key("string", nullable=True),
        "params": Key("object"),
        "depends_on": Key("strings"),
        "condition": Key("string", nullable=True),
        "retry": Key("object", table="retry", nullable=True),
        "timeout": Key("duration", nullable=True),
        "on_error": Key("object", table="on_error", nullable=True),
        "config": Key("object"),
        "on_interrupt": Key(
            "text_or_object", allowed=("retry", "ask", "fail"), table="on_interrupt", nullable=True
        ),
        "idempotent": Key("boolean"),
        "name": Key("string", nullable=True),
        "description": Key("string", nullable=True),
    },
    "retry": {
        "max": Key("count"),
        "backoff": Key("string", allowed=("none", "linear", "exponential", "constant")),
        "delay": Key("duration"),
        "max_delay": Key("duration", nullable=True),
        "jitter": Key("fraction"),
    },
    "on_error": {
        "strategy": Key(
            "string",
            allowed=("ignore", "fail_workflow", "fallback_step", "retry"),
            required=True,
        ),
        "fallback_step": Key("string", nullable=True),
    },
    "on_interrupt": {
        "verify": Key("string", required=True),
        "done": Key("string"),
    },
    "condition": {
        "expression": Key("string", required=True),
        "branches": Key("object", nullable=True),
        "default": Key("array", nullable=True),
    },
    "loop": {
        "mode": Key("string", allowed=("for_each", "while", "until")),
        "over": Key("text_or_list", nullable=True),
        "condition": Key("string", nullable=True),
        "body": Key("array", required=True),
        "max_iter": Key("count"),
        "max_concurrency": Key("positive"),
    },
    "parallel": {
        "branches": Key("array", required=True),
        "mode": Key("string", allowed=("all", "race")),
        "max_concurrency": Key("positive"),
    },
    "wait": {
        "duration": Key("duration", nullable=True),
        "signal": Key("string", nullable=True),
    },
    "reasoning": {
        "prompt_context": Key("string", nullable=True),
        "data_inject": Key("object", nullable=True),
        "options": Key("array", nullable=True),
        "timeout": Key("duration", nullable=True),
        "fallback": Key("string", nullable=True),
        "target_agent": Key("string", nullable=True),
    },
    "option": {
        "id": Key("string", required=True),
        "description": Key("string", nullable=True),
    },
}


def check_object(
    found: Findings, where: str, value: dict[str, Any], table: str, *, skip: Collection[str] = ()
) -> set[str]:
    """Check the keys of one object against its table, and their values against their kinds.

    Arguments:
        skip: keys that somebody else judges.

    Returns:
        The keys whose values are not to be relied on.
    """
    keys = TABLES[table]
    bad: set[str] = set()
    meant: set[str | None] = set()
    for key, item in value.items():
        if key in skip:
            continue
        if key not in keys:
            meant.add(_check_unknown(found, where, key, value, table))
        elif not check_value(found, where + pointer(key), table, key, item):
            bad.add(key)
    for key, rule in keys.items():
        if rule.required and key not in value and key not in skip and key not in meant:
            guess = missing_value(table, key, value)
            patch = None
            if guess is not NOTHING:
                patch = [{"op": "add", "path": where + pointer(key), "value": guess}]
            found.error(where, f"{key!r} is missing", patch=patch)
    return bad


def check_value(found: Findings, where: str, table: str, key: str, value: Any) -> bool:
    """Check one value against its kind; whether it is good."""
    rule = TABLES[table][key]
    before = len(found.errors)
    wanted = judge(rule.kind, value)
    if value is None and rule.kind != "any":
        _check_null(found, where, key, rule)
    elif value == "" and not rule.required and (rule.allowed or rule.kind == "duration"):
        patch: Patch = [{"op": "remove", "path": where}]
        found.error(where, f"{key!r} is empty; leave it out for the default", patch=patch)
    elif wanted is not None:
        _wrong_kind(found, where, table, key, value)
    elif rule.allowed and isinstance(value, str) and value not in rule.allowed:
        found.wrong_value(where, value, rule.allowed, synonyms.VALUES.get(key))
    elif rule.table is not None and isinstance(value, dict):
        check_object(found, where, value, rule.table)
    return len(found.errors) == before


def _check_unknown(
    found: Findings, where: str, key: str, value: dict[str, Any], table: str
) -> str | None:
    return found.unknown_key(where, key, TABLES[table], value, synonyms.KEYS.get(table))


def _check_null(found: Findings, where: str, key: str, rule: Key) -> None:
    if rule.nullable:
        return
    wanted = judge(rule.kind, None)
    patch = None if rule.required else [{"op": "remove", "path": where}]
    found.error(where, f"{key!r} must be {wanted}, or be left out", patch=patch)


def _wrong_kind(found: Findings, where: str, table: str, key: str, value: Any) -> None:
    """Note a value of the wrong kind, with what it was probably meant to be."""
    rule = TABLES[table][key]
    guess = in_full(table, key, value)
    if guess is NOTHING:
        guess = mend(rule.kind, value)
    if rule.allowed and isinstance(guess, str) and guess not in rule.allowed:
        guess = NOTHING
    found.error(
        where,
        f"{key!r} must be {judge(rule.kind, value)}",
        patch=None if guess is NOTHING else replace(where, guess),
    )
