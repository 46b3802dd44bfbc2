"""http.* with `save_to`: whole files or none, inside the fence of fs.*."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from opcode_runtime.actions import Call
from opcode_runtime.actions.settings import HttpLimits
from opcode_runtime.model.errors import ErrorCode
from tests.actions import attempts
from tests.actions.http_server import Received, Server, redirect, reply


@pytest.fixture
def saving(web_call: Call, tmp_path: Path) -> Call:
    """A call whose files are in a folder of its own."""
    folder = tmp_path / "work"
    folder.mkdir()
    web_call.cwd = folder
    web_call.settings = msgspec.structs.replace(web_call.settings, writable_paths=(str(folder),))
    return web_call


def there(call: Call) -> list[str]:
    assert call.cwd is not None
    return sorted(os.listdir(call.cwd))


def limited(call: Call, **limits: Any) -> None:
    call.settings = msgspec.structs.replace(call.settings, http=HttpLimits(**limits))


async def test_content_of_any_size_is_saved_without_being_held(
    server: Server, saving: Call, tmp_path: Path
) -> None:
    block, blocks = os.urandom(1 << 16), 640

    async def large(_request: Received, stream: trio.abc.Stream) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(block) * blocks}\r\n\r\n"
        await stream.send_all(head.encode())
        for _ in range(blocks):
            await stream.send_all(block)

    server.answers["/"] = large
    tracemalloc.start()
    try:
        got = await attempts.output("http.get", saving, url=server.url("/"), save_to="a.bin")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    path = tmp_path / "work" / "a.bin"
    assert (got["saved_to"], got["size"]) == (str(path), len(block) * blocks)
    assert (got["body"], got["truncated"]) == (None, False)
    assert path.read_bytes() == block * blocks
    assert peak_bytes < 10 << 20
    assert there(saving) == ["a.bin"]


async def test_what_is_saved_is_decompressed_and_replaces_what_was_there(
    server: Server, saving: Call, tmp_path: Path
) -> None:
    server.answers |= {
        "/from": redirect("/to"),
        "/to": reply(gzip.compress(b"new"), Content_Encoding="gzip"),
    }
    path = tmp_path / "work" / "sub" / "a.txt"
    params = {"url": server.url("/from"), "save_to": "sub/a.txt"}
    error = await attempts.error("http.get", saving, **params)
    assert error.code is ErrorCode.EXECUTION_ERROR
    for _ in range(2):
        got = await attempts.output("http.get", saving, **params, create_dirs=True)
        assert (got["size"], path.read_bytes()) == (3, b"new")
        path.write_bytes(b"something else")


@pytest.mark.parametrize("save_to", ["../outside", "/etc/outside", "link/outside", "link"])
async def test_a_place_outside_the_roots_is_refused_before_anything_is_sent(
    save_to: str, server: Server, saving: Call, tmp_path: Path
) -> None:
    (tmp_path / "work" / "link").symlink_to(tmp_path)
    message = await attempts.denied("http.get", saving, url=server.url("/"), save_to=save_to)
    assert "writable_paths" in message
    assert server.connections == 0


OWN = ("data/vault", "data/journal/x", "data/new", "elsewhere/data.mdb", "vault.key", "link/vault")
"""What is the daemon's own, however it is named."""


def daemons_own(call: Call, top: Path) -> Call:
    """The call with a data directory, a journal and a vault key beside the working directory, and no root."""
    for name in ("data/journal", "elsewhere"):
        (top / name).mkdir(parents=True)
    for name in ("data/vault", "elsewhere/data.mdb", "vault.key"):
        (top / name).write_text("its own")
    (top / "link").symlink_to(top / "data")
    call.cwd = top
    call.settings = msgspec.structs.replace(
        call.settings,
        writable_paths=(),
        data_dir=str(top / "data"),
        journal_dir=str(top / "elsewhere"),
        vault_key_file=str(top / "vault.key"),
    )
    return call


@pytest.mark.parametrize("save_to", OWN)
async def test_what_is_the_daemons_own_is_never_saved_over(
    save_to: str, server: Server, saving: Call, tmp_path: Path
) -> None:
    """With that part of the fence off, the same request does it."""
    server.answers["/"] = reply(b"taken")
    call = daemons_own(saving, tmp_path)
    await attempts.denied("http.get", call, url=server.url("/"), save_to=save_to)
    assert server.connections == 0
    call.settings = msgspec.structs.replace(
        call.settings, data_dir=None, journal_dir=None, vault_key_file=None
    )
    await attempts.output("http.get", call, url=server.url("/"), save_to=save_to)
    assert (tmp_path / save_to).read_bytes() == b"taken"


async def test_an_answer_that_is_no_success_is_not_saved(server: Server, saving: Call) -> None:
    server.answers["/"] = reply(b"why", status="404 Not Found")
    got = await attempts.output("http.get", saving, url=server.url("/"), save_to="a")
    assert (got["body"], "saved_to" in got) == ("why", False)
    error = await attempts.error(
        "http.get", saving, url=server.url("/"), save_to="a", fail_on_error_status=True
    )
    assert error.code is ErrorCode.NON_RETRYABLE
    assert there(saving) == []


async def test_a_failed_download_leaves_the_file_as_it_was(
    server: Server, saving: Call, tmp_path: Path
) -> None:
    async def cut(_request: Received, stream: trio.abc.Stream) -> None:
        await stream.send_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + bytes(2 << 20)
        )
        await stream.aclose()

    server.answers |= {
        "/cut": cut,
        "/large": reply(bytes(5000)),
        "/bomb": reply(gzip.compress(bytes(4 << 20)), Content_Encoding="gzip"),
    }
    limited(saving, file_bytes_max=3 << 20)
    path = tmp_path / "work" / "a"
    path.write_bytes(b"old")
    codes = {"/cut": ErrorCode.EXECUTION_ERROR, "/bomb": ErrorCode.TOO_LARGE}
    for target, code in codes.items():
        error = await attempts.error("http.get", saving, url=server.url(target), save_to="a")
        assert error.code is code, error
        assert (path.read_bytes(), there(saving)) == (b"old", ["a"])
    limited(saving, file_bytes_max=4999)
    error = await attempts.error("http.get", saving, url=server.url("/large"), save_to="a")
    assert error.code is ErrorCode.TOO_LARGE
    assert "limits.http_file_bytes_max" in error.message
    assert (path.read_bytes(), there(saving)) == (b"old", ["a"])


async def test_a_download_that_is_cut_by_its_deadline_leaves_nothing(
    server: Server, saving: Call
) -> None:
    async def stall(_request: Received, stream: trio.abc.Stream) -> None:
        await stream.send_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + bytes(2 << 20)
        )
        await trio.sleep_forever()

    server.answers["/"] = stall
    error = await attempts.error(
        "http.get", saving, url=server.url("/"), save_to="a", timeout="300ms"
    )
    assert error.code is ErrorCode.TIMEOUT_ERROR
    assert there(saving) == []
