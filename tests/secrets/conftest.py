"""Vaults that are quick to open, and runtimes that have one."""

from __future__ import annotations

import ctypes
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import opcode_runtime
from opcode_runtime import Runtime, open_runtime
from opcode_runtime.actions import Action, Call
from opcode_runtime.secrets import INTERACTIVE, KEY_VARIABLE, Store, open_store

PASSPHRASE = "correct horse battery staple"
_PR_SET_DUMPABLE = 4


def vault_in(folder: Path, **secrets: str) -> Store:
    """A vault, at the least cost that is allowed, with these secrets."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = open_store(folder, PASSPHRASE.encode(), limits=INTERACTIVE)
    for name, value in secrets.items():
        store.put(name, value)
    return store


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The passphrase lies in the environment, for the next runtime that opens; this process stays open to tools."""
    monkeypatch.setenv(KEY_VARIABLE, PASSPHRASE)
    yield
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


class Seen:
    """What the test's actions were given, and what they are to give back or say."""

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []
        self.secrets: list[tuple[str, ...]] = []
        self.fails = 0
        self.failing: Callable[[], None] = lambda: None

    def actions(self) -> list[Action]:
        """`test.use` takes secrets in `key` and below `headers`, and gives back whatever it was given."""
        marked: dict[str, Any] = {"x-secret": True}
        schema = {
            "type": "object",
            "properties": {"key": marked, "headers": marked, "plain": {}, "echo": {}},
        }

        @opcode_runtime.action("test.use", kind="effectful", params=schema)
        async def use(params: dict[str, Any], call: Call) -> Any:
            self.given.append(params)
            self.secrets.append(call.secrets)
            call.log("info", f"used {params.get('key')}", data=params)
            if self.fails:
                self.fails -= 1
                self.failing()
                raise ValueError(f"cannot use {params.get('key')}")
            return {"given": params}

        @opcode_runtime.action("test.echo", kind="effectful")
        async def echo(params: dict[str, Any], call: Call) -> Any:
            return params.get("value")

        return [use, echo]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@asynccontextmanager
async def runtime_on(folder: Path, seen: Seen, **settings: Any) -> AsyncIterator[Runtime]:
    """A runtime with the test's actions."""
    chosen = opcode_runtime.Settings(**settings)
    async with open_runtime(folder, actions=seen.actions(), settings=chosen) as runtime:
        yield runtime


async def run_to_end(runtime: Runtime, definition: dict[str, Any], **run: Any) -> dict[str, Any]:
    """Define and run; gives the workflow's view at its end."""
    await runtime.define("t", definition)
    handle = await runtime.run("t", **run)
    await handle.wait()
    view: dict[str, Any] = await runtime.status(handle.workflow_id)
    return view


def use_step(step_id: str = "a", **params: Any) -> dict[str, Any]:
    """A step of `test.use`."""
    return {"id": step_id, "action": "test.use", "params": params}


def bytes_below(folder: Path) -> bytes:
    """Every byte of every file of a data directory."""
    return b"\n".join(each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file())
