"""Daemons from a stem: a process that has imported everything, and forks a daemon whenever one is asked for.

Most of a daemon's start is imports, and a drill starts hundreds. A forked daemon is a process like any other: its own
memory, its own files, ended by SIGKILL. So that nothing hangs on the fork, some lives are begun by a fresh
interpreter (`python -m opcode_runtime serve`) instead.

Rule 1: the stem is forked before any thread or event loop is there.
Rule 2: when the drill is gone, the stem ends its daemons and itself.
"""

from __future__ import annotations

import ast
import faulthandler
import os
import pkgutil
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import opcode_runtime
from drills.kill.definitions import CHILD_MARK
from opcode_runtime.expressions import compile_expression

_LINE_BYTES_MAX = 4096


class Stem:
    """Begins lives of the daemon on one data directory."""

    def __init__(self, data_dir: Path, log: Path, options: tuple[str, ...] = ()) -> None:
        ask_read, self._ask = os.pipe()
        self._answer, answer_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._ask)
            os.close(self._answer)
            _grow(ask_read, answer_write, _arguments(data_dir, options), log)
        os.close(ask_read)
        os.close(answer_write)
        self._told()  # it has imported everything

    def start(self, *, fresh: bool = False) -> int:
        """Begin a life; returns its process id. `fresh`: with a new interpreter."""
        self._tell("fresh" if fresh else "fork")
        return int(self._told())

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> int:
        """End a life by a signal and wait until it is over; returns its exit status."""
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        self._tell(f"reap {pid}")
        return int(self._told())

    def close(self) -> None:
        """End what still lives, and the stem."""
        os.close(self._ask)
        os.waitpid(self.pid, 0)
        os.close(self._answer)

    def _tell(self, command: str) -> None:
        os.write(self._ask, f"{command}\n".encode())

    def _told(self) -> str:
        line = os.read(self._answer, _LINE_BYTES_MAX)
        if not line:
            raise RuntimeError("the stem of the daemons has died")
        return line.decode().strip()


def _arguments(data_dir: Path, options: tuple[str, ...]) -> list[str]:
    fixed = ["serve", "--listen-addr", "127.0.0.1:0", "--log-level", "warn", "--json"]
    return [*fixed, "--data-dir", str(data_dir), *options]


def _grow(ask: int, answer: int, arguments: list[str], log: Path) -> NoReturn:
    """The stem's own life."""
    alive: set[int] = set()
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        import_everything()
        os.write(answer, b"ready\n")
        with os.fdopen(ask, "r") as commands:
            for line in commands:
                word, _, number = line.strip().partition(" ")
                if word == "reap":
                    told = os.waitstatus_to_exitcode(os.waitpid(int(number), 0)[1])
                    alive.discard(int(number))
                else:
                    begin = _fresh if word == "fresh" else _forked
                    told = begin(arguments, log, (answer, commands.fileno()))
                    alive.add(told)
                os.write(answer, f"{told}\n".encode())
    finally:
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)


def as_installed() -> dict[str, str]:
    """The environment of a life. An installed program keeps its bytecode: compiling is no part of a start."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


_KEPT: list[subprocess.Popen[bytes]] = []
"""Lives are waited for by their process id; an object that is collected before would complain."""


def _fresh(arguments: list[str], log: Path, _own: tuple[int, ...]) -> int:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "opcode_runtime", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=as_installed(),
        )
    _KEPT.append(process)
    return process.pid


def _forked(arguments: list[str], log: Path, own: tuple[int, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for fd in own:
            os.close(fd)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for fd, source in ((0, nothing), (1, output), (2, output)):
            os.dup2(source, fd)
        faulthandler.register(
            signal.SIGUSR1, file=2
        )  # so that a life that hangs can be asked where
        code = _serve(arguments)
    except BaseException:  # the boundary of the process
        traceback.print_exc()
    finally:
        os._exit(code)


def _serve(arguments: list[str]) -> int:
    from opcode_runtime.cli import main

    sys.argv = ["opcode", *arguments]
    try:
        found = main()
    except SystemExit as ended:
        found = ended.code if isinstance(ended.code, int) else 1
    sys.stdout.flush()
    return int(found or 0)


def import_everything() -> None:
    """Import every module of the runtime, and every module that one of them imports somewhere in its text."""
    wanted: set[str] = set()
    for module in pkgutil.walk_packages(opcode_runtime.__path__, "opcode_runtime."):
        if not {"testing", "demo", "__main__", "worker"} & set(module.name.split(".")):
            wanted |= {module.name} | _imports_of(module)
    for name in sorted(wanted):
        with suppress(ImportError):
            import_module(name)
    compile_expression("inputs.a == 'a' && has(inputs.b)")  # builds the grammar


def _imports_of(module: pkgutil.ModuleInfo) -> set[str]:
    spec = module.module_finder.find_spec(module.name, None)
    if spec is None or spec.origin is None:
        return set()
    found: set[str] = set()
    for node in ast.walk(ast.parse(Path(spec.origin).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def is_dead(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except OSError:
        return True


def children_of_steps(mark: str) -> dict[int, str]:
    """Processes that belong to steps of this drill, with the step, by the marks in their environment."""
    wanted = f"{CHILD_MARK}={mark}".encode()
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            environment = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        step = [
            entry[15:].decode() for entry in environment if entry.startswith(b"OPCODE_STEP_ID=")
        ]
        if wanted in environment and step:
            found[int(name)] = step[0]
    return found
