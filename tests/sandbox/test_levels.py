"""Every level: the tree of a command ends with it, however it ends; and what is demanded is there, or nothing runs."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import trio

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.sandbox import (
    LEVELS,
    ChildLimits,
    ChildSpec,
    Confinement,
    Fitness,
    Level,
    _levels,
    level_for,
    machine,
    run_child,
    sweep,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the levels are those of Linux")

# A marker of its own: whoever ends one tree by its marker is to leave those of another run of these tests alone.
MARKER = {"OPCODE_WORKFLOW_ID": uuid4().hex, "OPCODE_STEP_ID": "tree", "OPCODE_ATTEMPT": "1"}
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", **MARKER}
PYTHON = os.path.realpath(sys.executable)
# A command that leaves a child in a session of its own and a daemon that forked twice, all deaf to SIGTERM. Each marks
# a file every moment: what lives can be seen from outside, where pids are others.
TREE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
name = "command"
if os.fork() == 0:
    os.setsid()
    name = "child"
    if os.fork() == 0:
        os.setpgid(0, 0)
        name = "grandchild"
path = os.path.join(sys.argv[1], name)
while True:
    with open(path, "w") as file:
        file.write(str(time.monotonic_ns()))
    time.sleep(0.005)
"""
NAMES = ("command", "child", "grandchild")
DAEMON = """
import sys, trio
from pathlib import Path
from opcode_runtime.sandbox import ChildSpec, Confinement, run_child
argv = [sys.argv[3], "-I", "-S", "-c", sys.argv[4], sys.argv[2]]
env = {"PATH": "/usr/bin:/bin", "OPCODE_WORKFLOW_ID": sys.argv[6], "OPCODE_STEP_ID": "a", "OPCODE_ATTEMPT": "2"}
spec = ChildSpec(argv, env, confinement=Confinement(sys.argv[5]))
trio.run(lambda: run_child(spec, children_dir=Path(sys.argv[1])))
"""


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    """Each level that the machine has; with OPCODE_CI=full it must have all."""
    [fitness] = [each for each in machine() if each.level == request.param]
    if not fitness.available and os.environ.get("OPCODE_CI") == "full":
        pytest.fail(f"OPCODE_CI=full demands it: {fitness.why}", pytrace=False)
    if not fitness.available:
        pytest.skip(fitness.why)
    found: Level = request.param
    return found


def python(code: str, *args: str) -> list[str]:
    return [PYTHON, "-I", "-S", "-c", code, *args]


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.005)


def all_live(folder: Path) -> bool:
    """Whether each of the tree has left a mark."""
    return all((folder / name).exists() for name in NAMES)


async def nobody_lives(folder: Path) -> None:
    """Fail unless the marks have stopped: a moment much longer than between two of them brings no new one."""
    ended = time.monotonic_ns()
    await trio.sleep(0.1)
    marks = [int((folder / name).read_text() or 0) for name in NAMES]
    assert max(marks) < ended


def spec_of(level: Level, argv: list[str], **more: object) -> ChildSpec:
    return ChildSpec(argv, ENV, confinement=Confinement(level), **more)  # type: ignore[arg-type]


async def test_a_command_gives_its_output_code_and_signal_at_every_level(level: Level) -> None:
    result = await run_child(
        spec_of(level, ["sh", "-c", "cat; echo bad >&2; exit 137"], stdin=b"in")
    )
    assert (result.stdout, result.stderr, result.exit_code) == (b"in", b"bad\n", 137)
    assert result.signal is None
    killed = await run_child(spec_of(level, ["sh", "-c", "kill -SEGV $$"]))
    assert (killed.exit_code, killed.signal) == (-1, "SIGSEGV")


async def test_what_cannot_start_is_named_at_every_level(level: Level, tmp_path: Path) -> None:
    with pytest.raises(OpcodeError, match=r"no-such-command.*No such file"):
        await run_child(spec_of(level, ["no-such-command"]))
    with pytest.raises(OpcodeError, match=r"working directory.*gone"):
        await run_child(spec_of(level, ["true"], cwd=tmp_path / "gone"))


