"""A change of the vault that is cut off at any moment leaves the old content or the new one, whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.secrets import INTERACTIVE, VAULT_FILE, Store
from opcode_runtime.secrets import _files as files
from opcode_runtime.secrets._format import derive_keys, fresh_header

from .conftest import PASSPHRASE, vault_in

NEW = "quite another passphrase"
SECRETS = {f"S{number}": f"value number {number} of this vault" for number in range(20)}
CALLS = ("open", "fchmod", "fsync", "replace", "unlink")
"""What changing a file asks of the system, by its names in `os`."""


class _Died(BaseException):
    """The process ended here."""


class _Dying:
    """Counts the calls that a change makes, and ends the process, or the disk, at one of them."""

    def __init__(self, at: int, error: BaseException, *, after: bool) -> None:
        self._at = at
        self._error = error
        self._after = after
        self.calls = 0

    def around(self, name: str) -> Any:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls != self._at:
                return real(*args, **kwargs)
            if self._after:
                real(*args, **kwargs)
            raise self._error

        return patch.object(files.os, name, call)


def _holds(folder: Path, store: Store) -> dict[str, str]:
    entries, _ = Store(folder, store.keys).read()
    return {name: store.value_of(each) for name, each in entries.items()}


def _one_of(folder: Path, old: Store, new: Store) -> str:
    """Which content the folder has; fails when it is neither, or not whole."""
    for name, store in (("old", old), ("new", new)):
        try:
            found = _holds(folder, store)
        except OpcodeError:
            continue
        assert found == SECRETS
        return name
    raise AssertionError("neither passphrase opens the vault")


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after it"])
@pytest.mark.parametrize(
    "error", [_Died(), OSError(28, "No space left on device")], ids=["death", "disk"]
)
def test_encrypting_anew_is_all_or_nothing_at_every_call(
    tmp_path: Path, error: BaseException, after: bool
) -> None:
    old = vault_in(tmp_path, **SECRETS)
    before = (tmp_path / VAULT_FILE).read_bytes()
    keys = derive_keys(NEW.encode(), fresh_header(INTERACTIVE))
    new = Store(tmp_path, keys)
    seen: list[str] = []
    for at in range(1, 100):
        (tmp_path / VAULT_FILE).write_bytes(before)
        (tmp_path / ".vault.new").write_bytes(b"left behind by an earlier death")
        dying = _Dying(at, error, after=after)
        with patch("opcode_runtime.secrets._store.derive_keys", lambda *_: keys):
            _cut_off(Store(tmp_path, old.keys), dying)
        if dying.calls < at:
            break
        seen.append(_one_of(tmp_path, old, new))
        _mended(tmp_path, new if seen[-1] == "new" else old)
    assert _holds(tmp_path, new) == SECRETS
    assert len(seen) >= 8
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {"old", "new"}


def _cut_off(store: Store, dying: _Dying) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(_Died, OpcodeError, OSError))
        for name in CALLS:
            stack.enter_context(dying.around(name))
        store.reencrypt(NEW.encode(), INTERACTIVE)


def _mended(folder: Path, store: Store) -> None:
    """Whatever was left behind, the next change goes well and takes it away."""
    Store(folder, store.keys).put("S0", SECRETS["S0"])
    assert _holds(folder, store) == SECRETS
    assert not (folder / ".vault.new").exists()


_CHILD = """
import sys
from pathlib import Path
from opcode_runtime.secrets import INTERACTIVE, open_store
folder, keys = Path(sys.argv[1]), sys.argv[2:]
store = open_store(folder, keys[0].encode())
print("ready", flush=True)
while True:
    for key in (keys[1], keys[0]):
        store.reencrypt(key.encode(), INTERACTIVE)
        for number in range(20):
            store.put("S0", "value number 0 of this vault")
"""


def test_a_process_killed_while_it_encrypts_anew_loses_nothing(tmp_path: Path) -> None:
    """A real process, killed after ever longer times; every time one of two passphrases opens all of it."""
    vault_in(tmp_path, **SECRETS)
    opened = []
    for number in range(6):
        command = [sys.executable, "-c", _CHILD, str(tmp_path), *_first(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.02 + 0.06 * number)
            child.send_signal(signal.SIGKILL)
        opened.append(_first(tmp_path)[0])
    assert len(opened) == 6


def _first(folder: Path) -> list[str]:
    """The passphrase that opens the vault, then the other one."""
    from opcode_runtime.secrets import open_store

    for one, other in ((PASSPHRASE, NEW), (NEW, PASSPHRASE)):
        try:
            store = open_store(folder, one.encode())
        except OpcodeError:
            continue
        assert _holds(folder, store) == SECRETS
        return [one, other]
    raise AssertionError("neither passphrase opens the vault")
