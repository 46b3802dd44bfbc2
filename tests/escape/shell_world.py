"""The world that a hostile command finds: a data directory, keys, a daemon, servers; and its attempts, run in it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ATTEMPTS = (HERE / "shell_attempts.py").read_text("utf-8")
ATTACKS = {
    name: (HERE / f"shell_attacks_{name}.py").read_text("utf-8")
    for name in ("files", "system", "kernel")
}
PYTHON = os.path.realpath(sys.executable)
MEMORY_BYTES = 512 << 20
FILE_BYTES = 64 << 20
OPEN_FILES = 256
PROCESSES = 40

# Like the daemon it holds the key in its environment and memory, has a private file open, and is sealed or not.
DAEMON = """
import ctypes, os, sys
if sys.argv[2] == "sealed":
    from opcode_runtime.secrets import close_to_others
    close_to_others()
os.chdir(os.path.dirname(sys.argv[1]))
opened = os.open(sys.argv[1], os.O_RDONLY)
kept = ctypes.create_string_buffer(os.environ["OPCODE_VAULT_KEY"].encode())
print(opened, ctypes.addressof(kept), flush=True)
sys.stdin.read()
"""
DENIED = {
    "token": "data/token", "journal": "data/journal/data.mdb", "vault_key": "keys/vault.key",
    "ssh_key": "home/.ssh/id", "aws_key": "home/.aws/credentials", "gpg_key": "home/.gnupg/secring",
}  # fmt: skip
VICTIMS = ("append", "truncate", "delete", "rename", "replace", "exchange", "mode")
OUTSIDE_VICTIMS = ("append", "truncate", "delete", "move", "link")


@dataclass
class World:
    """A folder with everything in it, and what the attempts are told of it.

    Arguments:
        folder: an empty one.
        sealed: whether the daemon closes itself against its own user, as `opcode serve` does.
    """

    folder: Path
    sealed: bool = True
    told: dict[str, Any] = field(default_factory=dict)
    _closing: list[Callable[[], object]] = field(default_factory=list)

    def __enter__(self) -> World:
        self.secret = f"canary-{secrets.token_hex(12)}"
        self.told |= {"secret": self.secret, "attacks": ATTACKS, "processes": PROCESSES}
        self.told |= {
            "memory_bytes": MEMORY_BYTES,
            "file_bytes": FILE_BYTES,
            "open_files": OPEN_FILES,
        }
        self._make_files()
        self._make_servers()
        self._start_daemon()
        return self

    def __exit__(self, *_: object) -> None:
        while self._closing:
            self._closing.pop()()

    def path(self, name: str) -> str:
        """A path in the world."""
        return str(self.folder / name)

    def put(self, name: str, text: str | None = None, mode: int = 0o600) -> str:
        """A file with the canary, or with another text."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.secret if text is None else text)
        path.chmod(mode)
        return str(path)

    def _make_files(self) -> None:
        told = self.told
        told |= {key: self.put(name) for key, name in DENIED.items()}
        told |= {key: self.path(key) for key in ("work", "outside", "data", "home", "other_data")}
        for name in ("work", "data/empty", "outside", "other_data", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        told["victims"] = {name: self.put(f"data/{name}") for name in VICTIMS}
        told["outside_victims"] = {name: self.put(f"outside/{name}") for name in OUTSIDE_VICTIMS}
        told["outside_file"] = self.put("outside/file")
        told["read_only_file"] = self.put("read-only/file")
        for name in ("victim", "mover"):
            self.put(f"read-only/{name}")
        program = f"#!/bin/sh\necho {self.secret}\n"
        told["denied_program"] = self.put("data/program", program, 0o700)
        told["outside_program"] = self.put("outside/program", program, 0o700)
        self.put("home/.bashrc", "")
        told["shared_temporary_file"] = self._make_shared_file()
        told["privileged_program"] = self.path("work/privileged")
        shutil.copy("/usr/bin/id", told["privileged_program"])
        os.chmod(told["privileged_program"], 0o4755)

    def _make_shared_file(self) -> str:
        path = Path("/var/tmp") / f"opcode-{self.secret}"
        path.write_text(self.secret)
        self._closing.append(path.unlink)
        return str(path)

    def _make_servers(self) -> None:
        told = self.told
        tcp = socket.create_server(("127.0.0.1", 0))
        told["port"] = tcp.getsockname()[1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        told["udp_port"] = udp.getsockname()[1]
        kept = [tcp, udp]
        for name, kind in (
            ("abstract", socket.SOCK_STREAM),
            ("abstract_datagrams", socket.SOCK_DGRAM),
        ):
            server = socket.socket(socket.AF_UNIX, kind)
            told[name] = f"\0{name}-{self.secret}"
            server.bind(told[name])
            kept.append(server)
        kept[2].listen(64)
        denied = socket.socket(socket.AF_UNIX)
        home = os.open(self.path("data"), os.O_PATH)
        denied.bind(
            f"/proc/self/fd/{home}/socket"
        )  # the path itself may be too long for an address
        os.close(home)
        denied.listen(64)
        told["denied_socket"] = self.path("data/socket")
        self._closing += [each.close for each in (*kept, denied)]
        thread = threading.Thread(target=_answer, args=(udp,), daemon=True)
        thread.start()
        self._closing.append(lambda: _stop(udp, thread))

    def _start_daemon(self) -> None:
        state = "sealed" if self.sealed else "open"
        process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, self.told["token"], state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"OPCODE_VAULT_KEY": self.secret, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self._closing.append(lambda: (process.kill(), process.communicate()))
        assert process.stdout is not None
        fd, address = process.stdout.readline().split()
        self.told |= {"daemon": process.pid, "daemon_fd": int(fd), "daemon_address": int(address)}

    def tell(self, groups: tuple[str, ...]) -> str:
        """What the attempts of some groups read from stdin."""
        return json.dumps(self.told | {"groups": groups})

    def try_without_a_fence(self, groups: tuple[str, ...]) -> dict[str, Any]:
        """Run the attempts as a careless daemon would: with its environment, its descriptors and no limits."""
        handed_on = os.open(self.told["token"], os.O_RDONLY)
        env = {
            **os.environ,
            "OPCODE_VAULT_KEY": self.secret,
            "LD_PRELOAD": "",
            "PYTHONPATH": self.path("home"),
        }
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", '"$@"; exit $?', "sh", PYTHON, "-I", "-S", "-c", ATTEMPTS],
                input=self.tell(groups),
                capture_output=True,
                text=True,
                env=env,
                cwd=self.told["work"],
                pass_fds=(handed_on,),
                timeout=60,
                check=False,
            )
        finally:
            os.close(handed_on)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


def _answer(udp: socket.socket) -> None:
    """Answer datagrams; a number is a port to come in at."""
    while True:
        try:
            data, sender = udp.recvfrom(100)
        except OSError:
            return
        if not sender:
            return
        udp.sendto(_come_in(data) if data.isdigit() else b"heard", sender)


def _stop(udp: socket.socket, thread: threading.Thread) -> None:
    with contextlib.suppress(
        OSError
    ):  # it wakes the reader, and complains that nobody is connected
        udp.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _come_in(port: bytes) -> bytes:
    try:
        socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
    except OSError:
        return b"shut out"
    return b"came in"


def may_open_files(count: int) -> bool:
    """Whether this process may open so many, and so show what a limit on it stops."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] > count
