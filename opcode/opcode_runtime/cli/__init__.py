"""The command line `opcode`: the daemon's life, the client commands, and the demo."""

from opcode_runtime.cli.app import main

__all__ = ["main"]
