"""What the recursive fs.* actions may touch, and what they do while somebody exchanges directories for links."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call, perform
from opcode_runtime.actions.copying import copy_entry
from opcode_runtime.actions.file_kinds import status_in
from opcode_runtime.actions.paths import Fence
from opcode_runtime.actions.tree import Directory, opened, remove, survey
from opcode_runtime.model.errors import OpcodeError
from tests.actions.attempts import REGISTRY, denied, output


def fenced(cwd: Path, **settings: Any) -> Call:
    return Call(cwd=cwd, settings=ActionSettings(**settings))


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


EVERY: list[tuple[str, dict[str, Any]]] = [
    ("fs.delete", {"path": "top", "recursive": True}),
    ("fs.copy", {"src": "top", "dst": "new"}),
    ("fs.move", {"src": "top", "dst": "new"}),
    ("fs.copy", {"src": "good", "dst": "top"}),
]


@pytest.mark.parametrize(("name", "params"), EVERY)
async def test_one_denied_entry_anywhere_below_stops_all_before_it_begins(
    name: str, params: dict[str, Any], tmp_path: Path
) -> None:
    make(tmp_path, "top/a", "top/sub/secret/x", "top/z", "good/sub/secret/x", "good/a2")
    before = files(tmp_path)
    call = fenced(tmp_path, deny_paths=(str(tmp_path / "top/sub/secret"),))
    assert "`deny_paths`" in await denied(name, call, **params)
    assert files(tmp_path) == before


@pytest.mark.parametrize(("name", "params"), EVERY[:3])
async def test_a_home_with_keys_in_it_is_neither_deleted_nor_copied_nor_moved(
    name: str, params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "top/a", "top/.ssh/id", "top/data/journal")
    monkeypatch.setenv("HOME", str(tmp_path / "top"))
    assert "no setting allows it" in await denied(name, fenced(tmp_path), **params)
    monkeypatch.setenv("HOME", str(tmp_path))
    call = fenced(tmp_path, data_dir=str(tmp_path / "top/data"))
    assert "no setting allows it" in await denied(name, call, **params)
    assert files(tmp_path) == ["top/.ssh/id", "top/a", "top/data/journal"]


async def test_nothing_is_put_where_keys_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "evil/.ssh/authorized_keys", "evil/a", "home/x")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    call = fenced(tmp_path)
    await denied("fs.copy", call, src="evil", dst="home")
    await denied("fs.copy", call, src="evil/.ssh", dst="home/.ssh")
    await denied("fs.move", call, src="evil/.ssh", dst="home/.ssh")
    await denied("fs.copy", call, src="evil/a", dst="home/.ssh/a", create_dirs=True)
    assert files(tmp_path / "home") == ["x"]


async def test_roots_hold_for_both_ends(tmp_path: Path) -> None:
    make(tmp_path, "read/a", "write/a", "write/d/b", "other/a")
    call = fenced(
        tmp_path,
        read_only_paths=(str(tmp_path / "read"),),
        writable_paths=(str(tmp_path / "write"),),
    )
    before = files(tmp_path)
    for name, params in (
        ("fs.stat", {"path": "other/a"}),
        ("fs.delete", {"path": "read/a"}),
        ("fs.delete", {"path": "other/a"}),
        ("fs.delete", {"path": "write", "recursive": True}),
        ("fs.copy", {"src": "other/a", "dst": "write/x"}),
        ("fs.copy", {"src": "write/a", "dst": "read/x"}),
        ("fs.copy", {"src": "write/d", "dst": "other/x", "create_dirs": True}),
        ("fs.move", {"src": "read/a", "dst": "write/x"}),
        ("fs.move", {"src": "write/a", "dst": "other/x"}),
        ("fs.move", {"src": "write/d", "dst": "read/x"}),
    ):
        await denied(name, call, **params)
    assert files(tmp_path) == before
    await output("fs.copy", call, src="read", dst="write")
    await output("fs.copy", call, src="read/a", dst="write/x")
    await output("fs.move", call, src="write/x", dst="write/y")
    await output("fs.delete", call, path="write/y")
    assert (tmp_path / "write/a").read_text() == "read/a"


async def test_links_are_no_way_out(tmp_path: Path) -> None:
    make(tmp_path, "in/t/a", "out/secret")
    (tmp_path / "in/dir").symlink_to(tmp_path / "out")
    (tmp_path / "in/file").symlink_to(tmp_path / "out/secret")
    (tmp_path / "in/new").symlink_to(tmp_path / "out/new")
    (tmp_path / "in/t/dir").symlink_to(tmp_path / "out")
    call = fenced(tmp_path, writable_paths=(str(tmp_path / "in"),))
    for name, params in (
        ("fs.stat", {"path": "in/file"}),
        ("fs.delete", {"path": "in/dir/secret"}),
        ("fs.copy", {"src": "in/file", "dst": "in/x"}),
        ("fs.copy", {"src": "in/dir", "dst": "in/x"}),
        ("fs.copy", {"src": "in/t/a", "dst": "in/new"}),
        ("fs.copy", {"src": "in/t/a", "dst": "in/dir/x"}),
        ("fs.move", {"src": "in/dir/secret", "dst": "in/x"}),
        ("fs.move", {"src": "in/t/a", "dst": "in/dir/x"}),
    ):
        await denied(name, call, **params)
    await output("fs.copy", call, src="in/t", dst="in/u")
    assert os.readlink(tmp_path / "in/u/dir") == str(tmp_path / "out")
    await output("fs.move", call, src="in/t/a", dst="in/new")
    assert (tmp_path / "in/new").is_file()
    assert not (tmp_path / "in/new").is_symlink()
    for path in ("in/dir", "in/file", "in/u"):
        await output("fs.delete", call, path=path, recursive=True)
    assert files(tmp_path / "out") == ["secret"]


@asynccontextmanager
async def racing(swap: Callable[[], None]) -> AsyncIterator[None]:
    """Have a thread do the same over and over while the block runs."""
    done = threading.Event()

    def race() -> None:
        while not done.is_set():
            swap()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, race)
            try:
                yield
            finally:
                done.set()


Rounds = Callable[[int], list[tuple[str, dict[str, Any]]]]


def deleting(number: int) -> list[tuple[str, dict[str, Any]]]:
    return [("fs.delete", {"path": "in/t" if number % 2 else "in/t/d", "recursive": True})]


def copying(number: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("fs.copy", {"src": "in/t", "dst": "in/copy"}),
        ("fs.copy", {"src": "in/t/d", "dst": f"in/copy{number % 3}"}),
        ("fs.copy", {"src": "in/good", "dst": "in/t/d"}),
        ("fs.copy", {"src": "in/good/g", "dst": "in/t/d/g"}),
    ]


def moving(number: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("fs.move", {"src": "in/good/g", "dst": f"in/t/d/{number}"}),
        ("fs.move", {"src": "in/t/d/secret", "dst": f"in/stolen{number}"}),
        ("fs.copy", {"src": "in/spare-g", "dst": "in/good/g"}),
    ]


@pytest.mark.parametrize("rounds", [deleting, copying, moving])
async def test_while_directories_are_exchanged_for_links_nothing_outside_is_touched_or_read(
    rounds: Rounds, tmp_path: Path
) -> None:
    """A racer swaps a directory inside a tree and a link to the outside, as fast as it can."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    make(tmp_path, "in/good/g", "in/good/h/i", "in/spare-g", "out/secret", "out/sub/secret")
    (inside / "t").mkdir()
    call = fenced(tmp_path, writable_paths=(str(inside),))

    def swap() -> None:
        with suppress(OSError):
            make(tmp_path, "in/t/d/x", "in/t/d/secret", "in/t/d/sub/secret", "in/t/y")
        with suppress(OSError):
            os.symlink(outside, inside / "t/link")
        for before, after in (("d", "real"), ("link", "d"), ("d", "link"), ("real", "d")):
            with suppress(OSError):
                os.rename(inside / "t" / before, inside / "t" / after)

    async with racing(swap):
        for number in range(50):
            for name, params in rounds(number):
                await perform(REGISTRY.get(name), params, call)
    assert files(outside) == ["secret", "sub/secret"]
    assert (outside / "secret").read_text() == "out/secret"
    leaked = [
        path
        for path in inside.rglob("*")
        if path.is_file() and not path.is_symlink() and path.read_text().startswith("out/")
    ]
    assert leaked == []
    assert list(inside.rglob("*.partial")) == []


