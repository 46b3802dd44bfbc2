"""The export format: one JSON object per line, the first a header, the last a trailer, an event on each between.

    {"format":"opcode-journal","version":1,"store":…,"events":…,"at":…,"salvaged":false,"sum":…}
    {"stream":…,"seq":1,"epoch":…,"at":…,"type":"workflow_created","payload":{…},"digest":…,"sum":…}
    {"workflows":…,"streams":…,"events":…,"heads":…,"lost":[…],"sum":…}

Rule 1: `sum` is H(sum of the line before + this line up to its `sum`), BLAKE2b-128 in hexadecimal. So a changed,
    missing, doubled or displaced line is noticed at that line, and a missing end by the missing trailer. It protects
    against accidents, not against somebody who writes sums.
Rule 2: `digest` is the chained digest of the record in the journal that was exported. It covers the record's bytes,
    with the epoch in them; an import writes records of its own epoch, so these digests tell two exports of one journal
    apart, and are not recomputed. `heads` is H over stream, seq and digest of every stream's last event, in order.
Rule 3: a stream's events stand together and in order, from seq 1. Templates come first, then agents, then workflows.
Rule 4: what JSON cannot hold, or other readers of JSON would change, is an object with the one key `$opcode`:
    `["int", "-0x1f…"]` beyond 64 bits, `["float", "nan"|"inf"|"-inf"]`, `["text", hex of UTF-8 with lone surrogates]`,
    `["bytes", hex]`, `["tuple", […]]`, `["map", [[key, value], …]]` for keys that are not plain text, and for an object
    that has the key `$opcode` itself.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

FORMAT = "opcode-journal"
FORMAT_VERSION = 1
SUM_BYTES = 16

_MARK = "$opcode"
_TAIL = b',"sum":"' + b"0" * 2 * SUM_BYTES + b'"}'
_INT_MAX = 1 << 64


class LineWrong(ValueError):  # noqa: N818 - what it is, not a kind of error
    """A line is not what was written. `str()` says what is wrong with it."""


class Sums:
    """The running sum over the lines of one file."""

    def __init__(self) -> None:
        self._last = bytes(SUM_BYTES)

    def seal(self, fields: dict[str, Any]) -> bytes:
        """A line, with its end, that follows those before."""
        body = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()[:-1]
        return b'%b,"sum":"%b"}\n' % (body, self._next(body).hex().encode())

    def open(self, line: bytes) -> dict[str, Any]:
        """Read the line that follows those before; without its sum.

        Raises:
            LineWrong: it is another one.
        """
        if not line.endswith(b"\n"):
            raise LineWrong("it is cut off")
        text = line[:-1]
        body, tail = text[: -len(_TAIL)], text[-len(_TAIL) :]
        if tail[:8] != _TAIL[:8] or tail[-2:] != _TAIL[-2:]:
            raise LineWrong("it does not end with its sum")
        if tail[8:-2] != self._next(body).hex().encode():
            raise LineWrong("its sum does not fit: it, or a line before it, was changed or moved")
        try:
            fields = json.loads(body + b"}")
        except (ValueError, RecursionError) as error:
            raise LineWrong(f"it is not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise LineWrong("it is no JSON object")
        return fields

    def _next(self, body: bytes) -> bytes:
        self._last = hashlib.blake2b(self._last + body, digest_size=SUM_BYTES).digest()
        return self._last


class Heads:
    """The digest over the last events of all streams, in the order in which they were added."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=SUM_BYTES)
        self.streams = 0

    def add(self, stream: str, seq: int, digest: str) -> None:
        """Add the last event of one stream."""
        name = stream.encode("utf-8", "surrogatepass")
        self._hash.update(b"%d:%b%d:%b" % (len(name), name, seq, digest.encode()))
        self.streams += 1

    def hexdigest(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()


def to_json(value: Any) -> Any:
    """A value such that JSON holds it whole."""
    if isinstance(value, str):
        return value if _is_plain(value) else _marked("text", _raw(value).hex())
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_INT_MAX < value < _INT_MAX else _marked("int", hex(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else _marked("float", repr(value))
    if isinstance(value, list):
        return [to_json(each) for each in value]
    return _rarer(value)


def _rarer(value: Any) -> Any:
    if isinstance(value, dict):
        if all(isinstance(k, str) and _is_plain(k) for k in value) and _MARK not in value:
            return {key: to_json(each) for key, each in value.items()}
        return _marked("map", [[to_json(k), to_json(each)] for k, each in value.items()])
    if isinstance(value, tuple):
        return _marked("tuple", [to_json(each) for each in value])
    if isinstance(value, bytes):
        return _marked("bytes", value.hex())
    raise TypeError(f"{type(value).__name__} is no value of an event")


def from_json(value: Any) -> Any:
    """What `to_json` was given.

    Raises:
        LineWrong: it was given nothing such.
    """
    if isinstance(value, list):
        return [from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    if _MARK not in value:
        return {key: from_json(each) for key, each in value.items()}
    try:
        kind, body = value[_MARK]
        return _READ[kind](body)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LineWrong(f"this release cannot read a marked value: {error}") from error


_READ: dict[str, Callable[[Any], Any]] = {
    "int": lambda body: int(body, 16),
    "float": float,
    "text": lambda body: bytes.fromhex(body).decode("utf-8", "surrogatepass"),
    "bytes": bytes.fromhex,
    "tuple": lambda body: tuple(from_json(each) for each in body),
    "map": lambda body: {from_json(key): from_json(each) for key, each in body},
}


def _marked(kind: str, body: Any) -> dict[str, Any]:
    return {_MARK: [kind, body]}


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_plain(text: str) -> bool:
    """Whether a text holds no lone surrogate: two of them side by side would come back as one character."""
    return text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)
