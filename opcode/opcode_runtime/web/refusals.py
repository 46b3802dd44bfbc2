"""Saying no over HTTP: a status, and a JSON body with a code and a sentence.

Rule 1: whoever is refused gets to read why, even while still sending: what arrives meanwhile is read and dropped.
Rule 2: nothing of the request is repeated in the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import trio

from opcode_runtime.model.errors import ErrorCode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class RefusedError(Exception):
    """A request that is not served.

    Arguments:
        status: of the HTTP response.
        code: whose fault it is.
        message: a sentence that says what to change.
        headers: beside the content type and length.
    """

    def __init__(self, status: int, code: ErrorCode, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def body(self) -> bytes:
        """The JSON body."""
        return refusal_body(self.code, self.message)


class PeerGoneError(Exception):
    """The peer closed the connection before it had sent the whole request."""


def refusal_body(code: ErrorCode, message: str) -> bytes:
    """The JSON that every refusal over HTTP carries."""
    return msgspec.json.encode({"code": str(code), "message": message})


async def send_refusal(refusal: RefusedError, receive: Receive, send: Send) -> None:
    """Answer with a refusal, reading and dropping the rest of the request until the answer is out.

    Dropping is not politeness: the server queues at most ten pieces of a body, and with a full queue the peer does not
    get through, which may be sending all that it has before it reads.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_drop_input, receive)
        await _send_json(refusal, send)
        nursery.cancel_scope.cancel()


async def _drop_input(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_json(refusal: RefusedError, send: Send) -> None:
    body = refusal.body()
    headers = {"content_type": "application/json", "content_length": str(len(body))}
    named = {**headers, **refusal.headers}
    await send(
        {
            "type": "http.response.start",
            "status": refusal.status,
            "headers": [(name.replace("_", "-").encode(), named[name].encode()) for name in named],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
