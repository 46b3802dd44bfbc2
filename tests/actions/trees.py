"""Trees of files for the tests of what handles whole trees."""

from __future__ import annotations

import os
from pathlib import Path


def make_tree(root: Path) -> int:
    """Files on three levels, an empty directory and links; gives the bytes of all files."""
    (root / "sub/inner").mkdir(parents=True)
    (root / "empty").mkdir()
    for number, name in enumerate(("a", "b", ".hidden", "sub/c", "sub/inner/d")):
        (root / name).write_text(name * number)
    (root / "a").chmod(0o640)
    (root / "link").symlink_to("sub")
    (root / "broken").symlink_to("nowhere")
    return sum(
        len(name) * number
        for number, name in enumerate(("", "b", ".hidden", "sub/c", "sub/inner/d"))
    )


def contents(root: Path) -> dict[str, str | None]:
    """Everything below a folder: what files hold, where links lead, None for folders."""
    found: dict[str, str | None] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        else:
            found[name] = None if path.is_dir() else path.read_text()
    return found
