"""What attacks on the fence around files are tried in, and how it is seen that one got out."""

from __future__ import annotations

import glob
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.actions import ActionSettings, Call
from opcode_runtime.actions.listing import Found
from opcode_runtime.actions.path_rules import PathRules
from opcode_runtime.actions.paths import Fence
from opcode_runtime.actions.tree import Directory
from opcode_runtime.model.outcome import Completed, Outcome

CANARY = "CANARY-7b1f"
NAME = "canary-name"
SIZE = 4242
CONTENT = CANARY.ljust(SIZE, ".")


@dataclass
class World:
    """Folders side by side: one that may be touched, and others that may not.

    Arguments:
        settings: what of `ActionSettings` an attack changes.
        opened: descriptors to be closed afterwards.
        before: everything outside of `inside`, as it was when the attack began.
    """

    top: Path
    settings: dict[str, Any] = field(default_factory=dict)
    opened: list[int] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)

    @property
    def inside(self) -> Path:
        """The only root, and the working directory."""
        return self.top / "in"

    @property
    def outside(self) -> Path:
        """What no root is around."""
        return self.top / "out"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.top / "data"

    @property
    def home(self) -> Path:
        """The home directory."""
        return self.top / "home"

    def folder(self, path: Path) -> Path:
        """Make a folder that is worth breaking into."""
        for name in ("secret", f"sub/{NAME}"):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(CONTENT)
        return path

    def link(self, name: str, target: Path | str) -> str:
        """Put a link into the folder that may be touched; gives its name."""
        (self.inside / name).symlink_to(target)
        return name

    def open(self, path: Path) -> int:
        """A descriptor that the daemon holds, as it were."""
        self.opened.append(os.open(path, os.O_RDONLY))
        return self.opened[-1]

    def call(self) -> Call:
        """The attempt."""
        settings: dict[str, Any] = {
            "writable_paths": (str(self.inside),),
            "data_dir": str(self.data),
            "vault_key_file": str(self.top / "vault.key"),
            "file_bytes_max": 100_000,
        } | self.settings
        return Call(cwd=self.inside, settings=ActionSettings(**settings))

    def no_roots(self) -> None:
        """Only what is denied always stays denied."""
        self.settings["writable_paths"] = ()

    def snapshot(self) -> dict[str, Any]:
        """Everything that is not inside, and of `inside` what became of it."""
        return {
            str(path): (stat.S_IFMT(status.st_mode), data)
            for path, status, data in _all_of(self.top)
            if not path.is_relative_to(self.inside)
        }

    def is_escaped(self, outcome: Outcome) -> bool:
        """Whether anything came from outside, or became different there."""
        if self.snapshot() != self.before:
            return True
        shown = json.dumps(outcome.output) if isinstance(outcome, Completed) else ""
        if CANARY in shown or NAME in shown or f": {SIZE}" in shown:
            return True
        return any(
            CANARY.encode() in data
            for _, status, data in _all_of(self.inside)
            if data is not None and status.st_nlink == 1
        )


def _all_of(top: Path) -> Iterator[tuple[Path, os.stat_result, bytes | None]]:
    """Everything below a folder, links as such, while others exchange them; and what files hold."""
    for folder, folders, files, fd in os.fwalk(top):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                yield Path(folder, name), status, _content(fd, name, status)


def _content(directory: int, name: str, status: os.stat_result) -> bytes | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError:
        return b""
    with open(fd, "rb") as file:
        return file.read()


def make_world(top: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A new world."""
    world = World(top)
    world.inside.mkdir(parents=True)
    (world.inside / "mine").write_text("mine")
    for path in (world.outside, world.data, world.data / "journal", world.home / ".ssh"):
        world.folder(path)
    (top / "vault.key").write_text(CONTENT)
    monkeypatch.setenv("HOME", str(world.home))
    return world


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    return None


def _plain_open(directory: int, path: str, flags: int) -> int:
    return os.open(path or ".", flags, dir_fd=directory)


def _plain_glob(place: Directory, parts: list[str]) -> Iterator[Found]:
    for name in glob.iglob("/".join(parts), root_dir=place.path):
        yield place.path / name, os.lstat(place.path / name)


def _off_rules(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PathRules, "check", _nothing)


def _off_links(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("opcode_runtime.actions.paths.is_under", lambda _path, _places: False)


def _off_identity(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PathRules, "check_identity", _nothing)


def _off_beneath(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("opcode_runtime.actions.beneath.open_beneath", _plain_open)


def _off_verify(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fence, "_verify", _nothing)
    patch.setattr(Fence, "_verify_surroundings", _nothing)


def _off_globs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("opcode_runtime.actions.fs.parts_of", lambda pattern: pattern.split("/"))
    patch.setattr("opcode_runtime.actions.fs.matches", _plain_glob_closing)


def _plain_glob_closing(place: Directory, parts: list[str]) -> Any:
    yield from _plain_glob(place, parts)


def _off_devices(patch: pytest.MonkeyPatch) -> None:
    for name in ("paths.refuse_special", "fs_tree.refuse_device", "tree.refuse_device"):
        patch.setattr(f"opcode_runtime.actions.{name}", _nothing)


def _off_modes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("opcode_runtime.actions.fs.mode_of", lambda given: int(given, 8))


def _off_clashes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("opcode_runtime.actions.copying.refuse_replacing", _nothing)


FENCES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "rules": _off_rules,
    "links": _off_links,
    "identity": _off_identity,
    "beneath": _off_beneath,
    "verify": _off_verify,
    "globs": _off_globs,
    "devices": _off_devices,
    "modes": _off_modes,
    "clashes": _off_clashes,
}
"""The parts of the fence, and how each is taken away."""
