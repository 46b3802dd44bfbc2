"""What is made ready for one command before its supervisor starts, and cleared away after it.

Rule 1: the record of a supervisor appears under its name (`PID-START_TIME`) only once it is locked and before the
order is given; the lock is on a descriptor that the supervisor holds to its end, and bubblewrap with it.
Rule 2: a supervisor takes its record away itself, but for one inside bubblewrap, which cannot see it: then the daemon
does, and if that is dead, `sweep`.

Format of a record, one line each: `PID START_TIME`; the environment's marker, separated by NUL; the control group.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import marshal
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.sandbox import _bwrap, _levels
from opcode_runtime.sandbox._cgroup import Group, GroupLimits
from opcode_runtime.sandbox._confinement import Confinement
from opcode_runtime.sandbox._leftovers import MARKER_NAMES, marker_of, start_time

OUTPUT_BYTES_MAX = 10 * 1024 * 1024
_LOADER_NAMES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_PACKAGE = Path(__file__).resolve().parent
# The packages are made known by hand: to run their `__init__` would cost many times what the supervisor does.
_START = """\
import sys
for name, path in (("opcode_runtime", sys.argv[2]), ("opcode_runtime.sandbox", sys.argv[3])):
    module = type(sys)(name)
    module.__path__ = [path]
    sys.modules[name] = module
