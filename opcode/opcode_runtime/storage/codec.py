"""How events and rows become bytes, and how wrong bytes are told from right ones.

Rule 1: a record is one msgpack array: [event version, epoch, stream, seq, at, type, payload,
    digest]. `at` and `type` are taken out of the payload, so that nothing is stored twice.
Rule 2: digest_n = BLAKE2b-128(digest_{n-1} + every byte of record n before its digest). The digest
    stands last, so those bytes are simply the record without its last sixteen. The first record of
    a stream follows the empty digest.
Rule 3: a value that is not part of a chain (head, row, tail) is sealed: a CRC-32 over key and value
    stands before it. It protects against damage, not against an adversary who can write the file.
Rule 4: a big value stands in a record or row as a reference, an extension type (blobs.py); the digest of a record
    covers the reference, and the reference names the content.
Rule 5: what goes in comes out equal. Integers beyond 64 bits and tuples are msgpack extension
    types; lone surrogates are kept as they are.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar, get_args
from zlib import crc32

import msgpack
import msgspec
from msgspec import convert, to_builtins

from opcode_runtime.model.events import EVENT_VERSION, AnyEvent
from opcode_runtime.model.record import Record
from opcode_runtime.storage.errors import EventUnstorable, JournalCorrupt
from opcode_runtime.storage.nesting import NESTING_MAX, check_nesting

DIGEST_BYTES = 16
BLOB_BYTES_MIN = 256 << 10
"""A value that takes more bytes than this, packed, is a blob."""
BLOB_DEPTH_MAX = 4
"""How deep below a record or row values are looked at one by one; its fields stand at depth 1."""

_NO_DIGEST = bytes(DIGEST_BYTES)
_EXT_INT, _EXT_TUPLE, _EXT_BLOB = 1, 2, 3
_REFERENCE = struct.Struct(">16sQ")
_REFERENCE_MARK = b"\xc7" + bytes(
    [_REFERENCE.size, _EXT_BLOB]
)  # "ext 8" in msgpack's specification
_SEAL = struct.Struct(">I")
_Row = TypeVar("_Row")

EVENT_TYPES: dict[str, type[Any]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyEvent)
}

Fetch: TypeAlias = Callable[[bytes, int], Any]
"""Finds the value of a blob by digest and size."""


class Blob(NamedTuple):
    """A value that is stored under the digest of its packed bytes."""

    digest: bytes
    body: bytes


class _UnresolvedError(ValueError):
    """A value holds references to blobs, and is read without a way to find them."""


def _extend(value: Any) -> msgpack.ExtType:
    """Called by the packer for what msgpack has no type for."""
    if isinstance(value, tuple):
        body = msgpack.packb(
            list(value), default=_extend, strict_types=True, unicode_errors="surrogatepass"
        )
        return msgpack.ExtType(_EXT_TUPLE, body)
    if isinstance(value, int):
        size = value.bit_length() // 8 + 1
        return msgpack.ExtType(_EXT_INT, value.to_bytes(size, "big", signed=True))
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _unextend(code: int, body: bytes | memoryview) -> Any:
    if code == _EXT_INT:
        return int.from_bytes(body, "big", signed=True)
    if code == _EXT_TUPLE:
        return tuple(unpack(body))
    if code == _EXT_BLOB:
        raise _UnresolvedError("it holds references to blobs")
    raise ValueError(f"unknown extension type {code}")


_read = msgspec.msgpack.Decoder(ext_hook=_unextend).decode


def unpack(body: bytes | memoryview, fetch: Fetch | None = None) -> Any:
    """Read one msgpack value, with its blobs in place.

    Raises:
        ValueError: `body` is not one; or it holds references, and there is no `fetch`.
    """
    try:
        return _read(body)  # twice as fast; it cannot follow references or read lone surrogates
    except (ValueError, TypeError, RecursionError):
        return _unpack_fully(body, fetch)


def _unpack_fully(body: bytes | memoryview, fetch: Fetch | None) -> Any:
    if fetch is None:
        return _unpack(body, _unextend)
    find = fetch  # bound once more: the type of an argument does not reach into a closure

    def resolve(code: int, raw: bytes) -> Any:
        return find(*_REFERENCE.unpack(raw)) if code == _EXT_BLOB else _unextend(code, raw)

    return _unpack(body, resolve)


def _unpack(body: bytes | memoryview, hook: Callable[[int, bytes], Any]) -> Any:
    try:
        return _unpack_strictly(body, hook)
    except UnicodeDecodeError:
        return _unpack_leniently(body, hook)


def _unpack_strictly(body: bytes | memoryview, hook: Callable[[int, bytes], Any]) -> Any:
    return msgpack.unpackb(body, ext_hook=hook, strict_map_key=False)


def _unpack_leniently(body: bytes | memoryview, hook: Callable[[int, bytes], Any]) -> Any:
    """With lone surrogates."""
    return msgpack.unpackb(
        body, ext_hook=hook, strict_map_key=False, unicode_errors="surrogatepass"
    )


def references(value: bytes, *, sealed: bool = False) -> list[bytes]:
    """Digests of the blobs that a record or a sealed row refers to, one for each reference.

    Raises:
        ValueError: it cannot be read.
    """
    if _REFERENCE_MARK not in value:
        return []
    body = value[_SEAL.size :] if sealed else value
    found: list[bytes] = []

    def note(code: int, raw: bytes) -> Any:
        if code != _EXT_BLOB:
            return _unextend(code, raw)
        found.append(_REFERENCE.unpack(raw)[0])
        return None

    try:
        _unpack_strictly(body, note)
    except UnicodeDecodeError:
        found.clear()  # it has noted those before the first lone surrogate
        _unpack_leniently(body, note)
    return found


def blob_digest(body: bytes) -> bytes:
    """The digest under which a packed value is stored."""
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()


# A copy of a hash that has read nothing costs a third less than a new one, whose dozen options are looked at.
_fresh_hash = hashlib.blake2b(digest_size=DIGEST_BYTES).copy


def chain(previous: bytes, body: bytes) -> bytes:
    """The digest of a record whose bytes before the digest are `body`."""
    running = _fresh_hash()
    running.update(previous)
    running.update(body)
    return running.digest()


class Encoder:
    """Packs values. A packer keeps a buffer, so each writer has its own.

    `blobs` are those that records and rows have referred to since they were last taken.
    """

    def __init__(self) -> None:
        self.blobs: list[Blob] = []
        strict: Any = msgpack.Packer(default=_extend, strict_types=True)
        self._pack: Callable[[Any], bytes] = strict.pack

    def pack(self, value: Any) -> bytes:
        """One value as msgpack.

        Raises:
            TypeError, ValueError: the value is not JSON-like or nested too deep.
        """
        try:
            return self._pack(value)
        except UnicodeEncodeError:
            lenient: Any = msgpack.Packer(
                default=_extend, strict_types=True, unicode_errors="surrogatepass"
            )
            body: bytes = lenient.pack(value)
            return body

    def record(
        self, event: AnyEvent, epoch: int, stream: str, seq: int, previous: bytes
    ) -> tuple[bytes, bytes]:
        """The record of an event, and its digest.

        Raises:
            EventUnstorable: the event holds something that is not JSON-like or nested too deep.
        """
        try:
            payload = to_builtins(event)
            convert(payload, type(event))  # what would not be readable must not be written
            at, tag = payload.pop("at"), payload.pop("type")
            fields = [EVENT_VERSION, epoch, stream, seq, at, tag, payload, _NO_DIGEST]
            try:
                body = self._pack(fields)[:-DIGEST_BYTES]
            except UnicodeEncodeError:
                body = self.pack(fields)[:-DIGEST_BYTES]
            if len(body) > NESTING_MAX:  # or it has no room to nest that deep
                body = self._checked(body, fields)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EventUnstorable(stream, type(event).__name__, str(error)) from error
        running = _fresh_hash()  # as `chain`
        running.update(previous)
        running.update(body)
        digest = running.digest()
        return body + digest, digest

    def _checked(self, body: bytes, fields: list[Any]) -> bytes:
        """A long record, before its digest: nested no deeper than it may, its big values as blobs."""
        payload = fields[-2]
        check_nesting(body, payload)
        if len(body) <= BLOB_BYTES_MIN:
            return body
        fields[-2] = self._thinned(payload)
        return self.pack(fields)[:-DIGEST_BYTES]

    def row(self, key: bytes, row: Any) -> bytes:
        """A row (a msgspec struct) as a sealed value."""
        fields = to_builtins(row)
        body = self.pack(fields)
        if len(body) > BLOB_BYTES_MIN:
            body = self.pack(self._thinned(fields))
        return seal(key, body)

    def message(self, stream: str, key: bytes, message_id: str, fields: list[Any]) -> bytes:
        """A message as a sealed value; `stream` is who sends it.

        Raises:
            EventUnstorable: it holds something that is not JSON-like or nested too deep.
        """
        try:
            body = self.pack(fields)
            check_nesting(body, fields)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EventUnstorable(stream, f"message {message_id!r}", str(error)) from error
        return seal(key, body)

    def take_blobs(self) -> list[Blob]:
        """The blobs referred to since the last call."""
        taken, self.blobs = self.blobs, []
        return taken

    def _thinned(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Fields with references in place of their big values."""
        return {name: self._shrunk(value, self.blobs, 1) for name, value in fields.items()}

    def _shrunk(self, value: Any, blobs: list[Blob], depth: int) -> Any:
        """What stands for a value: the same for the same value wherever it stands, so that it is stored once."""
        if isinstance(value, str):
            if len(value) * 4 <= BLOB_BYTES_MIN:
                return value
        elif not isinstance(value, dict | list | tuple):
            return value
        body = self.pack(value)
        if len(body) <= BLOB_BYTES_MIN:
            return value
        inner: list[Blob] = []
        rest = self._shrunk_members(value, inner, depth + 1) if depth < BLOB_DEPTH_MAX else value
        if inner and len(self.pack(rest)) <= BLOB_BYTES_MIN:
            blobs += inner
            return rest
        digest = blob_digest(body)
        blobs.append(Blob(digest, body))
        return msgpack.ExtType(_EXT_BLOB, _REFERENCE.pack(digest, len(body)))

    def _shrunk_members(self, value: Any, blobs: list[Blob], depth: int) -> Any:
        if isinstance(value, dict):
            return {key: self._shrunk(each, blobs, depth) for key, each in value.items()}
        if isinstance(value, list):
            return [self._shrunk(each, blobs, depth) for each in value]
        return value


