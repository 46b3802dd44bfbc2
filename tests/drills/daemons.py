"""A real daemon in a process of its own, to be killed and started again, and an MCP client for it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio

START_S = 30.0


class Daemon:
    """One data directory and the daemon that serves it, over any number of lives."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.log = data_dir.parent / f"{data_dir.name}.log"

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the daemon and wait until it has taken up its workflows and answers."""
        self._spawn()
        with trio.fail_after(START_S):
            await self._wait_ready()

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "opcode_runtime", "serve", "--listen-addr", "127.0.0.1:0"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--data-dir", str(self.data_dir), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _wait_ready(self) -> None:
        """A new life publishes its address anew; poll until that address says ready."""
        import httpx2

        async with httpx2.AsyncClient(trust_env=False) as client:
            while not await self._is_ready(client):
                assert self._process is not None
                assert self._process.poll() is None, self.log.read_text()[-2000:]
                await trio.sleep(0.02)

    async def _is_ready(self, client: Any) -> bool:
        import httpx2

        url = self.url()
        if url is None:
            return False
        try:
            return bool((await client.get(f"{url}/readyz")).status_code == 200)
        except httpx2.TransportError:
            return False

    def url(self) -> str | None:
        """Where this life of the daemon listens, once it says so."""
        from opcode_runtime.cli.data_dir import address_of

        return address_of(self.data_dir)

    def kill(self) -> None:
        """SIGKILL, and nothing else."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=30)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        """An MCP client over Streamable HTTP."""
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        token = (self.data_dir / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
            Client(streamable_http_client(f"{self.url()}/mcp", http_client=http)) as client,
        ):
            yield client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call one tool on a connection of its own and return its answer."""
        async with self.client() as client:
            result = await client.call_tool(f"opcode.{tool}", arguments)
            answer: dict[str, Any] = result.structured_content
            assert not result.is_error, answer
            return answer


@contextmanager
def daemon_on(data_dir: Path, *options: str) -> Iterator[Daemon]:
    """A daemon that is certainly gone in the end."""
    daemon = Daemon(data_dir, *options)
    try:
        yield daemon
    finally:
        if daemon._process is not None and daemon._process.poll() is None:
            daemon.kill()
