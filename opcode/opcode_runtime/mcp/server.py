"""The tools bound to the MCP SDK's low-level server.

The SDK checks neither arguments nor what results say, and lets the text of an exception through to a client of the
handshake era, so nothing but a finished result or a protocol error leaves a handler here. A result is handed over in
the form that it has on the wire: the SDK holds it against its schema all the same, and a model of it would be copied
once more. The SDK takes most of a second to import, hence the imports inside the function.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from opcode_runtime.mcp.arguments import nearest
from opcode_runtime.mcp.calls import RequestHandler, call_tool
from opcode_runtime.mcp.instructions import INSTRUCTIONS
from opcode_runtime.mcp.tools import TOOLS, Tool

if TYPE_CHECKING:
    from mcp import types
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server

PRINCIPAL_KEY = "opcode.principal"
"""Where a front leaves the principal in the ASGI scope of the request that carried a call."""


def build_server(handler: RequestHandler, *, principal: str) -> Server[Any]:
    """Make a server whose tools act through `handler`.

    Arguments:
        principal: who calls when the transport carries no request of its own (stdio).
    """
    from mcp import MCPError, types
    from mcp.server.lowlevel import Server

    listing = types.ListToolsResult(tools=[_listed(tool) for tool in TOOLS.values()])

    async def list_tools(
        _context: ServerRequestContext[Any, Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return listing

    async def call(
        context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> Any:
        tool = TOOLS.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, _unknown_tool(params.name))
        caller = _principal_of(context, principal)
        reply = await call_tool(handler, tool, params.arguments, principal=caller)
        return {
            "content": [{"type": "text", "text": reply.text}],
            "structuredContent": reply.structured,
            "isError": reply.is_error,
            "resultType": "complete",
        }

    return Server(
        "opcode",
        version=_version(),
        title="opcode",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call,
        get_tool_input_schema=_input_schema,
    )


def _listed(tool: Tool) -> types.Tool:
    from mcp import types

    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            open_world_hint=tool.open_world,
        ),
    )


def _input_schema(name: str) -> dict[str, Any] | None:
    tool = TOOLS.get(name)
    return None if tool is None else tool.input_schema


def _unknown_tool(name: str) -> str:
    shown = name if len(name) <= 64 else f"{name[:61]}..."
    meant = nearest(name, list(TOOLS))
    return f"Unknown tool: {shown!r}" + (f"; did you mean {meant}?" if meant else "")


def _principal_of(context: ServerRequestContext[Any, Any], otherwise: str) -> str:
    request = context.request
    if request is None:
        return otherwise
    proven = request.scope.get(PRINCIPAL_KEY)
    if not isinstance(proven, str):
        raise LookupError("a request reached a tool without passing the front")
    return proven


def _version() -> str:
    try:
        return metadata.version("opcode-runtime")
    except metadata.PackageNotFoundError:
        return "0"
