"""Small workflows to drill, and how the tests drill them."""

from __future__ import annotations

from typing import Any

from opcode_runtime.drill import Options, Report, Scene, scene_settings, stand_ins_from, subject_of
from opcode_runtime.drill import drill as make
from opcode_runtime.model.settings import Settings

Json = dict[str, Any]


def step(step_id: str, action: str = "http.get", *needs: str, **more: Any) -> Json:
    """An action step; what it does is stood in for."""
    params = {"shell.exec": {"command": "true"}, "fs.append": {"path": "log", "content": "x"}}
    return {
        "id": step_id,
        "action": action,
        "params": params.get(action, {"url": f"http://localhost/{step_id}"}),
        "depends_on": list(needs),
        **more,
    }


def flow(step_id: str, kind: str, *needs: str, **config: Any) -> Json:
    """A step of another type."""
    return {"id": step_id, "type": kind, "depends_on": list(needs), "config": config}


def scene(
    *steps: Json,
    params: Json | None = None,
    answers: dict[str, str] | None = None,
    stand_ins: Json | None = None,
    payloads: dict[str, Json] | None = None,
    others: dict[str, Json] | None = None,
    **keys: Any,
) -> Scene:
    """A scene in which nothing is executed: steps of a template called `drilled`, and other templates."""
    value = {"drilled": {"steps": list(steps), **keys}, **(others or {})}
    return Scene(
        subject_of(value, "x", name="drilled", params=params),
        scene_settings(Settings(), answers or {}),
        stand_ins_from(stand_ins or {}, generic=True),
        payloads=payloads or {},
    )


def drilled(what: Scene, **options: Any) -> Report:
    """Drill without real processes, unless `real` says how many."""
    return make(what, Options(**{"real": 0, **options}))


def chain(length: int) -> list[Json]:
    """Steps with an outside effect, one after the other."""
    return [
        step(f"s{number}", "http.get", *([f"s{number - 1}"] if number else []))
        for number in range(length)
    ]
