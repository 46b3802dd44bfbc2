"""Real commands under a real supervisor."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import trio

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.sandbox import ChildSpec, run_child

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
OWN = uuid4().hex
MARKER = {"OPCODE_WORKFLOW_ID": OWN, "OPCODE_STEP_ID": "build", "OPCODE_ATTEMPT": "1"}

# Each variant starts a process that outlives its parent in another way, writes its pid into the file argv[1], and
# then sleeps, deaf to SIGTERM.
ESCAPES = {
    "a plain child": "child()",
    "a child in a session of its own": "child(os.setsid)",
    "a child in a process group of its own": "child(lambda: os.setpgid(0, 0))",
    "a daemon that forked twice": "child(os.setsid, again)",
    "a child that joined its supervisor's process group": "child(lambda: os.setpgid(0, os.getsid(0)))",
}
ESCAPE_CODE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def again():
    if os.fork():
        os._exit(0)
def child(*before):
    if os.fork():
        return
    for each in before:
        each()
    with open(sys.argv[1] + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".part", sys.argv[1])
    time.sleep(600)
    os._exit(0)
"""


def python(code: str, *args: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code, *args]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.005)


async def pid_in(path: Path) -> int:
    await until(path.exists)
    return read_pid(path)


def read_pid(path: Path) -> int:
    return int(path.read_text())


def is_there(path: Path) -> bool:
    return path.exists()


def names_in(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


async def test_a_command_gives_its_output_and_exit_code() -> None:
    spec = ChildSpec(["sh", "-c", "cat; echo bad >&2; exit 3"], ENV, stdin=b"good")
    result = await run_child(spec)
    assert (result.stdout, result.stderr, result.exit_code) == (b"good", b"bad\n", 3)
    assert not result.killed
    assert result.signal is None


async def test_a_command_sees_only_the_environment_it_was_given() -> None:
    os.environ["NOT_FOR_CHILDREN"] = "1"
    try:
        result = await run_child(ChildSpec(["/usr/bin/env"], {"A": "1", "B": "\u00fc"}))
    finally:
        del os.environ["NOT_FOR_CHILDREN"]
    assert sorted(result.stdout.decode().split()) == ["A=1", "B=\u00fc"]


async def test_a_command_starts_where_it_was_told(tmp_path: Path) -> None:
    result = await run_child(ChildSpec(["pwd"], ENV, cwd=tmp_path))
    assert result.stdout.decode().strip() == str(tmp_path)


async def test_a_command_inherits_no_descriptor_but_its_three_streams() -> None:
    code = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])"
    result = await run_child(ChildSpec(python(code), ENV))
    assert result.stdout.decode().strip() == "[0, 1, 2]"


async def test_a_command_leads_its_own_group_and_leaves_no_core_and_gains_no_privileges() -> None:
    code = (
        "import os, resource; print(os.getpgrp() == os.getpid(), os.getsid(0) == os.getppid(),"
        " resource.getrlimit(resource.RLIMIT_CORE)); print(open('/proc/self/status').read())"
    )
    result = await run_child(ChildSpec(python(code), ENV))
    assert result.stdout.startswith(b"True True (0, 0)")
    assert b"NoNewPrivs:\t1" in result.stdout


async def test_a_missing_command_is_named_with_the_reason() -> None:
    with pytest.raises(OpcodeError, match=r"no-such-command.*No such file") as caught:
        await run_child(ChildSpec(["no-such-command"], ENV))
    assert caught.value.code is ErrorCode.EXECUTION_ERROR


async def test_a_missing_working_directory_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(OpcodeError, match=r"working directory.*gone.*No such file"):
        await run_child(ChildSpec(["true"], ENV, cwd=tmp_path / "gone"))


async def test_an_empty_command_and_a_nul_are_the_callers_fault() -> None:
    for argv in ([], [""], ["echo", "a\0b"]):
        with pytest.raises(OpcodeError) as caught:
            await run_child(ChildSpec(argv, ENV))
        assert caught.value.code is ErrorCode.VALIDATION_ERROR


async def test_a_command_ended_by_a_signal_says_which() -> None:
    result = await run_child(ChildSpec(["sh", "-c", "kill -SEGV $$"], ENV))
    assert (result.exit_code, result.signal) == (-1, "SIGSEGV")


async def test_a_hundred_megabytes_of_output_are_cut_and_never_block_the_command() -> None:
    code = "import sys\nfor _ in range(100): sys.stdout.write('x' * (1 << 20))\nsys.stderr.write('done')"
    with trio.fail_after(60):
        result = await run_child(ChildSpec(python(code), ENV, output_bytes_max=1000))
    assert result.stdout == b"x" * 1000
    assert result.stdout_truncated
    assert result.stderr == b"done"
    assert not result.stderr_truncated
    assert result.exit_code == 0


async def test_output_of_exactly_the_limit_is_whole() -> None:
    result = await run_child(ChildSpec(["printf", "12345"], ENV, output_bytes_max=5))
    assert (result.stdout, result.stdout_truncated) == (b"12345", False)


async def test_a_big_input_that_nobody_reads_is_no_error() -> None:
    result = await run_child(ChildSpec(["true"], ENV, stdin=b"x" * (4 << 20)))
    assert result.exit_code == 0