async def test_without_roots_a_denied_directory_stays_closed_while_links_to_it_come_and_go(
    tmp_path: Path,
) -> None:
    make(tmp_path, "t/d/a", "denied/secret")
    call = fenced(tmp_path, deny_paths=(str(tmp_path / "denied"),))

    def swap() -> None:
        with suppress(OSError):
            os.rename(tmp_path / "t/d", tmp_path / "t/real")
            os.symlink(tmp_path / "denied", tmp_path / "t/d")
        with suppress(OSError):
            os.unlink(tmp_path / "t/d")
        with suppress(OSError):
            os.rename(tmp_path / "t/real", tmp_path / "t/d")

    async with racing(swap):
        for number in range(100):
            await perform(REGISTRY.get("fs.copy"), {"src": "t", "dst": f"c{number}"}, call)
            await perform(REGISTRY.get("fs.copy"), {"src": "t/d", "dst": f"e{number}"}, call)
    copied = [name for name in files(tmp_path) if name[0] in "ce"]
    assert copied
    assert not [name for name in copied if name.endswith("secret")]


Touch = Callable[[Directory, str, os.stat_result, Directory], Any]
TOUCHES: dict[str, Touch] = {
    "survey": lambda place, name, status, _target: survey(place, name, status),
    "remove": lambda place, name, status, _target: remove(place, name, status),
    "copy": lambda place, name, status, target: copy_entry(
        place, name, status, target, "new", exact=False
    ),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
@pytest.mark.parametrize("what", ["d", "f"])
def test_what_is_exchanged_for_a_link_after_it_was_looked_at_is_not_followed(
    what: str, touch: Touch, tmp_path: Path
) -> None:
    make(tmp_path, "in/d/x", "in/f", "in/target/y", "out/secret")
    call = fenced(tmp_path, writable_paths=(str(tmp_path / "in"),))
    with (
        Fence(call) as fence,
        opened(fence, tmp_path / "in", "write") as place,
        opened(fence, tmp_path / "in/target", "write") as target,
    ):
        status = status_in(place.fd, what)
        assert status is not None
        os.rename(tmp_path / "in" / what, tmp_path / "in/aside")
        (tmp_path / "in" / what).symlink_to(tmp_path / ("out" if what == "d" else "out/secret"))
        if what == "d" or touch is TOUCHES["copy"]:
            with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
                touch(place, what, status, target)
        else:
            touch(place, what, status, target)
    assert files(tmp_path / "out") == ["secret"]
    assert not (tmp_path / "in/target/new/secret").exists()


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_a_directory_that_was_taken_elsewhere_is_left_alone(touch: Touch, tmp_path: Path) -> None:
    """It is still open, and inside it everything is real; but it is no longer where it may be touched."""
    make(tmp_path, "in/t/d/x", "in/target/y", "out/y")
    call = fenced(tmp_path, writable_paths=(str(tmp_path / "in"),))
    with (
        Fence(call) as fence,
        opened(fence, tmp_path / "in/t", "write") as place,
        opened(fence, tmp_path / "in/target", "write") as target,
    ):
        status = status_in(place.fd, "d")
        assert status is not None
        os.rename(tmp_path / "in/t", tmp_path / "out/t")
        with pytest.raises(OpcodeError, match="outside the roots"):
            touch(place, "d", status, target)
    assert files(tmp_path / "out") == ["t/d/x", "y"]
