"""Every action on every place that it must not touch, by every name that the place has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opcode_runtime.model.outcome import Outcome
from tests.escape.path_world import World

Params = dict[str, Any]
Setup = Callable[[World], Params]


@dataclass(frozen=True)
class Attack:
    """One attempt.

    Arguments:
        name: what it tries, in a few words.
        action: with which action.
        setup: prepares the world, and gives the parameters.
        fences: the parts of the fence that keep it in; with those switched off it must get out.
        swap: is done between the moment when a path was checked and that when it is opened.
        escaped: what getting out means, where it is something else than reading or changing a file.
    """

    name: str
    action: str
    setup: Setup
    fences: tuple[str, ...] = ("rules",)
    swap: Callable[[World], None] | None = None
    escaped: Callable[[World, Outcome], bool] | None = None


TOUCHES: dict[str, tuple[str, Callable[[str], Params]]] = {
    "read": ("fs.read", lambda at: {"path": f"{at}/secret"}),
    "write": ("fs.write", lambda at: {"path": f"{at}/new", "content": "x", "create_dirs": True}),
    "overwrite": ("fs.write", lambda at: {"path": f"{at}/secret", "content": "x"}),
    "append": ("fs.append", lambda at: {"path": f"{at}/secret", "content": "x"}),
    "delete": ("fs.delete", lambda at: {"path": f"{at}/secret"}),
    "delete all": ("fs.delete", lambda at: {"path": f"{at}/sub", "recursive": True}),
    "list": ("fs.list", lambda at: {"path": at}),
    "list all": ("fs.list", lambda at: {"path": at, "recursive": True}),
    "glob": ("fs.list", lambda at: {"path": at, "pattern": "s*/*"}),
    "stat": ("fs.stat", lambda at: {"path": f"{at}/secret"}),
    "copy out": ("fs.copy", lambda at: {"src": f"{at}/secret", "dst": "stolen"}),
    "copy all out": ("fs.copy", lambda at: {"src": f"{at}/sub", "dst": "stolen"}),
    "copy in": ("fs.copy", lambda at: {"src": "mine", "dst": f"{at}/new"}),
    "move out": ("fs.move", lambda at: {"src": f"{at}/secret", "dst": "stolen"}),
    "move in": ("fs.move", lambda at: {"src": "mine", "dst": f"{at}/new"}),
}
"""Every way in which an action touches a folder, or what is in it."""


def chain(world: World, folder: Path) -> str:
    """A link to a link to a link."""
    world.link("one", folder)
    world.link("two", "one")
    return world.link("three", "./two")


NAMES: dict[str, tuple[Callable[[World, Path], str], tuple[str, ...]]] = {
    "its path": (lambda _world, folder: str(folder), ()),
    "a path with more slashes": (lambda _world, folder: f"//{folder}//.", ()),
    "a relative path": (lambda world, folder: os.path.relpath(folder, world.inside), ()),
    "a way over what is not there": (
        lambda world, folder: f"none/../{os.path.relpath(folder, world.inside)}",
        (),
    ),
    "a link": (lambda world, folder: world.link("link", folder), ()),
    "a chain of links": (chain, ()),
    "a relative link": (
        lambda world, folder: world.link("link", os.path.relpath(folder, world.inside)),
        (),
    ),
    "a link and back": (lambda world, folder: world.link("link", folder / "sub") + "/..", ()),
    "the root of a process": (lambda _world, folder: f"/proc/self/root{folder}", ("links",)),
    "the root of a thread": (lambda _world, folder: f"/proc/thread-self/root{folder}", ("links",)),
    "the directory of a process": (
        lambda _world, folder: f"/proc/self/cwd/{os.path.relpath(folder, Path.cwd())}",
        ("links",),
    ),
    "a descriptor": (lambda world, folder: f"/dev/fd/{world.open(folder)}", ("links",)),
    "a link to a descriptor": (
        lambda world, folder: world.link("link", f"/proc/self/fd/{world.open(folder)}"),
        ("links",),
    ),
}
"""Ways of naming a folder, and what keeps one from naming it so, beside the rules."""


def outside(world: World) -> Path:
    """What is outside of the roots."""
    return world.outside


def data_directory(world: World) -> Path:
    """What is denied without any root, too."""
    world.no_roots()
    return world.data


def journal(world: World) -> Path:
    """A journal that is not in the data directory."""
    world.no_roots()
    world.settings["journal_dir"] = str(world.folder(world.top / "elsewhere"))
    return world.top / "elsewhere"


def keys(world: World) -> Path:
    """Keys in the home directory."""
    world.no_roots()
    return world.home / ".ssh"


def denied_inside(world: World) -> Path:
    """What the operator denied inside of a root."""
    world.settings["writable_paths"] = (str(world.top),)
    world.settings["deny_paths"] = (str(world.outside),)
    return world.outside


TARGETS: dict[str, tuple[Callable[[World], Path], tuple[str, ...]]] = {
    "outside the roots": (outside, tuple(NAMES)),
    "the data directory": (data_directory, tuple(NAMES)),
    "the journal": (journal, ("its path", "a link")),
    "the keys": (keys, ("its path", "a link")),
    "a denied folder": (denied_inside, ("its path", "a relative path", "a chain of links")),
}


def matrix() -> Iterator[Attack]:
    """Every action, on every place, by every name."""
    for what, (target, names) in TARGETS.items():
        for called in names:
            for how, (action, params) in TOUCHES.items():
                yield Attack(
                    f"{how}: {what}, by {called}",
                    action,
                    _setup(target, NAMES[called][0], params),
                    ("rules", "identity", *NAMES[called][1]),
                )


def _setup(
    target: Callable[[World], Path],
    name: Callable[[World, Path], str],
    params: Callable[[str], Params],
) -> Setup:
    return lambda world: params(name(world, target(world)))


def exchange(world: World) -> None:
    """The folder that was just looked at becomes a link to the outside."""
    (world.inside / "d").rename(world.inside / "spare")
    (world.inside / "d").symlink_to(world.outside)


def folder_to_exchange(world: World) -> None:
    """A harmless folder, with the names of the one outside."""
    (world.inside / "d/sub").mkdir(parents=True)
    for name in ("secret", "sub/harmless"):
        (world.inside / "d" / name).write_text("harmless")


def races() -> Iterator[Attack]:
    """Every action, on a folder that is exchanged for a link once it has been checked."""
    for how, (action, params) in TOUCHES.items():

        def setup(world: World, params: Callable[[str], Params] = params) -> Params:
            folder_to_exchange(world)
            return params("d")

        yield Attack(
            f"{how}: a folder that becomes a link", action, setup, ("beneath", "verify"), exchange
        )
