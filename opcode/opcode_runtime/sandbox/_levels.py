"""Which fences this machine can build, found out once by building one.

Rule 1: a level is there only if a trial of it went well: a program that is installed may still be forbidden.
Rule 2: the strongest is used, unless a weaker one is asked for. What is demanded and not there fails closed: nothing
runs, and the refusal names what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.sandbox import _bwrap, _landlock, _seccomp
from opcode_runtime.sandbox._cgroup import GroupTree, delegated_root
from opcode_runtime.sandbox._confinement import LEVELS, Confinement, Level

_TRIAL_DEADLINE_S = 10.0
Wanted = Literal["auto", "rlimits", "landlock", "bwrap"]


class Fitness(NamedTuple):
    """Whether this machine has a level, and why not, or how much of it.

    Arguments:
        level: one of `LEVELS`, or `cgroup` or `network` (taking it away), which come on top.
        why: what is missing; for one that is there, what it is made of.
    """

    level: str
    available: bool
    why: str


class Isolation(NamedTuple):
    """What a command will be held to: the level, and whether a control group comes on top."""

    level: Level
    group: bool = False

    def __str__(self) -> str:
        """As it stands in `step_started`."""
        return f"{self.level}+cgroup" if self.group else self.level


@cache
def machine() -> tuple[Fitness, ...]:
    """What this machine gives, from the weakest level upwards, then what comes on top.

    The first call tries them out (some 20 ms, and it waits for a child); later ones only answer.
    """
    return (_rlimits(), _landlock_fitness(), _bwrap_fitness(), _group_fitness(), _network_fitness())


def level_for(
    *,
    wanted: Wanted = "auto",
    minimum: Iterable[str | None] = (),
    group: Literal["auto", "required"] = "auto",
    network: bool = True,
) -> Isolation:
    """What a command will be held to on this machine. The same answer for as long as the process lives.

    Arguments:
        wanted: the operator's word; `auto` is the strongest there is.
        minimum: the least that settings and definition demand; None demands nothing.
        group: whether a control group must come on top.
        network: False demands that the network can be taken away.

    Raises:
        OpcodeError: ISOLATION_ERROR, naming what is missing and what to do.
    """
    found = {each.level: each for each in machine()}
    least = max((LEVELS.index(_known(each)) for each in minimum if each is not None), default=0)
    level = _strongest(found) if wanted == "auto" else _known(wanted)
    if LEVELS.index(level) < least and wanted != "auto":
        raise _refusal(
            f"isolation by {LEVELS[least]} is demanded, and the setting `isolation` says {level}",
            "set `isolation` to auto, or lower `min_isolation`",
        )
    _demand(found[max(level, LEVELS[least], key=LEVELS.index)])
    if group == "required":
        _demand(found["cgroup"])
    if not network and level != "bwrap":
        _demand(found["network"])
    return Isolation(level, found["cgroup"].available)


def group_tree() -> GroupTree | None:
    """The delegated subtree of control groups; None when there is none."""
    return _group_tree() if machine()[3].available else None


def group_controllers() -> frozenset[str]:
    """The controllers that commands' groups have; empty without groups."""
    tree = group_tree()
    return frozenset() if tree is None else tree.prepare()


def bwrap_program() -> tuple[str, bool]:
    """The path of bubblewrap, and whether it leaves user namespaces possible inside.

    Raises:
        OpcodeError: ISOLATION_ERROR, when the level is not there.
    """
    _demand(machine()[2])
    path, why = _bwrap_trial()
    assert path is not None
    return path, why == _NESTED


def _known(name: str) -> Level:
    for level in LEVELS:
        if level == name:
            return level
    raise OpcodeError(
        ErrorCode.VALIDATION_ERROR, f"{name!r} is no isolation level; there are {', '.join(LEVELS)}"
    )


def _strongest(found: dict[str, Fitness]) -> Level:
    return next(level for level in reversed(LEVELS) if found[level].available)


def _demand(fitness: Fitness) -> None:
    if not fitness.available:
        what = (
            "taking the network away"
            if fitness.level == "network"
            else f"isolation by {fitness.level}"
        )
        raise _refusal(f"{what} is demanded, and this machine does not give it: {fitness.why}")


def _refusal(text: str, todo: str = "opcode doctor shows what this machine gives") -> OpcodeError:
    return OpcodeError(ErrorCode.ISOLATION_ERROR, text, next=todo)


def _rlimits() -> Fitness:
    return Fitness(
        "rlimits", True, "limits of each process, an environment of its own, no new privileges"
    )


def _landlock_fitness() -> Fitness:
    version = _landlock.abi()
    if version == 0:
        return Fitness(
            "landlock", False, "the kernel has no Landlock, or it is not enabled (lsm=landlock,…)"
        )
    if version < _landlock.ABI_FILES:
        return Fitness(
            "landlock",
            False,
            f"Landlock ABI {version}; 3 (Linux 6.2) is the least that holds files",
        )
    later = (
        (_landlock.ABI_TCP, "TCP"),
        (_landlock.ABI_DEVICES, "ioctl"),
        (_landlock.ABI_SCOPES, "signals"),
    )
    without = [name for since, name in later if version < since]
    return Fitness(
        "landlock",
        True,
        f"ABI {version}" + (f", without {' and '.join(without)}" if without else ""),
    )


_NESTED = "without forbidding user namespaces inside (bubblewrap before 0.8)"


def _bwrap_fitness() -> Fitness:
    path, why = _bwrap_trial()
    return Fitness("bwrap", path is not None, why)


@cache
def _bwrap_trial() -> tuple[str | None, str]:
    """The program if it works here; and why not, or which."""
    path = shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin:/run/current-system/sw/bin")
    if sys.platform != "linux" or path is None:
        return None, "bubblewrap is not installed (the package bubblewrap)"
    why = ""
    for nested in (False, True):
        why = _try(_bwrap.command(path, Confinement("bwrap", network=False), nested=nested))
        if not why:
            return path, _NESTED if nested else path
    return None, f"bubblewrap does not work here: {why}"


def _try(argv: list[str]) -> str:
    try:
        done = subprocess.run(
            [*argv, "/bin/sh", "-c", ":"], stdin=subprocess.DEVNULL, capture_output=True, env={},
            timeout=_TRIAL_DEADLINE_S, check=False, text=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else ""


@cache
def _group_tree() -> GroupTree | None:
    with suppress(OSError):
        mounts, own = (Path(f"/proc/self/{name}").read_text() for name in ("mountinfo", "cgroup"))
        root = delegated_root(mounts, own, is_root=os.geteuid() == 0)
        return None if root is None else GroupTree(root)
    return None


def _group_fitness() -> Fitness:
    tree = _group_tree()
    if tree is None:
        return Fitness(
            "cgroup",
            False,
            "no control group (v2) is delegated to the daemon (Delegate=yes of its unit)",
        )
    offered = sorted(tree.offered())
    return Fitness("cgroup", True, f"{tree.root} with {', '.join(offered) or 'no controllers'}")


def _network_fitness() -> Fitness:
    if machine_has_filter():
        return Fitness(
            "network", True, "a namespace under bwrap, a filter over system calls below it"
        )
    return Fitness("network", False, "below bwrap it takes seccomp on x86_64 or aarch64")


def machine_has_filter() -> bool:
    """Whether the network can be taken away without a namespace."""
    return sys.platform == "linux" and _seccomp.is_available()
