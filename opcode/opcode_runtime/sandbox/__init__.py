"""Child processes in a fence, whose whole tree dies with the step, and with the daemon.

`run_child` runs one command under a supervisor process of its own, held to a `Confinement`; `level_for` says
beforehand what it will be held to on this machine, and `machine` all that this machine gives. `sweep` ends, at daemon
start, what a daemon that died has left. An old child therefore never lives beside its successor.
"""

from opcode_runtime.sandbox._child import ChildResult, run_child
from opcode_runtime.sandbox._confinement import LEVELS, ChildLimits, Confinement, Level
from opcode_runtime.sandbox._launch import ChildSpec
from opcode_runtime.sandbox._levels import Fitness, Isolation, Wanted, level_for, machine
from opcode_runtime.sandbox._sweep import sweep

__all__ = [
    "LEVELS",
    "ChildLimits",
    "ChildResult",
    "ChildSpec",
    "Confinement",
    "Fitness",
    "Isolation",
    "Level",
    "Wanted",
    "level_for",
    "machine",
    "run_child",
    "sweep",
]
