"""Control groups: on a tree of plain files, and with the kernel's own where it lets us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from opcode_runtime.sandbox import ChildLimits, ChildSpec, Confinement, _levels, run_child, sweep
from opcode_runtime.sandbox._cgroup import Group, GroupLimits, GroupTree, delegated_root

MOUNTS = "30 23 0:26 / {} rw,nosuid - cgroup2 cgroup2 rw\n"


@pytest.fixture
def tree(tmp_path: Path) -> GroupTree:
    """A subtree as a service manager hands it over; files that the kernel would make are made by writing."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    (tmp_path / "cgroup.procs").write_text("11\n12\n")
    return GroupTree(tmp_path)


def text(path: Path) -> str:
    return path.read_text()


def test_the_daemon_moves_out_of_the_way_before_the_controllers_are_handed_down(
    tree: GroupTree,
) -> None:
    assert tree.prepare() == {"cpu", "memory", "pids"}
    assert text(tree.root / "daemon" / "cgroup.procs") == "12"
    assert text(tree.root / "cgroup.subtree_control") == "+pids"  # the last of three lines written


def test_the_limits_of_a_group_are_written_in_the_kernels_words(tree: GroupTree) -> None:
    group = tree.create("one", GroupLimits(1 << 20, 50, 150))
    assert text(group.directory / "memory.max") == "1048576"
    assert text(group.directory / "pids.max") == "50"
    assert text(group.directory / "cpu.max") == "150000 100000"
    assert not (group.directory / "memory.swap.max").exists()


def test_a_group_without_limits_writes_none(tree: GroupTree) -> None:
    assert os.listdir(tree.create("one", GroupLimits()).directory) == []


def test_a_group_that_does_not_take_its_limits_leaves_nothing(tree: GroupTree) -> None:
    tree.create("one", GroupLimits())
    with pytest.raises(OSError, match="one"):
        tree.create("one", GroupLimits(1))


def test_a_group_is_removed_with_those_inside_it_and_twice_does_no_harm(tree: GroupTree) -> None:
    group = tree.create("one", GroupLimits())
    (group.directory / "a" / "b").mkdir(parents=True)
    group.kill()
    (group.directory / "cgroup.kill").unlink()
    assert group.remove()
    assert not group.directory.exists()
    assert group.remove()


@pytest.mark.parametrize(
    ("own", "is_root", "found"),
    [
        ("0::/unit\n", False, "unit"),
        ("0::/unit/daemon\n", False, "unit"),
        ("3:cpu:/x\n0::/unit\n", False, "unit"),
        ("0::/\n", False, None),
        ("3:cpu:/x\n", False, None),
        ("0::/unit\n", True, None),
    ],
)
def test_only_a_subtree_that_was_handed_over_is_used(
    own: str, is_root: bool, found: str | None, tmp_path: Path
) -> None:
    (tmp_path / "unit" / "daemon").mkdir(parents=True)
    (tmp_path / "unit" / "cgroup.procs").write_text("")
    root = delegated_root(MOUNTS.format(tmp_path), own, is_root=is_root)
    assert root == (None if found is None else tmp_path / found)


def test_without_version_two_there_is_no_subtree() -> None:
    assert (
        delegated_root("30 23 0:26 / /x rw - cgroup cgroup rw,cpu\n", "0::/u\n", is_root=False)
        is None
    )


def test_the_mark_of_delegation_counts_for_root_too(tmp_path: Path) -> None:
    unit = tmp_path / "unit"
    unit.mkdir()
    try:
        os.setxattr(unit, "user.delegate", b"1")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error}")
    assert delegated_root(MOUNTS.format(tmp_path), "0::/unit\n", is_root=True) == unit


@pytest.fixture
def real(tmp_path: Path) -> Iterator[GroupTree]:
    """A subtree of the kernel's; made by root alone, and without the controllers that version 1 has taken."""
    if sys.platform != "linux":
        pytest.skip("control groups are Linux's")
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    point = next((line.split()[4] for line in lines if " - cgroup2 " in line), None)
    folder = Path(point or "/nonexistent") / f"opcode-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield GroupTree(folder)
    for inner in (*folder.rglob("*/"), folder):
        Group(inner).kill()
        assert Group(inner).remove()


def test_the_kernel_kills_a_whole_group_at_once(real: GroupTree) -> None:
    group = real.create("one", GroupLimits())
    fd = group.open_procs()
    script = f"echo 0 >&{fd}; setsid sleep 600 & setsid sleep 600 & echo up; wait"
    process = subprocess.Popen(["bash", "-c", script], pass_fds=(fd,), stdout=subprocess.PIPE)
    os.close(fd)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    assert len((group.directory / "cgroup.procs").read_text().split()) == 3
    assert not group.remove()
    group.kill()
    process.communicate(timeout=10)
    while (group.directory / "cgroup.procs").read_text():
        pass
    assert group.remove()


@pytest.mark.parametrize("level", ["rlimits", "bwrap"])
async def test_a_command_runs_in_a_group_of_its_own_which_goes_with_it(
    level: str, real: GroupTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    if level == "bwrap" and not _levels.machine()[2].available:
        pytest.skip("no bwrap")
    monkeypatch.setattr(
        real, "_ready", frozenset()
    )  # this process is not in it, and stays where it is
    monkeypatch.setattr(_levels, "group_tree", lambda: real)
    fence = Confinement(level, group=True)  # type: ignore[arg-type]
    spec = ChildSpec(["cat", "/proc/self/cgroup"], {"PATH": "/usr/bin:/bin"}, confinement=fence)
    with trio.fail_after(20):
        result = await run_child(spec)
    assert b"step-" in result.stdout
    assert [path.name for path in real.root.iterdir() if path.is_dir()] == []


async def test_a_sweep_removes_the_group_of_a_tree_that_is_dead(
    real: GroupTree, tmp_path: Path
) -> None:
    group = real.create("left", GroupLimits())
    (tmp_path / "1-1").write_bytes(b"999999 1\n\n%s\n" % os.fsencode(group.directory))
    await sweep(tmp_path, deadline_s=2)
    assert not group.directory.exists()


async def test_without_a_group_the_memory_of_each_process_is_bounded() -> None:
    fence = Confinement(limits=ChildLimits(memory_bytes=200 << 20))
    code = "import mmap; mmap.mmap(-1, 300 << 20)"
    argv = [os.path.realpath(sys.executable), "-I", "-S", "-c", code]
    result = await run_child(ChildSpec(argv, {}, confinement=fence))
    assert b"Cannot allocate memory" in result.stderr
