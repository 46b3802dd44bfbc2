"""A daemon that is killed outright, and what its successor finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import trio

import opcode_runtime.sandbox
from opcode_runtime.sandbox import sweep

DAEMON = """
import sys, trio
from pathlib import Path
from opcode_runtime.sandbox import ChildSpec, run_child
argv = [sys.executable, "-I", "-S", "-c", sys.argv[2], sys.argv[3]]
env = {"PATH": "/usr/bin:/bin", "OPCODE_WORKFLOW_ID": sys.argv[4], "OPCODE_STEP_ID": "a.b", "OPCODE_ATTEMPT": "2"}
trio.run(lambda: run_child(ChildSpec(argv, env), children_dir=Path(sys.argv[1])))
"""
# The command, a child of it in a session of its own, and a grandchild that forked twice; each tells its pid.
TREE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def tell(name):
    path = os.path.join(sys.argv[1], name)
    with open(path + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".part", path)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        tell("grandchild")
    else:
        tell("child")
    time.sleep(600)
tell("command")
time.sleep(600)
"""
NAMES = ("command", "child", "grandchild")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.005)


def names_in(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def start_stranger() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"], start_new_session=True)


class Daemon:
    """A real process that runs one step of three processes."""

    def __init__(self, directory: Path) -> None:
        self.children_dir, self.pid_dir = directory / "children", directory / "pids"
        self.children_dir.mkdir()
        self.pid_dir.mkdir()
        root = Path(opcode_runtime.sandbox.__file__).parents[2]
        argv = [
            sys.executable,
            "-c",
            DAEMON,
            str(self.children_dir),
            TREE,
            str(self.pid_dir),
            uuid4().hex,
        ]
        self.process = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": str(root)})

    async def tree(self) -> list[int]:
        paths = [self.pid_dir / name for name in NAMES]
        await until(lambda: all(path.exists() for path in paths))
        return [int(path.read_text()) for path in paths]

    def supervisor(self) -> int:
        (record,) = self.children_dir.iterdir()
        return int(record.name.partition("-")[0])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path)


async def test_the_whole_tree_ends_when_the_daemon_is_killed(daemon: Daemon) -> None:
    tree = await daemon.tree()
    assert all(map(is_alive, tree))
    daemon.kill()
    await until(lambda: not any(map(is_alive, tree)))
    await until(lambda: names_in(daemon.children_dir) == [])


async def test_after_a_sweep_nothing_of_the_dead_daemon_lives(daemon: Daemon) -> None:
    tree = await daemon.tree()
    daemon.kill()
    await sweep(daemon.children_dir, deadline_s=10)
    assert not any(map(is_alive, tree))
    assert names_in(daemon.children_dir) == []


async def test_a_sweep_ends_what_a_killed_supervisor_has_left(daemon: Daemon) -> None:
    tree = await daemon.tree()
    supervisor = daemon.supervisor()
    # Both are stopped first, so that neither sees the other's death before its own.
    os.kill(daemon.process.pid, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGKILL)
    daemon.kill()
    await until(lambda: not is_alive(supervisor))
    assert is_alive(tree[1])
    assert is_alive(tree[2])
    assert await sweep(daemon.children_dir, deadline_s=10) == 1
    assert not any(map(is_alive, tree))


async def test_a_sweep_ends_a_supervisor_that_hangs_and_its_tree(daemon: Daemon) -> None:
    tree = await daemon.tree()
    supervisor = daemon.supervisor()
    os.kill(supervisor, signal.SIGSTOP)
    daemon.kill()
    assert await sweep(daemon.children_dir, deadline_s=2) == 1
    assert not any(map(is_alive, [supervisor, *tree]))
    assert names_in(daemon.children_dir) == []


async def test_a_sweep_of_nothing_is_quick_and_ends_nothing(tmp_path: Path) -> None:
    assert await sweep(tmp_path / "missing", deadline_s=1) == 0
    assert await sweep(tmp_path, deadline_s=1) == 0


async def test_a_sweep_leaves_a_process_alone_that_only_has_the_recorded_pid(
    tmp_path: Path,
) -> None:
    """The record is of a process long dead whose pid a stranger has now."""
    with start_stranger() as stranger:
        (tmp_path / f"{stranger.pid}-1").write_text(f"{stranger.pid} 1\n\n")
        assert await sweep(tmp_path, deadline_s=1) == 0
        assert stranger.poll() is None
        stranger.kill()
    assert names_in(tmp_path) == []


async def test_a_sweep_takes_away_records_that_were_never_finished(tmp_path: Path) -> None:
    (tmp_path / ".123-4").write_bytes(b"")
    (tmp_path / "garbage").write_bytes(b"\xff\0not a record")
    assert await sweep(tmp_path, deadline_s=1) == 0
    assert names_in(tmp_path) == []
