"""What figures were measured on: cores, kernel, file system, commit. No names of hosts, users or folders."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def machine() -> str:
    """Cores, memory, kernel and interpreter."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    kernel = platform.release().partition("-")[0]
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, Linux {kernel}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path`; `unknown` where the kernel does not say."""
    best, found = "", "unknown"
    try:
        mounts = Path("/proc/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return found
    for line in mounts:
        _, folder, kind, *_ = line.split(" ")
        inside = path.resolve().is_relative_to(folder)
        if inside and len(folder) >= len(best):
            best, found = folder, kind
    return found


def commit() -> str:
    """The commit of the checkout, with a `+` when files differ from it; `unknown` outside of one."""
    root = Path(__file__).resolve().parent.parent
    try:
        found = _git(root, "rev-parse", "--short=12", "HEAD")
        return found + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    ran = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=10
    )
    return ran.stdout.strip()
