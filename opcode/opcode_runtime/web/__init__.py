"""The front door of the daemon: one port for MCP over SSE and Streamable HTTP, and for health.

`bind_sockets` takes the address before anything else is touched; `serve` then answers on it until it is told to stop.
"""

from opcode_runtime.engine.requests import ANONYMOUS
from opcode_runtime.web.access import OPERATOR
from opcode_runtime.web.binding import Address, bind_sockets
from opcode_runtime.web.deadlines import Deadlines
from opcode_runtime.web.front import Front
from opcode_runtime.web.serving import ServedRuntime, serve

__all__ = [
    "ANONYMOUS",
    "OPERATOR",
    "Address",
    "Deadlines",
    "Front",
    "ServedRuntime",
    "bind_sockets",
    "serve",
]
