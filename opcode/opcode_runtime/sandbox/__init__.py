"""Child processes whose whole tree dies with the step, and with the daemon.

`run_child` runs one command under a supervisor process of its own; `sweep` ends, at daemon start, what a daemon that
died has left. An old child therefore never lives beside its successor.
"""

from opcode_runtime.sandbox._child import ChildResult, ChildSpec, run_child
from opcode_runtime.sandbox._sweep import sweep

__all__ = ["ChildResult", "ChildSpec", "run_child", "sweep"]
