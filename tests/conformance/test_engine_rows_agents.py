"""Rows of agents: who they are, and how they become known."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from opcode_runtime import ErrorCode, OpcodeError
from opcode_runtime.engine.requests import Run
from opcode_runtime.mcp import TOOLS
from opcode_runtime.mcp.arguments import read_arguments
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, echo


async def agents(stage: Stage, **by: Any) -> dict[str, Json]:
    """The agents that are known, by id."""
    found = (await stage.runtime.query("agents", by))["agents"]
    return {each["agent_id"]: each for each in found}


async def act_as(stage: Stage, agent_id: str, agent_type: Any = None) -> Any:
    """Run template `t` as an agent."""
    request = Run(template_name="t", agent_id=agent_id, agent_type=agent_type, wait_s=0)
    return await stage.runtime.router.handle(request, principal="tests")


def arguments(**given: Any) -> Any:
    """What the tool `opcode.run` makes of its arguments."""
    return read_arguments(TOOLS["opcode.run"], {"template_name": "t"} | given)


@row("TestRegisterAndGetAgent", "An agent that has acted is known with its type.", "agents")
async def test_an_agent_is_known(stage: Stage) -> None:
    await stage.define({"steps": [echo("a")]})
    await act_as(stage, "ann", "human")
    assert (await agents(stage))["ann"]["type"] == "human"


@row("TestGetAgent_NotFound", "An agent that never acted is not listed.", "agents")
async def test_an_unknown_agent(stage: Stage) -> None:
    assert await agents(stage) == {}


@row("TestUpdateAgentSeen", "An agent that acts again later was seen later.", "agents")
async def test_last_seen(stage: Stage) -> None:
    await stage.define({"steps": [echo("a")]})
    await act_as(stage, "ann")
    first = (await agents(stage))["ann"]
    await trio.sleep(86_400)
    await act_as(stage, "ann")
    again = (await agents(stage))["ann"]
    assert again["created_at"] == first["created_at"]
    assert again["last_seen_at"] > first["last_seen_at"]


def agent_type(name: str) -> str:
    """The type that the tool takes it for, or where the refusal points."""
    try:
        return str(arguments(agent_id="a", agent_type=name).agent_type)
    except OpcodeError as refused:
        return refused.problems[0].pointer


AGENT_TYPES = [
    ("TestValidateAgentType_Valid", "The four types of agents.", ["llm", "human", "service", "system"], True),
    ("TestValidateAgentType_Invalid", "No other type.", ["robot", "LLM"], False),
    ("TestValidateAgentType_Empty", "An empty type is none.", [""], False),
    ("TestEnsureRegistered_InvalidType", "An agent of no known type is refused before anything happens.", ["alien"],
     False),
]  # fmt: skip


@rows("types, good", AGENT_TYPES, "agents", "validation")
def test_agent_types(types: list[str], good: bool) -> None:
    found = [agent_type(each) for each in types]
    assert found == (types if good else ["/agent_type"] * len(types))


@row(
    "TestValidateAgent",
    "An agent needs an id and a known type; a name it does not need.",
    "agents",
    "validation",
)
def test_what_an_agent_needs() -> None:
    assert arguments(agent_id="a").agent_type is None
    with pytest.raises(OpcodeError) as refused:
        arguments(agent_type="robot")
    assert {problem.pointer for problem in refused.value.problems} == {"/agent_id", "/agent_type"}


@row("TestEnsureRegistered_NewAgent", "The first act registers an agent.", "agents")
async def test_a_new_agent(stage: Stage) -> None:
    await stage.define({"steps": [echo("a")]})
    before = set(await agents(stage))
    await act_as(stage, "new")
    assert set(await agents(stage)) - before == {"new"}


@row("TestEnsureRegistered_ExistingAgent", "Acting again changes nothing of an agent.", "agents")
async def test_an_existing_agent(stage: Stage) -> None:
    await stage.define({"steps": [echo("a")]})
    await act_as(stage, "ann", "service")
    before = (await agents(stage))["ann"]
    await act_as(stage, "ann")
    assert (await agents(stage))["ann"] == before


@row(
    "TestEnsureRegistered_WithMetadata",
    "An agent that names another type is of that type from then on.",
    "agents",
)
async def test_another_type(stage: Stage) -> None:
    await stage.define({"steps": [echo("a")]})
    await act_as(stage, "ann", "llm")
    await act_as(stage, "ann", "human")
    assert set(await agents(stage, type="human")) == {"ann"}


@row("TestEnsureRegistered_EmptyID", "An agent without an id is refused.", "agents", "errors")
async def test_no_id(stage: Stage) -> None:
    await stage.define({"steps": [echo("a")]})
    with pytest.raises(OpcodeError) as refused:
        await act_as(stage, " ")
    assert refused.value.code is ErrorCode.VALIDATION_ERROR
