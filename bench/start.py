"""How long a start takes: to the first answer over MCP, and of a command that needs no daemon.

The daemon starts as users start it, on a data directory that has been started on before, and is asked for
`initialize` over Streamable HTTP as soon as its port is open; what it stands beside is a bare import of the packages
that it is made of. The CPU time is that of the daemon's process when the answer is here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.measure import Limit, Report, Row, Workplace, row

IMPORT = "import trio, lmdb, quart_trio, hypercorn, mcp"
_SCRIPT = Path(sys.executable).with_name("opcode")
_COMMAND = [str(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "opcode_runtime"]
VERSION = [*_COMMAND, "version"]
BUDGET_S = 18.0
ANSWER_S_MAX = 30.0
STARTS = 20
TRIES_S = 0.002
"""How long to wait before the port is tried again."""

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    },
}


@dataclass(slots=True)
class Times:
    """Milliseconds by round."""

    wall: list[list[float]] = field(default_factory=list)
    cpu: list[list[float]] = field(default_factory=list)

    def begin(self) -> None:
        """A new round."""
        self.wall.append([])
        self.cpu.append([])

    def add(self, wall_s: float, cpu_s: float) -> None:
        """One sample."""
        self.wall[-1].append(1e3 * wall_s)
        self.cpu[-1].append(1e3 * cpu_s)


def measure(place: Workplace) -> Report:
    """All starts, in turns."""
    times = {name: Times() for name in ("serve", "import", "version", "pass", "first")}
    data = place.folder("data")
    served(data)
    for _ in place.rounds(BUDGET_S):
        for each in times.values():
            each.begin()
        for _ in range(place.profile.of(STARTS)):
            times["serve"].add(*served(data))
            times["import"].add(*ended(sys.executable, "-c", IMPORT))
            times["version"].add(*ended(*VERSION))
            times["pass"].add(*ended(sys.executable, "-c", "pass"))
        times["first"].add(*served(place.folder("first")))
    return Report(_rows(times))


def _rows(times: dict[str, Times]) -> list[Row]:
    def beside(what: str, name: str, floor: str, floor_is: str, limit: float) -> list[Row]:
        ours, theirs, must = times[name], times[floor], Limit(limit, of_floor=True)
        return [
            row(what, "ms", ours.wall, floor=theirs.wall, floor_is=floor_is, must=must),
            row(f"{what}: CPU", "ms", ours.cpu, floor=theirs.cpu, floor_is=floor_is),
        ]

    bare = "bare imports"
    return [
        *beside("daemon to its first answered `initialize`", "serve", "import", bare, 1.3),
        row("the same on an empty folder", "ms", times["first"].wall),
        *beside("opcode version", "version", "pass", "python -c pass", 3),
    ]


def ended(*arguments: str) -> tuple[float, float]:
    """Wall-clock and CPU seconds of a whole process."""
    began = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} ended with {process.returncode}")
    return wall_s, usage.ru_utime + usage.ru_stime


def served(data: Path) -> tuple[float, float]:
    """Wall-clock and CPU seconds from the start of a daemon to its first answer."""
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen(
        serve_command(data, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        initialize(process, port)
        wall_s = time.perf_counter() - began
        times = psutil.Process(process.pid).cpu_times()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(ANSWER_S_MAX)
    return wall_s, times.user + times.system


def serve_command(data: Path, port: int) -> Sequence[str]:
    """The daemon, open to this machine."""
    command = [sys.executable, "-m", "opcode_runtime", "serve", "--data-dir", str(data)]
    return [*command, "--listen-addr", f"127.0.0.1:{port}", "--no-auth", "--log-level", "warn"]


def free_port() -> int:
    """A port that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def initialize(process: subprocess.Popen[bytes], port: int) -> None:
    """Ask as soon as there is somebody to ask, and wait for the answer.

    Raises:
        RuntimeError: there is none.
    """
    body = json.dumps(INITIALIZE).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    until = time.monotonic() + ANSWER_S_MAX
    while process.poll() is None and time.monotonic() < until:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S_MAX)
        except ConnectionRefusedError:
            time.sleep(TRIES_S)
            continue
        with connection:
            connection.sendall(head.encode() + body)
            answer = b""
            while b'"result"' not in answer:
                more = connection.recv(65_536)
                if not more:
                    raise RuntimeError(f"the daemon answered {answer[:200]!r}")
                answer += more
            return
    raise RuntimeError("the daemon did not come up")
