"""Opening below a directory: by the kernel and part by part it is the same, and no link is followed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from opcode_runtime.actions import beneath
from opcode_runtime.actions.beneath import HANDLE, Opener, kernel_beneath, reopen, walk_beneath

OPENERS = {"by the kernel": kernel_beneath, "part by part": walk_beneath}


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[request.param]


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "top/a/b").mkdir(parents=True)
    (tmp_path / "top/a/b/file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    for name, target in (
        ("up", ".."),
        ("own", "a"),
        ("a/file", "b/file"),
        ("absolute", str(tmp_path)),
        ("magic", "/proc/self/root"),
        ("loop", "loop"),
    ):
        (tmp_path / "top" / name).symlink_to(target)
    fd = os.open(tmp_path / "top", HANDLE | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_files_and_folders_are_opened(opener: Opener, top: int) -> None:
    fd = opener(top, "a/b/file", os.O_RDONLY)
    assert os.read(fd, 10) == b"inside"
    assert not os.get_inheritable(fd)
    os.close(fd)
    fd = opener(top, "a/b", HANDLE | os.O_DIRECTORY)
    assert stat.S_ISDIR(os.fstat(fd).st_mode)
    os.close(fd)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("up/secret", errno.ELOOP),
        ("own/b/file", errno.ELOOP),
        ("own", errno.ELOOP),
        ("a/file", errno.ELOOP),
        ("absolute/secret", errno.ELOOP),
        ("magic", errno.ELOOP),
        ("loop", errno.ELOOP),
        ("../secret", errno.EXDEV),
        ("a/../../secret", errno.EXDEV),
        ("a/b/none", errno.ENOENT),
        ("a/b/file/none", errno.ENOTDIR),
        ("x" * 300, errno.ENAMETOOLONG),
    ],
)
@pytest.mark.parametrize("flags", [os.O_RDONLY, HANDLE])
def test_neither_links_nor_dots_lead_anywhere(
    path: str, code: int, flags: int, opener: Opener, top: int
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"^\[Errno") as caught:
        opener(top, path, flags)
    assert caught.value.errno == code
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_empty_path_is_the_directory_itself(top: int) -> None:
    for path in ("", "."):
        fd = beneath.open_beneath(top, path, os.O_RDONLY | os.O_DIRECTORY)
        assert "own" in os.listdir(fd)
        os.close(fd)


def test_what_a_handle_has_is_opened_even_when_its_name_leads_elsewhere_now(
    top: int, tmp_path: Path
) -> None:
    handle = beneath.open_beneath(top, "a/b/file", HANDLE)
    (tmp_path / "top/a/b/file").unlink()
    (tmp_path / "top/a/b/file").symlink_to(tmp_path / "secret")
    fd = reopen(handle, os.O_RDONLY)
    assert os.read(fd, 10) == b"inside"
    os.close(fd)
    os.close(handle)


def test_the_kernel_is_asked_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    beneath._opener.cache_clear()
    assert beneath._opener() is kernel_beneath

    def refuse(*_args: object) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(beneath, "kernel_beneath", refuse)
    beneath._opener.cache_clear()
    assert beneath._opener() is walk_beneath
    beneath._opener.cache_clear()
