"""The front over a real runtime: what an agent reads in the instructions works as it stands."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager

import pytest
import trio
from mcp import Client
from mcp.client.sse import sse_client

from opcode_runtime.engine.runtime import open_runtime
from opcode_runtime.mcp import EXAMPLE_DEFINITION
from opcode_runtime.mcp.instructions import EXAMPLE_OUTPUT_PREFIX, EXAMPLE_PARAMS
from tests.web.doors import TOKEN, open_door

pytestmark = pytest.mark.filterwarnings(
    # the SDK's client leaves the generators of its HTTP library to the garbage collector
    "ignore:Async generator 'http.* was garbage collected:ResourceWarning"
)

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
DEFINE = {"name": "fingerprint", "agent_id": "me", "definition": EXAMPLE_DEFINITION}
RUN = {"template_name": "fingerprint", "agent_id": "me", "params": EXAMPLE_PARAMS}


@pytest.fixture(autouse=True)
def _collect_here():
    yield
    gc.collect()


@asynccontextmanager
async def daemon(tmp_path):
    async with open_runtime(tmp_path / "data") as runtime, open_door(runtime) as door:
        yield door


@asynccontextmanager
async def agent(door):
    async with Client(sse_client(f"{door.url}/sse", headers=HEADERS), mode="auto") as client:
        await client.list_tools()  # from now on the client holds answers against the output schemas
        yield client


async def ask(client: Client, tool: str, arguments):
    result = await client.call_tool(f"opcode.{tool}", arguments)
    return result.structured_content


async def test_the_example_of_the_instructions_works_as_it_stands(tmp_path):
    with trio.fail_after(60):
        async with daemon(tmp_path) as door, agent(door) as client:
            defined = await ask(client, "define", DEFINE)
            again = await ask(client, "define", DEFINE)
            ran = await ask(client, "run", RUN)
            status = await ask(client, "status", {"workflow_id": ran["workflow_id"]})
            listed = await ask(client, "query", {"resource": "workflows"})
            actions = await ask(client, "query", {"resource": "actions"})
            ready = await door.ask("GET", "/readyz")
    assert (defined["version"], defined["unchanged"], again["unchanged"]) == ("v1", False, True)
    assert ran["status"] == "completed"
    assert ran["output"].startswith(EXAMPLE_OUTPUT_PREFIX)
    assert status["output"] == ran["output"]
    assert status["events"][0]["event_type"] == "workflow_completed"
    assert [row["workflow_id"] for row in listed["workflows"]] == [ran["workflow_id"]]
    assert {"crypto.hash", "workflow.log"} <= {action["name"] for action in actions["actions"]}
    assert ready.status == 200


async def test_every_answer_satisfies_its_output_schema(tmp_path):
    with trio.fail_after(60):
        async with daemon(tmp_path) as door, agent(door) as client:
            await ask(client, "define", {**DEFINE, "check_only": True})
            await ask(client, "define", DEFINE)
            ran = await ask(client, "run", {**RUN, "wait": 0})
            await ask(client, "status", {"workflow_id": ran["workflow_id"]})
            for resource in ("workflows", "templates", "decisions", "actions"):
                assert isinstance(
                    (await ask(client, "query", {"resource": resource}))[resource], list
                )
            by = {"workflow_id": ran["workflow_id"]}
            assert (await ask(client, "query", {"resource": "events", "filter": by}))["events"]


async def test_a_definition_with_mistakes_is_refused_whole(tmp_path):
    broken = {"steps": [{"id": "a", "action": "crypto.hsah"}, {"id": "a", "depends_on": ["b"]}]}
    with trio.fail_after(60):
        async with daemon(tmp_path) as door, agent(door) as client:
            result = await client.call_tool("opcode.define", {**DEFINE, "definition": broken})
            templates = await ask(client, "query", {"resource": "templates"})
    assert result.is_error
    assert len(result.structured_content["problems"]) >= 2
    assert "crypto.hash" in result.content[0].text
    assert templates["templates"] == []


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("run", {"template_name": "nope", "agent_id": "a"}),
        ("status", {"workflow_id": "nope"}),
        ("signal", {"workflow_id": "nope", "signal_type": "cancel"}),
        ("query", {"resource": "workflows", "filter": {"stauts": "x"}}),
        ("define", {"name": "t", "agent_id": "a", "definition": {}}),
        ("define", {"name": "", "agent_id": "a", "definition": {"steps": []}}),
        ("run", {"template_name": "\x00", "agent_id": "a", "params": {"": {"": []}}}),
        ("run", {"template_name": "t" * 257, "agent_id": "a"}),
        ("status", {"workflow_id": "../../etc/passwd"}),
        ("status", {"workflow_id": "w" * 256, "since_seq": 2**53}),
        ("query", {"resource": "events", "filter": {"workflow_id": "ä" * 256}}),
    ],
)
async def test_bad_requests_are_refused_with_a_code_and_never_as_a_bug(tmp_path, tool, arguments):
    with trio.fail_after(60):
        async with daemon(tmp_path) as door, agent(door) as client:
            result = await client.call_tool(f"opcode.{tool}", arguments)
    assert result.is_error
    assert result.structured_content["code"] in {"NOT_FOUND", "VALIDATION_ERROR"}


async def test_a_workflow_outlives_the_call_that_started_it(tmp_path):
    nap = {"id": "nap", "action": "shell.exec", "params": {"command": "sleep", "args": ["60"]}}
    waiting = {"steps": [nap]}
    with trio.fail_after(60):
        async with daemon(tmp_path) as door, agent(door) as client:
            await ask(client, "define", {**DEFINE, "definition": waiting})
            ran = await ask(client, "run", {**RUN, "params": {}, "wait": 0})
            workflow = {"workflow_id": ran["workflow_id"]}
            async with agent(door) as another:
                assert (await ask(another, "status", workflow))["status"] == "active"
                told = await ask(another, "signal", {**workflow, "signal_type": "cancel"})
                assert (told["ok"], told["status"]) == (True, "cancelled")
