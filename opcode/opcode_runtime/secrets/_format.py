"""The vault's file: what its bytes mean, and how they are made and checked.

    magic (12 bytes) · ops (1) · memory in KiB (4, big-endian) · salt (16) · check (56) · entries (msgpack) · tag (32)

Rule 1: passphrase, salt and the two limits give 64 bytes by Argon2id (version 1.3): a key for secrets, one for the tag.
Rule 2: `check` is a fixed text, encrypted under the first key with the header as associated data. It tells a wrong
passphrase from a changed file.
Rule 3: each secret is XChaCha20-Poly1305 (IETF construction, 24 random bytes of nonce) with the magic and the secret's
name as associated data: one secret cannot be put in another's place.
Rule 4: the tag is BLAKE2b-256 under the second key over every byte before it: nothing can be changed, added, taken away
or reordered, the lists of templates included.
Rule 5: limits below the floor are refused, as a file with weaker ones was not made by us; above the ceiling, as that
would only cost the reader time and memory.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Any

import msgpack
import msgspec

from opcode_runtime.model.errors import ErrorCode, OpcodeError

MAGIC = b"opcodevault\x01"
SALT_BYTES = 16
KEY_BYTES = 32
TAG_BYTES = 32
_HEADER = struct.Struct(f">{len(MAGIC)}sBI{SALT_BYTES}s")
_CHECK = b"opcode vault key"
_NONCE_BYTES = 24
_CHECK_BYTES = _NONCE_BYTES + len(_CHECK) + 16

FILE_BYTES_MAX = 64 << 20


class Limits(msgspec.Struct, frozen=True):
    """What deriving the key costs: passes over the memory, and its size in KiB."""

    ops: int
    memory_kib: int

    @property
    def bearable(self) -> bool:
        """Whether both are at least those of the floor, and at most what a reader may be made to spend."""
        return INTERACTIVE.ops <= self.ops <= 16 and INTERACTIVE.memory_kib <= self.memory_kib <= (
            2 << 20
        )


INTERACTIVE = Limits(2, 64 << 10)
"""The floor: about 0.1 s."""
MODERATE = Limits(3, 256 << 10)
"""What new vaults are made with: about 0.7 s."""


class Header(msgspec.Struct, frozen=True):
    """What the key depends on, beside the passphrase."""

    limits: Limits
    salt: bytes

    def packed(self) -> bytes:
        """The header's bytes."""
        return _HEADER.pack(MAGIC, self.limits.ops, self.limits.memory_kib, self.salt)


class Keys(msgspec.Struct, frozen=True):
    """What a passphrase gives under a header; the passphrase itself is not kept."""

    header: Header
    secrets: bytes
    tag: bytes

    def __repr__(self) -> str:
        return "Keys(…)"


class Entry(msgspec.Struct, frozen=True):
    """One secret in the file. `templates` None: any may use it. Times in UTC seconds."""

    name: str
    sealed: bytes
    templates: tuple[str, ...] | None
    created_at: float
    changed_at: float


def fresh_header(limits: Limits) -> Header:
    """A header with a salt of its own."""
    from nacl.utils import random

    return Header(limits, random(SALT_BYTES))


def derive_keys(passphrase: bytes, header: Header) -> Keys:
    """Argon2id; takes as long as the limits say, and lets other threads run meanwhile."""
    from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13

    derived = crypto_pwhash_alg(
        2 * KEY_BYTES,
        passphrase,
        header.salt,
        header.limits.ops,
        header.limits.memory_kib << 10,
        crypto_pwhash_ALG_ARGON2ID13,
    )
    return Keys(header, derived[:KEY_BYTES], derived[KEY_BYTES:])


def header_of(body: bytes) -> Header:
    """The header of a vault file.

    Raises:
        OpcodeError: VAULT_ERROR, this is no vault, or one with limits that are not ours.
    """
    if len(body) < _HEADER.size + _CHECK_BYTES + TAG_BYTES or body[: len(MAGIC)] != MAGIC:
        raise damaged("it is no vault of this version")
    _, ops, memory_kib, salt = _HEADER.unpack_from(body)
    limits = Limits(ops, memory_kib)
    if not limits.bearable:
        raise damaged("its key limits are not ones that this program uses")
    return Header(limits, salt)


def pack(keys: Keys, entries: dict[str, Entry]) -> bytes:
    """A vault file whole."""
    header = keys.header.packed()
    rows = [_row(entries[name]) for name in sorted(entries)]
    body = header + _seal(keys.secrets, _CHECK, header) + bytes(msgpack.packb(rows) or b"")
    return body + _tag(keys, body)


def unpack(body: bytes, keys: Keys) -> dict[str, Entry]:
    """The entries of a vault file, whose header gave the keys; each is still sealed.

    Raises:
        OpcodeError: VAULT_ERROR, the passphrase is another one, or a byte was changed.
    """
    size = _HEADER.size
    check = body[size : size + _CHECK_BYTES]
    if header_of(body) != keys.header or _opened(keys.secrets, check, body[:size]) != _CHECK:
        raise wrong_passphrase()
    if not hmac.compare_digest(_tag(keys, body[:-TAG_BYTES]), body[-TAG_BYTES:]):
        raise damaged("it was changed by something else than this program")
    rows: list[Any] = msgpack.unpackb(body[size + _CHECK_BYTES : -TAG_BYTES])
    return {entry.name: entry for entry in map(_entry, rows)}


def seal(keys: Keys, name: str, value: str) -> bytes:
    """A secret's value, encrypted for its name."""
    return _seal(keys.secrets, value.encode(), MAGIC + name.encode())


def opened(keys: Keys, entry: Entry) -> str:
    """The value of a secret.

    Raises:
        OpcodeError: VAULT_ERROR, it is not what was sealed under this name.
    """
    value = _opened(keys.secrets, entry.sealed, MAGIC + entry.name.encode())
    if value is None:
        raise damaged(f"the secret {entry.name!r} cannot be decrypted")
    return value.decode()


def wrong_passphrase() -> OpcodeError:
    """The passphrase does not open this vault."""
    return OpcodeError(
        ErrorCode.VAULT_ERROR,
        "the passphrase does not open the vault: it is not the one that the vault was last encrypted under, "
        "or the beginning of the file is damaged",
        next="give the right one in OPCODE_VAULT_KEY, OPCODE_VAULT_KEY_FD or the file that vault_key_file names",
    )


def damaged(what: str) -> OpcodeError:
    """The vault cannot be used as it is."""
    return OpcodeError(
        ErrorCode.VAULT_ERROR,
        f"the vault cannot be read: {what}",
        next="put back a copy of the file `vault`, or move it away and set the secrets again",
    )


def _row(entry: Entry) -> list[Any]:
    templates = None if entry.templates is None else list(entry.templates)
    return [entry.name, entry.sealed, templates, entry.created_at, entry.changed_at]


def _entry(row: list[Any]) -> Entry:
    name, sealed, templates, created_at, changed_at = row
    allowed = None if templates is None else tuple(templates)
    return Entry(name, sealed, allowed, created_at, changed_at)


def _seal(key: bytes, plain: bytes, beside: bytes) -> bytes:
    from nacl.secret import Aead

    return bytes(Aead(key).encrypt(plain, aad=beside))


def _opened(key: bytes, sealed: bytes, beside: bytes) -> bytes | None:
    from nacl.exceptions import CryptoError
    from nacl.secret import Aead

    try:
        return bytes(Aead(key).decrypt(sealed, aad=beside))
    except (CryptoError, ValueError):
        return None


def _tag(keys: Keys, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=keys.tag, digest_size=TAG_BYTES).digest()
