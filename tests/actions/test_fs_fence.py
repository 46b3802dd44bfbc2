"""What fs.* may touch, on real files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call, perform
from opcode_runtime.actions.paths import Fence
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from tests.actions.attempts import REGISTRY, denied, error, output


@pytest.fixture
def call(tmp_path: Path) -> Call:
    return Call(cwd=tmp_path)


def fenced(call: Call, **settings: Any) -> Call:
    return Call(cwd=call.cwd, settings=ActionSettings(**settings))


def names(listing: dict[str, Any], root: Path) -> list[str]:
    return [os.path.relpath(entry["path"], root) for entry in listing["entries"]]


@pytest.mark.parametrize(
    "path", ["/proc/self/environ", "/proc/1/environ", "/sys/kernel", "/dev/full"]
)
async def test_places_that_tell_or_do_too_much_are_always_denied(path: str, call: Call) -> None:
    assert "no setting allows it" in await denied("fs.read", call, path=path)
    if path == "/dev/full":
        assert "no setting allows it" in await denied("fs.write", call, path=path, content="")
        assert "no setting allows it" in await denied("fs.append", call, path=path, content="")


async def test_what_only_tells_about_the_machine_may_be_read(call: Call) -> None:
    assert (await output("fs.read", call, path="/proc/version"))["content"]


async def test_keys_and_the_data_directory_are_always_denied(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (".ssh", ".aws", ".gnupg", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("secret")
    (tmp_path / "vault.key").write_text("secret")
    (tmp_path / "innocent").symlink_to(tmp_path / ".ssh" / "x")
    monkeypatch.setenv("HOME", str(tmp_path))
    strict = fenced(
        call,
        data_dir=str(tmp_path / "data"),
        vault_key_file=str(tmp_path / "vault.key"),
        writable_paths=("/",),
    )
    for path in (
        ".ssh/x",
        ".aws/x",
        ".gnupg/x",
        "data/x",
        "data",
        "vault.key",
        "innocent",
        "sub/../.ssh/x",
    ):
        assert "always denied" in await denied("fs.read", strict, path=path)
        assert "always denied" in await denied("fs.write", strict, path=path, content="")
    listed = await output("fs.list", strict, path=".", recursive=True)
    assert names(listed, tmp_path) == ["innocent"]


async def test_roots_fence_everything_and_the_refusal_names_the_setting(
    call: Call, tmp_path: Path
) -> None:
    for name in ("read", "write", "write/no", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    strict = fenced(
        call,
        read_only_paths=(str(tmp_path / "read"),),
        writable_paths=(str(tmp_path / "write"),),
        deny_paths=(str(tmp_path / "write/no"),),
    )
    await output("fs.read", strict, path="read/x")
    await output("fs.read", strict, path="write/x")
    await output("fs.write", strict, path="write/x", content="")
    assert "`writable_paths`" in await denied("fs.write", strict, path="read/x", content="")
    assert "`writable_paths`" in await denied("fs.append", strict, path="read/x", content="")
    assert "`read_only_paths`" in await denied("fs.read", strict, path="other/x")
    assert "`deny_paths`" in await denied("fs.read", strict, path="write/no/x")
    assert "`read_only_paths`" in await denied("fs.list", strict, path=".")
    assert names(await output("fs.list", strict, path="write", recursive=True), tmp_path) == [
        "write/x"
    ]


async def test_a_home_directory_may_be_written_as_a_tilde(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("desk", "private"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    strict = fenced(call, writable_paths=("~/desk",), deny_paths=("~/desk/no",))
    await output("fs.read", strict, path="desk/x")
    assert "`read_only_paths`" in await denied("fs.read", strict, path="private/x")
    assert "`deny_paths`" in await denied("fs.write", strict, path="desk/no", content="")
    got = await output("fs.write", Call(settings=strict.settings), path="new", content="")
    assert got["path"] == str(tmp_path / "desk/new")
    assert "`deny_paths`" in await denied(
        "fs.read", fenced(call, deny_paths=("~/private",)), path="private/x"
    )


async def test_of_roots_inside_each_other_the_innermost_decides(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    strict = fenced(
        call,
        writable_paths=(str(tmp_path / "a"), str(tmp_path / "a/b/c")),
        read_only_paths=(str(tmp_path / "a/b"),),
    )
    await output("fs.write", strict, path="a/x", content="")
    await output("fs.write", strict, path="a/b/c/x", content="")
    assert "`writable_paths`" in await denied("fs.write", strict, path="a/b/x", content="")
    same = fenced(call, writable_paths=(str(tmp_path),), read_only_paths=(str(tmp_path),))
    assert "`writable_paths`" in await denied("fs.write", same, path="a/x", content="")
    await output("fs.read", same, path="a/x")


async def test_a_refusal_does_not_tell_where_a_link_leads(call: Call, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path / "telling")
    said = await denied(
        "fs.read", fenced(call, writable_paths=(str(tmp_path / "in"),)), path="in/link"
    )
    assert "'in/link'" in said
    assert "telling" not in said


async def test_links_inside_of_the_roots_work_also_when_they_are_absolute(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "in/d").mkdir(parents=True)
    (tmp_path / "in/d/f").write_text("x")
    (tmp_path / "in/absolute").symlink_to(tmp_path / "in/d")
    (tmp_path / "in/relative").symlink_to("absolute/../d")
    strict = fenced(call, writable_paths=(str(tmp_path / "in"),))
    for path in ("in/absolute/f", "in/relative/f"):
        assert (await output("fs.read", strict, path=path))["content"] == "x"
    got = await output("fs.list", strict, path="in", pattern="abs*/*")
    assert names(got, tmp_path) == ["in/d/f"]


async def test_no_descriptor_is_left_open(call: Call, tmp_path: Path) -> None:
    strict = fenced(call, writable_paths=(str(tmp_path),), tree_entries_max=3)
    (tmp_path / "t/a/b").mkdir(parents=True)
    (tmp_path / "t/a/b/c").write_text("x")
    before = len(os.listdir("/proc/self/fd"))
    for name, params in (
        ("fs.read", {"path": "t/a/b/c"}),
        ("fs.write", {"path": "t/x/y", "content": "", "create_dirs": True}),
        ("fs.append", {"path": "t/x/y", "content": ""}),
        ("fs.list", {"path": "t", "recursive": True}),
        ("fs.list", {"path": "t", "pattern": "*/*/*"}),
        ("fs.stat", {"path": "t"}),
        ("fs.copy", {"src": "t", "dst": "u"}),
        ("fs.move", {"src": "t", "dst": "/elsewhere"}),
        ("fs.delete", {"path": "t", "recursive": True}),
    ):
        await perform(REGISTRY.get(name), params, strict)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_names_that_only_look_alike_are_no_way_in_or_out(call: Call, tmp_path: Path) -> None:
    for name in ("in", "inside", "in/..secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    strict = fenced(call, writable_paths=(str(tmp_path / "in"),))
    await denied("fs.read", strict, path="inside/x")
    await output("fs.read", strict, path="in/..secret/x")


async def test_links_lead_only_where_their_target_may_be_touched(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in/file").symlink_to(tmp_path / "out/new")
    (tmp_path / "in/dir").symlink_to(tmp_path / "out")
    (tmp_path / "in/own").symlink_to(tmp_path / "in/real")
    strict = fenced(call, writable_paths=(str(tmp_path / "in"),))
    await denied("fs.write", strict, path="in/file", content="")
    await denied("fs.write", strict, path="in/dir/x", content="", create_dirs=True)
    await denied("fs.list", strict, path="in/dir")
    assert names(await output("fs.list", strict, path="in", pattern="dir/*"), tmp_path) == []
    await output("fs.write", strict, path="in/own", content="through")
    assert (tmp_path / "in/real").read_text() == "through"
    assert os.listdir(tmp_path / "out") == []


async def test_a_directory_exchanged_for_a_link_at_the_last_moment_leads_nowhere(
    call: Call, tmp_path: Path
) -> None:
    """A racer swaps a directory and a link to the outside; whatever happens, nothing appears outside."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    (inside / "d").mkdir(parents=True)
    outside.mkdir()
    (inside / "other").symlink_to(outside)
    strict = fenced(call, writable_paths=(str(inside),))
    done = trio.Event()

    def swap() -> None:
        os.rename(inside / "d", inside / "spare")
        os.rename(inside / "other", inside / "d")
        os.rename(inside / "d", inside / "other")
        os.rename(inside / "spare", inside / "d")

    async def race() -> None:
        while not done.is_set():
            await trio.to_thread.run_sync(swap)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(race)
        for number in range(200):
            params = {"path": f"in/d/{number}", "content": "x"}
            await perform(REGISTRY.get("fs.write" if number % 2 else "fs.append"), params, strict)
        done.set()
    assert os.listdir(outside) == []


