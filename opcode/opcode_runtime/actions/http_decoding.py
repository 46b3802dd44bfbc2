"""Taking the content encoding off a body, a bounded piece at a time.

Rule 1: no step makes more than `PIECE_BYTES`, whatever it is given, so that a bomb stalls nothing.
Rule 2: from the first MiB on a body may have grown by `ratio_max` at most.
Rule 3: a body that ends in the middle of its encoding is damaged.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Protocol

import httpx2
import trio

from opcode_runtime.actions.limits import too_large
from opcode_runtime.model.errors import ErrorCode, OpcodeError

PIECE_BYTES = 1 << 18
RATIO_FREE_BYTES = 1 << 20
"""Up to here the ratio is not looked at: short bodies may well be repetitive."""

_WIRE_BYTES = 1 << 16


class _Decoder(Protocol):
    def pieces(self, data: bytes) -> Iterator[bytes]: ...

    def finish(self) -> None: ...


class _Identity:
    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        pass


class _Inflate:
    """gzip (RFC 1952, several members too) and deflate, which is zlib (RFC 1950) or raw (RFC 1951)."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._held = b""
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS + 16) if gzip else None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        data = self._held + data
        self._held = b""
        if self._inflate is None:
            if len(data) < 2:
                self._held = data
                return
            self._inflate = zlib.decompressobj(_window_bits(data))
        full = False
        while data or full:
            inflate = self._inflate
            piece = _inflated(inflate, data)
            full = len(piece) == PIECE_BYTES
            data = inflate.unconsumed_tail
            if inflate.eof:
                data = self._next_member(inflate.unused_data)
                full = False
            yield piece

    def _next_member(self, rest: bytes) -> bytes:
        """What follows a whole stream: in gzip another one, or padding, as tapes and blocks have it."""
        if not self._gzip or not rest.strip(b"\0"):
            return b""
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS + 16)
        return rest

    def finish(self) -> None:
        if self._held or (self._inflate is not None and not self._inflate.eof):
            raise _damaged("it ends too early")


def _inflated(inflate: Any, data: bytes) -> bytes:
    try:
        piece: bytes = inflate.decompress(data, PIECE_BYTES)
    except zlib.error as error:
        raise _damaged(str(error)) from None
    return piece


def _damaged(how: str) -> OpcodeError:
    return OpcodeError(ErrorCode.EXECUTION_ERROR, f"the response is damaged: {how}")


def _window_bits(head: bytes) -> int:
    """Whether deflate begins with a header of zlib: the method, and a check that 31 divides both bytes."""
    has_header = head[0] & 0x0F == 8 and int.from_bytes(head[:2]) % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


def _decoder(encoding: str) -> _Decoder:
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return _Identity()
    if name in {"gzip", "x-gzip", "deflate"}:
        return _Inflate(gzip=name != "deflate")
    raise OpcodeError(
        ErrorCode.EXECUTION_ERROR,
        f"the response has the content encoding {encoding!r}; gzip and deflate are known here",
    )


async def content_of(
    response: httpx2.Response, ratio_max: int, bytes_max: int
) -> AsyncGenerator[bytes, None]:
    """The decompressed content, piece by piece; close the generator when done with it.

    Arguments:
        ratio_max: by how much it may grow, the setting `limits.http_ratio_max`.
        bytes_max: how much content is wanted; much more than that on the wire is refused, whatever comes out of it.

    Raises:
        OpcodeError: EXECUTION_ERROR, damaged or in an unknown encoding; TOO_LARGE.
    """
    decoder = _decoder(response.headers.get("content-encoding", ""))
    wire_bytes = content_bytes = 0
    async with aclosing(response.aiter_raw(_WIRE_BYTES)) as chunks:
        async for chunk in chunks:
            wire_bytes += len(chunk)
            for piece in decoder.pieces(chunk):
                content_bytes += len(piece)
                _check(wire_bytes, content_bytes, ratio_max, bytes_max)
                yield piece
                await trio.lowlevel.checkpoint()
    if wire_bytes:
        decoder.finish()


def _check(wire_bytes: int, content_bytes: int, ratio_max: int, bytes_max: int) -> None:
    if content_bytes > RATIO_FREE_BYTES and content_bytes > wire_bytes * ratio_max:
        what = "the number of times that a response grows when it is decompressed"
        raise too_large(what, "http_ratio_max", ratio_max)
    if wire_bytes > 2 * bytes_max + RATIO_FREE_BYTES:
        raise OpcodeError(
            ErrorCode.TOO_LARGE,
            f"the response takes over {wire_bytes} bytes to say {content_bytes}; no setting allows that",
        )
