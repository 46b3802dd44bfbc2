"""Closing the daemon against other processes of its own user."""

from __future__ import annotations

import ctypes

_SET_DUMPABLE = 4


def seal_daemon() -> bool:
    """Have the kernel refuse everybody but root a look into this process: its environment, memory and descriptors.

    It also leaves no core file. Called once, early, by a process that holds the vault key. Nothing that this process
    does itself changes, but debuggers of the same user no longer attach.

    Returns:
        Whether the kernel did so; False where there is no prctl(2).
    """
    call = getattr(ctypes.CDLL(None), "prctl", None)
    return call is not None and call(_SET_DUMPABLE, 0, 0, 0, 0) == 0
