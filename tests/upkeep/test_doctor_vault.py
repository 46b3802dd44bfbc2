"""What the doctor says of the vault: whether it is there, and whether it would open."""

from __future__ import annotations

from pathlib import Path

import pytest

from opcode_runtime.model.settings import Settings
from opcode_runtime.secrets import (
    FD_VARIABLE,
    INTERACTIVE,
    KEY_VARIABLE,
    VAULT_FILE,
    Store,
    open_store,
)
from opcode_runtime.upkeep import Check, examine

PASSPHRASE = "a passphrase of the tests"


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.delenv(FD_VARIABLE, raising=False)


def vault(folder: Path, key_file: str | None = None) -> Check:
    settings = Settings(vault_key_file=key_file)
    [found] = [
        each for each in examine(folder, folder / "journal", settings) if each.name == "vault"
    ]
    return found


def store_in(folder: Path) -> Store:
    store = open_store(folder, PASSPHRASE.encode(), limits=INTERACTIVE)
    store.put("TOKEN", "a-value-of-a-secret")
    return store


def key_in(folder: Path, passphrase: str = PASSPHRASE, mode: int = 0o600) -> str:
    (folder / "key").write_text(passphrase + "\n")
    (folder / "key").chmod(mode)
    return "key"


def test_none_is_fine_and_none_is_made(tmp_path: Path) -> None:
    found = vault(tmp_path)
    assert (found.state, "VAULT_ERROR" in found.found) == ("ok", True)
    found = vault(tmp_path, key_in(tmp_path))
    assert (found.state, found.found) == ("ok", "there is none yet")
    assert not (tmp_path / VAULT_FILE).exists()


def test_one_without_a_passphrase_is_a_warning(tmp_path: Path) -> None:
    store_in(tmp_path)
    found = vault(tmp_path)
    assert found.state == "warning"
    assert found.next is not None
    assert "vault_key_file" in found.next


def test_one_that_opens_is_counted_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_in(tmp_path)
    found = vault(tmp_path, key_in(tmp_path))
    assert (found.state, found.found) == ("ok", "its passphrase opens it; secrets in it: 1")
    monkeypatch.setenv(KEY_VARIABLE, PASSPHRASE)
    assert vault(tmp_path) == found


def test_another_passphrase_a_changed_file_and_an_open_key_file_are_problems(
    tmp_path: Path,
) -> None:
    store_in(tmp_path)
    other = vault(tmp_path, key_in(tmp_path, "another passphrase"))
    open_ = vault(tmp_path, key_in(tmp_path, mode=0o644))
    missing = vault(tmp_path, "nothing")
    body = bytearray((tmp_path / VAULT_FILE).read_bytes())
    body[-1] ^= 1
    (tmp_path / VAULT_FILE).write_bytes(body)
    changed = vault(tmp_path, key_in(tmp_path))
    for found in (other, open_, missing, changed):
        assert (found.state, bool(found.next)) == ("problem", True)
    assert "passphrase" in other.found
    assert "0644" in open_.found
    assert "does not exist" in missing.found
