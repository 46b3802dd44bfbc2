"""The demo: a workflow on real files survives the death of its daemon, and every claim about that is checked."""

from opcode_runtime.cli.demo.play import run_demo

__all__ = ["run_demo"]
