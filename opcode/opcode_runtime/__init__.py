"""opcode: a durable workflow runtime for AI agents, to embed in a trio program.

    async with opcode_runtime.open_runtime("state") as runtime:
        await runtime.define("greet", {"steps": [...]})
        handle = await runtime.run("greet", {"name": "Ada"})
        print(await handle.result())

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, which takes as long to import as Python to start
if TYPE_CHECKING:
    from typing import Any

    from opcode_runtime.actions import action as action
    from opcode_runtime.engine.collector import short_collections as short_collections
    from opcode_runtime.engine.handle import Handle as Handle
    from opcode_runtime.engine.handle import WorkflowCancelled as WorkflowCancelled
    from opcode_runtime.engine.handle import WorkflowFailed as WorkflowFailed
    from opcode_runtime.engine.runtime import Runtime as Runtime
    from opcode_runtime.engine.runtime import open_runtime as open_runtime
    from opcode_runtime.model.errors import ErrorCode as ErrorCode
    from opcode_runtime.model.errors import OpcodeError as OpcodeError
    from opcode_runtime.model.settings import Settings as Settings

__version__ = "0.1.0"

_HOMES = {
    "action": "opcode_runtime.actions",
    "short_collections": "opcode_runtime.engine.collector",
    "Handle": "opcode_runtime.engine.handle",
    "WorkflowCancelled": "opcode_runtime.engine.handle",
    "WorkflowFailed": "opcode_runtime.engine.handle",
    "Runtime": "opcode_runtime.engine.runtime",
    "open_runtime": "opcode_runtime.engine.runtime",
    "ErrorCode": "opcode_runtime.model.errors",
    "OpcodeError": "opcode_runtime.model.errors",
    "Settings": "opcode_runtime.model.settings",
}

__all__ = [
    "ErrorCode",
    "Handle",
    "OpcodeError",
    "Runtime",
    "Settings",
    "WorkflowCancelled",
    "WorkflowFailed",
    "__version__",
    "action",
    "open_runtime",
    "short_collections",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'opcode_runtime' has no attribute {name!r}")
    return getattr(import_module(home), name)
