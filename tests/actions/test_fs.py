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
        "next_offset": 6,
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
    for params in ({}, {"limit": 4}):
        got = await output("fs.read", limited, path="a", **params)
        assert (got["content"], got["truncated"], got["next_offset"]) == ("123", True, 3)
        assert got["size"] == 5


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 7, 100])
async def test_a_file_read_in_parts_is_the_whole_file(
    limit: int, call: Call, tmp_path: Path
) -> None:
    text = "a\u20acb\U0001f600\u00fc\u00fc\n" * 3
    (tmp_path / "a").write_text(text, encoding="utf-8")
    bytes_, letters, offset = b"", "", 0
    while True:
        params = {"path": "a", "offset": offset, "limit": limit}
        raw = await output("fs.read", call, **params, encoding="base64")
        bytes_ += base64.b64decode(raw["content"])
        offset = raw["next_offset"]
        if not raw["truncated"]:
            break
    assert bytes_.decode() == text
    offset = 0
    while limit >= 4:
        got = await output("fs.read", call, path="a", offset=offset, limit=limit)
        letters += got["content"]
        assert (got["size"], got["next_offset"] > offset) == (len(bytes_), True)
        offset = got["next_offset"]
        if not got["truncated"]:
            assert letters == text
            return


async def test_behind_the_end_of_a_file_there_is_nothing(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    got = await output("fs.read", call, path="a", offset=9)
    assert (got["content"], got["size"], got["truncated"]) == ("", 5, False)
    for params in ({"offset": -1}, {"limit": 0}, {"offset": 1 << 70}):
        info = await error("fs.read", call, path="a", **params)
        assert info.code is ErrorCode.VALIDATION_ERROR


async def test_content_beyond_the_limit_is_refused_and_the_limit_is_named(
    call: Call, tmp_path: Path
) -> None:
    limited = fenced(call, file_bytes_max=3)
    for name in ("fs.write", "fs.append"):
        info = await error(name, limited, path="a", content="1234")
        assert info.code is ErrorCode.TOO_LARGE
        assert "`limits.file_bytes_max`" in info.message
        await output(name, limited, path="b", content="123")
    assert os.listdir(tmp_path) == ["b"]


async def test_work_that_takes_too_long_ends_and_the_limit_is_named(
    call: Call, tmp_path: Path
) -> None:
    """A file of many gigabytes, all hole: reading it takes far longer than the deadline."""
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    limited = fenced(call, file_timeout_s=0.3, copy_bytes_max=1 << 41)
    info = await error("fs.copy", limited, src="huge", dst="copy")
    assert info.code is ErrorCode.TIMEOUT_ERROR
    assert "`limits.file_timeout_s`" in info.message
    assert os.listdir(tmp_path) == ["huge"]


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


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        (0o4755, ErrorCode.PERMISSION_DENIED),
        ("4755", ErrorCode.PERMISSION_DENIED),
        ("1777", ErrorCode.PERMISSION_DENIED),
        ("0o2755", ErrorCode.PERMISSION_DENIED),
        (755, ErrorCode.PERMISSION_DENIED),
        ("abc", ErrorCode.VALIDATION_ERROR),
        ("0888", ErrorCode.VALIDATION_ERROR),
        (-1, ErrorCode.VALIDATION_ERROR),
        (100_000, ErrorCode.VALIDATION_ERROR),
        ("77777", ErrorCode.VALIDATION_ERROR),
    ],
)
async def test_modes_with_special_bits_are_refused(
    mode: Any, code: ErrorCode, call: Call, tmp_path: Path
) -> None:
    assert (await error("fs.write", call, path="a", content="", mode=mode)).code is code
    assert os.listdir(tmp_path) == []


async def test_a_program_with_special_rights_is_not_added_to_and_loses_them_when_replaced(
    call: Call, tmp_path: Path
) -> None:
    for mode in (0o4755, 0o2755):
        (tmp_path / "a").write_text("program")
        (tmp_path / "a").chmod(mode)
        info = await error("fs.append", call, path="a", content="more")
        assert info.code is ErrorCode.PERMISSION_DENIED
        assert (tmp_path / "a").read_text() == "program"
        await output("fs.write", call, path="a", content="other")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


async def test_what_the_daemons_user_may_not_do_is_a_permission_denied(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old")

    def forbidden(*_args: Any, **_kwargs: Any) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(os, "rename", forbidden)
    info = await error("fs.write", call, path="a", content="new")
    assert (info.code, info.retryable) == (ErrorCode.PERMISSION_DENIED, False)
    assert os.listdir(tmp_path) == ["a"]


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


async def test_names_and_times_that_json_cannot_hold_do_not_spoil_a_listing(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / os.fsdecode(b"odd\xff")).write_text("x")
    (tmp_path / "old").write_text("x")
    os.utime(tmp_path / "old", (0, -(1 << 31) * 20))
    (tmp_path / "late").write_text("x")
    os.utime(tmp_path / "late", (0, (1 << 33)))
    got = await output("fs.list", call, path=".")
    assert sorted(entry["name"] for entry in got["entries"]) == ["late", "odd\ufffd", "old"]
    assert {len(entry["modified_at"]) for entry in got["entries"]} == {20}


async def test_a_tree_beyond_the_limit_is_refused_and_the_limit_is_named(
    call: Call, tmp_path: Path
) -> None:
    make_tree(tmp_path / "t")
    limited = fenced(call, tree_entries_max=5)
    for name, params in (
        ("fs.list", {"path": "t", "recursive": True, "pattern": "none"}),
        ("fs.copy", {"src": "t", "dst": "u"}),
        ("fs.delete", {"path": "t", "recursive": True}),
        ("fs.move", {"src": "t", "dst": "u"}),
    ):
        info = await error(name, limited, **params)
        assert info.code is ErrorCode.TOO_LARGE
        assert "`limits.tree_entries_max`" in info.message
    info = await error("fs.copy", fenced(call, copy_bytes_max=20), src="t", dst="u")
    assert "`limits.copy_bytes_max`" in info.message
    assert os.listdir(tmp_path) == ["t"]
    enough = fenced(call, tree_entries_max=9)
    await output("fs.copy", enough, src="t", dst="u")
    await output("fs.delete", enough, path="t", recursive=True)


async def test_a_long_listing_is_cut_and_says_so(call: Call, tmp_path: Path) -> None:
    make_tree(tmp_path)
    got = await output("fs.list", fenced(call, list_entries_max=2), path=".")
    assert (len(got["entries"]), got["truncated"]) == (2, True)
