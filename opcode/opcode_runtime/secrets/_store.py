"""The vault as its operator changes it: each change reads the file and writes it anew, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.secret_text import NAME_CHARS_MAX, SECRET_NAME
from opcode_runtime.secrets._files import (
    USED_FILE,
    VAULT_FILE,
    Stamp,
    locked,
    read_private,
    write_private,
)
from opcode_runtime.secrets._format import (
    MODERATE,
    Entry,
    Keys,
    Limits,
    derive_keys,
    fresh_header,
    header_of,
    opened,
    pack,
    seal,
    unpack,
)
from opcode_runtime.secrets._forms import SHORT_BYTES
from opcode_runtime.secrets._passphrase import refuse_weak

VALUE_BYTES_MAX = 64 << 10
SECRETS_MAX = 1_000

Templates = tuple[str, ...] | None
"""The templates that may use a secret, each NAME or NAME@vN; None for any."""

_Entries = dict[str, Entry]


class SecretInfo(msgspec.Struct, frozen=True):
    """What may be told about a secret. Times in UTC seconds; `templates` None: any may use it."""

    name: str
    templates: Templates
    created_at: float
    changed_at: float
    last_used_at: float | None = None


class Store:
    """An open vault, by its keys. `open_store` makes one."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self._folder = folder
        self._path = folder / VAULT_FILE
        self.keys = keys

    def read(self) -> tuple[_Entries, Stamp | None]:
        """The entries as the file has them now, still sealed, and the file's stamp; none when there is no file.

        Raises:
            OpcodeError: VAULT_ERROR, the file was changed by something else, or is encrypted under another passphrase.
        """
        found = read_private(self._path)
        if found is None:
            return {}, None
        return unpack(found[0], self.keys), found[1]

    def value_of(self, entry: Entry) -> str:
        """The value of a secret."""
        return opened(self.keys, entry)

    def listed(self) -> list[SecretInfo]:
        """Every secret but its value, by name."""
        used = read_used(self._folder)
        return [
            SecretInfo(each.name, each.templates, each.created_at, each.changed_at, used.get(name))
            for name, each in sorted(self.read()[0].items())
        ]

    def put(
        self,
        name: str,
        value: str,
        *,
        templates: Templates | Literal["as before"] = "as before",
        only: Literal["new", "old"] | None = None,
        force: bool = False,
    ) -> None:
        """Keep a secret, or give one another value.

        Arguments:
            templates: which may use it; `as before` means any when it is new.
            only: refuse when there is one already (`new`), or none yet (`old`).
            force: also take a value shorter than eight bytes.

        Raises:
            OpcodeError: VALIDATION_ERROR for the name or value, CONFLICT or NOT_FOUND by `only`, VAULT_ERROR.
        """
        check_name(name)
        check_value(name, value, force=force)
        with locked(self._folder):
            entries, now = self.read()[0], time.time()
            old = entries.get(name)
            if only == "old" and old is None:
                raise no_secret(name)
            if only == "new" and old is not None:
                raise OpcodeError(ErrorCode.CONFLICT, f"there is a secret {name!r} already")
            if old is None and len(entries) >= SECRETS_MAX:
                raise OpcodeError(
                    ErrorCode.TOO_LARGE, f"a vault holds at most {SECRETS_MAX} secrets"
                )
            allowed = (old.templates if old else None) if templates == "as before" else templates
            created_at = old.created_at if old else now
            entries[name] = Entry(name, seal(self.keys, name, value), allowed, created_at, now)
            self._write(entries)

    def allow(self, name: str, templates: Templates) -> None:
        """Say which templates may use a secret.

        Raises:
            OpcodeError: NOT_FOUND, VAULT_ERROR.
        """

        def change(entries: _Entries) -> None:
            entries[name] = msgspec.structs.replace(entries[name], templates=templates)

        self._change(name, change)

    def remove(self, name: str) -> None:
        """Forget a secret.

        Raises:
            OpcodeError: NOT_FOUND, VAULT_ERROR.
        """
        self._change(name, lambda entries: entries.pop(name))

    def reencrypt(self, passphrase: bytes, limits: Limits = MODERATE) -> None:
        """Encrypt everything under another passphrase. Until the very end the old one holds, from then on the new one.

        Raises:
            OpcodeError: VAULT_ERROR.
        """
        refuse_weak(passphrase)
        keys = derive_keys(passphrase, fresh_header(limits))
        with locked(self._folder):
            entries = self.read()[0]
            anew = {
                name: msgspec.structs.replace(each, sealed=seal(keys, name, self.value_of(each)))
                for name, each in entries.items()
            }
            write_private(self._path, pack(keys, anew))
        self.keys = keys

    def _change(self, name: str, change: Callable[[_Entries], object]) -> None:
        with locked(self._folder):
            entries = self.read()[0]
            if name not in entries:
                raise no_secret(name)
            change(entries)
            self._write(entries)

    def _write(self, entries: _Entries) -> None:
        write_private(self._path, pack(self.keys, entries))


def open_store(folder: Path, passphrase: bytes, *, limits: Limits = MODERATE) -> Store:
    """Open the vault in `folder`, or make an empty one there. Takes most of a second, on purpose.

    Raises:
        OpcodeError: VAULT_ERROR, the passphrase is another one, or the file was changed or cannot be used.
    """
    path = folder / VAULT_FILE
    found = read_private(path)
    if found is None:
        with locked(folder):
            found = read_private(path)
            if found is None:
                refuse_weak(passphrase)
                keys = derive_keys(passphrase, fresh_header(limits))
                write_private(path, pack(keys, {}))
                return Store(folder, keys)
    store = Store(folder, derive_keys(passphrase, header_of(found[0])))
    unpack(found[0], store.keys)
    return store


def check_name(name: str) -> None:
    """Raise VALIDATION_ERROR for what is no name of a secret."""
    if not SECRET_NAME.fullmatch(name):
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"{name!r} is no name of a secret: 1 to {NAME_CHARS_MAX} of ASCII letters, digits, '_', '-' and '.', "
            "the first a letter, digit or '_'",
        )


def check_value(name: str, value: str, *, force: bool) -> None:
    """Raise VALIDATION_ERROR for a value that cannot be kept, or not be found again in what steps give back."""
    size = len(value.encode("utf-8", "surrogatepass"))
    problem, remedy = None, None
    if not 0 < size <= VALUE_BYTES_MAX:
        problem = f"has {size} bytes, not 1 to {VALUE_BYTES_MAX}"
    elif "\0" in value or not _is_text(value):
        problem, remedy = "is no text (UTF-8, without NUL)", "encode it, for example as base64"
    elif size < SHORT_BYTES and not force:
        problem = f"has fewer than {SHORT_BYTES} bytes, so it could not be told from other text in outputs"
        remedy = (
            "--force keeps it all the same; it is then taken out only where it is a whole value"
        )
    if problem:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, f"the value of the secret {name!r} {problem}", next=remedy
        )


def no_secret(name: str) -> OpcodeError:
    """The vault has no such secret."""
    return OpcodeError(
        ErrorCode.NOT_FOUND,
        f"the vault holds no secret {name!r}",
        next=f"`opcode secret set {name}` keeps one; `opcode secret list` shows those there are",
    )


def read_used(folder: Path) -> dict[str, float]:
    """When secrets were last used, in UTC seconds. A hint for people: what cannot be read is nothing."""
    try:
        found = read_private(folder / USED_FILE)
        return {} if found is None else msgspec.json.decode(found[0], type=dict[str, float])
    except (OpcodeError, msgspec.DecodeError):
        return {}


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