async def test_a_big_input_arrives_whole() -> None:
    result = await run_child(ChildSpec(["wc", "-c"], ENV, stdin=b"x" * (4 << 20)))
    assert int(result.stdout) == 4 << 20


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES.keys())
async def test_nothing_survives_the_end_of_its_command(escape: str, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    wait = "\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.005)"
    with trio.fail_after(20):
        result = await run_child(ChildSpec(python(ESCAPE_CODE + escape + wait, str(pid_file)), ENV))
    assert result.exit_code == 0
    assert not is_alive(read_pid(pid_file))


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES.keys())
async def test_nothing_survives_a_timeout(escape: str, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    argv = python(ESCAPE_CODE + escape + "\ntime.sleep(600)", str(pid_file))
    with trio.fail_after(20):
        result = await run_child(ChildSpec(argv, ENV, timeout_s=2, grace_s=0))
    assert result.killed
    assert result.exit_code == -1
    assert not is_alive(read_pid(pid_file))


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES.keys())
async def test_nothing_survives_a_cancellation(escape: str, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    argv = python(ESCAPE_CODE + escape + "\ntime.sleep(600)", str(pid_file))
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_child, ChildSpec(argv, ENV, grace_s=0.05))
            pid = await pid_in(pid_file)
            nursery.cancel_scope.cancel()
    assert not is_alive(pid)


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES.keys())
async def test_nothing_survives_a_child_that_kills_its_supervisor(
    escape: str, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    argv = python(ESCAPE_CODE + escape + "\ntime.sleep(600)", str(pid_file))
    children_dir = tmp_path / "children"
    children_dir.mkdir()
    caught: list[OpcodeError] = []

    async def run() -> None:
        try:
            await run_child(ChildSpec(argv, ENV | MARKER), children_dir=children_dir)
        except OpcodeError as error:
            caught.append(error)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            pid = await pid_in(pid_file)
            (record,) = names_in(children_dir)
            os.kill(int(record.partition("-")[0]), signal.SIGKILL)
    assert caught[0].code is ErrorCode.ISOLATION_ERROR
    assert not is_alive(pid)
    assert names_in(children_dir) == []


async def test_a_timeout_of_zero_starts_nothing_and_is_no_fault_of_the_supervisor(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "ran"
    with trio.fail_after(5):
        result = await run_child(ChildSpec(["touch", str(mark)], ENV, timeout_s=0))
    assert (result.killed, result.exit_code) == (True, -1)
    assert not is_there(mark)


async def test_an_order_that_is_cut_short_by_a_cancellation_ends_at_once(tmp_path: Path) -> None:
    """The environment is larger than the socket takes at once."""
    big = {f"N{number}": "x" * 100_000 for number in range(10)}
    with trio.fail_after(8):
        for delay_s in (0.005, 0.01, 0.02, 0.03):
            with trio.move_on_after(delay_s):
                await run_child(ChildSpec(["sleep", "600"], ENV | big), children_dir=tmp_path)
    assert names_in(tmp_path) == []


async def test_a_record_that_cannot_be_written_is_named_and_nothing_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with pytest.raises(OpcodeError, match=r"did not start.*No such file") as caught:
        await run_child(ChildSpec(["touch", str(mark)], ENV), children_dir=tmp_path / "missing")
    assert caught.value.code is ErrorCode.ISOLATION_ERROR
    assert not is_there(mark)


async def test_a_command_may_end_itself_within_the_grace() -> None:
    code = "trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.01; done"
    result = await run_child(ChildSpec(["sh", "-c", code], ENV, timeout_s=0.5, grace_s=5))
    assert result.killed
    assert result.stdout == b"up\ntidy\n"
    assert result.duration_s < 4


async def test_a_fork_bomb_ends_with_its_step() -> None:
    code = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(7):
    os.fork()
while True:
    if os.fork() == 0:
        os._exit(0)
    os.waitpid(-1, os.WNOHANG)
"""
    marker = MARKER | {"OPCODE_WORKFLOW_ID": f"bomb-{OWN}"}
    with trio.fail_after(60):
        result = await run_child(ChildSpec(python(code), ENV | marker, timeout_s=0.5, grace_s=0))
    assert result.killed
    assert processes_with(b"OPCODE_WORKFLOW_ID=bomb-" + OWN.encode()) == []


def processes_with(entry: bytes) -> list[int]:
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if entry in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                found.append(int(name))
        except OSError:
            continue
    return found


async def test_a_stream_that_something_outside_keeps_open_does_not_hold_the_step(
    tmp_path: Path,
) -> None:
    """The command hands its stdout to this process over a socket, so that its end never comes."""
    code = """
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    print("here", flush=True)
    socket.send_fds(s, [b"x"], [1])
    s.recv(1)
"""
    path = str(tmp_path / "s")
    taken: list[int] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def take() -> None:
            connection, _ = server.accept()
            with connection:
                taken.extend(socket.recv_fds(connection, 1, 1)[1])
                connection.sendall(b"x")

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, take)
                result = await run_child(ChildSpec(python(code, path), ENV))
    assert taken
    os.close(taken[0])
    assert result.stdout == b"here\n"
    assert result.exit_code == 0


async def test_forty_commands_at_once_all_end_and_leave_no_record(tmp_path: Path) -> None:
    codes: list[int] = []

    async def one(number: int) -> None:
        spec = ChildSpec(["sh", "-c", f"exit {number}"], ENV)
        codes.append((await run_child(spec, children_dir=tmp_path)).exit_code)

    before = len(os.listdir("/proc/self/fd"))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(one, number)
    assert sorted(codes) == list(range(40))
    assert names_in(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_cancellation_at_any_moment_of_the_start_leaves_nothing(tmp_path: Path) -> None:
    """The deadline falls a little later each time, from before the fork to after the exec."""
    marker = MARKER | {"OPCODE_WORKFLOW_ID": f"early-{OWN}"}
    with trio.fail_after(60):
        for step in range(30):
            with trio.move_on_after(step * 0.002):
                await run_child(
                    ChildSpec(["sleep", "600"], ENV | marker, grace_s=0), children_dir=tmp_path
                )
            assert processes_with(b"OPCODE_WORKFLOW_ID=early-" + OWN.encode()) == []
    assert names_in(tmp_path) == []
