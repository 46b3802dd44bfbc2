"""Outcomes that stand in for effects, as a JSON object.

```
{"shop/ship": {"output": {...}, "takes": "2s"}, "http.get": [{"error": {"code": "EXECUTION_ERROR",
 "message": "refused"}}, {"output": {...}}], "*": {"output": null}}
```
Keys, the most specific first: `template/step path`, `template/step`, `step path`, `step`, an action, `*`. A value is
one outcome or a list of them, of which the k-th stands for the attempt after k failures, the last one for all later
ones. An outcome is `{"output": any}` or `{"error": {"code", "message"}}`, with `takes` in seconds or as a duration.
Under `--stub` a step without a stand-in gets a generic output of its action's shape.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from opcode_runtime.actions import BUILTIN_ACTIONS
from opcode_runtime.drill.recording import Attempt
from opcode_runtime.drill.subject import DrillError
from opcode_runtime.model.action import ActionSpec
from opcode_runtime.model.durations import parse_duration_s
from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.ids import unmarked
from opcode_runtime.model.outcome import Completed, Failed

_HTTP = {
    "status_code": 200,
    "status": "200 OK",
    "headers": {},
    "body": {},
    "content_type": "application/json",
    "duration_ms": 50,
    "truncated": False,
}
_GENERIC: dict[str, Any] = {
    "http.get": _HTTP,
    "http.post": _HTTP,
    "http.request": _HTTP,
    "shell.exec": {
        "stdout": {},
        "stdout_raw": "{}",
        "stderr": "",
        "exit_code": 0,
        "signal": None,
        "duration_ms": 50,
        "killed": False,
        "truncated": False,
    },
    "fs.list": {
        "path": ".",
        "entries": [{"name": "stand-in", "path": "stand-in", "type": "file", "size": 1}],
        "truncated": False,
    },
    "fs.read": {
        "path": "stand-in",
        "content": "stand-in",
        "encoding": "utf-8",
        "size": 8,
        "truncated": False,
    },
}
_BY_TYPE: dict[str, Any] = {
    "string": "stand-in",
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}


@dataclass(frozen=True, slots=True)
class StandIns:
    """Which attempts are stood in for, and with what. `generic`: all of them, named or not."""

    named: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    generic: bool = False

    def refuse_unknown(self, definitions: Iterable[Any]) -> None:
        """A key that fits nothing is a slip of the pen, and what it was to stand in for would be executed.

        Raises:
            DrillError: a key names no step of these definitions, and no action.
        """
        known = (
            {each.spec.name for each in BUILTIN_ACTIONS} | {"*"} | set(_named_in(list(definitions)))
        )
        for key in self.named:
            if key not in known and key.rpartition("/")[2].rpartition(".")[2] not in known:
                raise DrillError(
                    f"The stand-in for {key!r} fits no step and no action.",
                    next="Mend or remove it: what it was meant for would be executed.",
                )

    def attempt(self, spec: ActionSpec, template: str, path: str, failures: int) -> Attempt | None:
        """The outcome that stands for an attempt; None when the action is to run."""
        plain = unmarked(path)
        last = plain.rpartition(".")[2]
        for name in (f"{template}/{plain}", f"{template}/{last}", plain, last, spec.name, "*"):
            if name in self.named:
                outcomes = self.named[name]
                return _attempt(outcomes[min(failures, len(outcomes) - 1)], path)
        if not self.generic or spec.kind == "pure":
            return None
        return generic_attempt(spec, path)


def generic_attempt(spec: ActionSpec, path: str) -> Attempt:
    """An outcome in the shape that the action promises."""
    output = _GENERIC.get(spec.name)
    if output is None:
        output = _sample(spec.output or {})
    return Attempt(Completed(output), _moment_s(path))


def stand_ins_from(value: Any, *, generic: bool = False) -> StandIns:
    """Read stand-ins from JSON.

    Raises:
        DrillError: an outcome is not as above; names its key.
    """
    if not isinstance(value, dict):
        raise DrillError("Stand-ins are a JSON object from a step or an action to an outcome.")
    named = {key: each if isinstance(each, list) else [each] for key, each in value.items()}
    for key, outcomes in named.items():
        try:
            for each in outcomes:
                _attempt(each, key)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise DrillError(f"The stand-in for {key!r} is no outcome: {error}.") from error
        if not outcomes:
            raise DrillError(f"The stand-in for {key!r} is an empty list.")
    return StandIns(named, generic)


def _named_in(value: Any) -> Iterator[str]:
    """The ids and actions of the steps in a definition, at any depth."""
    if isinstance(value, dict):
        yield from (str(value[key]) for key in ("id", "action") if key in value)
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict | list):
            yield from _named_in(each)


def _attempt(value: Any, path: str) -> Attempt:
    if not isinstance(value, dict):
        raise TypeError("it is no JSON object")
    takes = value.get("takes")
    takes_s = parse_duration_s(takes) if isinstance(takes, str) else takes
    duration_s = _moment_s(path) if takes_s is None else float(takes_s)
    if "error" in value:
        return Attempt(Failed(msgspec.convert(value["error"], ErrorInfo)), duration_s)
    return Attempt(Completed(value["output"]), duration_s)


def _moment_s(path: str) -> float:
    """A short time of its own for each step, so that no two end in the same moment."""
    return 0.05 + zlib.crc32(path.encode()) % 10_000 / 100_000


def _sample(schema: dict[str, Any]) -> Any:
    """A value that a simple schema allows."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if "properties" in schema:
        return {name: _sample(each) for name, each in schema["properties"].items()}
    kind = schema.get("type", "object")
    return _BY_TYPE.get(kind[0] if isinstance(kind, list) else kind)
