"""The vault's file: what it keeps, who may open it, and what becomes of it when somebody else touches it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
import pytest

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.secrets import (
    FD_VARIABLE,
    INTERACTIVE,
    KEY_VARIABLE,
    VAULT_FILE,
    Limits,
    Vault,
    open_store,
    passphrase_in,
    take_passphrase,
)
from opcode_runtime.secrets._format import Keys, derive_keys, fresh_header, header_of, pack, unpack

from .conftest import PASSPHRASE, vault_in

TOKEN = "a token of twenty-nine chars"


def _code(error: pytest.ExceptionInfo[OpcodeError]) -> ErrorCode:
    return error.value.code


def test_a_secret_comes_back_as_it_was_given(tmp_path: Path) -> None:
    store = vault_in(tmp_path, TOKEN=TOKEN, unicode="päß wörd\n\U0001f600\tend")
    again = open_store(tmp_path, PASSPHRASE.encode())
    entries, _ = again.read()
    assert again.value_of(entries["TOKEN"]) == TOKEN
    assert again.value_of(entries["unicode"]) == "päß wörd\n\U0001f600\tend"
    assert [each.name for each in store.listed()] == ["TOKEN", "unicode"]


def test_nothing_of_a_value_is_in_the_file_and_equal_values_look_different(tmp_path: Path) -> None:
    store = vault_in(tmp_path, ONE=TOKEN, TWO=TOKEN)
    body = (tmp_path / VAULT_FILE).read_bytes()
    entries, _ = store.read()
    assert TOKEN.encode() not in body
    assert PASSPHRASE.encode() not in body
    assert entries["ONE"].sealed != entries["TWO"].sealed


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    for name in (VAULT_FILE, "vault.lock"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    (tmp_path / VAULT_FILE).chmod(0o640)
    with pytest.raises(OpcodeError, match="not private") as error:
        open_store(tmp_path, PASSPHRASE.encode())
    assert _code(error) is ErrorCode.VAULT_ERROR
    assert "chmod 600" in (error.value.next or "")


def test_a_wrong_passphrase_is_known_before_any_secret_is_asked_for(tmp_path: Path) -> None:
    vault_in(tmp_path)
    with pytest.raises(OpcodeError, match="passphrase does not open") as error:
        open_store(tmp_path, b"not the passphrase")
    assert _code(error) is ErrorCode.VAULT_ERROR


def test_a_change_of_any_byte_is_noticed(tmp_path: Path) -> None:
    """Every byte, every value of it that differs by one bit; the key is derived once, as the header gives it."""
    store = vault_in(tmp_path, TOKEN=TOKEN, OTHER="another secret value")
    store.allow("OTHER", ("deploy",))
    body = (tmp_path / VAULT_FILE).read_bytes()
    assert set(unpack(body, store.keys)) == {"TOKEN", "OTHER"}
    missed = []
    for at in range(len(body)):
        for bit in range(8):
            changed = bytearray(body)
            changed[at] ^= 1 << bit
            if _is_accepted(bytes(changed), store.keys):
                missed.append((at, bit))
    assert missed == []


def _is_accepted(body: bytes, keys: Keys) -> bool:
    try:
        header_of(body)
        unpack(body, keys)
    except OpcodeError as error:
        return error.code is not ErrorCode.VAULT_ERROR
    return True


@pytest.mark.parametrize("cut", [0, 1, 12, 33, 90, -33, -1])
def test_a_file_that_was_cut_or_made_longer_is_refused(tmp_path: Path, cut: int) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    path = tmp_path / VAULT_FILE
    body = path.read_bytes()
    for changed in (body[:cut], body + b"\0"):
        path.write_bytes(changed)
        with pytest.raises(OpcodeError) as error:
            open_store(tmp_path, PASSPHRASE.encode())
        assert _code(error) is ErrorCode.VAULT_ERROR


def test_a_secret_in_the_place_of_another_is_refused_even_by_who_knows_the_tag_key(
    tmp_path: Path,
) -> None:
    store = vault_in(tmp_path, ONE="the first value", TWO="the second value")
    entries, _ = store.read()
    swapped = msgspec.structs.replace(entries["ONE"], sealed=entries["TWO"].sealed)
    (tmp_path / VAULT_FILE).write_bytes(pack(store.keys, {"ONE": swapped}))
    with pytest.raises(OpcodeError, match="'ONE' cannot be decrypted"):
        Vault(tmp_path, store)


@pytest.mark.parametrize(
    "limits",
    [Limits(1, 64 << 10), Limits(2, (64 << 10) - 1), Limits(17, 64 << 10), Limits(2, 1 << 31)],
)
def test_limits_below_the_floor_or_above_the_ceiling_are_refused(
    tmp_path: Path, limits: Limits
) -> None:
    weak = derive_keys(PASSPHRASE.encode(), fresh_header(Limits(1, 64)))
    header = msgspec.structs.replace(weak.header, limits=limits)
    path = tmp_path / VAULT_FILE
    path.write_bytes(pack(msgspec.structs.replace(weak, header=header), {}))
    path.chmod(0o600)
    with pytest.raises(OpcodeError, match="key limits"):
        open_store(tmp_path, PASSPHRASE.encode())


def test_a_new_vault_wants_a_passphrase_that_is_worth_the_name(tmp_path: Path) -> None:
    with pytest.raises(OpcodeError, match="at least 12 bytes"):
        open_store(tmp_path, b"eleven byte")
    assert not (tmp_path / VAULT_FILE).exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1234567", "fewer than 8 bytes"),
        ("", "has 0 bytes"),
        ("x" * ((64 << 10) + 1), "not 1 to 65536"),
        ("eight\0bytes", "is no text"),
        ("half a \ud83d pair", "is no text"),
    ],
)
def test_a_value_that_cannot_be_kept_is_refused(tmp_path: Path, value: str, said: str) -> None:
    store = vault_in(tmp_path)
    with pytest.raises(OpcodeError, match=said) as error:
        store.put("TOKEN", value)
    assert _code(error) is ErrorCode.VALIDATION_ERROR
    assert store.listed() == []


def test_a_short_value_is_kept_when_it_is_forced(tmp_path: Path) -> None:
    store = vault_in(tmp_path)
    store.put("PIN", "1234", force=True)
    assert store.value_of(store.read()[0]["PIN"]) == "1234"


@pytest.mark.parametrize("name", ["", "a b", "é", "-a", "a/b", "x" * 129, "a}}"])
def test_a_name_that_no_reference_could_spell_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OpcodeError, match="no name of a secret"):
        vault_in(tmp_path).put(name, TOKEN)


def test_another_value_keeps_the_list_of_templates_and_the_time_of_making(tmp_path: Path) -> None:
    store = vault_in(tmp_path)
    store.put("TOKEN", TOKEN, templates=("deploy", "notify@v2"))
    before = store.listed()[0]
    store.put("TOKEN", "another value of it", only="old")
    after = store.listed()[0]
    assert after.templates == before.templates == ("deploy", "notify@v2")
    assert after.created_at == before.created_at < after.changed_at
    store.allow("TOKEN", None)
    assert store.listed()[0].templates is None


def test_what_is_not_there_can_neither_be_rotated_nor_removed_nor_allowed(tmp_path: Path) -> None:
    store = vault_in(tmp_path, TOKEN=TOKEN)
    for act in (
        lambda: store.put("GONE", TOKEN, only="old"),
        lambda: store.remove("GONE"),
        lambda: store.allow("GONE", None),
    ):
        with pytest.raises(OpcodeError, match="no secret 'GONE'") as error:
            act()
        assert _code(error) is ErrorCode.NOT_FOUND
    store.remove("TOKEN")
    assert store.listed() == []


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    store = vault_in(tmp_path)

    def write(who: int) -> None:
        for number in range(10):
            store.put(f"S{who}.{number}", f"value {who} {number}")

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.listed()) == 40


def test_another_passphrase_opens_everything_and_the_old_one_nothing(tmp_path: Path) -> None:
    store = vault_in(tmp_path, TOKEN=TOKEN)
    store.put("LISTED", "value for one", templates=("deploy",))
    store.reencrypt(b"quite another passphrase", INTERACTIVE)
    again = open_store(tmp_path, b"quite another passphrase")
    entries, _ = again.read()
    assert again.value_of(entries["TOKEN"]) == TOKEN
    assert entries["LISTED"].templates == ("deploy",)
    with pytest.raises(OpcodeError, match="passphrase does not open"):
        open_store(tmp_path, PASSPHRASE.encode())


def test_the_passphrase_leaves_the_environment_as_it_is_read() -> None:
    environment = {KEY_VARIABLE: PASSPHRASE, FD_VARIABLE: "99", "OTHER": "x"}
    assert take_passphrase(None, environment) == PASSPHRASE.encode()
    assert environment == {"OTHER": "x"}


def test_the_passphrase_comes_through_a_descriptor_which_is_closed_then() -> None:
    read, write = os.pipe()
    os.write(write, PASSPHRASE.encode() + b"\n")
    os.close(write)
    assert take_passphrase(None, {FD_VARIABLE: str(read)}) == PASSPHRASE.encode()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read)


@pytest.mark.parametrize("descriptor", ["x", "-1", "987654"])
def test_a_descriptor_that_gives_nothing_is_an_error(descriptor: str) -> None:
    with pytest.raises(OpcodeError, match=FD_VARIABLE) as error:
        take_passphrase(None, {FD_VARIABLE: descriptor})
    assert _code(error) is ErrorCode.VAULT_ERROR


def test_a_key_file_has_to_be_there_private_and_not_empty(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(OpcodeError, match="does not exist"):
        passphrase_in(str(path))
    path.write_bytes(PASSPHRASE.encode() + b"\r\n")
    path.chmod(0o600)
    assert passphrase_in(str(path)) == PASSPHRASE.encode()
    path.chmod(0o604)
    with pytest.raises(OpcodeError, match="not private"):
        passphrase_in(str(path))
    path.chmod(0o600)
    path.write_bytes(b"\n")
    with pytest.raises(OpcodeError, match="gives no passphrase"):
        passphrase_in(str(path))
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OpcodeError, match="cannot be used"):
        passphrase_in(str(tmp_path / "link"))


def test_no_passphrase_is_no_error() -> None:
    assert take_passphrase(None, {}) is None