def decode_record(
    value: bytes,
    position: int,
    stream: str,
    seq: int,
    previous: bytes,
    fetch: Fetch | None = None,
) -> Record:
    """Read a record back, having checked that it is the one that was written there.

    Arguments:
        stream, seq: where the index says that the record stands.
        previous: digest of the record before it in its stream.
        fetch: finds the blobs that the record refers to.

    Raises:
        JournalCorrupt: it is not, or a blob is missing or wrong.
    """
    if value[-DIGEST_BYTES:] != chain(previous, value[:-DIGEST_BYTES]):
        raise JournalCorrupt("the digest does not fit the record", stream=stream, seq=seq)
    try:
        version, epoch, found_stream, found_seq, at, kind, payload, _ = unpack(value, fetch)
        if version != EVENT_VERSION:
            raise ValueError(f"event version {version}, known is {EVENT_VERSION}")
        payload["at"] = at
        # By the one class: converting by the whole union builds its table anew on every call (24 µs against 0.3 µs).
        event: AnyEvent = convert(payload, EVENT_TYPES[kind])
    except JournalCorrupt as error:
        raise JournalCorrupt(error.reason, stream=stream, seq=seq) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"this release cannot read the record: {error}"
        raise JournalCorrupt(reason, stream=stream, seq=seq) from error
    if found_seq != seq or found_stream != stream:
        reason = f"the index points to event {found_seq} of stream {found_stream!r}"
        raise JournalCorrupt(reason, stream=stream, seq=seq)
    return Record(position, stream, seq, epoch, event)


