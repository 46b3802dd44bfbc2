"""Every built-in action has an example, and each runs to its end in a real runtime, on the real clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime import Settings, open_runtime
from opcode_runtime.actions import builtin_registry
from opcode_runtime.engine.requests import Define
from tests.actions.http_server import Server, reply

from .blocks import ROOT

FOLDER = ROOT / "examples" / "actions"
WITHIN_S = 30

OUTPUTS: dict[str, Any] = {
    "assert.contains": {"passed": True},
    "assert.equals": {"passed": True},
    "assert.matches": {"version": "1.22.333"},
    "assert.schema": {"accepted": True},
    "crypto.hash": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "crypto.hmac": {
        "signature": "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    },
    "crypto.uuid": {"is_uuid": True},
    "expr.eval": {"ids": ["b", "c"], "total": 350},
    "fs.append": {"log": "begun\ndone\n", "bytes": 11},
    "fs.copy": {"bytes": 6, "two": "two"},
    "fs.delete": {"deleted": True},
    "fs.list": {"names": ["one.txt", "two.txt"], "truncated": False},
    "fs.move": {"published": "finished", "bytes": 8},
    "fs.read": {"settings": '{"limit":5}', "part": '"limit"', "bytes": 11, "local": "none"},
    "fs.stat": {"bytes": 5, "folder_bytes": 5, "is_folder": True},
    "fs.write": {"bytes": 17, "mode": "0600"},
    "http.get": {"status": 200, "title": "A page", "bytes": 19},
    "http.post": {"order": 7, "checked": True},
    "http.request": {"status": 204},
    "shell.exec": {"second": 2, "echoed": "from stdin", "code": 0},
    "workflow.context": {
        "intent": "find out what the order costs",
        "notes": "the price is that of today",
        "known": {"currency": "EUR", "order": 7, "cost": 12.5},
        "cost": 12.5,
    },
    "workflow.emit": {"told": True},
    "workflow.fail": {"handed_over": True},
    "workflow.log": {"logged": True},
    "workflow.notify": {"told": True},
    "workflow.run": {"large": ["y"], "total": 170},
}
"""What each example gives when nothing is changed in it."""


def example(action: str) -> dict[str, Any]:
    """The document for an action."""
    document: dict[str, Any] = json.loads((FOLDER / f"{action}.json").read_text("utf-8"))
    return document


def children(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The examples that an example runs as sub-workflows."""
    named = {
        f"example-{path.stem.replace('.', '-')}": example(path.stem) for path in FOLDER.iterdir()
    }
    return [
        named[step["params"]["template_name"]]
        for step in document["definition"]["steps"]
        if step["action"] == "workflow.run"
    ]


def test_every_built_in_action_has_an_example_that_uses_it() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == list(builtin_registry().names())
    assert sorted(OUTPUTS) == list(builtin_registry().names())
    for action in OUTPUTS:
        used = {step["action"] for step in example(action)["definition"]["steps"]}
        assert action in used
        assert example(action)["name"] == f"example-{action.replace('.', '-')}"


@pytest.fixture
async def outside(nursery: trio.Nursery) -> Server:
    """What the examples of http.* talk to."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    page, order = json.dumps({"title": "A page"}), json.dumps({"order": 7})
    server = Server(
        listener.socket.getsockname()[1],
        {
            "/page": reply(page.encode(), "application/json"),
            "/orders": reply(order.encode(), "application/json", "201 Created"),
            "/orders/7": reply(status="204 No Content"),
        },
    )
    nursery.start_soon(trio.serve_listeners, server.handle, [listener])
    return server


async def run(action: str, folder: Path, server: Server) -> tuple[Any, list[dict[str, Any]]]:
    """Run an example unchanged; gives its output and its events. Nothing it wrote is left."""
    work = folder / "work"
    work.mkdir()
    settings = Settings(writable_paths=(str(work),), allow_private=True)
    document = example(action)
    schema = document.get("input_schema")
    params = {"url": server.url("")} if "url" in (schema or {}).get("properties", {}) else {}
    with trio.fail_after(WITHIN_S):
        async with open_runtime(folder / "state", settings=settings) as runtime:
            for each in (*children(document), document):
                await runtime.define(
                    each["name"], each["definition"], input_schema=each.get("input_schema")
                )
            handle = await runtime.run(document["name"], params)
            output = await handle.result()
            status = await runtime.status(handle.workflow_id)
    assert list(work.iterdir()) == []
    return output, status["events"]


@pytest.mark.parametrize("action", OUTPUTS)
async def test_an_example_gives_what_is_said_of_it(
    action: str, tmp_path: Path, outside: Server
) -> None:
    output, events = await run(action, tmp_path, outside)
    assert output == OUTPUTS[action]
    assert events


async def test_an_emitted_event_is_in_the_journal(tmp_path: Path, outside: Server) -> None:
    _, events = await run("workflow.emit", tmp_path, outside)
    [emitted] = [each for each in events if each["event_type"] == "workflow_emitted"]
    said = {"event_type": "order.paid", "payload": {"order": 7, "amount": 12.5}}
    assert emitted["payload"] == said
    assert emitted["step_id"] == "tell"


async def test_a_notice_is_in_the_journal_with_whom_it_is_for(
    tmp_path: Path, outside: Server
) -> None:
    _, events = await run("workflow.notify", tmp_path, outside)
    notices = {
        each["step_id"]: each["payload"]
        for each in events
        if each["event_type"] == "workflow_notified"
    }
    assert sorted(notices) == ["other", "own"]
    assert notices["own"]["agent_id"] == "embedded"
    assert notices["own"]["data"] == {"pages": 12}
    assert notices["other"]["agent_id"] == "reviewer"


async def test_examples_are_accepted_without_a_warning(tmp_path: Path) -> None:
    async with open_runtime(tmp_path) as runtime:
        for action in OUTPUTS:
            document = example(action)
            request = Define(
                name=document["name"],
                description=document["description"],
                definition=document["definition"],
                input_schema=document.get("input_schema"),
                agent_id="reader",
                check_only=True,
            )
            answer = await runtime.router.handle(request, principal="reader")
            assert answer["warnings"] == [], action
