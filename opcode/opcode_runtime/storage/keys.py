"""How keys are laid out, so that LMDB's byte order is the order in which rows are asked for.

Rule 1: LMDB takes keys of at most 511 bytes. A text longer than 200 bytes, or with a NUL in it, is
    cut and its digest put behind a byte 0xFF, which no UTF-8 text has; every other text stands as
    it is.
Rule 2: a text is ended by NUL, so that no key is the prefix of a longer one.
Rule 3: numbers are big-endian; times are doubles whose bits are turned so that they sort as
    numbers.
"""

from __future__ import annotations

import hashlib
import re
import struct
from functools import lru_cache

_TEXT_BYTES_MAX = 200
_U64 = struct.Struct(">Q")
_F64 = struct.Struct(">d")
_SIGN = 1 << 63
_ALL_ONES = (1 << 64) - 1
_NUMBER = re.compile(r"\d{1,18}")

number = _U64.pack


def read_number(key: bytes) -> int:
    """The number at the end of a key."""
    value: int = _U64.unpack(key[-8:])[0]
    return value


@lru_cache(maxsize=4096)
def text(value: str) -> bytes:
    """A text as the beginning of a key."""
    raw = value.encode("utf-8", "surrogatepass")
    if len(raw) <= _TEXT_BYTES_MAX and b"\0" not in raw:
        return raw + b"\0"
    digest = hashlib.blake2b(raw, digest_size=16).hexdigest().encode()
    return raw[: _TEXT_BYTES_MAX - 40].replace(b"\0", b" ") + b"\xff" + digest + b"\0"


def event(stream: str, seq: int) -> bytes:
    """Key of the index from (stream, seq) to the position of the record."""
    return text(stream) + number(seq)


def moment(at: float) -> bytes:
    """A time such that earlier sorts first."""
    bits: int = _U64.unpack(_F64.pack(at))[0]
    return number(bits ^ _ALL_ONES if bits & _SIGN else bits | _SIGN)


def read_moment(key: bytes) -> float:
    """The time at the beginning of a key."""
    bits: int = _U64.unpack(key[:8])[0]
    at: float = _F64.unpack(number(bits ^ _SIGN if bits & _SIGN else bits ^ _ALL_ONES))[0]
    return at


def listing(tag: str, value: str, created_at: float, workflow_id: str) -> bytes:
    """Key in the listing of workflows whose `tag` (one letter) is `value`, oldest first."""
    return listing_of(tag, value) + listed(created_at, workflow_id)


def listed(created_at: float, workflow_id: str) -> bytes:
    """What all keys of one workflow in listings end with."""
    return moment(created_at) + text(workflow_id)


def listing_of(tag: str, value: str) -> bytes:
    """What all keys of one listing begin with."""
    return tag.encode() + text(value)


def version_number(version: str) -> int:
    """The number in a version (`v12` is 12); 0 when it has none."""
    found = _NUMBER.search(version)
    return int(found[0]) if found else 0


def template(name: str, version: str) -> bytes:
    """Names ascend, versions of a name descend."""
    return text(name) + number(_ALL_ONES - version_number(version)) + text(version)


def decision(workflow_id: str, decision_id: str) -> bytes:
    """Key of an open decision; those of a workflow stand together."""
    return text(workflow_id) + text(decision_id)


def idempotency(scope: str, key: str) -> tuple[bytes, bytes]:
    """Both keys of what an idempotency key has done."""
    raw = f"{len(scope)}:{scope}{key}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(raw, digest_size=16).digest()
    return digest, digest[::-1]
