"""The small HTTP service that the demo's workflow calls: one request a connection, JSON both ways, all of it noted."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import msgspec
import trio

_HEAD_BYTES_MAX = 16 << 10
_BODY_BYTES_MAX = 64 << 10
_REQUEST_TIMEOUT_S = 10.0


class Request(msgspec.Struct, frozen=True):
    """One request as it came; `key` is its `Idempotency-Key`."""

    method: str
    path: str
    key: str
    body: Any


class Service:
    """What the service has been asked, in order."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Note a request and answer it."""
        self.requests.append(request)
        match request.method, request.path:
            case "GET", "/policy":
                return 200, {"algorithm": "sha256"}
            case "POST", "/surveys":
                return 201, {"ticket": f"T-{request.key[:8] or len(self.requests)}"}
            case "POST", "/reports":
                return 201, {"accepted": True}
            case _:
                return 404, {"error": "not found"}


async def serve_service(
    service: Service, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve on a free port of loopback until cancelled; reports the base URL once it listens."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, partial(_exchange, service), listeners)
        task_status.started(f"http://127.0.0.1:{port}")


async def _exchange(service: Service, stream: trio.SocketStream) -> None:
    with trio.move_on_after(_REQUEST_TIMEOUT_S):
        try:
            request = await _read(stream)
            if request is None:
                return
            status, body = service.answer(request)
            await stream.send_all(_response(status, body))
        except (trio.BrokenResourceError, ValueError):
            return  # a peer that went away or spoke something else gets no answer
        finally:
            await trio.aclose_forcefully(stream)


async def _read(stream: trio.SocketStream) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some()
        if not more or len(data) > _HEAD_BYTES_MAX:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)
    }
    length = int(headers.get("content-length", "0"))
    while len(body) < length <= _BODY_BYTES_MAX:
        more = await stream.receive_some()
        if not more:
            return None
        body += more
    method, path, _ = line.split(" ", 2)
    key = headers.get("idempotency-key", "")
    return Request(method, path, key, json.loads(body) if body else None)


def _response(status: int, body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} {'OK' if status < 400 else 'Not Found'}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + text
