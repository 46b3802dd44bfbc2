"""SIGKILL at the N-th system call."""

from drills.syscalls.drill import run

__all__ = ["run"]