@pytest.mark.parametrize("create", [False, True])
def test_a_directory_exchanged_after_the_check_is_noticed_when_opened(
    create: bool, call: Call, tmp_path: Path
) -> None:
    (tmp_path / "in/d/sub").mkdir(parents=True)
    (tmp_path / "out/sub").mkdir(parents=True)
    with Fence(fenced(call, writable_paths=(str(tmp_path / "in"),))) as fence:
        path = fence.resolve("in/d/sub", "write") / ("new" if create else "")
        (tmp_path / "in/d").rename(tmp_path / "in/spare")
        (tmp_path / "in/d").symlink_to(tmp_path / "out")
        with (
            pytest.raises(OpcodeError) as caught,
            fence.open_directory(path, "write", create=create),
        ):
            pass
    assert caught.value.code is ErrorCode.PATH_DENIED
    assert os.listdir(tmp_path / "out/sub") == []


def test_a_file_exchanged_after_the_check_is_noticed_when_opened(
    call: Call, tmp_path: Path
) -> None:
    for name in ("in/d", "out"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x").write_text(name)
    with Fence(fenced(call, writable_paths=(str(tmp_path / "in"),))) as fence:
        path = fence.resolve("in/d/x", "read")
        (tmp_path / "in/d").rename(tmp_path / "in/spare")
        (tmp_path / "in/d").symlink_to(tmp_path / "out")
        with pytest.raises(OpcodeError) as caught:
            fence.open_for_reading(path)
    assert caught.value.code is ErrorCode.PATH_DENIED


async def test_relative_paths_start_at_the_first_writable_root_without_a_directory(
    tmp_path: Path,
) -> None:
    call = Call(settings=ActionSettings(writable_paths=(str(tmp_path),)))
    got = await output("fs.write", call, path="a", content="")
    assert got["path"] == str(tmp_path / "a")


async def test_under_a_virtual_clock_files_still_work(
    call: Call, autojump_clock: trio.testing.MockClock
) -> None:
    call.timeout_s = 1
    await output("fs.write", call, path="a", content="x")
    assert trio.current_time() == 0


@pytest.mark.parametrize("path", ["", "a\0b", None])
async def test_what_is_no_path_is_the_authors_fault(path: Any, call: Call) -> None:
    assert (await error("fs.read", call, path=path)).code is ErrorCode.VALIDATION_ERROR
