"""The vault of a real daemon: set by the command line, used over HTTP, and nowhere to be seen."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import clean_environment, daemon_on

from .conftest import PASSPHRASE, vault_in

TOKEN = "tok-5e1f0a9b-of-the-daemon"
ROTATED = "tok-77aa2c41-after-rotation"
IN_SHELL = "shell-secret-0b7d/+ with spaces"


class _Web(http.server.BaseHTTPRequestHandler):
    """Keeps what it is sent, and sends it back."""

    seen: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.seen.append({"authorization": self.headers["Authorization"], "body": body})
        answer = json.dumps({"you sent": self.headers["Authorization"], "and": body}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Echo", str(self.headers["Authorization"]))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _web() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    seen: list[dict[str, Any]] = []
    handler = type("Handler", (_Web,), {"seen": seen})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


def opcode(data_dir: Path, *words: str, stdin: str = "", code: int = 0, **environment: str) -> str:
    """One command; gives what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "opcode_runtime", *words, "--data-dir", str(data_dir)],
        input=stdin,
        capture_output=True,
        text=True,
        env=clean_environment(**environment),
        timeout=90,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert stdin.strip() == "" or stdin.strip() not in done.stdout + done.stderr
    return done.stdout


SCRIPT = """
cat; printf %s "$T" >> "$0"; printf %s "$T" | base64; env
tr '\\0' '\\n' < /proc/$PPID/environ >&2; exit 0
"""


def _definition(url: str) -> dict[str, Any]:
    return {
        "steps": [
            {
                "id": "post",
                "action": "http.post",
                "params": {
                    "url": f"{url}/path?key=${{{{secrets.TOKEN}}}}",
                    "headers": {"Authorization": "Bearer ${{secrets.TOKEN}}"},
                    "body": {"token": "${{secrets.TOKEN}}"},
                },
            },
            {
                "id": "shell",
                "action": "shell.exec",
                "depends_on": ["post"],
                "params": {
                    "command": "sh",
                    "args": [
                        "-c",
                        SCRIPT,
                        "${{inputs.file}}",
                    ],
                    "stdin": "in ${{secrets.SHELL}}",
                    "env": {"T": "${{secrets.SHELL}}"},
                },
            },
            {
                "id": "read",
                "action": "fs.read",
                "depends_on": ["shell"],
                "params": {"path": "${{inputs.file}}"},
            },
            {
                "id": "fail",
                "action": "http.post",
                "depends_on": ["read"],
                "params": {"url": "http://127.0.0.1:1/${{secrets.TOKEN}}", "body": "x"},
                "on_error": {"strategy": "ignore"},
            },
        ]
    }


@pytest.mark.needs("linux")
def test_a_secret_goes_from_the_command_line_to_the_server_and_nowhere_else(
    tmp_path: Path,
) -> None:
    data_dir, definition = tmp_path / "data", tmp_path / "d.json"
    vault_in(data_dir)
    given = {"OPCODE_VAULT_KEY": PASSPHRASE}
    opcode(data_dir, "secret", "set", "TOKEN", stdin=TOKEN + "\n", **given)
    (data_dir / "settings.json").write_text(
        json.dumps({"allow_private": True, "log_level": "debug"})
    )
    params = json.dumps({"file": str(tmp_path / "spill")})
    with _web() as (url, seen), daemon_on(data_dir, **given) as daemon:
        definition.write_text(json.dumps(_definition(url)))
        opcode(data_dir, "secret", "set", "SHELL", stdin=IN_SHELL, **given)
        opcode(data_dir, "define", str(definition), "--name", "t")
        answers = [opcode(data_dir, "run", "t", "--params", params, "--json")]
        opcode(data_dir, "secret", "rotate", "TOKEN", stdin=ROTATED, **given)
        answers.append(opcode(data_dir, "run", "t", "--params", params, "--json"))
        for answer in list(answers):
            workflow_id = json.loads(answer)["workflow_id"]
            answers.append(opcode(data_dir, "status", workflow_id, "--json"))
            filters = ("--filter", f"workflow_id={workflow_id}")
            answers.append(opcode(data_dir, "query", "events", *filters, "--json"))
        answers.append(opcode(data_dir, "secret", "list", "--json", **given))
        process = _visible(daemon.process.pid)
    log = (tmp_path / "data.log").read_bytes()

    assert [each["authorization"] for each in seen] == [f"Bearer {TOKEN}", f"Bearer {ROTATED}"]
    assert json.loads(seen[0]["body"]) == {"token": TOKEN}
    steps = json.loads(answers[0])["steps"]
    assert {name: each["status"] for name, each in steps.items()}["shell"] == "completed", steps
    files = b"\n".join(each.read_bytes() for each in data_dir.rglob("*") if each.is_file())
    places = {"files": files, "log": log, "answers": "\n".join(answers).encode(), "proc": process}
    assert b"[secret:TOKEN]" in files
    assert b"[secret:SHELL]" in places["answers"]
    assert b"opcode_runtime" in process
    for secret in (TOKEN, ROTATED, IN_SHELL, PASSPHRASE):
        for name, body in places.items():
            assert secret.encode() not in body, (secret, name)


NO_CAPABILITIES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
"""Before a command: what root may do beyond any other user is taken from it."""


def _visible(pid: int) -> bytes:
    """What other processes of the same user see of a process."""
    command = f"cat /proc/{pid}/cmdline /proc/{pid}/status; cat /proc/{pid}/environ"
    words = [*NO_CAPABILITIES, "sh", "-c", command]
    return subprocess.run(words, capture_output=True, check=False, timeout=30).stdout


@contextmanager
def _started(*words: str) -> Iterator[int]:
    """A process that was given the passphrase and has said its first line; killed at the end."""
    with subprocess.Popen(
        [*NO_CAPABILITIES, *words],
        stdout=subprocess.PIPE,
        env=clean_environment(OPCODE_VAULT_KEY=PASSPHRASE),
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


@pytest.mark.needs("linux")
def test_the_passphrase_is_neither_in_the_environment_of_children_nor_to_be_read_by_others(
    tmp_path: Path,
) -> None:
    """The control: the same look at a process that was not closed shows what it was started with."""
    vault_in(tmp_path / "data")
    with _started("sh", "-c", "echo ready; exec sleep 60") as pid:
        assert PASSPHRASE.encode() in _visible(pid)
    serve = (
        "serve",
        "--json",
        "--listen-addr",
        "127.0.0.1:0",
        "--data-dir",
        str(tmp_path / "data"),
    )
    with _started(sys.executable, "-P", "-m", "opcode_runtime", *serve) as pid:
        assert PASSPHRASE.encode() not in _visible(pid)
        children = _children(pid)
        environments = [Path(f"/proc/{each}/environ").read_bytes() for each in children]
        assert not any(b"OPCODE_VAULT" in each for each in environments)


def _children(pid: int) -> list[str]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


@pytest.mark.needs("linux")
def test_a_wrong_passphrase_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    vault_in(tmp_path / "data", TOKEN=TOKEN)
    words = ["serve", "--listen-addr", "127.0.0.1:0"]
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "opcode_runtime",
            *words,
            "--data-dir",
            str(tmp_path / "data"),
        ],
        capture_output=True,
        text=True,
        env=clean_environment(OPCODE_VAULT_KEY="not the right passphrase"),
        timeout=90,
        check=False,
    )
    assert done.returncode == 1
    assert "the passphrase does not open the vault" in done.stderr
    assert "Traceback" not in done.stderr
