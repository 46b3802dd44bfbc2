"""One tool call from arguments to reply, the same for every transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from opcode_runtime.engine.requests import AnyRequest
from opcode_runtime.mcp.arguments import read_arguments
from opcode_runtime.mcp.replies import Reply, refusal, success
from opcode_runtime.mcp.tools import Tool
from opcode_runtime.model.errors import ErrorCode, OpcodeError

_log = structlog.get_logger(__name__)


class RequestHandler(Protocol):
    """What the tools need of the engine; its router is one."""

    async def handle(self, request: AnyRequest, *, principal: str) -> dict[str, Any]:
        """Act on a request and answer with a JSON object; a refusal is an OpcodeError."""
        ...


async def call_tool(
    handler: RequestHandler, tool: Tool, arguments: Mapping[str, Any] | None, *, principal: str
) -> Reply:
    """Check the arguments, let the engine act, and answer. Never raises but for cancellation, which ends the wait only.

    Arguments:
        arguments: as they came, unchecked.
        principal: who the caller has proved to be.
    """
    try:
        request = read_arguments(tool, arguments)
        return success(await handler.handle(request, principal=principal))
    except OpcodeError as error:
        return refusal(error)
    except Exception:
        _log.exception("tool_call_failed", tool=tool.name)
        return refusal(OpcodeError(ErrorCode.EXECUTION_ERROR, "internal error"))
