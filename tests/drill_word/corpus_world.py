"""What the foreign definitions need to be drilled: inputs that fit, and what their scripts would answer.

The definitions are no part of the project and are named by their files only.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_SCAN = {"critical": 2, "high": 0, "medium": 7, "packages": ["left", "right"]}
_TAG = {"update_available": True, "latest_version": "v2", "tag_ref": "tags/v2"}
_PLACE = {"path": "full", "size_mb": 1.5, "age_hours": 2.5}

SCRIPTS: dict[str, dict[str, Any]] = {
    "backup-verification": {"check-backup": {"exists": True} | _PLACE},
    "csv-to-api": {"parse-csv": {"rows": [], "count": 2}},
    "dependency-audit": {"scan": {"vulnerabilities_found": True} | _SCAN},
    "git-branch-cleanup": {"parse-branches": ["done", "main", "feature/x"]},
    "log-anomaly-triage": {"analyze": {"anomaly_count": 1, "severity": "high", "details": ["e"]}},
    "openclaw-version-checker": {"check-version": _TAG},
}
"""What a script of a definition prints, by file and step."""

INPUTS: dict[str, Json] = {
    "webhook-handler": {
        "payload": {"event": "push", "source": "x", "data": {}, "timestamp": "now", "id": "1"}
    },
}
"""Inputs that their schema alone does not lead to."""


def stand_ins(file: str) -> Json:
    """Outcomes for the steps of a file that run scripts."""
    return {step: {"output": _shell(printed)} for step, printed in SCRIPTS.get(file, {}).items()}


def _shell(stdout: Any) -> Json:
    return {
        "stdout": stdout,
        "stdout_raw": str(stdout),
        "stderr": "",
        "exit_code": 0,
        "signal": None,
        "duration_ms": 5,
        "killed": False,
        "truncated": False,
    }


def inputs(file: str, schema: Json | None) -> Json:
    """Inputs for a file: what its schema allows, and what it wants beyond that."""
    made = sample(schema or {"type": "object"})
    return {**made, **INPUTS.get(file, {})}


def sample(schema: Json) -> Any:
    """A value that a simple schema allows."""
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        return [sample(schema.get("items", {"type": "string"}))] * 2
    if schema.get("type") == "object":
        return {name: sample(each) for name, each in schema.get("properties", {}).items()}
    plain: Json = {"string": "x", "integer": 3, "number": 1.5, "boolean": True}
    return plain.get(schema.get("type", "string"), "x")