def place_of(value: bytes) -> tuple[str, int]:
    """Stream and seq that a record names, unchecked; for finding the index entry to check it by."""
    try:
        fields = unpack(value, _nothing)
        return str(fields[2]), int(fields[3])
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise JournalCorrupt(f"a record cannot be read: {error}") from error


def _nothing(_digest: bytes, _size: int) -> None:
    """In the place of a blob that nobody looks at."""


def seal(key: bytes, body: bytes) -> bytes:
    """`body` with a checksum over key and body before it."""
    return _SEAL.pack(crc32(body, crc32(key))) + body


def unseal(key: bytes, value: bytes, what: str) -> bytes:
    """The body of a sealed value.

    Raises:
        JournalCorrupt: the checksum does not fit; `what` names the value to the reader.
    """
    body = value[_SEAL.size :]
    if value[: _SEAL.size] != _SEAL.pack(crc32(body, crc32(key))):
        raise JournalCorrupt(f"the checksum of the {what} does not fit")
    return body


def decode_row(key: bytes, value: bytes, kind: type[_Row], fetch: Fetch | None = None) -> _Row:
    """Read a row back; `fetch` finds the blobs that it refers to.

    Raises:
        JournalCorrupt: it is not what was written, or a blob is missing or wrong.
    """
    body = unseal(key, value, f"{kind.__name__} row")
    try:
        return convert(unpack(body, fetch), kind)
    except (ValueError, TypeError) as error:
        raise JournalCorrupt(f"a {kind.__name__} row cannot be read: {error}") from error
