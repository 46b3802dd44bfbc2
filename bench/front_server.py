"""A server process for `bench.front`: `python -m bench.front_server ours|bare FOLDER`; says its port on a line.

`ours` is the runtime with its front door, as the daemon has it, and the workflows that are asked for: so many that stay
in memory, since a step of theirs does not end, and one that is done. `bare` is a server made of the MCP SDK alone, on
the same worker (hypercorn on trio) and the same transports, that answers each tool with what ours has answered, word by
word (`answers.json` in the folder); its `signal` makes one durable commit of a record's bytes.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hypercorn.trio
import trio
from hypercorn.config import Config
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

import opcode_runtime
from bench.durable import Floor, MeteredJournal
from bench.workload import POOL_SIZE, chain, effect, pure
from opcode_runtime.actions import Call
from opcode_runtime.web import Deadlines, serve

LIVE = 50
LONG_STEPS = 400
RECORD_BYTES = 150
HELD_S = 300.0
"""Readers that stall are not dropped while they are measured, which the daemon does after ten seconds."""


@opcode_runtime.action("bench.hang", kind="effectful")
async def hang(_params: dict[str, Any], _call: Call) -> None:
    """Never end."""
    await trio.sleep_forever()


def announce(port: int, **more: Any) -> None:
    """Tell whoever started this."""
    sys.stdout.write(json.dumps({"port": port, **more}) + "\n")
    sys.stdout.flush()


async def ours(folder: Path) -> None:
    """The runtime and its front door, until killed."""
    settings = opcode_runtime.Settings(pool_size=POOL_SIZE)
    async with opcode_runtime.open_runtime(
        folder / "data",
        actions=[effect, pure, hang],
        settings=settings,
        journal=lambda: MeteredJournal.open(folder / "data" / "journal"),
    ) as runtime:
        await runtime.define("ten", chain(10, "bench.effect"))
        await runtime.define("long", chain(LONG_STEPS, "bench.pure"))
        await runtime.define("hang", chain(1, "bench.hang"))
        done, long = await runtime.run("ten"), await runtime.run("long")
        await done.result()
        await long.result()
        live = [(await runtime.run("hang")).workflow_id for _ in range(LIVE)]
        async with trio.open_nursery() as nursery:
            start = partial(
                serve,
                listen=[("127.0.0.1", 0)],
                token=None,
                shutdown=trio.Event(),
                deadlines=Deadlines(send_s=HELD_S),
            )
            addresses = await nursery.start(partial(start, runtime))
            announce(addresses[0][1], done=done.workflow_id, long=long.workflow_id, live=live)


async def bare(folder: Path) -> None:
    """The SDK alone, until killed."""
    answers = json.loads((folder / "answers.json").read_text("utf-8"))
    floor, record = Floor(folder / "floor"), bytes(RECORD_BYTES)

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        names = list(answers)
        return types.ListToolsResult(
            tools=[types.Tool(name=name, input_schema={"type": "object"}) for name in names]
        )

    async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        answer = answers[params.name]
        if params.name == "opcode.signal":
            floor.commit([record])
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=answer["content"][0]["text"])],
            structured_content=answer.get("structuredContent"),
        )

    server = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)
    sse = SseServerTransport("/messages")
    sessions = StreamableHTTPSessionManager(server)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["path"] == "/mcp":
            await sessions.handle_request(scope, receive, send)
        elif scope["path"] == "/messages":
            await sse.handle_post_message(scope, receive, send)
        else:
            async with sse.connect_sse(scope, receive, send) as (incoming, outgoing):
                await server.run(incoming, outgoing, server.create_initialization_options())

    await _serve_bare(app, sessions)


async def _serve_bare(app: Any, sessions: StreamableHTTPSessionManager) -> None:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = None
    config.errorlog = logging.getLogger("bare")
    config.include_server_header = False
    async with sessions.run(), trio.open_nursery() as nursery:
        bound = await nursery.start(partial(hypercorn.trio.serve, app, config))
        announce(int(str(bound[0]).rpartition(":")[2]))


async def _lifespan(receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    trio.run({"ours": ours, "bare": bare}[sys.argv[1]], Path(sys.argv[2]))
