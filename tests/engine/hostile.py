"""Values that would do harm anywhere but in data, for everything that may only pass data on."""

from __future__ import annotations

from itertools import product
from typing import Any

import opcode_runtime
from opcode_runtime.actions import Call

Json = dict[str, Any]

PIECES = (
    *("'", '"', "`", "\\", "'''", '"""', "\n", "\r\n", "\t", "\x00", "\x1b[31m", "\x7f", "\u2028"),
    *("${{secrets.X}}", "${{inputs.v}}", "$${{", "${{", "}}", "{{x}}", "}", "${x}", "$(id)", "%s"),
    *("{0}", "\\(.)", '\\("x")', "|", "||", ".", "..", "jq: env", "cel: 1", "// x", "# x", "[1]"),
    *('["a"]', "1e999", "9" * 400, "-0", "0x1F", "NaN", "null", "true", "2024-01-15", "inputs.v"),
    *("steps.a.v", "has(x)", "1/0", "' + inputs.v + '", '" | env | "', "';env;'", "\u202e\u200fx"),
    *("\u0130\u0131", "e\u0301", "\U0001f600", "\ufeff", "\ufffe", "${{ 'a' }}", "&lt;", "../../x"),
    *("__proto__", "{{7*7}}", "$ENV", "import os", "#{x}", "<%= x %>", "\\u0041", "\\ud800", ""),
)
HOSTILE: list[str] = [
    *PIECES,
    *(one + two for one, two in product(PIECES[:13], PIECES[13:22])),
    *(f"{piece}\n${{{{secrets.X}}}}" for piece in PIECES),
]
"""Texts that every part of the runtime has to take as they are."""

LONG: list[str] = [
    "x" * 70_000,
    "\\" * 5_000,
    "${{inputs.v}}" * 6_000,
    "'\"" * 3_000,
    "\u202e" * 30_000,
]
"""Texts beyond what is handled in place."""

TEXTS = [*HOSTILE, *LONG]

SURROGATES: list[str] = ["\ud800", "a\udfffb", "\ude00\ud83d", "${{secrets.X}}\ud800"]
"""Python texts that no Unicode encoding has: JSON can write them, and hardly anything else."""

NUMBERS: list[Any] = [10**400, -(10**400), 2**63, 2**64 + 1, 5.0, -0.0, 1e308, 5e-324]


def same(one: Any, two: Any) -> bool:
    """Whether two values are the same in type and in every digit."""
    return type(one) is type(two) and repr(one) == repr(two)


@opcode_runtime.action("t.echo", kind="pure")
def echo(params: Json, _call: Call) -> Any:
    """What it was given."""
    return params.get("value")


def echoing(step_id: str, value: Any, *needs: str, **more: Any) -> Json:
    """A step that gives `value`."""
    return {
        "id": step_id,
        "action": "t.echo",
        "params": {"value": value},
        "depends_on": list(needs),
        **more,
    }


def for_each(step_id: str, over: Any, *body: Json, **more: Any) -> Json:
    """A loop step; keyword arguments are further keys, `depends_on` among them, and `max_concurrency`."""
    config: Json = {"mode": "for_each", "over": over, "body": list(body)}
    if "max_concurrency" in more:
        config["max_concurrency"] = more.pop("max_concurrency")
    return {"id": step_id, "type": "loop", "config": config, **more}
