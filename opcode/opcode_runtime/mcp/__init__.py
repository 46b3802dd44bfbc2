"""The five MCP tools, apart from any transport.

`call_tool` checks the arguments of one call, hands the request to the engine's router and turns whatever comes back
into a `Reply`. `build_server` binds that to the MCP SDK's low-level server for a transport to serve; the SDK is
imported only when it is called, so that importing this package costs a command line nothing.
"""

from opcode_runtime.mcp.calls import RequestHandler, call_tool
from opcode_runtime.mcp.instructions import EXAMPLE_DEFINITION, INSTRUCTIONS
from opcode_runtime.mcp.replies import FRAME_BYTES_MAX, Reply
from opcode_runtime.mcp.server import PRINCIPAL_KEY, build_server
from opcode_runtime.mcp.tools import TOOLS, Tool

__all__ = [
    "EXAMPLE_DEFINITION",
    "FRAME_BYTES_MAX",
    "INSTRUCTIONS",
    "PRINCIPAL_KEY",
    "TOOLS",
    "Reply",
    "RequestHandler",
    "Tool",
    "build_server",
    "call_tool",
]
