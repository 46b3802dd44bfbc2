"""Hostile attempts of a command: how they are made, each in a process of its own, inside a fence or without one.

Run as a script with its world as JSON on stdin; it writes a JSON object to stdout: for each attempt `true` when it
reached what it was after, else why not. The standard library only. The attempts themselves (`shell_attacks_*.py`)
come as text in that JSON, since no file of this project need be readable inside.

Rule 1: an attempt that changes something has a victim of its own, so that none spoils another.
Rule 2: what would harm the machine is tried with its present value (a setting is written back as it is).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import sys
import types
from collections.abc import Callable
from typing import Any

Attempt = Callable[[], object]

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_NS, NEW_USER = 0x00020000, 0x10000000
BIND, RECURSIVE, PRIVATE = 1 << 12, 1 << 14, 1 << 18
ATTEMPT_S = 4.0
ATTACKS: dict[str, tuple[str, Attempt]] = {}
W: dict[str, Any] = {}
"""The world: paths, pids and ports that the test has made."""


def attack(group: str) -> Callable[[Attempt], Attempt]:
    """Add an attempt to a group; the name of the function is its name."""

    def add(fn: Attempt) -> Attempt:
        ATTACKS[fn.__name__] = (group, fn)
        return fn

    return add


def checked(result: int) -> int:
    """What a call of the C library gave, with -1 as the error it stands for."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def mount(source: str, target: str, flags: int, kind: str | None = None) -> None:
    """mount(2)"""
    encoded = kind and kind.encode()
    checked(LIBC.mount(source.encode(), target.encode(), encoded, flags, None))


def holds_secret(data: bytes) -> bool:
    """Whether the canary is in it."""
    return W["secret"].encode() in data


def read(path: str) -> bool:
    """Whether the canary can be read from there."""
    with open(path, "rb") as file:
        return holds_secret(file.read(65536))


def write(path: str, mode: str = "a") -> bool:
    """Put something into a file."""
    with open(path, mode) as file:
        file.write("owned")
    return True


def in_work(name: str) -> str:
    """A path in the folder that may be written to."""
    return os.path.join(W["work"], name)


def own_namespace() -> None:
    """Mounts of its own: as root, or as root of a user namespace."""
    uid, gid = os.getuid(), os.getgid()
    if LIBC.unshare(NEW_NS) == -1:
        checked(LIBC.unshare(NEW_NS | NEW_USER))
        lines = (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1"))
        for name, line in lines:
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
    LIBC.mount(b"none", b"/", None, PRIVATE | RECURSIVE, None)


def main() -> None:
    """Try everything whose group was asked for, in the order in which it stands."""
    world = json.loads(sys.stdin.read())
    for name in ("tests", "tests.escape"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["tests.escape.shell_attempts"] = sys.modules[__name__]
    W.update(world, parent=os.getppid())
    for name, text in world["attacks"].items():
        exec(compile(text, name, "exec"), {"__name__": name})
    found = {name: tried(fn) for name, (group, fn) in ATTACKS.items() if group in W["groups"]}
    json.dump(found, sys.stdout)


def tried(fn: Attempt) -> object:
    """The word of one attempt, from a process of its own, which is given a moment and no more."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.close(reading)
        os.write(writing, json.dumps(word_of(fn)).encode()[:4096])
        os._exit(0)
    os.close(writing)
    ready = select.select([reading], [], [], ATTEMPT_S)[0]
    word = os.read(reading, 4096) if ready else b'"no answer in time"'
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reading)
    return json.loads(word or b'"it died"')


def word_of(fn: Attempt) -> object:
    """Whether it succeeded, else the error that stopped it."""
    try:
        return bool(fn())
    except BaseException as error:
        number = getattr(error, "errno", None)
        return f"{type(error).__name__}: {errno.errorcode.get(number or 0, str(error))}"


if __name__ == "__main__":
    main()
