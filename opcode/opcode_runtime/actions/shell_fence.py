"""What a command is held to: the operator's settings, the definition's demand and the step's own bounds, as one fence.

Rule 1: a step may only ask for less than the operator allows.
Rule 2: what is demanded and cannot be had on this machine is refused before anything starts.
Rule 3: paths are those of `path_rules.py`, so a command is closed out where `fs.*` are. Only the kernel's files that
programs need to run at all (`/proc`, `/sys`) are handed on, fenced by the sandbox itself.
"""

from __future__ import annotations

import math
import os
from typing import Any

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.path_rules import PathRules
from opcode_runtime.actions.settings import ActionSettings, ShellLimits
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.sandbox import ChildLimits, Confinement, Isolation, level_for

_KERNEL = frozenset({"/proc", "/sys"})
_CPU_MARGIN_S = 5


def isolation_for(settings: ActionSettings, min_isolation: str | None = None) -> Isolation:
    """What a command will be held to on this machine; `str()` of it is what `step_started` says.

    The same answer for as long as the process lives. The first call tries the machine out, which takes some 20 ms.

    Arguments:
        settings: the operator's word.
        min_isolation: what the definition demands; None demands nothing.

    Raises:
        OpcodeError: ISOLATION_ERROR, something demanded is missing: it says what, and what to do.
    """
    return level_for(
        wanted=settings.isolation,
        minimum=(settings.min_isolation, min_isolation),
        group=settings.cgroup,
        network=settings.shell_network,
    )


def confinement_of(
    params: dict[str, Any], call: Call, rules: PathRules, *, timeout_s: float
) -> Confinement:
    """The fence around the command of one attempt.

    Arguments:
        params: of `shell.exec`, checked.
        rules: the paths of the call's settings.
        timeout_s: after which the command is ended anyway.

    Raises:
        OpcodeError: ISOLATION_ERROR, as `isolation_for`; PERMISSION_DENIED, the step asks for more than it may have.
    """
    settings = call.settings
    network = settings.shell_network and params.get("network", True)
    level = isolation_for(settings, call.min_isolation)
    if not network:
        level_for(wanted=level.level, network=False)
    return Confinement(
        level=level.level,
        read=rules.read_only,
        write=rules.writable,
        deny=tuple(sorted({*rules.always, *rules.denied} - _KERNEL)),
        network=network,
        limits=_limits(params, settings.shell, timeout_s),
        group=level.group,
    )


def _limits(params: dict[str, Any], most: ShellLimits, timeout_s: float) -> ChildLimits:
    """The step's bounds, each within the operator's."""
    cores = os.cpu_count() or 1
    return ChildLimits(
        memory_bytes=_within(params, "max_memory_bytes", most.memory_bytes_max, "memory_bytes_max"),
        processes=_within(params, "pids", most.processes_max, "processes_max")
        or most.processes_max,
        cpu_percent=_within(params, "max_cpu_percent", most.cpu_percent_max, "cpu_percent_max"),
        cpu_s=math.ceil(timeout_s * cores) + _CPU_MARGIN_S,
        file_bytes=most.written_bytes_max,
        open_files=most.open_files_max,
    )


def _within(params: dict[str, Any], name: str, most: int | None, setting: str) -> int | None:
    asked: int | None = params.get(name)
    if asked is None or most is None:
        return most if asked is None else asked
    if asked > most:
        raise OpcodeError(
            ErrorCode.PERMISSION_DENIED,
            f"{name} is {asked}, above the limit of {most}; the setting `limits.shell_{setting}` would allow it",
        )
    return asked
