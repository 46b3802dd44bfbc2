"""The daemon's life: what is refused before anything is touched, and how it ends. Real processes."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest


def files_in(folder: Path) -> set[str]:
    return {each.name for each in folder.rglob("*")} if folder.exists() else set()


def test_a_second_daemon_on_the_directory_is_refused_and_touches_nothing(
    opcode: Any, daemon: Any
) -> None:
    before = {
        each: each.stat().st_mtime_ns for each in daemon.data_dir.rglob("*") if each.is_file()
    }
    done = opcode("serve", "--listen-addr", "127.0.0.1:0", "--data-dir", str(daemon.data_dir))
    assert done.returncode == 1
    assert f"pid {daemon.process.pid}" in done.stderr
    assert f"kill {daemon.process.pid}" in done.stderr
    assert "Traceback" not in done.stderr
    after = {each: each.stat().st_mtime_ns for each in daemon.data_dir.rglob("*") if each.is_file()}
    assert after == before


def test_a_port_in_use_is_refused_before_anything_but_the_lock_is_written(
    opcode: Any, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = opcode("serve", "--listen-addr", address, "--data-dir", str(home))
    assert done.returncode == 1
    assert address in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert files_in(home) == {"daemon.lock"}


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--no-auth", "--listen-addr", "0.0.0.0:0"], "loopback only"),
        (["--listen-addr", "nonsense"], "listening address"),
        (["--listen-addr", "127.0.0.1:99999"], "listening address"),
        (["--answers", "missing.json"], "cannot be read"),
        (["--log-level", "loud"], "log-level"),
        (["--pool-size", "0"], "--pool-size"),
    ],
)
def test_what_cannot_be_served_is_refused_as_usage(
    opcode: Any, tmp_path: Path, flags: list[str], word: str
) -> None:
    home = tmp_path / "home"
    done = opcode("serve", *flags, "--data-dir", str(home), cwd=tmp_path)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert files_in(home) <= {"daemon.lock"}


def test_wrong_settings_are_refused_before_the_directory_is_locked(
    opcode: Any, tmp_path: Path
) -> None:
    (tmp_path / "settings.json").write_text('{\n "pool": 3\n}')
    done = opcode("serve", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert "settings.json, line 2" in done.stderr
    assert files_in(tmp_path) == {"settings.json"}


def test_answers_in_advance_are_read_and_checked(opcode: Any, tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text('{"shell.exec": "maybe"}')
    done = opcode(
        "serve", "--answers", str(tmp_path / "answers.json"), "--data-dir", str(tmp_path / "h")
    )
    assert done.returncode == 2
    assert "--answers" in done.stderr
    assert "retry, skip, fail" in done.stderr


def test_the_first_start_makes_a_private_token_and_shows_how_to_connect(
    start_daemon: Any, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with start_daemon(home) as daemon:
        token = (home / "token").read_text().strip()
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "token").stat().st_mode) == 0o600
        assert (home / "opcode.pid").read_text() == f"{daemon.process.pid}\n"
        assert set(daemon.ready) == {"url", "pid", "data_dir"}
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{daemon.url}/sse", timeout=20)
        refused.value.close()
        assert refused.value.code == 401
        with urllib.request.urlopen(f"{daemon.url}/healthz", timeout=20) as healthy:
            assert healthy.status == 200
        assert daemon.signal(signal.SIGTERM) == 0
    assert token not in (tmp_path / "home.log").read_text()
    assert files_in(home).isdisjoint({"opcode.pid", "address"})
    with start_daemon(home) as again:
        assert (home / "token").read_text().strip() == token
        assert again.signal(signal.SIGINT) == 0


def test_a_person_is_shown_a_client_configuration_when_the_token_is_made(
    appears: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    home, told, log = tmp_path / "home", tmp_path / "told", tmp_path / "log"
    words = ["--listen-addr", "127.0.0.1:0", "--data-dir", str(home)]
    command = [sys.executable, "-P", "-m", "opcode_runtime", *words]
    for is_first in (True, False):
        with (
            told.open("w") as stdout,
            log.open("w") as stderr,
            subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment) as process,
        ):
            appears(told, "\n}\n" if is_first else "token for clients")
            process.terminate()
            assert process.wait(60) == 0
        token = (home / "token").read_text().strip()
        assert (token in told.read_text()) is is_first
        assert token not in log.read_text()
        if is_first:
            shown = json.loads(told.read_text().partition("client:\n")[2])
            server = shown["mcpServers"]["opcode"]
            assert (server["type"], server["headers"]) == (
                "sse",
                {"Authorization": f"Bearer {token}"},
            )
            assert server["url"].endswith("/sse")


def test_without_a_token_the_daemon_serves_loopback(
    opcode: Any, start_daemon: Any, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with start_daemon(home, "--no-auth"):
        assert not (home / "token").exists()
        done = opcode("query", "workflows", "--json", "--data-dir", str(home))
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"workflows": []}


def test_a_second_signal_ends_the_drain_at_once(
    start_daemon: Any, opcode: Any, appears: Any, tmp_path: Path
) -> None:
    home, began, flow = tmp_path / "home", tmp_path / "began", tmp_path / "flow.json"
    home.mkdir(mode=0o700)
    (home / "settings.json").write_text('{"drain_s": 60}')
    script = ["-c", f"echo begun > {began}; exec sleep 50"]
    step = {"id": "a", "action": "shell.exec", "params": {"command": "/bin/sh", "args": script}}
    flow.write_text(json.dumps({"steps": [step | {"timeout": "55s"}]}))
    where = ("--data-dir", str(home))
    with start_daemon(home) as daemon:
        assert opcode("define", str(flow), "--name", "long", *where).returncode == 0
        assert opcode("run", "long", "--wait", "0", *where).returncode == 0
        appears(began, "begun")
        daemon.process.send_signal(signal.SIGTERM)
        appears(tmp_path / "home.log", "daemon_draining")
        assert daemon.signal(signal.SIGTERM) == 128 + signal.SIGTERM
    assert not (home / "opcode.pid").exists()


def test_what_does_not_end_in_the_drain_is_counted_and_resumable(
    start_daemon: Any, opcode: Any, appears: Any, tmp_path: Path
) -> None:
    home, began, flow = tmp_path / "home", tmp_path / "began", tmp_path / "flow.json"
    home.mkdir(mode=0o700)
    (home / "settings.json").write_text('{"drain_s": 0.2}')
    script = f"[ $OPCODE_ATTEMPT = 2 ] || {{ echo begun > {began}; exec sleep 50; }}"
    step = {
        "id": "a",
        "action": "shell.exec",
        "params": {"command": "/bin/sh", "args": ["-c", script]},
    }
    flow.write_text(json.dumps({"steps": [step | {"on_interrupt": "retry"}]}))
    where = ("--json", "--data-dir", str(home))
    with start_daemon(home) as daemon:
        assert opcode("define", str(flow), "--name", "long", *where).returncode == 0
        words = ("run", "long", "--idempotency-key", "one")
        assert opcode(*words, "--wait", "0", *where).returncode == 0
        appears(began, "begun")
        assert daemon.signal(signal.SIGTERM) == 0
    assert '"steps_in_doubt": 1' in (tmp_path / "home.log").read_text()
    with start_daemon(home):
        done = opcode(*words, *where)
    assert (done.returncode, json.loads(done.stdout)["steps"]["a"]["attempts"]) == (0, 2)


def test_the_first_start_says_when_nothing_holds_commands_to_files(
    start_daemon: Any, appears: Any, tmp_path: Path
) -> None:
    home, log = tmp_path / "home", tmp_path / "home.log"
    home.mkdir(mode=0o700)
    (home / "settings.json").write_text('{"isolation": "rlimits", "log_format": "json"}')
    with start_daemon(home) as daemon:
        appears(log, "weak_isolation")
        daemon.signal(signal.SIGTERM)
    with start_daemon(home) as daemon:
        daemon.signal(signal.SIGTERM)
    [line] = [line for line in log.read_text().splitlines() if "weak_isolation" in line]
    assert "at the level rlimits" in line
    assert "bubblewrap" in line
