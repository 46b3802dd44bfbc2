"""Server-sent events, as both transports of MCP write them (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from datetime import UTC, datetime

import trio
from mcp.types import JSONRPCMessage

from opcode_runtime.web.refusals import Send

PING_S = 15.0
"""How often a comment is sent, so that nothing between takes the stream for dead and a peer that is gone is noticed."""

EVENT_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
]


def encoded_event(kind: bytes, data: bytes) -> bytes:
    """One event; `data` has no line breaks."""
    return b"event: " + kind + b"\r\ndata: " + data + b"\r\n\r\n"


def encoded_message(message: JSONRPCMessage) -> bytes:
    """The event that carries one JSON-RPC message."""
    text = message.model_dump_json(by_alias=True, exclude_unset=True)
    return encoded_event(b"message", text.encode())


async def send_piece(send: Send, piece: bytes) -> None:
    """Send one piece of a stream that goes on."""
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def send_pings(send: Send) -> None:
    """Send a comment every `PING_S`, until cancelled."""
    while True:
        await trio.sleep(PING_S)
        await send_piece(send, f": ping - {datetime.now(UTC)}\r\n\r\n".encode())
