"""Rows of what happens when the runtime is gone in the middle of a workflow, and comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, ask, echo, flow, open_stage, step


async def crashed(data_dir: Path, *steps: Json, **keys: Any) -> str:
    """A workflow in whose middle the runtime is dropped, ten seconds on."""
    with trio.CancelScope() as scope:
        async with open_stage(data_dir) as stage:
            handle = await stage.start(*steps, **keys)
            await trio.sleep(10)
            scope.cancel()
            await trio.sleep_forever()
    return handle.workflow_id


DOUBTS: list[tuple[str, str, Json, Json]] = [
    ("ours/doubt-retry", "`on_interrupt: retry`: the attempt is made again.", {"on_interrupt": "retry"},
     {"status": "completed", "attempts": 2}),
    ("ours/doubt-fail", "`on_interrupt: fail`: the step fails with INTERRUPTED.", {"on_interrupt": "fail"},
     {"status": "failed", "attempts": 1}),
    ("ours/doubt-ask", "`on_interrupt: ask`: a decision is opened.", {"on_interrupt": "ask"}, {"status": "suspended",
     "attempts": 1}),
    ("ours/doubt-idempotent", "A step that says `idempotent` is made again.", {"idempotent": True},
     {"status": "completed", "attempts": 2}),
    ("ours/doubt-by-policy", "So is one with a retry policy.", {"retry": {"max": 1}}, {"status": "completed",
     "attempts": 2}),
    ("ours/doubt-unsaid", "Nothing said of a step with effects: ask.", {}, {"status": "suspended", "attempts": 1}),
]  # fmt: skip


@rows("keys, expected", DOUBTS, "interruptions", "recovery")
async def test_doubt(tmp_path: Path, keys: Json, expected: Json) -> None:
    params = {"seconds": 60, "times": 0}
    workflow_id = await crashed(tmp_path, step("a", "t.fail", params=params, **keys))
    async with open_stage(tmp_path) as stage:
        view = await stage.rest(workflow_id)
    assert {key: view.steps["a"][key] for key in expected} == expected


@row(
    "ours/doubt-verify",
    "`verify`: a probe says that it was done; the step completes without another attempt.",
    "interruptions",
    "recovery",
)
async def test_verify(tmp_path: Path) -> None:
    rule = {"verify": "probe", "done": "steps.probe.output.there"}
    probe = echo("probe", {"there": True, "output": "found"})
    hanging = step("a", "t.hang", on_interrupt=rule)
    workflow_id = await crashed(tmp_path, hanging, probe, echo("b", "${{steps.a.output}}", "a"))
    async with open_stage(tmp_path) as stage:
        view = await stage.rest(workflow_id)
        assert (view.status, view.outputs["b"], stage.ran) == ("completed", "found", ["probe", "b"])


@row(
    "ours/doubt-answer",
    "The decision of a step in doubt takes `done` with its output.",
    "interruptions",
    "decision signals",
)
async def test_doubt_is_answered(tmp_path: Path) -> None:
    workflow_id = await crashed(tmp_path, step("a", "t.hang", on_interrupt="ask"))
    async with open_stage(tmp_path) as stage:
        view = await stage.rest(workflow_id)
        options = [option["id"] for option in view.decisions[0]["options"]]
        view = await stage.tell(view, "decision", {"choice": "done", "data": {"n": 1}})
    assert (options, view.status, view.output) == (
        ["retry", "skip", "fail", "done"],
        "completed",
        {"n": 1},
    )


@row(
    "ours/recovery-suspend",
    "`recovery: suspend`: after a crash nothing goes on before `resume`.",
    "recovery",
    "pause and resume",
)
async def test_recovery_suspend(tmp_path: Path) -> None:
    hanging = step("a", params={"seconds": 60, "value": 1})
    workflow_id = await crashed(tmp_path, hanging, recovery="suspend")
    async with open_stage(tmp_path) as stage:
        view = await stage.rest(workflow_id)
        assert (view.status, stage.ran) == ("suspended", [])
        assert (await stage.tell(view, "resume")).status == "completed"


@row(
    "ours/waits-survive",
    "A wait goes on across lives of the runtime, at its wall-clock time.",
    "waits",
    "durability",
)
async def test_a_wait_survives(tmp_path: Path) -> None:
    workflow_id = await crashed(
        tmp_path, flow("w", "wait", config={"duration": "1m"}), echo("a", 1, "w")
    )
    async with open_stage(tmp_path) as stage:
        before = trio.current_time()
        view = await stage.rest(workflow_id)
        assert (view.status, trio.current_time() - before <= 51) == ("completed", True)


@row(
    "ours/deadlines-survive",
    "A decision falls due across lives of the runtime.",
    "decision deadlines",
    "durability",
)
async def test_a_deadline_survives(tmp_path: Path) -> None:
    workflow_id = await crashed(tmp_path, ask("d", timeout="30s", fallback="no"))
    await trio.sleep(60)
    async with open_stage(tmp_path) as stage:
        await trio.sleep(1)
        view = await stage.look(workflow_id)
    assert (view.status, view.output["choice"]) == ("completed", "no")
