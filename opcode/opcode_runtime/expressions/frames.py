"""Values over a pipe: a 4-byte big-endian length, then msgpack.

Integers beyond 64 bits travel as extension 1 (two's complement, big-endian), so that no value of JSON changes on
the way.
"""

from __future__ import annotations

import struct
from typing import Any, cast

import msgpack

FRAME_BYTES_MAX = 64 << 20
HEADER = struct.Struct(">I")
_BIG_INTEGER = 1


def pack(value: Any) -> bytes:
    """A whole frame.

    Raises:
        ValueError: nested too deeply, or over `FRAME_BYTES_MAX`.
    """
    packed = msgpack.packb(value, default=_extended, unicode_errors="surrogatepass")
    body = cast("bytes", packed)
    if len(body) > FRAME_BYTES_MAX:
        raise ValueError(f"over {FRAME_BYTES_MAX} bytes")
    return HEADER.pack(len(body)) + body


def unpack(body: bytes) -> Any:
    """The value in a frame whose header was taken off.

    Raises:
        ValueError: not what `pack` makes, or nested too deeply.
    """
    return msgpack.unpackb(body, ext_hook=_extension, unicode_errors="surrogatepass")


def _extended(value: Any) -> msgpack.ExtType:
    if not isinstance(value, int):
        raise ValueError(f"a value of type {type(value).__name__} is no JSON")
    size = (value.bit_length() + 8) // 8
    return msgpack.ExtType(_BIG_INTEGER, value.to_bytes(size, "big", signed=True))


def _extension(code: int, data: bytes) -> Any:
    if code != _BIG_INTEGER:
        raise ValueError(f"unknown extension {code}")
    return int.from_bytes(data, "big", signed=True)
