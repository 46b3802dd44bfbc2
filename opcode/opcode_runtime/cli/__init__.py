"""The command line `opcode`: the daemon's life, the client commands, and the demo."""

from opcode_runtime.cli.entry import main

__all__ = ["main"]
