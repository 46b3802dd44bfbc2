"""`opcode secret …` from the command line's side: where values come from, what is said, how it ends."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.cli import main
from opcode_runtime.secrets import open_store

from .conftest import PASSPHRASE, vault_in

VALUE = "a value of some length"


class Command:
    """Runs words in this process, with a standard input."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.said = ""

    def __call__(self, *words: str, stdin: str | bytes = "", passphrase: str = PASSPHRASE) -> int:
        body = stdin.encode() if isinstance(stdin, str) else stdin
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
        if passphrase:
            self._monkeypatch.setenv("OPCODE_VAULT_KEY", passphrase)
        code = main(["secret", *words, "--data-dir", str(self.folder)])
        out, err = self._capsys.readouterr()
        self.said = out + err
        return code

    def value_of(self, name: str) -> str:
        store = open_store(self.folder, PASSPHRASE.encode())
        return store.value_of(store.read()[0][name])


@pytest.fixture
def opcode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    vault_in(tmp_path)
    return Command(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("stdin", "kept"),
    [
        (VALUE, VALUE),
        (f"{VALUE}\n", VALUE),
        (f"{VALUE}\r\n", VALUE),
        (f" {VALUE}\n\n", f" {VALUE}\n"),
    ],
)
def test_a_value_is_standard_input_without_one_line_break(
    opcode: Command, stdin: str, kept: str
) -> None:
    assert opcode("set", "TOKEN", stdin=stdin) == 0
    assert opcode.said == "TOKEN is kept; any template may use it.\n"
    assert opcode.value_of("TOKEN") == kept


def test_a_value_that_is_no_text_is_refused(opcode: Command) -> None:
    assert opcode("set", "TOKEN", stdin=b"\xff\xfe12345678") == 2
    assert "no text" in opcode.said


def test_a_value_among_the_words_is_refused_and_not_repeated(opcode: Command) -> None:
    assert opcode("set", "TOKEN", stdin=VALUE) == 0
    assert opcode("set", "TOKEN", "--value", VALUE) == 2
    assert opcode("list", "--json") == 0
    assert VALUE not in opcode.said


def test_templates_are_said_once_and_kept_until_said_again(opcode: Command) -> None:
    assert opcode("set", "TOKEN", "--template", "a", "--template", "b@v2", stdin=VALUE) == 0
    assert "a, b@v2 may use it" in opcode.said
    assert opcode("set", "TOKEN", stdin=VALUE) == 0
    assert "a, b@v2 may use it" in opcode.said
    assert opcode("allow", "TOKEN", "--template", "c") == 0
    assert "c may use it" in opcode.said
    assert opcode("allow", "TOKEN", "--any-template") == 0
    assert "any template may use it" in opcode.said
    for words in (("--template", "a@2"), ("--template", "a", "--any-template"), ()):
        assert opcode("allow", "TOKEN", *words) == 2


def test_rotating_wants_to_know_what(opcode: Command, tmp_path: Path) -> None:
    assert opcode("rotate") == 2
    assert opcode("rotate", "TOKEN", "--passphrase") == 2
    assert opcode("rotate", "TOKEN", stdin=VALUE) == 1
    assert "no secret 'TOKEN'" in opcode.said
    opcode("set", "TOKEN", stdin=VALUE)
    assert opcode("rotate", "TOKEN", stdin="another value") == 0
    assert opcode.value_of("TOKEN") == "another value"
    key = tmp_path / "new.key"
    key.touch(0o600)
    key.write_text("quite another passphrase\n")
    assert opcode("rotate", "--new-key-file", str(key)) == 0
    assert opcode("list") == 1
    assert opcode("list", passphrase="quite another passphrase") == 0


def test_variables_become_secrets_of_their_names(
    opcode: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", VALUE)
    monkeypatch.setenv("APP_ONE", "first value")
    monkeypatch.setenv("APP_TWO", "second value")
    assert opcode("import-env", "MY_TOKEN", "--prefix", "APP_", "--template", "t", "--json") == 0
    assert set(json.loads(opcode.said)["imported"]) == {"MY_TOKEN", "ONE", "TWO"}
    assert opcode.value_of("TWO") == "second value"
    assert opcode("import-env", "NO_SUCH_VARIABLE") == 2
    assert opcode("import-env", "--prefix", "NO_SUCH_") == 2


def test_a_list_has_names_and_times_and_no_values(opcode: Command) -> None:
    assert opcode("list") == 0
    assert opcode.said == "The vault is empty.\n"
    opcode("set", "TOKEN", "--template", "deploy", stdin=VALUE)
    assert opcode("list") == 0
    head, row = opcode.said.splitlines()
    assert head.split() == ["NAME", "TEMPLATES", "CHANGED", "LAST", "USED"]
    assert row.split()[:2] == ["TOKEN", "deploy"]
    assert row.endswith("never")


def test_removing_several_and_one_that_is_not_there(opcode: Command) -> None:
    opcode("set", "ONE", stdin=VALUE)
    opcode("set", "TWO", stdin=VALUE)
    assert opcode("rm", "ONE", "TWO") == 0
    assert opcode("rm", "ONE") == 1
    assert opcode("rm") == 2


def test_without_a_passphrase_and_a_terminal_the_fix_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "opcode_runtime",
            "secret",
            "list",
            "--data-dir",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("OPCODE_")},
        timeout=90,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 1
    assert "OPCODE_VAULT_KEY" in done.stderr


def test_a_terminal_is_asked_without_an_echo(tmp_path: Path) -> None:
    """Passphrase and value are typed; what the terminal shows holds neither."""
    vault_in(tmp_path)
    words = ["secret", "set", "TOKEN", "--data-dir", str(tmp_path)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPCODE_")}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(
            sys.executable, [sys.executable, "-P", "-m", "opcode_runtime", *words], environment
        )
    shown = b""
    killer = threading.Timer(60, os.kill, (pid, 9))
    killer.start()
    try:
        for prompt, answer in ((b"vault: ", PASSPHRASE), (b"TOKEN: ", VALUE), (b"more: ", VALUE)):
            shown += _until(terminal, prompt)
            os.write(terminal, f"{answer}\n".encode())
        shown += _until(terminal, b"may use it.")
    finally:
        killer.cancel()
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert VALUE.encode() not in shown
    assert PASSPHRASE.encode() not in shown
    store = open_store(tmp_path, PASSPHRASE.encode())
    assert store.value_of(store.read()[0]["TOKEN"]) == VALUE


def _until(terminal: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        seen += os.read(terminal, 1024)
    return seen
