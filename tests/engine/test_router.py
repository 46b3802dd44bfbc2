"""The one door to the engine: requests, refusals, keys and lists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import OpcodeError, Runtime, open_runtime
from opcode_runtime.engine.requests import Define, Query, Run, Signal, Status

from .conftest import World, chain, step

PRINCIPAL = "tester"


class Door:
    """A router with a principal of its own."""

    def __init__(self, runtime: Runtime, principal: str = PRINCIPAL) -> None:
        self.runtime = runtime
        self._principal = principal

    async def __call__(self, request: Any) -> dict[str, Any]:
        return await self.runtime.router.handle(request, principal=self._principal)

    async def refused(self, request: Any) -> OpcodeError:
        """The refusal of a request that must not be answered."""
        with pytest.raises(OpcodeError) as refused:
            await self(request)
        return refused.value

    async def define(self, definition: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Define template `t`."""
        return await self(Define(name="t", definition=definition, agent_id="a", **more))


@asynccontextmanager
async def door(tmp_path: Path, world: World) -> AsyncIterator[Door]:
    """A runtime with a door."""
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        yield Door(runtime)


async def test_every_problem_of_a_definition_is_told_at_once(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {
        "steps": [
            step("a", "crypto.hsah", params={"data": "${{steps.ghost.output}}"}),
            step("b", "crypto.hash", "ghost", params={"data": "${{inputs.x", "dta": 1}),
            {"id": "c", "action": "crypto.hash", "parms": {}},
            step("d", "crypto.hash", params={"data": "x"}, condition="1 +"),
        ]
    }
    async with door(tmp_path, world) as call:
        refused = await call.refused(Define(name="t", definition=definition, agent_id="a"))
        assert (await call(Query(resource="templates")))["templates"] == []
    found = {problem.pointer for problem in refused.problems}
    assert {
        "/steps/0/action",
        "/steps/0/params/data",
        "/steps/1/depends_on/0",
        "/steps/1/params/data",
        "/steps/2/parms",
        "/steps/3/condition",
    } <= found
    by_pointer = {problem.pointer: problem for problem in refused.problems}
    assert by_pointer["/steps/0/action"].did_you_mean == "crypto.hash"
    assert by_pointer["/steps/2/parms"].patch == [
        {"op": "move", "from": "/steps/2/parms", "path": "/steps/2/params"}
    ]


async def test_an_unknown_parameter_is_a_warning_and_an_undeclared_input_an_error(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {"steps": [step("a", "crypto.hash", params={"data": "x", "dta": 1})]}
    async with door(tmp_path, world) as call:
        (warning,) = (await call.define(definition))["warnings"]
        assert warning["pointer"] == "/steps/0/params/dta"
        naming = {"steps": [step("a", "crypto.hash", params={"data": "${{inputs.b}}"})]}
        schema = {"type": "object", "properties": {"a": {}}}
        request = Define(name="u", definition=naming, agent_id="a", input_schema=schema)
        refused = await call.refused(request)
    assert "input 'b' is not declared; declared: a" in refused.problems[0].message


async def test_a_broken_schema_is_a_problem_of_its_own(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = chain(1, "crypto.uuid")
    schemas: list[dict[str, Any]] = [
        {"type": "objekt"},
        {"$ref": "http://127.0.0.1:9/elsewhere.json"},
        {"properties": {"a": {"pattern": "("}}},
    ]
    async with door(tmp_path, world) as call:
        for schema in schemas:
            request = Define(name="t", definition=definition, agent_id="a", input_schema=schema)
            refused = await call.refused(request)
            assert refused.problems[0].pointer.startswith("/input_schema")


async def test_check_only_stores_nothing(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        answer = await call.define(chain(1, "crypto.uuid"), check_only=True)
        assert answer == {"name": "t", "valid": True, "warnings": []}
        refused = await call.refused(Run(template_name="t", agent_id="a"))
    assert refused.code == "NOT_FOUND"


@pytest.mark.parametrize("name", ["", " t", "a/b", "a@b", "x" * 129, "a\nb"])
async def test_a_name_that_cannot_be_a_template_is_refused(
    tmp_path: Path, world: World, name: str, autojump_clock: MockClock
) -> None:
    request = Define(name=name, definition=chain(1, "crypto.uuid"), agent_id="a")
    async with door(tmp_path, world) as call:
        assert (await call.refused(request)).pointer == "/name"


async def test_a_definition_over_the_limit_names_the_limit(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {**chain(1, "crypto.uuid"), "metadata": {"x": "y" * (1 << 20)}}
    async with door(tmp_path, world) as call:
        refused = await call.refused(Define(name="t", definition=definition, agent_id="a"))
    assert refused.code == "TOO_LARGE"
    assert "limits.definition_bytes_max" in refused.message


async def test_run_answers_when_the_workflow_ends_or_the_wait_is_over(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(chain(1, "work.do", params={"seconds": 30}))
        early = await call(Run(template_name="t", agent_id="a", wait_s=10))
        assert early["status"] == "active"
        assert early["waited_s"] == 10
        assert early["next"].startswith("opcode.status")
        ended = await call(Run(template_name="t", agent_id="a", wait_s=60))
    assert ended["status"] == "completed"
    assert ended["waited_s"] == pytest.approx(30, abs=0.1)
    assert ended["output"]["attempt"] == 1


async def test_run_answers_at_once_when_a_question_is_open(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(chain(1, "work.hang"))
        first = await call(Run(template_name="t", agent_id="a", wait_s=0, idempotency_key="k"))
        await world.began("s0").wait()
    async with door(tmp_path, world) as call:
        again = await call(Run(template_name="t", agent_id="a", wait_s=60, idempotency_key="k"))
        assert again["workflow_id"] == first["workflow_id"]
        assert again["status"] == "suspended"
        assert again["waited_s"] < 1
        assert "retry|skip|fail|done" in again["next"]


async def test_a_key_counts_per_principal_and_for_seven_days(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async def run(call: Door) -> str:
        view = await call(Run(template_name="t", agent_id="a", idempotency_key="k"))
        return str(view["workflow_id"])

    async with door(tmp_path, world) as call:
        await call.define(chain(1, "work.do"))
        first = await run(call)
        assert await run(call) == first
        assert await run(Door(call.runtime, "somebody else")) != first
        await trio.sleep(7 * 24 * 3600 + 1)
        assert await run(call) != first


async def test_without_tokens_a_key_counts_per_agent(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        anonymous = Door(call.runtime, "anonymous")
        await call.define(chain(1, "work.do"))
        found = [
            (await anonymous(Run(template_name="t", agent_id=agent, idempotency_key="k")))[
                "workflow_id"
            ]
            for agent in ("a", "b", "a")
        ]
    assert found[0] == found[2] != found[1]


async def test_a_key_used_with_other_arguments_is_a_conflict_that_names_the_first_use(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(chain(1, "work.do"), idempotency_key="d")
        await call.define(chain(1, "work.do"), idempotency_key="d")
        view = await call(Run(template_name="t", agent_id="a", idempotency_key="r"))
        run = Run(template_name="t", agent_id="b", idempotency_key="r")
        define = Define(name="t", definition=chain(2, "work.do"), agent_id="a", idempotency_key="d")
        refusals = [await call.refused(run), await call.refused(define)]
    assert {refused.code for refused in refusals} == {"CONFLICT"}
    assert view["workflow_id"] in refusals[0].message
    assert "with other arguments" in refusals[1].message


async def test_a_repeated_signal_acts_once(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(chain(1, "work.hang"))
        view = await call(Run(template_name="t", agent_id="a", wait_s=0))
        signal = Signal(workflow_id=view["workflow_id"], signal_type="cancel", idempotency_key="k")
        first, second = await call(signal), await call(signal)
        assert first["status"] == second["status"] == "cancelled"
        by = {"workflow_id": view["workflow_id"], "event_type": "signal_received"}
        assert len((await call(Query(resource="events", filter=by)))["events"]) == 1


async def test_an_unknown_workflow_is_the_same_answer_everywhere(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        refusals = [
            await call.refused(Status(workflow_id="ghost")),
            await call.refused(Signal(workflow_id="ghost", signal_type="cancel")),
            await call.refused(Query(resource="events", filter={"workflow_id": "ghost"})),
        ]
    assert {(refused.code, refused.message) for refused in refusals} == {
        ("NOT_FOUND", "there is no workflow 'ghost'")
    }


async def test_unknown_signals_and_empty_agents_are_refused_and_leave_nothing(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(chain(1, "work.hang"))
        view = await call(Run(template_name="t", agent_id="a", wait_s=0))
        signal = Signal(workflow_id=view["workflow_id"], signal_type="dance")
        assert (await call.refused(signal)).code == "VALIDATION_ERROR"
        assert (await call.refused(Run(template_name="t", agent_id=" "))).pointer == "/agent_id"
        relative = Run(template_name="t", agent_id="a", cwd="relative")
        assert (await call.refused(relative)).pointer == "/cwd"
        by = {"workflow_id": view["workflow_id"]}
        kinds = [
            e["event_type"] for e in (await call(Query(resource="events", filter=by)))["events"]
        ]
    assert kinds == ["workflow_created", "workflow_started", "step_started"]


async def test_status_shows_the_newest_events_since_a_seq(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(chain(3, "work.do"))
        view = await call(Run(template_name="t", agent_id="a", params={"x": 1}))
        status = await call(Status(workflow_id=view["workflow_id"], since_seq=4, events_max=2))
    assert [event["sequence"] for event in status["events"]] == [9, 8]
    assert status["has_more"] is True
    assert status["inputs"] == {"x": 1}
    assert status["agent_id"] == "a"


async def test_lists_are_paged_without_gap_or_repeat(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(chain(1, "work.do"))
        started = [
            (await call(Run(template_name="t", agent_id="a", wait_s=0)))["workflow_id"]
            for _ in range(7)
        ]
        found: list[str] = []
        by: dict[str, Any] = {"limit": 3}
        while True:
            page = await call(Query(resource="workflows", filter=by))
            found += [row["workflow_id"] for row in page["workflows"]]
            if "cursor" not in page:
                break
            by = {"limit": 3, "cursor": page["cursor"]}
    assert sorted(found) == sorted(started)


@pytest.mark.parametrize(
    ("resource", "by", "pointer"),
    [
        ("workflows", {"stauts": "active"}, "/filter/stauts"),
        ("workflows", {"status": "running"}, "/filter/status"),
        ("workflows", {"limit": 0}, "/filter/limit"),
        ("workflows", {"since": "yesterday"}, "/filter/since"),
        ("workflows", {"since": "2026-01-01T00:00:00"}, "/filter/since"),
        ("workflows", {"cursor": "x"}, "/filter/cursor"),
        ("workflows", {"parent_workflow_id": 1}, "/filter/parent_workflow_id"),
        ("templates", {"version": 2}, "/filter/version"),
        ("events", {}, "/filter/workflow_id"),
        ("templates", {"name": 5}, "/filter/name"),
        ("decisions", {"limit": True}, "/filter/limit"),
    ],
)
async def test_a_wrong_filter_is_refused_with_its_pointer(
    tmp_path: Path,
    world: World,
    resource: Any,
    by: dict[str, Any],
    pointer: str,
    autojump_clock: MockClock,
) -> None:
    async with door(tmp_path, world) as call:
        refused = await call.refused(Query(resource=resource, filter=by))
    assert refused.pointer == pointer


async def test_actions_are_listed_with_their_schemas(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        actions = (await call(Query(resource="actions")))["actions"]
    by_name = {action["name"]: action for action in actions}
    assert by_name["shell.exec"]["kind"] == "effectful"
    assert by_name["crypto.hash"]["params"]["required"] == ["data"]
    assert "work.do" in by_name
