"""The SDK's own clients over real sockets: both transports, both protocol eras."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from opcode_runtime.engine.requests import Run, Signal
from opcode_runtime.mcp import INSTRUCTIONS, TOOLS
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.web import ANONYMOUS, OPERATOR
from tests.web.doors import TOKEN, FrontOnly, open_door

pytestmark = pytest.mark.filterwarnings(
    # the SDK's client leaves the generators of its HTTP library to the garbage collector
    "ignore:Async generator 'http.* was garbage collected:ResourceWarning"
)

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
KINDS = [("sse", "legacy"), ("sse", "auto"), ("http", "legacy"), ("http", "auto")]
CANCEL = {"workflow_id": "w1", "signal_type": "cancel"}


@pytest.fixture(autouse=True)
def _collect_here():
    yield
    gc.collect()


@asynccontextmanager
async def connected(
    door, transport: str, mode: str, headers: dict[str, str] = HEADERS, query: str = ""
):
    if transport == "sse":
        async with Client(
            sse_client(f"{door.url}/sse{query}", headers=headers), mode=mode
        ) as client:
            yield client
        return
    async with httpx2.AsyncClient(headers=headers) as http:
        streamable = streamable_http_client(f"{door.url}/mcp", http_client=http)
        async with Client(streamable, mode=mode) as client:
            yield client


@pytest.mark.parametrize(("transport", "mode"), KINDS)
async def test_an_agent_lists_the_tools_and_calls_one(door, transport, mode):
    with trio.fail_after(20):
        async with connected(door, transport, mode) as client:
            tools = (await client.list_tools()).tools
            result = await client.call_tool("opcode.signal", CANCEL)
            assert client.instructions == INSTRUCTIONS
            assert client.server_info.name == "opcode"
    assert [tool.name for tool in tools] == sorted(TOOLS)
    assert result.is_error is False
    assert result.structured_content == door.router.answer
    assert result.content[0].text == '{"ok":true,"workflow_id":"w1","signal_type":"cancel"}'
    assert door.router.asked == [(Signal(workflow_id="w1", signal_type="cancel"), OPERATOR)]


async def test_annotations_are_true_and_read_only_tools_say_so(door):
    with trio.fail_after(20):
        async with connected(door, "http", "auto") as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    read_only = {name for name, tool in tools.items() if tool.annotations.read_only_hint}
    assert read_only == {"opcode.status", "opcode.query"}
    assert not any(tools[name].annotations.destructive_hint for name in read_only)
    assert all(tool.output_schema for tool in tools.values())


@pytest.mark.parametrize(("transport", "mode"), KINDS)
async def test_a_refusal_is_an_error_result_with_code_problems_and_next(door, transport, mode):
    with trio.fail_after(20):
        async with connected(door, transport, mode) as client:
            result = await client.call_tool("opcode.run", {"tempalte_name": "x", "agent_id": "a"})
    assert result.is_error
    refused = result.structured_content
    assert (refused["code"], refused["retryable"]) == ("VALIDATION_ERROR", False)
    assert {problem["pointer"] for problem in refused["problems"]} == {
        "/template_name",
        "/tempalte_name",
    }
    meant = [problem.get("did_you_mean") for problem in refused["problems"]]
    assert "template_name" in meant
    assert result.content[0].text.startswith("[VALIDATION_ERROR] 2 problems")
    assert door.router.asked == []


@pytest.mark.parametrize(("transport", "mode"), KINDS)
async def test_an_unknown_tool_is_a_protocol_error_with_a_suggestion(door, transport, mode):
    with trio.fail_after(20):
        async with connected(door, transport, mode) as client:
            with pytest.raises(MCPError) as caught:
                await client.call_tool("opcode.rum", {})
    assert caught.value.error.code == -32602
    assert "opcode.run" in caught.value.error.message


@pytest.mark.parametrize(("transport", "mode"), KINDS)
async def test_an_unexpected_exception_leaks_nothing_and_the_session_goes_on(door, transport, mode):
    fine = door.router.answer
    with trio.fail_after(20):
        async with connected(door, transport, mode) as client:
            door.router.answer = RuntimeError("the secret detail")
            broken = await client.call_tool("opcode.signal", CANCEL)
            door.router.answer = fine
            after = await client.call_tool("opcode.signal", CANCEL)
    assert broken.is_error
    assert broken.structured_content["code"] == "EXECUTION_ERROR"
    assert broken.structured_content["message"] == "internal error"
    assert "secret" not in broken.model_dump_json()
    assert after.is_error is False


@pytest.mark.parametrize(("transport", "mode"), KINDS)
async def test_cancelling_a_call_ends_its_wait(door, transport, mode):
    door.router.answer = door.router.wait_for_ever
    arguments = {"template_name": "t", "agent_id": "a"}
    with trio.fail_after(20):
        async with connected(door, transport, mode) as client, trio.open_nursery() as nursery:
            nursery.start_soon(client.call_tool, "opcode.run", arguments)
            await door.router.waiting.wait()
            nursery.cancel_scope.cancel()
        await door.router.cancelled.wait()


@pytest.mark.parametrize(("transport", "mode"), KINDS)
async def test_a_large_answer_arrives(door, transport, mode):
    door.router.answer = {"workflow_id": "w", "status": "completed", "output": "ä" * 100_000}
    with trio.fail_after(20):
        async with connected(door, transport, mode) as client:
            result = await client.call_tool("opcode.status", {"workflow_id": "w"})
    assert result.structured_content == door.router.answer


async def test_a_client_that_cannot_set_headers_gets_in_by_the_query(door):
    with trio.fail_after(20):
        async with connected(door, "sse", "legacy", {}, f"?token={TOKEN}") as client:
            result = await client.call_tool("opcode.signal", CANCEL)
    assert result.is_error is False
    assert [principal for _, principal in door.router.asked] == [OPERATOR]


async def test_without_tokens_everyone_is_anonymous():
    async with open_door(token=None) as door:
        with trio.fail_after(20):
            async with connected(door, "http", "auto", {}) as client:
                await client.call_tool("opcode.signal", CANCEL)
    assert [principal for _, principal in door.router.asked] == [ANONYMOUS]


async def test_a_wrong_token_cannot_connect(door):
    with trio.fail_after(20), pytest.raises(httpx2.HTTPStatusError, match="401"):
        async with connected(door, "sse", "legacy", {"Authorization": "Bearer wrong"}):
            pass


async def test_many_clients_at_once_are_all_answered():
    runtime = FrontOnly()
    answered: list[Any] = []

    async def one(door, transport: str, mode: str) -> None:
        async with connected(door, transport, mode) as client:
            answered.extend([await client.call_tool("opcode.signal", CANCEL) for _ in range(3)])

    async with open_door(runtime) as door:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for transport, mode in KINDS * 3:
                    nursery.start_soon(one, door, transport, mode)
    assert len(answered) == 3 * 3 * len(KINDS)
    assert not any(result.is_error for result in answered)


async def test_the_engine_s_refusal_reaches_the_agent(door):
    door.router.answer = OpcodeError(ErrorCode.NOT_FOUND, "no template x", next="opcode.query")
    with trio.fail_after(20):
        async with connected(door, "sse", "legacy") as client:
            result = await client.call_tool(
                "opcode.run", {"template_name": "x", "agent_id": "a", "wait": "2m"}
            )
    assert result.structured_content == {
        "code": "NOT_FOUND",
        "message": "no template x",
        "retryable": False,
        "next": "opcode.query",
    }
    assert door.router.asked[0][0] == Run(template_name="x", agent_id="a", wait_s=120)
