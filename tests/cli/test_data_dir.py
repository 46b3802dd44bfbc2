"""The data directory: one owner, a private token, and a pid file that is not believed blindly."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from opcode_runtime.cli import data_dir as place
from opcode_runtime.cli.exits import CommandError, Exit


def test_the_directory_is_made_private_and_has_one_owner(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    with place.owned(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        with pytest.raises(CommandError, match=f"pid {os.getpid()}") as caught, place.owned(home):
            pytest.fail("two owners")
    assert caught.value.exit is Exit.FAILED
    assert "--data-dir" in (caught.value.next or "")
    with place.owned(home):
        pass


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(CommandError, match="cannot be used"),
        place.owned(tmp_path / "file" / "home"),
    ):
        pytest.fail("owned a file")


def test_a_new_token_is_private_and_read_back(tmp_path: Path) -> None:
    assert place.token_of(tmp_path) is None
    token = place.make_token(tmp_path)
    assert place.token_of(tmp_path) == token
    assert len(token) >= 43
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["token"]


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    place.make_token(tmp_path)
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(CommandError, match="may be read by others") as caught:
        place.token_of(tmp_path)
    assert "chmod 600" in (caught.value.next or "")


@pytest.mark.parametrize("content", ["", "short", "two words that are long enough"])
def test_a_token_file_without_a_usable_token_is_refused(tmp_path: Path, content: str) -> None:
    place.write_private(tmp_path / "token", content)
    with pytest.raises(CommandError, match="no usable token"):
        place.token_of(tmp_path)


def test_the_address_is_there_only_while_its_daemon_lives(tmp_path: Path) -> None:
    assert place.address_of(tmp_path) is None
    with place.announced(tmp_path):
        assert place.address_of(tmp_path) is None
        place.publish_address(tmp_path, "http://127.0.0.1:1")
        assert place.address_of(tmp_path) == "http://127.0.0.1:1"
        (tmp_path / "opcode.pid").write_text("4194305\n")  # beyond the largest process id
        assert place.address_of(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
