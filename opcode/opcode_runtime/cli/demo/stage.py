"""The temporary directory of one demo, and the names of everything in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

FILES_MAX = 2_000
BYTES_MAX = 64 << 20


class DemoFailedError(Exception):
    """The demo cannot go on: something that must be so is not so."""


class Stage(msgspec.Struct, frozen=True):
    """Where the demo plays.

    `folder` is what the workflow reads; `root` is temporary and holds all that is written.
    """

    root: Path
    folder: Path

    @property
    def home(self) -> Path:
        """The data directory of the daemons."""
        return self.root / "home"

    @property
    def work(self) -> Path:
        """What the workflow writes."""
        return self.root / "work"

    @property
    def ledger(self) -> Path:
        """A line for each beginning and each end of a child process, in the order of time; only ever appended to."""
        return self.work / "ledger.jsonl"

    @property
    def history(self) -> Path:
        """The file that two `fs.append` steps write a line to."""
        return self.work / "history.log"

    @property
    def report(self) -> Path:
        """The file that the workflow is there to write."""
        return self.work / "report.md"

    @property
    def gate(self) -> Path:
        """While it is missing, the held steps stay at work."""
        return self.work / "gate"

    def marker(self, step: str, attempt: int) -> Path:
        """Written by a held step when it is in the middle of its work."""
        return self.work / f"begun-{step}.{attempt}"

    def ledger_lines(self) -> list[dict[str, Any]]:
        """The ledger as it stands."""
        if not self.ledger.exists():
            return []
        return [json.loads(line) for line in self.ledger.read_text().splitlines()]

    def hashed(self) -> tuple[dict[str, str | None], list[str]]:
        """What the hashing steps found: digest by file name, and the digest of each shard, in order."""
        digests: dict[str, str | None] = {}
        shards = []
        for path in sorted(self.work.glob("shard-*.json")):
            found: dict[str, str | None] = json.loads(path.read_text())
            lines = "".join(f"{found[name]} {name!a}\n" for name in sorted(found))
            shards.append(hashlib.sha256(lines.encode()).hexdigest())
            digests |= found
        return digests, shards

    def rehashed(self) -> dict[str, str]:
        """Digests made here and now of the files that are as the survey found them."""
        if not (self.work / "listing.json").exists():
            return {}
        found: dict[str, str] = {}
        for name, size_bytes, changed_ns in json.loads((self.work / "listing.json").read_text()):
            path = self.folder / name
            with contextlib.suppress(OSError):
                data = path.read_bytes()
                info = path.lstat()
                if (info.st_size, info.st_mtime_ns) == (size_bytes, changed_ns):
                    found[name] = hashlib.sha256(data).hexdigest()
        return found

    def write_settings(self, service_port: int) -> None:
        """The daemons' settings: a free port on loopback, and leave to call the demo's own service.

        Commands run in no namespace of their own: the process ids that they report are looked up.
        """
        settings = {
            "listen_addr": "127.0.0.1:0",
            "allow_hosts": [f"127.0.0.1:{service_port}"],
            "drain_s": 2,
            "isolation": "rlimits",
        }
        (self.home / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")


@contextlib.contextmanager
def open_stage(folder: Path, *, keep: bool) -> Iterator[Stage]:
    """Make the temporary directory, and remove it at the end unless it is to be kept."""
    root = Path(tempfile.mkdtemp(prefix="opcode-demo-")).resolve()
    stage = Stage(root, folder.resolve())
    try:
        stage.home.mkdir(mode=0o700)
        stage.work.mkdir(mode=0o700)
        yield stage
    finally:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
