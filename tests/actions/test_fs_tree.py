"""fs.stat, fs.delete and fs.copy on real files, and what they share with fs.move."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call, perform
from opcode_runtime.actions.tree import DEPTH_MAX
from opcode_runtime.model.errors import ErrorCode
from tests.actions.attempts import REGISTRY, denied, error, output
from tests.actions.trees import contents, make_tree


@pytest.fixture
def call(tmp_path: Path) -> Call:
    return Call(cwd=tmp_path)


async def test_a_file_is_described(call: Call, tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("12345")
    target.chmod(0o640)
    os.utime(target, (0, 1_700_000_000.9))
    (tmp_path / "link").symlink_to("a")
    described = {
        "path": str(target),
        "size": 5,
        "modified_at": "2023-11-14T22:13:20Z",
        "is_dir": False,
        "permissions": "0640",
        "truncated": False,
    }
    assert await output("fs.stat", call, path="a") == described
    assert await output("fs.stat", call, path="link") == described


async def test_the_size_of_a_directory_is_that_of_all_files_in_it(
    call: Call, tmp_path: Path
) -> None:
    size = make_tree(tmp_path / "t")
    got = await output("fs.stat", call, path="t")
    assert (got["size"], got["is_dir"], got["truncated"]) == (size, True, False)


async def test_what_is_not_counted_of_a_directory_is_said(call: Call, tmp_path: Path) -> None:
    make_tree(tmp_path / "t")
    (tmp_path / "t/sub/inner/d").write_bytes(bytes(10_000))
    for settings in (
        ActionSettings(deny_paths=(str(tmp_path / "t/sub/inner"),)),
        ActionSettings(tree_entries_max=3),
    ):
        got = await output("fs.stat", Call(cwd=tmp_path, settings=settings), path="t")
        assert (got["size"] < 10_000, got["truncated"]) == (True, True)


async def test_what_is_missing_is_an_execution_error_that_names_it(call: Call) -> None:
    for name, params in (
        ("fs.stat", {"path": "gone"}),
        ("fs.copy", {"src": "gone", "dst": "x"}),
        ("fs.move", {"src": "gone", "dst": "x"}),
    ):
        info = await error(name, call, **params)
        assert info.code is ErrorCode.EXECUTION_ERROR
        assert "'gone'" in info.message
        assert "No such file" in info.message


async def test_a_file_a_link_and_an_empty_directory_are_deleted(call: Call, tmp_path: Path) -> None:
    make_tree(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for name in ("a", "link", "broken", "empty", "pipe", "sub/../b"):
        got = await output("fs.delete", call, path=name)
        assert got == {"path": str(tmp_path / os.path.normpath(name)), "deleted": True}
    assert sorted(os.listdir(tmp_path)) == [".hidden", "sub"]
    assert contents(tmp_path / "sub")["c"] == "sub/c" * 3


async def test_a_directory_with_something_in_it_is_deleted_only_when_asked_to(
    call: Call, tmp_path: Path
) -> None:
    make_tree(tmp_path / "t")
    before = contents(tmp_path)
    assert "not empty" in (await error("fs.delete", call, path="t")).message
    assert contents(tmp_path) == before
    await output("fs.delete", call, path="t", recursive=True)
    assert contents(tmp_path) == {}


async def test_links_in_a_deleted_directory_take_nothing_along(call: Call, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    make_tree(tmp_path / "kept")
    before = contents(tmp_path / "kept")
    (tmp_path / "t/link").symlink_to(tmp_path / "kept")
    (tmp_path / "top").symlink_to(tmp_path / "kept")
    await output("fs.delete", call, path="t", recursive=True)
    await output("fs.delete", call, path="top", recursive=True)
    assert contents(tmp_path) == {"kept": None, **{f"kept/{k}": v for k, v in before.items()}}


async def test_deleting_what_is_not_there_fails_for_good_unless_recursive(call: Call) -> None:
    for path in ("gone", "gone/too"):
        info = await error("fs.delete", call, path=path)
        assert (info.code, info.retryable) == (ErrorCode.NON_RETRYABLE, False)
        assert (await output("fs.delete", call, path=path, recursive=True))["deleted"] is True


async def test_a_later_attempt_that_finds_nothing_has_reached_its_goal(tmp_path: Path) -> None:
    got = await output("fs.delete", Call(attempt=2, cwd=tmp_path), path="gone")
    assert got["deleted"] is True


async def test_the_root_of_the_file_system_is_not_deleted(call: Call) -> None:
    for path in ("/", "/usr/..", "//"):
        info = await error("fs.delete", call, path=path, recursive=True)
        assert info.code is ErrorCode.VALIDATION_ERROR


async def test_device_nodes_are_neither_deleted_nor_copied_nor_replaced(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("x")
    for name, params in (
        ("fs.delete", {"path": "/dev/null"}),
        ("fs.copy", {"src": "/dev/zero", "dst": "zero"}),
        ("fs.copy", {"src": "a", "dst": "/dev/null"}),
        ("fs.move", {"src": "/dev/null", "dst": "null"}),
        ("fs.move", {"src": "a", "dst": "/dev/null"}),
        ("fs.stat", {"path": "/dev/full"}),
    ):
        assert "no setting allows it" in await denied(name, call, **params)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert os.listdir(tmp_path) == ["a"]


async def test_a_file_is_copied_with_its_mode(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 10_000)
    (tmp_path / "a").chmod(0o750)
    got = await output("fs.copy", call, src="a", dst="b")
    assert got == {
        "src": str(tmp_path / "a"),
        "dst": str(tmp_path / "b"),
        "size": 2_560_000,
        "is_dir": False,
    }
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o750


async def test_a_copy_replaces_a_file_at_once_and_does_not_write_into_it(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    with open(tmp_path / "b") as reader:
        await output("fs.copy", call, src="a", dst="b")
        assert reader.read() == "old"
    assert (tmp_path / "b").read_text() == "new"


async def test_a_file_without_a_size_of_its_own_is_copied_whole(call: Call, tmp_path: Path) -> None:
    got = await output("fs.copy", call, src="/proc/version", dst="v")
    assert got["size"] == len((tmp_path / "v").read_bytes()) > 0


async def test_a_directory_is_copied_with_links_as_links(call: Call, tmp_path: Path) -> None:
    size = make_tree(tmp_path / "t")
    got = await output("fs.copy", call, src="t", dst="u")
    assert (got["size"], got["is_dir"]) == (size, True)
    assert contents(tmp_path / "u") == contents(tmp_path / "t")
    assert stat.S_IMODE((tmp_path / "u/a").stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["t", "u"]


async def test_a_copy_is_merged_into_a_directory_that_is_there(call: Call, tmp_path: Path) -> None:
    size = make_tree(tmp_path / "t")
    (tmp_path / "u/sub").mkdir(parents=True)
    for name in ("kept", "b", "sub/kept"):
        (tmp_path / "u" / name).write_text("old")
    assert (await output("fs.copy", call, src="t", dst="u"))["size"] == size
    merged = contents(tmp_path / "t") | {"kept": "old", "sub/kept": "old"}
    assert contents(tmp_path / "u") == merged


async def test_a_directory_is_copied_into_the_one_around_it(call: Call, tmp_path: Path) -> None:
    make_tree(tmp_path / "out/t")
    await output("fs.copy", call, src="out/t", dst="out")
    copied = {k: v for k, v in contents(tmp_path / "out").items() if not k.startswith("t")}
    assert copied == contents(tmp_path / "out/t")


@pytest.mark.parametrize("there", ["file", "directory", "link to a directory", "pipe"])
async def test_a_merge_that_cannot_be_whole_changes_nothing(
    there: str, call: Call, tmp_path: Path
) -> None:
    make_tree(tmp_path / "t")
    (tmp_path / "u").mkdir()
    (tmp_path / "u/b").write_text("old")
    (tmp_path / "other").mkdir()
    match there:
        case "file":
            (tmp_path / "u/sub").write_text("a file where a directory is to be")
        case "directory":
            (tmp_path / "u/sub/c").mkdir(parents=True)
        case "link to a directory":
            (tmp_path / "u/sub").symlink_to(tmp_path / "other")
        case _:
            (tmp_path / "u/sub").mkdir()
            os.mkfifo(tmp_path / "u/sub/c")
    names = sorted(str(path) for path in tmp_path.rglob("*"))
    info = await error("fs.copy", call, src="t", dst="u")
    assert info.code is ErrorCode.EXECUTION_ERROR
    assert sorted(str(path) for path in tmp_path.rglob("*")) == names
    assert (tmp_path / "u/b").read_text() == "old"


@pytest.mark.parametrize("name", ["fs.copy", "fs.move"])
@pytest.mark.parametrize("dst", ["t", "t/inside", "t/sub/deep/er", "./t/../t", "other/into"])
async def test_nothing_is_put_into_itself(name: str, dst: str, call: Call, tmp_path: Path) -> None:
    make_tree(tmp_path / "t")
    (tmp_path / "other").symlink_to("t/sub")
    before = contents(tmp_path)
    info = await error(name, call, src="t", dst=dst, create_dirs=True)
    assert info.code is ErrorCode.VALIDATION_ERROR
    assert contents(tmp_path) == before


async def test_a_name_that_only_begins_the_same_is_another_place(
    call: Call, tmp_path: Path
) -> None:
    make_tree(tmp_path / "t")
    await output("fs.copy", call, src="t", dst="t2")
    await output("fs.move", call, src="t", dst="t3")
    assert contents(tmp_path / "t2") == contents(tmp_path / "t3")


@pytest.mark.parametrize("name", ["fs.copy", "fs.move"])
async def test_the_way_there_is_made_on_demand_only(name: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    info = await error(name, call, src="a", dst="x/y/a")
    assert info.code is ErrorCode.EXECUTION_ERROR
    await output(name, call, src="a", dst="x/y/a", create_dirs=True)
    assert (tmp_path / "x/y/a").read_text() == "x"


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1644])
async def test_a_file_with_special_mode_bits_is_not_copied(
    mode: int, call: Call, tmp_path: Path
) -> None:
    make_tree(tmp_path / "t")
    (tmp_path / "t/sub/c").chmod(mode)
    for src in ("t", "t/sub/c"):
        info = await error("fs.copy", call, src=src, dst="u")
        assert info.code is ErrorCode.PERMISSION_DENIED
    assert os.listdir(tmp_path) == ["t"]


@pytest.mark.parametrize("kind", ["pipe", "too deep", "disk full"])
@pytest.mark.parametrize("into", ["new", "there"])
async def test_a_copy_that_fails_in_the_middle_leaves_nothing(
    kind: str, into: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tmp_path / "t")
    (tmp_path / "there").mkdir()
    if kind == "pipe":
        os.mkfifo(tmp_path / "t/sub/pipe")
    elif kind == "too deep":
        (tmp_path / "t" / "/".join(["d"] * (DEPTH_MAX + 1))).mkdir(parents=True)
    else:
        monkeypatch.setattr("opcode_runtime.actions.copying.os.fsync", disk_is_full(after=3))
    info = await error("fs.copy", call, src="t", dst=into)
    assert info.code is ErrorCode.EXECUTION_ERROR
    assert sorted(os.listdir(tmp_path)) == ["t", "there"]
    assert os.listdir(tmp_path / "there") == []


def disk_is_full(after: int) -> Any:
    """An fsync that finds the disk full after a few calls."""
    left = [after]

    def fsync(_fd: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, os.strerror(28))

    return fsync


@pytest.mark.parametrize("into", ["new", "there"])
async def test_a_copy_that_takes_too_long_ends_and_leaves_nothing(
    into: str, tmp_path: Path
) -> None:
    """A file of many gigabytes, all hole: reading it takes far longer than the deadline."""
    (tmp_path / "t").mkdir()
    (tmp_path / "there").mkdir()
    with open(tmp_path / "t/huge", "wb") as file:
        file.truncate(1 << 40)
    settings = ActionSettings(copy_bytes_max=1 << 41)
    call = Call(cwd=tmp_path, timeout_s=0.3, settings=settings)
    info = await error("fs.copy", call, src="t", dst=into)
    assert info.code is ErrorCode.TIMEOUT_ERROR
    assert sorted(os.listdir(tmp_path)) == ["t", "there"]
    assert os.listdir(tmp_path / "there") == []


async def test_what_a_killed_attempt_left_is_removed_by_the_next(tmp_path: Path) -> None:
    make_tree(tmp_path / "t")
    name = f".{hashlib.sha256(b'the key').hexdigest()[:16]}.partial"
    make_tree(tmp_path / name)
    call = Call(attempt=2, cwd=tmp_path, idempotency_key="the key")
    await output("fs.copy", call, src="t", dst="u")
    assert sorted(os.listdir(tmp_path)) == ["t", "u"]
    assert contents(tmp_path / "u") == contents(tmp_path / "t")


async def test_copying_and_recursive_deleting_twice_ends_as_once(
    call: Call, tmp_path: Path
) -> None:
    make_tree(tmp_path / "t")
    for _ in range(2):
        await output("fs.copy", call, src="t", dst="u")
        assert contents(tmp_path / "u") == contents(tmp_path / "t")
    for _ in range(2):
        await output("fs.delete", call, path="u", recursive=True)
        assert os.listdir(tmp_path) == ["t"]


async def test_under_a_virtual_clock_trees_are_handled_too(
    call: Call, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    make_tree(tmp_path / "t")
    await output("fs.copy", call, src="t", dst="u")
    await output("fs.move", call, src="u", dst="v")
    await output("fs.delete", call, path="v", recursive=True)
    assert os.listdir(tmp_path) == ["t"]


async def test_many_copies_at_once_do_not_disturb_each_other(call: Call, tmp_path: Path) -> None:
    make_tree(tmp_path / "t")
    async with trio.open_nursery() as nursery:
        for number in range(8):
            params = {"src": "t", "dst": f"u{number % 4}"}
            nursery.start_soon(perform, REGISTRY.get("fs.copy"), params, Call(cwd=tmp_path))
    for number in range(4):
        whole = contents(tmp_path / f"u{number}")
        assert whole == contents(tmp_path / "t")
    assert sorted(os.listdir(tmp_path)) == ["t", "u0", "u1", "u2", "u3"]
