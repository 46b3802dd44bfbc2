"""The environment of the peers: `python -m bench.peers_environment` makes it, by uv, outside of the repository.

It stands in the user's cache folder under a name that follows from the pins and from the version of Python;
OPCODE_BENCH_PEERS names another place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).with_name("peers-requirements.txt")
PEERS = ("dbos", "langgraph")
_COMPLETE = "complete"


def place() -> Path:
    """Where it is, or would be."""
    named = os.environ.get("OPCODE_BENCH_PEERS")
    if named:
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.blake2b(PINS.read_bytes(), digest_size=6).hexdigest()
    return cache / "opcode-bench" / f"peers-{sys.version_info[0]}.{sys.version_info[1]}-{digest}"


def interpreter() -> Path | None:
    """Its Python; None when it has not been made."""
    found = place()
    return found / "bin" / "python" if (found / _COMPLETE).exists() else None


def make() -> Path:
    """Make it, unless it is there; returns its Python.

    Raises:
        RuntimeError: there is no uv, or the packages cannot be had.
    """
    there = interpreter()
    if there is not None:
        return there
    uv, folder = shutil.which("uv"), place()
    if uv is None:
        raise RuntimeError(
            "there is no uv; install it, or name an environment in OPCODE_BENCH_PEERS"
        )
    python = folder / "bin" / "python"
    _run(uv, "venv", "--clear", "--python", sys.executable, str(folder))
    _run(uv, "pip", "install", "--python", str(python), "--requirement", str(PINS))
    (folder / _COMPLETE).touch()
    return python


def _run(*command: str) -> None:
    if subprocess.run(command, check=False).returncode:
        raise RuntimeError(f"{' '.join(command[1:3])} has failed")


def main() -> int:
    """Make it and say where it is."""
    try:
        sys.stdout.write(f"{make()}\n")
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
