"""The vault as steps use it: references become values, at the last moment, and outcomes lose them again.

Rule 1: the passphrase is asked for once, when the runtime opens; only the keys stay in memory. Without one the runtime
works, and whatever needs a secret fails with VAULT_ERROR.
Rule 2: the file is read again when it has changed, so what an operator sets, rotates or removes counts from the next
attempt on. Only another passphrase needs a restart.
Rule 3: when a secret was last used is noted in a file beside the vault, at most once in `NOTE_EVERY_S` and at the end;
a crash may lose the newest notes. The vault itself is never written by a runtime, but to make an empty one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.outcome import Outcome
from opcode_runtime.model.secret_text import SecretPlace, secret_mark
from opcode_runtime.secrets._files import USED_FILE, VAULT_FILE, Stamp, stamp_of, write_private
from opcode_runtime.secrets._format import Entry
from opcode_runtime.secrets._passphrase import close_to_others, take_passphrase
from opcode_runtime.secrets._redaction import Redactor
from opcode_runtime.secrets._store import Store, no_secret, open_store, read_used

NOTE_EVERY_S = 60.0
_log = structlog.get_logger("opcode_runtime.vault")


class Vault:
    """What steps may learn of the secrets of one data directory."""

    def __init__(self, folder: Path, store: Store | None) -> None:
        """Without a store the vault is locked."""
        self._folder = folder
        self._store = store
        self._stamp: Stamp | None = None
        self._entries: dict[str, Entry] = {}
        self._values: dict[str, str] = {}
        self._used: dict[str, float] = {}
        self._noted_at = time.monotonic()
        self.redactor = Redactor()
        if store is not None:
            self._read(store)

    def resolve(
        self, params: Any, places: tuple[SecretPlace, ...], template: str, version: str
    ) -> tuple[Any, tuple[str, ...]]:
        """Parameters with values in the places of secrets, and these values. What was given is not changed.

        Arguments:
            params: with marks, as journaled.
            places: where secrets belong in them.
            template: the template that the step belongs to, and its version such as `v3`: both must be allowed.

        Raises:
            OpcodeError: VAULT_ERROR, the vault is locked or damaged, or has no such secret for this template.
        """
        if not places:
            return params, ()
        store = self._unlocked()
        self._read(store)
        values = {
            name: self._value(name, template, version)
            for name in dict.fromkeys(name for _, _, name in places)
        }
        for pointer in dict.fromkeys(pointer for pointer, _, _ in places):
            marks = [(at, name) for where, at, name in places if where == pointer]
            params = _changed(params, _parts(pointer), partial(_filled, marks, values))
        self._note(values)
        return params, tuple(values.values())

    def objection(self, name: str, template: str, version: str) -> str | None:
        """Why a step of a template would not get a secret as things are. None: it would, or the vault is locked."""
        if self._store is None:
            return None
        try:
            self._read(self._store)
            self._value(name, template, version)
        except OpcodeError as error:
            return f"{error.message}; {error.next}" if error.next else error.message
        return None

    def redacted(self, outcome: Outcome) -> Outcome:
        """The outcome of any step, without secrets."""
        return self.redactor.outcome(outcome)

    def close(self) -> None:
        """Write down what is still to be noted."""
        if self._used:
            self._write_notes()

    def _unlocked(self) -> Store:
        if self._store is None:
            raise OpcodeError(
                ErrorCode.VAULT_ERROR,
                "the vault is locked: the runtime was started without its passphrase",
                next="start it with OPCODE_VAULT_KEY or OPCODE_VAULT_KEY_FD, "
                "or name a file with the passphrase in the setting vault_key_file",
            )
        return self._store

    def _read(self, store: Store) -> None:
        """Read the file, if it is not the one that was read last."""
        if self._stamp is not None and stamp_of(self._folder / VAULT_FILE) == self._stamp:
            return
        try:
            entries, stamp = store.read()
            values = {name: store.value_of(each) for name, each in entries.items()}
        except OpcodeError as error:
            if self._stamp is not None:
                error.message += "; it was changed since the runtime started"
                error.next = "after another passphrase was set, restart the daemon with it"
            raise
        self._stamp, self._entries, self._values = stamp, entries, values
        self.redactor.know(values.items())

    def _value(self, name: str, template: str, version: str) -> str:
        entry = self._entries.get(name)
        if entry is None:
            missing = no_secret(name)
            raise OpcodeError(ErrorCode.VAULT_ERROR, missing.message, next=missing.next)
        allowed = entry.templates
        if allowed is not None and not {template, f"{template}@{version}"} & set(allowed):
            raise OpcodeError(
                ErrorCode.VAULT_ERROR,
                f"the template {template!r} ({version}) may not use the secret {name!r}",
                next=f"the operator allows it with `opcode secret allow {name} --template {template}`",
            )
        return self._values[name]

    def _note(self, names: dict[str, str]) -> None:
        now = time.time()
        self._used |= dict.fromkeys(names, now)
        if time.monotonic() - self._noted_at >= NOTE_EVERY_S:
            self._write_notes()

    def _write_notes(self) -> None:
        """Not worth failing for: a note that cannot be written is lost."""
        used = {**read_used(self._folder), **self._used}
        kept = {name: at for name, at in used.items() if name in self._entries}
        try:
            write_private(self._folder / USED_FILE, msgspec.json.encode(kept), durable=False)
        except OpcodeError as error:
            _log.warning("vault_notes", error=error.message)
        self._used = {}
        self._noted_at = time.monotonic()


def open_vault(folder: Path, key_file: str | None) -> Vault:
    """Open the vault of a data directory; locked when no passphrase is given. Takes up to a second otherwise.

    With a passphrase this process is closed to others of the same user (`close_to_others`).

    Raises:
        OpcodeError: VAULT_ERROR, the passphrase is another one than that of the vault, or the file cannot be used.
    """
    passphrase = take_passphrase(key_file)
    if passphrase is None:
        return Vault(folder, None)
    close_to_others()
    return Vault(folder, open_store(folder, passphrase))


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _changed(value: Any, parts: list[str], change: Callable[[Any], Any]) -> Any:
    """The value with one part changed; what lies on the way there is copied."""
    if not parts:
        return change(value)
    if isinstance(value, list):
        at = int(parts[0])
        return [*value[:at], _changed(value[at], parts[1:], change), *value[at + 1 :]]
    return {**value, parts[0]: _changed(value[parts[0]], parts[1:], change)}


def _filled(marks: list[tuple[int, str]], values: dict[str, str], text: str) -> str:
    """The text with values where its marks are."""
    pieces: list[str] = []
    end = 0
    for at, name in sorted(marks):
        mark = secret_mark(name)
        if not text.startswith(mark, at):
            raise OpcodeError(
                ErrorCode.VAULT_ERROR,
                f"the parameters have no place for the secret {name!r} where one is recorded",
            )
        pieces += (text[end:at], values[name])
        end = at + len(mark)
    return "".join((*pieces, text[end:]))