async def test_a_timeout_ends_the_whole_tree_at_every_level(level: Level, tmp_path: Path) -> None:
    spec = spec_of(level, python(TREE, str(tmp_path)), timeout_s=2.0, grace_s=0.0)
    with trio.fail_after(20):
        result = await run_child(spec)
    assert result.killed
    assert all_live(tmp_path)
    await nobody_lives(tmp_path)


async def test_a_cancellation_ends_the_whole_tree_at_every_level(
    level: Level, tmp_path: Path
) -> None:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_child, spec_of(level, python(TREE, str(tmp_path)), grace_s=0.02))
            await until(lambda: all_live(tmp_path))
            nursery.cancel_scope.cancel()
    await nobody_lives(tmp_path)


async def test_the_death_of_the_daemon_ends_the_whole_tree_at_every_level(
    level: Level, tmp_path: Path
) -> None:
    children, marks = tmp_path / "children", tmp_path / "marks"
    children.mkdir()
    marks.mkdir()
    argv = [
        sys.executable,
        "-c",
        DAEMON,
        str(children),
        str(marks),
        PYTHON,
        TREE,
        level,
        uuid4().hex,
    ]
    daemon = await trio.lowlevel.open_process(
        argv, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    await until(lambda: all_live(marks))
    daemon.kill()
    await daemon.wait()
    await sweep(children, deadline_s=10)
    await nobody_lives(marks)
    assert os.listdir(children) == []


async def test_the_death_of_the_supervisor_ends_the_whole_tree_at_every_level(
    level: Level, tmp_path: Path
) -> None:
    children, marks = tmp_path / "children", tmp_path / "marks"
    children.mkdir()
    marks.mkdir()
    caught: list[OpcodeError] = []

    async def run() -> None:
        try:
            await run_child(spec_of(level, python(TREE, str(marks))), children_dir=children)
        except OpcodeError as error:
            caught.append(error)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await until(lambda: all_live(marks))
            [record] = os.listdir(children)
            os.kill(int(record.partition("-")[0]), signal.SIGKILL)
    assert caught[0].code is ErrorCode.ISOLATION_ERROR
    await nobody_lives(marks)
    assert os.listdir(children) == []


async def test_only_a_level_with_roots_has_a_temporary_folder_of_its_own(
    level: Level, tmp_path: Path
) -> None:
    fence = Confinement(level, write=(str(tmp_path),))
    result = await run_child(ChildSpec(["sh", "-c", "echo $TMPDIR; echo x > $TMPDIR/x"], ENV,
                                       cwd=tmp_path, confinement=fence))  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, b"")
    folder = result.stdout.decode().strip()
    assert folder == "/tmp" if level == "bwrap" else not Path(folder).exists()


