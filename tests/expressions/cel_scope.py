"""The scope of the corpus of CEL: one JSON document, of which both engines get what a definition would see."""

from __future__ import annotations

from typing import Any

from opcode_runtime.expressions import Scope
from tests.expressions.conftest import Step

INPUTS: dict[str, Any] = {
    "n": 5,
    "neg": -3,
    "zero": 0,
    "big": (1 << 63) - 1,
    "f": 5.0,
    "half": 1.5,
    "tenth": 0.1,
    "name": "report-2026",
    "key": "n",
    "empty": "",
    "text": "héllo wörld 😀",
    "version": "v1.2.3",
    "when": "2026-11-21T10:30:15.250Z",
    "span": "1h30m",
    "tags": ["a", "prod", "b"],
    "nums": [3, 1, 2, 5],
    "floats": [0.5, 1.25, -2.5],
    "mixed": [1, "a", None, True, 2.5],
    "none": [],
    "order": {"id": "o-1", "qty": 2, "price": 9.25, "to": {"city": "Bern"}, "the key": 7},
    "nothing": None,
    "yes": True,
    "no": False,
}
OUTPUTS: dict[str, Any] = {
    "fetch": {
        "status_code": 200,
        "body": {
            "items": [
                {"id": 1, "name": "ann", "ok": True, "price": 2.5},
                {"id": 2, "name": "bob", "ok": False, "price": 7.25, "note": "late"},
                {"id": 3, "name": "éva", "ok": False, "price": 1.5},
            ]
        },
    },
    "run-tests": {"exit_code": 0, "stdout": "ok"},
}
WORKFLOW = {"run_id": "w-1", "name": "nightly", "started_at": "2026-11-20T00:00:00Z"}
CONTEXT = {"region": "eu", "limits": {"cpu": 4, "ratio": 0.75}, "matrix": [[1, 2], [3, 4]]}
LOOP = {"item": "feature/x", "index": 1}


def document() -> dict[str, Any]:
    """What the names mean, for an engine that knows JSON only: `steps.<id>` is the step's output."""
    return {
        "inputs": INPUTS,
        "steps": OUTPUTS,
        "workflow": WORKFLOW,
        "context": CONTEXT,
        "loop": LOOP,
        "iter": LOOP,
    }


def scope_of(document: dict[str, Any]) -> Scope:
    """The same for ours."""
    return Scope(
        steps={step_id: Step(output) for step_id, output in document["steps"].items()},
        inputs=document["inputs"],
        workflow=document["workflow"],
        context=document["context"],
        loop=document["loop"],
        declared_inputs={name: {} for name in document["inputs"]},
    )
