"""The table of tools: name, texts, schemas, annotations, and the request that the arguments become."""

from __future__ import annotations

from typing import Any

import msgspec

from opcode_runtime.engine.requests import AnyRequest, Define, Query, Run, Signal, Status
from opcode_runtime.mcp import input_schemas, output_schemas


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool as it is listed.

    Arguments:
        request: the request struct; its fields are the tool's arguments, but for `wait`, which becomes `wait_s`.
        read_only, destructive, idempotent, open_world: the MCP annotations, true to what the tool does.
    """

    name: str
    title: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    request: type[AnyRequest]
    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool


_DEFINE = Tool(
    name="opcode.define",
    title="Define a workflow template",
    description="Check a workflow definition and store it as the next version of a named template. Defining exactly "
    "the latest version again changes nothing. With check_only nothing is stored. A step runs an action, branches "
    "(condition), repeats (loop), runs branches side by side (parallel), waits (wait), or asks an agent (reasoning).",
    input_schema=input_schemas.DEFINE,
    output_schema=output_schemas.DEFINE,
    request=Define,
    read_only=False,
    destructive=False,
    idempotent=True,
    open_world=False,
)

_RUN = Tool(
    name="opcode.run",
    title="Run a workflow",
    description="Start a workflow from a template and wait for its end, for a decision that only you can make, or for "
    "the time given by wait, whichever comes first. The workflow goes on when the wait ends or the call is cancelled.",
    input_schema=input_schemas.RUN,
    output_schema=output_schemas.RUN,
    request=Run,
    read_only=False,
    destructive=True,
    idempotent=False,
    open_world=True,
)

_STATUS = Tool(
    name="opcode.status",
    title="Look at a workflow",
    description="Everything about one workflow: status, steps, open decisions, inputs, output, error and its newest "
    "events.",
    input_schema=input_schemas.STATUS,
    output_schema=output_schemas.STATUS,
    request=Status,
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)

_SIGNAL = Tool(
    name="opcode.signal",
    title="Answer or steer a workflow",
    description="Tell a workflow something: answer a decision, give data to a step that waits, pause, resume, retry or "
    "skip a step, or cancel. It goes on by itself after an answer.",
    input_schema=input_schemas.SIGNAL,
    output_schema=output_schemas.SIGNAL,
    request=Signal,
    read_only=False,
    destructive=True,
    idempotent=False,
    open_world=True,
)

_QUERY = Tool(
    name="opcode.query",
    title="List things",
    description="List workflows, events, templates, open decisions, agents, or the actions that steps can use. The "
    "result is keyed by the resource.",
    input_schema=input_schemas.QUERY,
    output_schema=output_schemas.QUERY,
    request=Query,
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)

TOOLS: dict[str, Tool] = {tool.name: tool for tool in (_DEFINE, _QUERY, _RUN, _SIGNAL, _STATUS)}
"""All tools by name, in the order in which they are listed."""
