"""fs.move on real files, also between file systems."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.actions import Call
from opcode_runtime.model.errors import ErrorCode
from tests.actions.attempts import error, output
from tests.actions.trees import contents, make_tree


@pytest.fixture
def call(tmp_path: Path) -> Call:
    return Call(cwd=tmp_path)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    folder = shared / f"opcode-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


async def test_a_file_a_link_and_a_directory_are_moved(call: Call, tmp_path: Path) -> None:
    size = make_tree(tmp_path / "t")
    before = contents(tmp_path / "t")
    inode = (tmp_path / "t/sub/c").stat().st_ino
    got = await output("fs.move", call, src="t", dst="u")
    assert got == {
        "src": str(tmp_path / "t"),
        "dst": str(tmp_path / "u"),
        "size": size,
        "is_dir": True,
    }
    assert contents(tmp_path / "u") == before
    assert (tmp_path / "u/sub/c").stat().st_ino == inode
    moved = await output("fs.move", call, src="u/sub/c", dst="c")
    assert (moved["size"], moved["is_dir"]) == (15, False)
    moved = await output("fs.move", call, src="u/link", dst="link")
    assert (moved["size"], os.readlink(tmp_path / "link")) == (0, "sub")


async def test_a_move_replaces_a_file_and_an_empty_directory_and_nothing_else(
    call: Call, tmp_path: Path
) -> None:
    make_tree(tmp_path / "t")
    for name in ("file", "file2"):
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full/x").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    before = contents_of_files(tmp_path)
    for src, dst in (("t", "full"), ("t", "file"), ("file", "empty"), ("file", "pipe")):
        info = await error("fs.move", call, src=src, dst=dst)
        assert info.code is ErrorCode.EXECUTION_ERROR, (src, dst)
    assert contents_of_files(tmp_path) == before
    await output("fs.move", call, src="file", dst="file2")
    await output("fs.move", call, src="t", dst="empty")
    assert (tmp_path / "file2").read_text() == "file"
    assert sorted(os.listdir(tmp_path)) == ["empty", "file2", "full", "pipe"]


def contents_of_files(root: Path) -> dict[str, str]:
    return {str(p): p.read_text() for p in sorted(root.rglob("*")) if p.is_file()}


async def test_a_move_to_another_file_system_keeps_modes_and_times(
    call: Call, tmp_path: Path, elsewhere: Path
) -> None:
    size = make_tree(tmp_path / "t")
    before = contents(tmp_path / "t")
    (tmp_path / "t/a").chmod(0o666)
    os.utime(tmp_path / "t/a", (1, 1_700_000_000))
    got = await output("fs.move", call, src="t", dst=str(elsewhere / "u"))
    assert (got["size"], got["is_dir"]) == (size, True)
    assert contents(elsewhere / "u") == before
    status = (elsewhere / "u/a").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o666, 1_700_000_000)
    assert os.listdir(tmp_path) == []
    for name in ("link", "a"):
        await output("fs.move", call, src=str(elsewhere / "u" / name), dst=name)
    assert sorted(os.listdir(tmp_path)) == ["a", "link"]
    assert not os.path.lexists(elsewhere / "u/link")


async def test_a_move_that_cannot_be_finished_elsewhere_leaves_all_where_it_was(
    call: Call, tmp_path: Path, elsewhere: Path
) -> None:
    make_tree(tmp_path / "t")
    os.mkfifo(tmp_path / "t/sub/pipe")
    names = sorted(str(path) for path in tmp_path.rglob("*"))
    info = await error("fs.move", call, src="t", dst=str(elsewhere / "u"))
    assert info.code is ErrorCode.EXECUTION_ERROR
    (elsewhere / "full/x").mkdir(parents=True)
    (tmp_path / "t/sub/pipe").unlink()
    info = await error("fs.move", call, src="t", dst=str(elsewhere / "full"))
    assert info.code is ErrorCode.EXECUTION_ERROR
    assert [n for n in names if not n.endswith("pipe")] == sorted(
        str(path) for path in tmp_path.rglob("*")
    )
    assert contents(elsewhere) == {"full": None, "full/x": None}


async def test_any_other_error_of_a_rename_is_not_answered_with_a_copy(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tmp_path / "t")

    def busy(*_names: Any, **_directories: Any) -> None:
        raise OSError(16, os.strerror(16))

    monkeypatch.setattr("opcode_runtime.actions.fs_tree.os.rename", busy)
    assert "busy" in (await error("fs.move", call, src="t", dst="u")).message
    assert os.listdir(tmp_path) == ["t"]
