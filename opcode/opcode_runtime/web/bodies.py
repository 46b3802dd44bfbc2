"""Reading the body of a request that carries one MCP message, before anything else sees it.

Rule 1: the size is counted as it arrives, whatever the request says about it.
Rule 2: the whole body has one deadline.
Rule 3: what is handed on is strict JSON and one JSON-RPC message, so that no parser behind it is surprised.
"""

from __future__ import annotations

from typing import Any

import trio
from mcp import types
from pydantic import ValidationError

from opcode_runtime.mcp.strict_json import decode_json
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.web.access import header_values
from opcode_runtime.web.refusals import Message, PeerGoneError, Receive, RefusedError, Scope


async def read_message(
    scope: Scope, receive: Receive, *, bytes_max: int, depth_max: int, deadline_s: float
) -> tuple[bytes, types.JSONRPCMessage]:
    """Read and check the body of a POST; the body and the message that it is.

    Raises:
        RefusedError: 400, 408, 413 or 415.
        PeerGoneError: the connection ended first.
    """
    _check_content_type(scope)
    _check_declared(scope, bytes_max)
    try:
        with trio.fail_after(deadline_s):
            body = await _read(receive, bytes_max)
    except trio.TooSlowError:
        raise RefusedError(
            408, ErrorCode.TIMEOUT_ERROR, f"The body did not arrive within {deadline_s:g} s."
        ) from None
    return body, _message(body, depth_max)


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was already read, and then what comes after it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


def _check_content_type(scope: Scope) -> None:
    values = header_values(scope, b"content-type")
    if len(values) != 1 or values[0].split(";")[0].strip() != "application/json":
        raise RefusedError(
            415, ErrorCode.VALIDATION_ERROR, "The body must have Content-Type: application/json."
        )


def _check_declared(scope: Scope, bytes_max: int) -> None:
    for declared in header_values(scope, b"content-length"):
        if declared.isdecimal() and int(declared[:20]) > bytes_max:
            raise _too_large(bytes_max)


async def _read(receive: Receive, bytes_max: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise PeerGoneError
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(bytes_max: int) -> RefusedError:
    return RefusedError(
        413,
        ErrorCode.TOO_LARGE,
        f"The body is larger than {bytes_max} bytes (limits.body_bytes_max).",
    )


def _message(body: bytes, depth_max: int) -> types.JSONRPCMessage:
    try:
        document = decode_json(body, depth_max=depth_max)
    except ValueError as error:
        raise RefusedError(400, ErrorCode.VALIDATION_ERROR, str(error)) from None
    try:
        message = types.jsonrpc_message_adapter.validate_json(body, by_name=False)
        _check_id(document)
    except (ValidationError, TypeError):
        raise RefusedError(
            400, ErrorCode.VALIDATION_ERROR, "The body is not one JSON-RPC 2.0 message."
        ) from None
    return message


def _check_id(message: dict[str, Any]) -> None:
    """The SDK takes a request with a malformed id for a notification, and nobody would ever be answered."""
    wrong = isinstance(message.get("id", ""), bool) or not isinstance(
        message.get("id", ""), str | int
    )
    if wrong and "method" in message:
        raise TypeError("id must be text or an integer")
