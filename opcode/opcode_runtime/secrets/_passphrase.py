"""Where the passphrase of the vault comes from.

In this order: `OPCODE_VAULT_KEY`; the descriptor that `OPCODE_VAULT_KEY_FD` names, read to its end and closed; the file
that the setting `vault_key_file` names, which only its owner may read. One line break at the end is not part of it.

The two variables are taken out of the environment as they are read, so no child inherits them. The block that the
kernel shows as `/proc/PID/environ` keeps what the process was started with; `close_to_others` shuts that door.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import MutableMapping
from pathlib import Path

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.secrets._files import read_private

KEY_VARIABLE = "OPCODE_VAULT_KEY"
FD_VARIABLE = "OPCODE_VAULT_KEY_FD"
PASSPHRASE_BYTES_MIN = 12
"""Of a passphrase that a new vault is made with."""
_PASSPHRASE_BYTES_MAX = 4096
_PR_SET_DUMPABLE = 4


def take_passphrase(
    key_file: str | None, environment: MutableMapping[str, str] = os.environ
) -> bytes | None:
    """The passphrase, if one is given; the variables are gone from `environment` afterwards.

    Raises:
        OpcodeError: VAULT_ERROR, what should give it does not.
    """
    value = environment.pop(KEY_VARIABLE, "")
    descriptor = environment.pop(FD_VARIABLE, "")
    if value:
        return _trimmed(os.fsencode(value), KEY_VARIABLE)
    if descriptor:
        return _trimmed(_from_descriptor(descriptor), FD_VARIABLE)
    return None if key_file is None else passphrase_in(key_file)


def key_file_of(folder: Path, setting: str | None) -> str | None:
    """The path that the setting `vault_key_file` means; a relative one is below the data directory."""
    return None if setting is None else str((folder / Path(setting).expanduser()).absolute())


def passphrase_in(key_file: str) -> bytes:
    """The passphrase in a file.

    Raises:
        OpcodeError: VAULT_ERROR, there is no such file, others may read it, or it is empty.
    """
    path = Path(key_file).expanduser()
    found = read_private(path)
    if found is None:
        raise OpcodeError(
            ErrorCode.VAULT_ERROR,
            f"the vault's key file {path} does not exist",
            next="write the passphrase there (mode 0600), or mend the setting vault_key_file",
        )
    return _trimmed(found[0], str(path))


def close_to_others() -> None:
    """Keep other processes of the same user out of this one: no `/proc/PID/environ`, no memory, no core dump.

    Does nothing where the system has no such switch. A process with the rights of root still sees everything.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def refuse_weak(passphrase: bytes) -> None:
    """Raise VAULT_ERROR when a new vault is not to be made with this passphrase."""
    if len(passphrase) < PASSPHRASE_BYTES_MIN:
        raise OpcodeError(
            ErrorCode.VAULT_ERROR,
            f"a passphrase has at least {PASSPHRASE_BYTES_MIN} bytes; whoever copies the file may try for years",
            next="take one of several words, or `head -c 32 /dev/urandom | base64`",
        )


def _from_descriptor(text: str) -> bytes:
    try:
        with open(int(text), "rb") as file:
            return file.read(_PASSPHRASE_BYTES_MAX + 1)
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no number"
        raise OpcodeError(
            ErrorCode.VAULT_ERROR,
            f"{FD_VARIABLE} is {text!r}, from which nothing can be read: {reason}",
            next=f"open it for this process, as in `{FD_VARIABLE}=3 opcode serve 3< FILE`",
        ) from None


def _trimmed(passphrase: bytes, source: str) -> bytes:
    passphrase = passphrase.removesuffix(b"\n").removesuffix(b"\r")
    if not 0 < len(passphrase) <= _PASSPHRASE_BYTES_MAX:
        raise OpcodeError(
            ErrorCode.VAULT_ERROR,
            f"{source} gives no passphrase: it has {len(passphrase)} bytes, not 1 to {_PASSPHRASE_BYTES_MAX}",
        )
    return passphrase
