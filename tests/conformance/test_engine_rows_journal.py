"""Rows of what is kept: agents, workflows, events, templates, decisions, and what a replay makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime import ErrorCode
from opcode_runtime.core.validation import validate
from opcode_runtime.engine.views import workflow_view
from opcode_runtime.model.state import WorkflowState
from opcode_runtime.storage import Append, AppendRejected, Journal
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, View, ask, echo, open_stage, step
from tests.conformance.test_engine_rows_validation import act, check
from tests.core.judges import REAL


@row(
    "TestCreateAndGetWorkflow",
    "A workflow is kept with its template, version, inputs and agent.",
    "status",
)
async def test_a_workflow_is_kept(stage: Stage) -> None:
    view = await stage.play(echo("a", 1), inputs={"x": 1})
    assert (view.shown["template_name"], view.shown["template_version"]) == ("t", "v1")
    assert view.payloads("workflow_created")[0]["inputs"] == {"x": 1}
    assert view.shown["agent_id"] == "embedded"


@row("TestUpdateWorkflow", "Status and times of a workflow follow its life.", "status")
async def test_a_workflow_changes(stage: Stage) -> None:
    before = await stage.play(ask("d"))
    after = await stage.decide(before, "yes")
    assert ("completed_at" in before.shown, "completed_at" in after.shown) == (False, True)
    assert before.shown["started_at"] == after.shown["started_at"]


@row("TestListWorkflows", "Workflows are listed by status, and no more than asked for.", "query")
async def test_lists_of_workflows(stage: Stage) -> None:
    await stage.define({"steps": [echo("a")]})
    ids = [(await stage.runtime.run("t")).workflow_id for _ in range(3)]
    for each in ids:
        await stage.rest(each)
    page = await stage.runtime.query("workflows", {"status": "completed", "limit": 2})
    rest = await stage.runtime.query("workflows", {"limit": 2, "cursor": page["cursor"]})
    listed = [each["workflow_id"] for each in page["workflows"] + rest["workflows"]]
    assert (len(page["workflows"]), sorted(listed)) == (2, sorted(ids))
    assert (await stage.runtime.query("workflows", {"status": "failed"}))["workflows"] == []


@row(
    "TestAppendAndGetEvents",
    "Events are numbered from 1 without a gap, and read from any point on.",
    "events",
    "query",
)
async def test_events_are_numbered(stage: Stage) -> None:
    view = await stage.play(echo("a"))
    assert [event["sequence"] for event in view.events] == list(range(1, len(view.events) + 1))
    later = await stage.runtime.query("events", {"workflow_id": view.id, "since_seq": 2})
    assert later["events"] == view.events[2:]


@row("TestGetEventsByType", "Events of one type and of one step.", "events", "query")
async def test_events_by_type(stage: Stage) -> None:
    view = await stage.play(echo("a"), echo("b"))
    by = {"workflow_id": view.id, "event_type": "step_completed", "step_id": "b"}
    (event,) = (await stage.runtime.query("events", by))["events"]
    assert (event["event_type"], event["step_id"]) == ("step_completed", "b")


@row("TestUpsertAndGetStepState", "A step is shown as it is now.", "status")
async def test_a_step_changes(stage: Stage) -> None:
    handle = await stage.start(step("a", params={"seconds": 5, "value": 1}))
    await trio.sleep(1)
    before, after = await stage.look(handle), await stage.rest(handle)
    assert (before.statuses["a"], after.statuses["a"]) == ("running", "completed")
    assert after.steps["a"]["duration_ms"] == pytest.approx(5000, abs=10)


@row("TestListStepStates", "Every step is shown, those that never ran too.", "status")
async def test_all_steps_are_shown(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail"), step("b", "t.echo", "a"))
    assert view.statuses == {"a": "failed", "b": "skipped"}


@row(
    "TestUpsertAndGetWorkflowContext",
    "The context is read and merged by steps of the workflow itself.",
    "context",
    "actions: workflow.context",
)
async def test_the_context(stage: Stage) -> None:
    update = {"action": "update", "data": {"n": 2}, "agent_notes": "careful"}
    view = await stage.play(
        step("a", "workflow.context", params=update), step("b", "workflow.context", "a", params={"action": "read"}),
        context={"intent": "release", "n": 1, "m": 3},
    )  # fmt: skip
    assert view.outputs["b"] == {
        "workflow_id": view.id, "agent_id": "embedded", "original_intent": "release",
        "accumulated_data": {"n": 2, "m": 3}, "agent_notes": "careful",
    }  # fmt: skip


@row(
    "TestCreateAndResolveDecision",
    "An open decision is listed until it is answered.",
    "query",
    "reasoning steps",
)
async def test_decisions_are_listed(stage: Stage) -> None:
    view = await stage.play(ask("d"))
    listed = (await stage.runtime.query("decisions", {"workflow_id": view.id}))["decisions"]
    await stage.decide(view, "yes")
    after = (await stage.runtime.query("decisions"))["decisions"]
    assert ([each["step_id"] for each in listed], after) == (["d"], [])


@row("TestStoreAndGetTemplate", "A template is kept by name and version.", "templates", "query")
async def test_a_template_is_kept(stage: Stage) -> None:
    definition = {"steps": [echo("a", 1)], "metadata": {"by": "ann"}}
    reply = await stage.define(definition)
    by = {"name": "t", "version": reply["version"]}
    (row_,) = (await stage.runtime.query("templates", by))["templates"]
    assert (reply["version"], row_["definition"]) == ("v1", definition)


@row(
    "TestListTemplates",
    "All versions are listed; the latest defined again is no new one, an older one is.",
    "templates",
    "query",
)
async def test_versions(stage: Stage) -> None:
    one, two = {"steps": [echo("a", 1)]}, {"steps": [echo("a", 2)]}
    versions = [(await stage.define(each))["version"] for each in (one, two, two, one)]
    listed = (await stage.runtime.query("templates", {"name": "t"}))["templates"]
    assert versions == ["v1", "v2", "v2", "v3"]
    assert sorted(each["version"] for each in listed) == ["v1", "v2", "v3"]


@row(
    "TestMigrateIdempotent",
    "A directory is opened again and again, and nothing is lost.",
    "durability",
)
async def test_opened_again(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        view = await stage.play(echo("a", 1))
    for _ in range(2):
        async with open_stage(tmp_path) as stage:
            assert (await stage.look(view.id)).events == view.events
    assert view.status == "completed"


def journaled(data_dir: Path, workflow_id: str) -> list[Any]:
    """The records of a workflow as they lie on the disk."""
    journal = Journal.open(data_dir / "journal")
    try:
        return list(journal.read(workflow_id))
    finally:
        journal.close()


async def kept(data_dir: Path, *steps: Json, decide: str | None = None) -> tuple[View, Any]:
    """A workflow as it was seen, and as a second life of the runtime sees it."""
    async with open_stage(data_dir) as stage:
        seen = await stage.play(*steps)
        if decide:
            seen = await stage.decide(seen, decide)
    async with open_stage(data_dir) as stage:
        return seen, await stage.look(seen.id)


@row(
    "TestEventLog_AppendEvent_MonotonicSequence",
    "On the disk the events of a workflow are numbered without a gap.",
    "events",
    "durability",
)
async def test_sequences_on_disk(tmp_path: Path) -> None:
    seen, _ = await kept(tmp_path, echo("a"), echo("b", None, "a"))
    records = journaled(tmp_path, seen.id)
    assert [record.seq for record in records] == list(range(1, len(seen.events) + 1))


@row(
    "TestEventLog_GetEvents",
    "Events are followed from the first to the last while they happen.",
    "events",
)
async def test_events_are_followed(stage: Stage) -> None:
    handle = await stage.start(step("a", params={"seconds": 60}))
    followed = [record.seq async for record in handle.events()]
    view = await stage.look(handle)
    assert followed == [event["sequence"] for event in view.events]


@row(
    "TestEventLog_GetEventsByType", "A type that never happened gives no events.", "events", "query"
)
async def test_no_events_of_a_type(stage: Stage) -> None:
    view = await stage.play(echo("a"))
    by = {"workflow_id": view.id, "event_type": "step_failed"}
    assert (await stage.runtime.query("events", by))["events"] == []


@row("TestEventLog_WorkflowScopedSequences", "Each workflow counts its own events.", "events")
async def test_each_counts_its_own(stage: Stage) -> None:
    views = [await stage.play(echo("a")), await stage.play(echo("a"))]
    assert [view.events[0]["sequence"] for view in views] == [1, 1]


@row(
    "TestEventLog_ImmutableEvents",
    "What was read once reads the same later.",
    "events",
    "durability",
)
async def test_events_never_change(stage: Stage) -> None:
    view = await stage.play(ask("d"))
    after = await stage.decide(view, "yes")
    assert after.events[: len(view.events)] == view.events


LIVES: list[tuple[str, str, list[Json], str | None]] = [
    ("TestEventLog_ReplayEvents_FullLifecycle", "Outputs, errors and times come from the journal alone.",
     [echo("a", {"x": 1}), step("b", "t.fail", "a", on_error={"strategy": "ignore"}), step("c", "t.fail", "b")], None),
    ("TestEventLog_ReplayEvents_Skipped", "Skipped steps are skipped again, with their reasons.", [step("a",
     condition="false")], None),
    ("TestEventLog_ReplayEvents_DecisionSuspend", "An open decision is open again.", [ask("d", timeout="1h")], None),
    ("TestEventLog_ReplayEvents_DecisionResolved", "An answered one is answered.", [ask("d")], "yes"),
    ("TestEventLog_ReplayEvents_Retrying", "Attempts are counted as before.", [step("a", "t.fail", params={"times": 1},
     retry={"max": 1})], None),
    ("TestEventReplay", "End to end: a second life shows what the first one did.", [echo("a", 1), echo("b", 2, "a")],
     None),
    ("TestEventSourcingReplay", "The same over the whole surface.", [echo("a", 1), ask("d", "a")], "no"),
    ("TestEventSourcingReplayAdvanced", "Outputs are in the events, not beside them.", [echo("a", {"deep": [1,
     {"x": None}]})], None),
]  # fmt: skip


@rows("steps, answer", LIVES, "durability", "events")
async def test_replay(tmp_path: Path, steps: list[Json], answer: str | None) -> None:
    seen, again = await kept(tmp_path, *steps, decide=answer)
    assert (again.shown, again.events) == (seen.shown, seen.events)
    completed = {
        e["step_id"]: e["payload"].get("output")
        for e in seen.events
        if e["event_type"] == "step_completed"
    }
    assert completed == seen.outputs


@row(
    "TestEventLog_ReplayEvents_EmptyWorkflow",
    "A workflow without events has no steps.",
    "durability",
)
def test_nothing_replayed() -> None:
    assert workflow_view(WorkflowState())["steps"] == {}


@row(
    "TestEventLog_ReplayEvents_SequenceGap",
    "Nothing is appended behind a gap.",
    "events",
    "durability",
)
async def test_no_gap(tmp_path: Path) -> None:
    seen, _ = await kept(tmp_path, echo("a"))
    record = journaled(tmp_path, seen.id)[-1]
    journal = Journal.open(tmp_path / "journal")
    (answer,) = journal.append([Append(seen.id, record.seq + 5, (record.event,))])
    journal.close()
    assert isinstance(answer, AppendRejected)
    assert (answer.actual_seq, len(journaled(tmp_path, seen.id))) == (record.seq, record.seq)


@row(
    "TestEventLog_ConcurrentAppend_DifferentWorkflows",
    "Five workflows write at once: each is without a gap.",
    "events",
    "durability",
)
async def test_concurrent_appends(stage: Stage) -> None:
    await stage.define({"steps": [echo(f"s{n}", n) for n in range(10)]})
    handles = [await stage.runtime.run("t") for _ in range(5)]
    views = [await stage.rest(handle) for handle in handles]
    numbers = [[event["sequence"] for event in view.events] for view in views]
    assert numbers == [list(range(1, len(each) + 1)) for each in numbers]


def told(*steps: Json) -> tuple[int, int]:
    """How many errors and warnings a definition has."""
    checked = check(*steps)
    return len(checked.errors), len(checked.warnings)


WRONG, LOUD = {"id": "x", "action": "no.such"}, act("y", retry={"max": 99})
RESULTS: list[tuple[str, str, list[Json], tuple[int, int]]] = [
    ("TestValidationResult_EmptyIsValid", "Nothing found: valid.", [act("a")], (0, 0)),
    ("TestValidationResult_AddError", "An error: not valid.", [WRONG], (1, 0)),
    ("TestValidationResult_AddWarning", "A warning: still valid.", [LOUD], (0, 1)),
    ("TestValidationResult_Merge", "What different parts find is told together.", [WRONG, LOUD, act("y")], (2, 1)),
    ("TestValidationResult_MergeNil", "A part that finds nothing adds nothing.", [WRONG, act("b")], (1, 0)),
]  # fmt: skip


@rows("steps, counts", RESULTS, "validation")
def test_results(steps: list[Json], counts: tuple[int, int]) -> None:
    assert told(*steps) == counts


@row("TestValidationResult_ToError_Valid", "What is valid raises nothing.", "validation")
def test_no_error() -> None:
    assert validate({"steps": [act("a")]}, REAL).definition is not None


@row(
    "TestValidationResult_ToError_SingleError",
    "A single problem gives the refusal its code.",
    "validation",
    "errors",
)
async def test_a_single_error(stage: Stage) -> None:
    refused = await stage.refused(WRONG)
    assert (refused.code, len(refused.problems)) == (ErrorCode.ACTION_UNAVAILABLE, 1)


@row(
    "TestValidationResult_ToError_MultipleErrors",
    "Several problems are VALIDATION_ERROR, counted and all there.",
    "validation",
    "errors",
)
async def test_several_errors(stage: Stage) -> None:
    refused = await stage.refused(WRONG, act("y"), act("y"))
    assert (refused.code, len(refused.problems)) == (ErrorCode.VALIDATION_ERROR, 2)
    assert refused.message.startswith("2 problems")
