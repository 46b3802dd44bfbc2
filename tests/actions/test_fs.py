"""fs.* on real files."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call
from opcode_runtime.model.errors import ErrorCode
from tests.actions.attempts import error, output


@pytest.fixture
def call(tmp_path: Path) -> Call:
    return Call(cwd=tmp_path)


def fenced(call: Call, **settings: Any) -> Call:
    return Call(cwd=call.cwd, settings=ActionSettings(**settings))


async def test_text_is_read_as_text(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("gr\u00fc\u00df", encoding="utf-8")
    assert await output("fs.read", call, path="a.txt") == {
        "path": str(tmp_path / "a.txt"),
        "content": "gr\u00fc\u00df",
        "encoding": "text",
        "size": 6,
        "truncated": False,
    }


async def test_bytes_are_read_as_base64_and_odd_text_with_marks(call: Call, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"a\0b")
    (tmp_path / "odd").write_bytes(b"a\xffb")
    got = await output("fs.read", call, path="b")
    assert (base64.b64decode(got["content"]), got["encoding"]) == (b"a\0b", "base64")
    assert (await output("fs.read", call, path="odd"))["content"] == "a\ufffdb"
    assert (await output("fs.read", call, path="odd", encoding="base64"))["encoding"] == "base64"
    assert (await output("fs.read", call, path="b", encoding="text"))["content"] == "a\0b"


async def test_reading_stops_at_the_limit_and_says_so(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    limited = fenced(call, file_bytes_max=3)
    got = await output("fs.read", limited, path="a")
    assert (got["content"], got["size"], got["truncated"]) == ("123", 3, True)


@pytest.mark.parametrize("name", ["missing", "."])
async def test_what_cannot_be_read_is_an_execution_error_that_names_it(
    name: str, call: Call
) -> None:
    info = await error("fs.read", call, path=name)
    assert info.code is ErrorCode.EXECUTION_ERROR
    assert f"'{name}'" in info.message


async def test_a_pipe_is_refused_and_not_waited_for(call: Call, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, params in (
        ("fs.read", {}),
        ("fs.write", {"content": "x"}),
        ("fs.append", {"content": "x"}),
    ):
        info = await error(name, call, path="pipe", **params)
        assert info.code in {ErrorCode.EXECUTION_ERROR, ErrorCode.PATH_DENIED}


async def test_writing_replaces_and_keeps_the_mode(call: Call, tmp_path: Path) -> None:
    target = tmp_path / "a"
    assert await output("fs.write", call, path="a", content="one") == {
        "path": str(target),
        "size": 3,
    }
    target.chmod(0o600)
    await output("fs.write", call, path="a", content={"n": 1.0})
    assert target.read_text() == '{"n":1}'
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("mode", [0o640, "0640", "640"])
async def test_a_mode_is_a_number_or_octal_text(mode: Any, call: Call, tmp_path: Path) -> None:
    await output("fs.write", call, path="a", content="", mode=mode)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o4755, "4755", "1777", 755, "abc", -1])
async def test_modes_with_special_bits_are_refused(mode: Any, call: Call, tmp_path: Path) -> None:
    assert (
        await error("fs.write", call, path="a", content="", mode=mode)
    ).code is ErrorCode.VALIDATION_ERROR
    assert os.listdir(tmp_path) == []


async def test_directories_are_made_on_demand_only(call: Call, tmp_path: Path) -> None:
    assert (
        await error("fs.write", call, path="x/y/a", content="")
    ).code is ErrorCode.EXECUTION_ERROR
    await output("fs.write", call, path="x/y/a", content="deep", create_dirs=True)
    assert (tmp_path / "x/y/a").read_text() == "deep"


async def test_a_write_that_fails_leaves_the_old_file_and_no_draft(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old")

    def full(_fd: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    info = await error("fs.write", call, path="a", content="new")
    assert "No space left" in info.message
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


async def test_a_reader_never_sees_a_part_of_a_write(call: Call, tmp_path: Path) -> None:
    """Every version is one letter many times; a mixture or a short file would show."""
    size = 300_000
    (tmp_path / "a").write_text("a" * size)
    done = trio.Event()
    seen: set[str] = set()

    async def read() -> None:
        while not done.is_set():
            text = await trio.to_thread.run_sync((tmp_path / "a").read_text)
            assert len(text) == size
            seen.update(set(text))
            assert len(set(text)) == 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for letter in "bcdefghij":
            await output("fs.write", call, path="a", content=letter * size)
        done.set()
    assert seen


async def test_a_directory_is_not_written_over(call: Call, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    assert (await error("fs.write", call, path="d", content="")).code is ErrorCode.EXECUTION_ERROR
    assert (await error("fs.append", call, path="d", content="")).code is ErrorCode.EXECUTION_ERROR


async def test_harmless_devices_are_written_into_and_stay_devices(call: Call) -> None:
    await output("fs.write", call, path="/dev/null", content="x")
    await output("fs.append", call, path="/dev/null", content="x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    limited = fenced(call, file_bytes_max=4)
    got = await output("fs.read", limited, path="/dev/zero")
    assert (base64.b64decode(got["content"]), got["truncated"]) == (bytes(4), True)


async def test_appending_creates_and_adds(call: Call, tmp_path: Path) -> None:
    for total in (2, 4, 6):
        got = await output("fs.append", call, path="log", content="x\n")
        assert got == {"path": str(tmp_path / "log"), "size": total}
    assert (tmp_path / "log").read_text() == "x\nx\nx\n"


def make_tree(root: Path) -> None:
    (root / "sub/inner").mkdir(parents=True)
    for name in ("b.go", "a.go", "c.txt", ".hidden", "sub/d.go", "sub/inner/e.go"):
        (root / name).write_text(name)
    (root / "link").symlink_to(root / "sub")


def names(listing: dict[str, Any], root: Path) -> list[str]:
    return [os.path.relpath(entry["path"], root) for entry in listing["entries"]]


async def test_a_listing_is_sorted_and_does_not_follow_links(call: Call, tmp_path: Path) -> None:
    make_tree(tmp_path)
    got = await output("fs.list", call, path=".")
    assert names(got, tmp_path) == [".hidden", "a.go", "b.go", "c.txt", "link", "sub"]
    by_name = {entry["name"]: entry for entry in got["entries"]}
    assert by_name["sub"]["is_dir"] is True
    assert by_name["link"]["is_dir"] is False
    assert by_name["a.go"]["size"] == 4
    assert len(by_name["a.go"]["modified_at"]) == len("2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"pattern": "*.go"}, ["a.go", "b.go"]),
        ({"pattern": "[bc]*"}, ["b.go", "c.txt"]),
        ({"pattern": "sub/*.go"}, ["sub/d.go"]),
        ({"pattern": "none*"}, []),
        ({"pattern": "*.go", "recursive": True}, ["a.go", "b.go", "sub/d.go", "sub/inner/e.go"]),
        (
            {"recursive": True},
            [
                ".hidden",
                "a.go",
                "b.go",
                "c.txt",
                "link",
                "sub",
                "sub/d.go",
                "sub/inner",
                "sub/inner/e.go",
            ],
        ),
    ],
)
async def test_a_pattern_selects(
    params: dict[str, Any], expected: list[str], call: Call, tmp_path: Path
) -> None:
    make_tree(tmp_path)
    assert names(await output("fs.list", call, path=".", **params), tmp_path) == expected


async def test_an_empty_directory_lists_nothing_and_a_missing_one_is_an_error(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert (await output("fs.list", call, path="empty"))["entries"] == []
    for params in ({}, {"pattern": "*"}, {"recursive": True}):
        assert (
            await error("fs.list", call, path="gone", **params)
        ).code is ErrorCode.EXECUTION_ERROR


@pytest.mark.parametrize("pattern", ["../*", "a/../../b", "/etc/*"])
async def test_a_pattern_does_not_lead_out(pattern: str, call: Call) -> None:
    assert (
        await error("fs.list", call, path=".", pattern=pattern)
    ).code is ErrorCode.VALIDATION_ERROR


async def test_a_long_listing_is_cut_and_says_so(call: Call, tmp_path: Path) -> None:
    make_tree(tmp_path)
    got = await output("fs.list", fenced(call, list_entries_max=2), path=".")
    assert (len(got["entries"]), got["truncated"]) == (2, True)