async def test_a_read_only_root_inside_a_writable_one_stays_read_only(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    script = "echo a > outer.txt; echo b > inner/x || echo refused"
    for level in ("landlock", "bwrap"):
        if not next(each for each in machine() if each.level == level).available:
            continue
        fence = Confinement(level, read=(str(tmp_path / "inner"),), write=(str(tmp_path),))
        (tmp_path / "outer.txt").write_text("")
        result = await run_child(
            ChildSpec(["sh", "-c", script], ENV, cwd=tmp_path, confinement=fence)
        )
        assert b"refused" in result.stdout
        assert os.listdir(tmp_path / "inner") == []


async def test_a_share_of_the_processor_needs_a_control_group() -> None:
    fence = Confinement(limits=ChildLimits(cpu_percent=50))
    with pytest.raises(OpcodeError, match="max_cpu_percent needs a control group") as caught:
        await run_child(ChildSpec(["true"], ENV, confinement=fence))
    assert caught.value.code is ErrorCode.ISOLATION_ERROR


def a_machine(*missing: str) -> tuple[Fitness, ...]:
    names = (*LEVELS, "cgroup", "network")
    return tuple(Fitness(name, name not in missing, f"no {name} here") for name in names)


@pytest.mark.parametrize(
    ("missing", "demands", "level"),
    [
        ((), {}, "bwrap+cgroup"),
        (("cgroup",), {}, "bwrap"),
        (("bwrap", "cgroup"), {}, "landlock"),
        (("bwrap", "landlock", "cgroup"), {}, "rlimits"),
        (("landlock", "cgroup"), {"minimum": ("landlock",)}, "bwrap"),
        (("cgroup",), {"wanted": "rlimits"}, "rlimits"),
        (("cgroup",), {"wanted": "landlock", "minimum": ("rlimits", None)}, "landlock"),
        (("cgroup", "network"), {"network": False}, "bwrap"),
    ],
)
def test_the_strongest_level_is_used_unless_another_is_asked_for(
    missing: tuple[str, ...],
    demands: dict[str, object],
    level: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_levels, "machine", lambda: a_machine(*missing))
    assert str(level_for(**demands)) == level  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("missing", "demands", "said"),
    [
        (("bwrap",), {"minimum": ("bwrap",)}, "no bwrap here"),
        (("bwrap", "landlock"), {"minimum": ("rlimits", "landlock")}, "no landlock here"),
        (("landlock",), {"wanted": "landlock"}, "no landlock here"),
        ((), {"wanted": "rlimits", "minimum": ("landlock",)}, "`isolation` says rlimits"),
        (("cgroup",), {"group": "required"}, "no cgroup here"),
        (("network", "bwrap"), {"network": False}, "no network here"),
    ],
)
def test_what_is_demanded_and_missing_is_refused_by_name(
    missing: tuple[str, ...], demands: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_levels, "machine", lambda: a_machine(*missing))
    with pytest.raises(OpcodeError, match=said) as caught:
        level_for(**demands)  # type: ignore[arg-type]
    assert caught.value.code is ErrorCode.ISOLATION_ERROR


def test_a_level_that_nobody_knows_is_the_callers_fault() -> None:
    with pytest.raises(OpcodeError, match="no isolation level") as caught:
        level_for(minimum=("chroot",))
    assert caught.value.code is ErrorCode.VALIDATION_ERROR


async def test_a_command_outlives_the_thread_that_started_it(
    level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal at the death of the parent would come when the pool lets its idle thread go."""
    from trio._core import _thread_cache

    monkeypatch.setattr(_thread_cache, "IDLE_TIMEOUT", 0.01)
    result = await run_child(spec_of(level, ["sh", "-c", "sleep 0.5; echo done"]))
    assert result.stdout == b"done\n"


# Leads a session on a terminal of its own, as a daemon that somebody started by hand does.
ON_A_TERMINAL = """
import os, pty, sys, trio
from opcode_runtime.sandbox import ChildSpec, Confinement, run_child
attempt = "import fcntl, os; fd = os.open('/dev/tty', os.O_RDWR); fcntl.ioctl(fd, 0x5412, b'x'); print('typed')"
argv = [os.path.realpath(sys.executable), "-I", "-S", "-c", attempt]
bare = trio.run(lambda: trio.run_process(argv, capture_stdout=True, capture_stderr=True, check=False))
spec = ChildSpec(argv, {}, confinement=Confinement(sys.argv[1]))
fenced = trio.run(run_child, spec)
print(bare.stdout.decode().strip(), "/", fenced.stdout.decode().strip(), "/", fenced.stderr.decode().splitlines()[-1:])
"""


async def test_a_command_cannot_type_on_the_terminal_of_the_daemon(level: Level) -> None:
    code = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    argv = [sys.executable, "-c", code, sys.executable, "-c", ON_A_TERMINAL, level]
    done = await trio.run_process(
        argv,
        capture_stdout=True,
        stdin=b"",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    [said] = [line for line in done.stdout.decode().splitlines() if " / " in line]
    bare, fenced, why = (part.strip() for part in said.split(" / "))
    if bare.endswith("typed"):  # a kernel may have forbidden it to everybody
        assert fenced == ""
    assert fenced == "", why
    assert "OSError" in why or "No such device" in why
