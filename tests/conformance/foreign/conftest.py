"""A daemon for the foreign definitions, and a runtime whose clock a test can put forward."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import Settings, open_runtime
from tests.actions.http_server import Server
from tests.conformance.foreign.ground import Ground, McpDoor, RuntimeDoor
from tests.drills.daemons import Daemon, daemon_on

GO = """#!/bin/sh
# Stands in for the toolchain: fails where the directory named after -C holds a file named `broken`.
dir=$3
echo "looked at $dir"
[ ! -e "$dir/broken" ] || { echo "$1: broken" >&2; exit 1; }
"""


@pytest.fixture(scope="session")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A search path that begins with a `go` of our own: not every machine has one, and none compiles in a moment."""
    folder = tmp_path_factory.mktemp("toolchain")
    program = folder / "go"
    program.write_text(GO)
    program.chmod(0o755)
    return os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, toolchain: str) -> Iterator[Daemon]:
    """A real daemon that may reach services on this machine."""
    home = tmp_path_factory.mktemp("foreign") / "home"
    home.mkdir(mode=0o700)
    (home / "settings.json").write_text(json.dumps({"allow_private": True}))
    with daemon_on(home) as running:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", toolchain)
            trio.run(running.start)
        yield running


@pytest.fixture
async def server(nursery: trio.Nursery) -> Server:
    """The services of one test."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found = Server(listener.socket.getsockname()[1])
    nursery.start_soon(trio.serve_listeners, found.handle, [listener])
    return found


@pytest.fixture
def foreign_dir(corpus: Path) -> Path:
    """The folder with the definitions themselves: the corpus, or the examples in it."""
    return corpus / "examples" if (corpus / "examples").is_dir() else corpus


@pytest.fixture
async def ground(
    daemon: Daemon, server: Server, tmp_path: Path, foreign_dir: Path
) -> AsyncIterator[Ground]:
    """A ground whose door is the daemon's."""
    async with daemon.client() as client:
        yield Ground(McpDoor(client), server, tmp_path, foreign_dir)


@pytest.fixture
def clock() -> MockClock:
    """Time that passes as everywhere, so that real services can answer, and can be put forward. A test asks for it
    by name, else it would not be the clock that it runs under."""
    return MockClock(rate=1)


@pytest.fixture
async def virtual_ground(
    clock: MockClock,
    server: Server,
    tmp_path: Path,
    foreign_dir: Path,
    toolchain: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Ground]:
    """A ground whose door is a runtime under `clock`."""
    assert trio.lowlevel.current_clock() is clock
    monkeypatch.setenv("PATH", toolchain)
    settings = Settings(allow_private=True, drain_s=0)
    async with open_runtime(tmp_path / "home", settings=settings) as runtime:
        yield Ground(RuntimeDoor(runtime), server, tmp_path, foreign_dir)
