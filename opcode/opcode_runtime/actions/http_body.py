"""Bodies of HTTP requests and responses, bounded and by content type."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx2

from opcode_runtime.actions.text import json_text, parse_json, plain_text
from opcode_runtime.model.errors import ErrorCode, OpcodeError


class _Decoder(Protocol):
    def feed(self, data: bytes, room: int) -> bytes: ...


class _Identity:
    def feed(self, data: bytes, room: int) -> bytes:
        return data[:room]


class _Inflate:
    """gzip (several members too), zlib and raw deflate, never producing more than there is room for."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._begun = False
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS + 16 if gzip else zlib.MAX_WBITS)

    def feed(self, data: bytes, room: int) -> bytes:
        out = bytearray()
        while data and len(out) < room:
            out += self._step(data, room - len(out))
            data = self._inflate.unconsumed_tail or self._next_member()
        return bytes(out)

    def _step(self, data: bytes, room: int) -> bytes:
        try:
            part = self._inflate.decompress(data, room)
        except zlib.error:
            if self._gzip or self._begun:
                raise
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            part = self._inflate.decompress(data, room)
        self._begun = True
        return part

    def _next_member(self) -> bytes:
        rest = self._inflate.unused_data if self._gzip else b""
        if rest:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS + 16)
        return rest


def _decoder(encoding: str) -> _Decoder:
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return _Identity()
    if name in {"gzip", "x-gzip", "deflate"}:
        return _Inflate(gzip=name != "deflate")
    raise OpcodeError(
        ErrorCode.EXECUTION_ERROR,
        f"the response has the content encoding {encoding!r}, which is unknown",
    )


async def read_capped(response: httpx2.Response, bytes_max: int) -> tuple[bytes, bool]:
    """Read and decompress at most `bytes_max` bytes; a bomb costs no more than that.

    Returns:
        The bytes, and whether there were more.
    """
    decoder = _decoder(response.headers.get("content-encoding", ""))
    try:
        async with aclosing(response.aiter_raw(65536)) as chunks:
            body = await _decode_chunks(chunks, decoder, bytes_max + 1)
    except zlib.error as error:
        raise OpcodeError(ErrorCode.EXECUTION_ERROR, f"the response is damaged: {error}") from None
    return bytes(body[:bytes_max]), len(body) > bytes_max


async def _decode_chunks(chunks: AsyncIterator[bytes], decoder: _Decoder, enough: int) -> bytearray:
    body = bytearray()
    async for chunk in chunks:
        body += decoder.feed(chunk, enough - len(body))
        if len(body) >= enough:
            break
    return body


def decode_body(content: bytes, content_type: str, *, truncated: bool) -> Any:
    """JSON where the type says JSON (`+json` too) and the body is whole; else text; None when it is empty."""
    if not content:
        return None
    kind, _, rest = content_type.partition(";")
    text = _decode_text(content, rest)
    kind = kind.strip().lower()
    if truncated or not (kind == "application/json" or kind.endswith("+json")):
        return text
    return parse_json(text)


def _decode_text(content: bytes, type_parameters: str) -> str:
    charset = "utf-8"
    for part in type_parameters.split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip("\"'")
    try:
        text = content.decode(charset, errors="replace")
    except (LookupError, ValueError):
        text = content.decode(errors="replace")
    return text.encode(errors="replace").decode()


def encode_body(body: Any, encoding: str) -> tuple[bytes, str | None]:
    """The bytes of a request body and their content type.

    Arguments:
        body: any JSON; for `form` an object.
        encoding: `json`, `form`, `text` or `raw` (text without a content type).
    """
    if encoding == "form":
        if not isinstance(body, dict):
            raise OpcodeError(
                ErrorCode.VALIDATION_ERROR, "a body with body_encoding 'form' must be an object"
            )
        return _form(body).encode(), "application/x-www-form-urlencoded"
    if encoding == "text":
        return plain_text(body).encode(), "text/plain"
    if encoding == "raw":
        return plain_text(body).encode(), None
    return json_text(body).encode(), "application/json"


def _form(fields: dict[str, Any]) -> str:
    return urlencode({name: plain_text(value) for name, value in fields.items()})