from opcode_runtime.sandbox._supervisor import main
main()
"""
_numbers = itertools.count(1)
_UNFENCED = Confinement()


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One command to run.

    Arguments:
        argv: program and arguments; the program is looked for in `env`'s PATH.
        env: its whole environment; nothing of the daemon's is added.
        cwd: where it starts; None means the daemon's.
        stdin: what it reads; None means an empty input.
        timeout_s: after that it is killed and the result says so; None means no limit.
        output_bytes_max: kept of each of stdout and stderr; what exceeds it is read and thrown away.
        grace_s: how long a SIGTERM may take before SIGKILL, at timeout and cancellation.
        confinement: the fence around it.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | Path | None = None
    stdin: bytes | None = None
    timeout_s: float | None = None
    output_bytes_max: int = OUTPUT_BYTES_MAX
    grace_s: float = 0.5
    confinement: Confinement = _UNFENCED


class Launch:
    """Everything around one command that is neither its process nor its streams. Close it when both have ended.

    Arguments:
        spec: the command.
        children_dir: an existing directory for the record; None records nothing.

    Raises:
        OpcodeError: VALIDATION_ERROR, the command cannot be meant; ISOLATION_ERROR, something cannot be made.
    """

    def __init__(self, spec: ChildSpec, children_dir: Path | None) -> None:
        _refuse_impossible(spec)
        self.spec, self._children_dir = spec, children_dir
        self._record: Path | None = None
        self._group: Group | None = None
        self._controllers: frozenset[str] = frozenset()
        self._temporary: str | None = None
        self._fds: dict[str, int] = {}
        try:
            self._prepare()
        except OSError as error:
            self.close()
            raise _no_supervisor(error) from error
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        confinement = self.spec.confinement
        if self._children_dir is not None:
            self._record = self._children_dir / f".{os.getpid()}-{next(_numbers)}"
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            self._fds["record"] = os.open(self._record, flags, 0o600)
            fcntl.flock(self._fds["record"], fcntl.LOCK_EX | fcntl.LOCK_NB)
        if confinement.group:
            self._make_group()
        self._refuse_unkept_limits()
        if confinement.has_roots and confinement.level != "bwrap":
            self._temporary = os.path.realpath(tempfile.mkdtemp(prefix="opcode-step-"))

    def _make_group(self) -> None:
        tree = _levels.group_tree()
        if tree is None:
            return
        self._controllers = tree.prepare()
        limits = self.spec.confinement.limits
        wanted = GroupLimits(
            limits.memory_bytes if "memory" in self._controllers else None,
            limits.processes if "pids" in self._controllers else None,
            limits.cpu_percent if "cpu" in self._controllers else None,
        )
        self._group = tree.create(f"step-{os.getpid()}-{next(_numbers)}", wanted)
        self._fds["procs"] = self._group.open_procs()
        with contextlib.suppress(OSError):  # a kernel before 5.14 has none
            kill = self._group.directory / "cgroup.kill"
            self._fds["kill"] = os.open(kill, os.O_WRONLY | os.O_CLOEXEC)

    def _refuse_unkept_limits(self) -> None:
        if self.spec.confinement.limits.cpu_percent is not None and "cpu" not in self._controllers:
            raise OpcodeError(
                ErrorCode.ISOLATION_ERROR,
                "max_cpu_percent needs a control group (v2) with the cpu controller, and none is delegated",
                next="run the daemon as a service with Delegate=yes, or leave max_cpu_percent out",
            )

    async def start(self, control: int) -> trio.Process:
        """Start the supervisor, which waits for its order on the socket `control`.

        Raises:
            OpcodeError: ISOLATION_ERROR, it cannot be started.
        """
        argv = [*self._before(), _interpreter(), "-I", "-S", "-c", _START, str(control)]
        try:
            return await trio.lowlevel.open_process(
                [*argv, str(_PACKAGE.parent), str(_PACKAGE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(control, *self._fds.values()),
                start_new_session=True,
                env=self._supervisors_environment(),
            )
        except OSError as error:
            raise _no_supervisor(error) from error

    def _before(self) -> list[str]:
        """What the supervisor is started by: nothing, or bubblewrap."""
        if self.spec.confinement.level != "bwrap":
            return []
        program, nested = _levels.bwrap_program()
        return _bwrap.command(program, self.spec.confinement, nested=nested)

    def _supervisors_environment(self) -> dict[str, str]:
        """What the interpreter needs to start, and the marker, by which a lost one can be found."""
        marker = {name: self.spec.env[name] for name in MARKER_NAMES if name in self.spec.env}
        return marker | {name: os.environ[name] for name in _LOADER_NAMES if name in os.environ}

    def publish(self, pid: int) -> None:
        """Fill in the record and give it its name; from now on a successor of the daemon would know of the tree.

        Arguments:
            pid: of what `start` started.

        Raises:
            OpcodeError: ISOLATION_ERROR, the record cannot be written.
        """
        if self._record is None or self._children_dir is None:
            return
        start = start_time(pid) or 0
        marker = b"\0".join(marker_of(dict(self.spec.env))).replace(b"\n", b"\\n")
        group = b"" if self._group is None else os.fsencode(self._group.directory)
        named = self._children_dir / f"{pid}-{start}"
        try:
            os.write(self._fds["record"], b"%d %d\n%s\n%s\n" % (pid, start, marker, group))
            self._record.rename(named)
        except OSError as error:
            raise _no_supervisor(error) from error
        self._record = named

    def order(self) -> bytes:
        """What the supervisor is told."""
        spec, fence = self.spec, self.spec.confinement
        env = dict(spec.env) | ({"TMPDIR": self._temporary or "/tmp"} if fence.has_roots else {})
        inside = fence.level == "bwrap"
        record = None if inside or self._record is None else os.fsencode(self._record)
        order = {
            "argv": [os.fsencode(item) for item in spec.argv],
            "env": {os.fsencode(name): os.fsencode(value) for name, value in env.items()},
            "cwd": None if spec.cwd is None else os.fsencode(spec.cwd),
            "record": record,
            "temporary": None if self._temporary is None else os.fsencode(self._temporary),
            "descriptors": list(self._fds.values()),
            "kill_group": self._fds.get("kill"),
            "grace_ms": math.ceil(spec.grace_s * 1000),
            "fence": self._fence_order(),
        }
        body = marshal.dumps(order)
        return len(body).to_bytes(8, "big") + body

    def _fence_order(self) -> dict[str, Any]:
        fence = self.spec.confinement
        return {
            "cgroup": self._fds.get("procs"),
            "limits": fence.limits.rlimits(grouped=self._controllers),
            "pids": None if "pids" in self._controllers else fence.limits.processes,
            "landlock": fence.landlock_order(self._temporary),
            "network": fence.network or fence.level == "bwrap",
        }

    def kill_group(self) -> None:
        """SIGKILL whatever is in the control group, if there is one."""
        if self._group is not None:
            self._group.kill()

    def close(self) -> None:
        """Let go of everything. What the supervisor has taken away already is passed over."""
        while self._fds:
            os.close(self._fds.popitem()[1])
        if self._group is not None:
            self._group.kill()
            self._group.remove()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        if self._record is not None:
            self._record.unlink(missing_ok=True)


def _no_supervisor(error: OSError) -> OpcodeError:
    return OpcodeError(
        ErrorCode.ISOLATION_ERROR, f"the supervisor of the command did not start: {error}"
    )


def _interpreter() -> str:
    """The interpreter itself, not a link in an environment that the fence may have closed."""
    return os.path.realpath(sys.executable)


def _refuse_impossible(spec: ChildSpec) -> None:
    if not spec.argv or not spec.argv[0]:
        raise OpcodeError(ErrorCode.VALIDATION_ERROR, "the command is empty")
    texts = [*spec.argv, *spec.env, *spec.env.values()]
    if any("\0" in text for text in texts):
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, "a command, its arguments and its environment hold no NUL"
        )
