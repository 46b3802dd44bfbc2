"""Attempts to get around the fence around files that are each of their own kind."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from opcode_runtime.model.outcome import Completed, Outcome
from tests.escape.path_touches import Attack, Params
from tests.escape.path_world import CONTENT, NAME, World


def completed(_world: World, outcome: Outcome) -> bool:
    """Where it is an escape that it goes through at all."""
    return isinstance(outcome, Completed)


def sibling(world: World, name: str, root: str = "in") -> Path:
    """A folder beside the root, with a name that is much like its own."""
    world.settings["writable_paths"] = (str(world.top / root),)
    (world.top / root).mkdir(exist_ok=True)
    return world.folder(world.top / name)


def linked_root(world: World) -> Params:
    """A root that is a link itself."""
    (world.top / "root").symlink_to(world.inside)
    world.settings["writable_paths"] = (str(world.top / "root"),)
    return {"path": str(world.top / "root/../out/secret")}


def linked_data(world: World) -> Params:
    """The data directory is set as a link, and reached where it really is."""
    world.no_roots()
    (world.top / "state").symlink_to(world.data)
    world.settings["data_dir"] = str(world.top / "state")
    return {"path": "../data/secret"}


def link_of_data(world: World) -> Params:
    """The link by which the data directory is set is itself exchanged."""
    params = linked_data(world)
    world.link("evil", world.outside)
    return params | {"path": "../state"}


def odd_child(world: World) -> Params:
    """A name in a denied folder that begins with two dots."""
    world.settings["deny_paths"] = (str(world.inside / "no"),)
    (world.inside / "no").mkdir()
    os.link(world.outside / "secret", world.inside / "no/..secret")
    return {"path": "no/..secret"}


def hard_link(world: World, path: Path) -> str:
    """Another name for a file, in the folder that may be touched."""
    os.link(path, world.inside / "hard")
    return "hard"


def tree_with(world: World, name: str) -> str:
    """A folder inside, one part of which is denied."""
    world.folder(world.inside / "tree" / name)
    world.settings["deny_paths"] = (str(world.inside / "tree" / name),)
    return "tree"


def home_tree(world: World) -> str:
    """A home directory with keys in it."""
    world.no_roots()
    return str(world.home)


def is_gone(name: str) -> Callable[[World, Outcome], bool]:
    """Getting out is that something inside is not where it was."""
    return lambda world, _outcome: not os.path.lexists(world.inside / name)


def is_copied(world: World, _outcome: Outcome) -> bool:
    """Getting out is that a file of a denied folder is in the copy."""
    return any(path.name == NAME for path in world.inside.rglob("new/**/*"))


def is_listed(_world: World, outcome: Outcome) -> bool:
    """Getting out is that a name of a denied folder is told."""
    return isinstance(outcome, Completed) and "secret" in str(outcome.output)


def read_only(world: World) -> Path:
    """A root that may be read, inside of one that may be written."""
    path = world.folder(world.inside / "read-only")
    world.settings["read_only_paths"] = (str(path),)
    return path


def is_changed(name: str) -> Callable[[World, Outcome], bool]:
    """Getting out is that a file inside has other content, or is gone."""

    def changed(world: World, _outcome: Outcome) -> bool:
        path = world.inside / name
        return not path.exists() or path.read_text() != CONTENT

    return changed


def is_privileged(world: World, _outcome: Outcome) -> bool:
    """Getting out is a file with setuid, setgid or sticky bits."""
    return any(stat.S_IMODE(path.stat().st_mode) > 0o777 for path in world.inside.iterdir())


def no_roots(world: World, params: Params) -> Params:
    """The same, where no root is set."""
    world.no_roots()
    return params


def merged(world: World) -> Params:
    """A copy is merged into a folder of which a part is a link to the outside."""
    for name in ("t/sub", "u"):
        (world.inside / name).mkdir(parents=True)
    (world.inside / "t/sub/new").write_text("x")
    world.link("u/sub", world.outside / "sub")
    return {"src": "t", "dst": "u"}


SINGLES: tuple[Attack, ...] = (
    Attack(
        "a root that is a link, and back from it",
        "fs.read",
        linked_root,
    ),
    Attack("a folder whose name begins as the root's", "fs.read",
        lambda w: {"path": f"{sibling(w, 'in-other')}/secret"}),
    Attack("a folder whose name is the root's in capitals", "fs.read",
        lambda w: {"path": f"{sibling(w, 'IN')}/secret"}),
    Attack("a folder whose name is the root's in other code points", "fs.read",
        lambda w: {"path": f"{sibling(w, 'cafe' + chr(0x301), 'caf' + chr(0xE9))}/secret"}),
    Attack("a folder whose name is the root's and a space", "fs.read",
        lambda w: {"path": f"{sibling(w, 'in ')}/secret"}),
    Attack("a very long way out", "fs.read", lambda w: {"path": "x/../" * 700 + "../out/secret"}),
    Attack("more ways up than there are folders", "fs.read",
        lambda w: {"path": "../" * 100 + str(w.outside / "secret").lstrip("/")}),
    Attack("a slash behind a file", "fs.read", lambda w: {"path": f"{w.outside}/secret/"}),
    Attack("a data directory that is set by a link", "fs.read", linked_data, ("rules", "identity")),
    Attack("deleting the link by which the data directory is set", "fs.delete", link_of_data,
        ("rules", "identity")),
    Attack("a denied name that begins with two dots", "fs.read", odd_child, ("rules", "identity")),
    Attack("the vault key file", "fs.read",
        lambda w: no_roots(w, {"path": "../vault.key"}), ("rules", "identity")),
    Attack("replacing the vault key file", "fs.write",
        lambda w: no_roots(w, {"path": "../vault.key", "content": "x"}), ("rules", "identity")),
    Attack("another name of a file of the journal", "fs.read",
        lambda w: {"path": hard_link(w, w.data / "journal/secret")}, ("identity",)),
    Attack("another name of the vault key file", "fs.read",
        lambda w: {"path": hard_link(w, w.top / "vault.key")}, ("identity",)),
    Attack("another name of a key", "fs.copy",
        lambda w: {"src": hard_link(w, w.home / ".ssh/secret"), "dst": "stolen"}, ("identity",)),
    Attack("adding to another name of a file of the journal", "fs.append",
        lambda w: {"path": hard_link(w, w.data / "journal/secret"), "content": "x"}, ("identity",)),
    Attack("the environment of the daemon", "fs.read",
        lambda w: no_roots(w, {"path": "/proc/self/environ"}),
        ("rules", "links", "identity"), escaped=completed),
    Attack("the command line of the first process", "fs.read",
        lambda w: no_roots(w, {"path": "/proc/1/cmdline"}), ("rules", "identity"), escaped=completed),
    Attack("what the kernel says of itself", "fs.list",
        lambda w: no_roots(w, {"path": "/sys/kernel"}), ("rules", "identity"), escaped=completed),
    Attack("a setting of the kernel", "fs.stat",
        lambda w: no_roots(w, {"path": "/proc/sys/kernel/core_pattern"}),
        ("rules", "identity"), escaped=completed),
    Attack("reading a device", "fs.read", lambda w: no_roots(w, {"path": "/dev/full"}),
        ("devices",), escaped=completed),
    Attack("asking about a device", "fs.stat", lambda w: no_roots(w, {"path": "/dev/full"}),
        ("devices",), escaped=completed),
    Attack("a mode with setuid", "fs.write",
        lambda w: {"path": "new", "content": "x", "mode": "4755"}, ("modes",), escaped=is_privileged),
    Attack("a mode with setgid", "fs.write",
        lambda w: {"path": "new", "content": "x", "mode": "2755"}, ("modes",), escaped=is_privileged),
    Attack("a mode with the sticky bit", "fs.write",
        lambda w: {"path": "new", "content": "x", "mode": "1777"}, ("modes",), escaped=is_privileged),
    Attack("a pattern that climbs", "fs.list",
        lambda w: {"path": ".", "pattern": "../out/*"}, ("globs",)),
    Attack("a pattern that climbs from where it matched", "fs.list",
        lambda w: (w.inside / "a").mkdir() or {"path": ".", "pattern": "a/../../out/*"}, ("globs",)),
    Attack("a pattern that climbs by what matches", "fs.list",
        lambda w: (w.inside / "a").mkdir() or {"path": ".", "pattern": "*/../../o?t/s*"}, ("globs",)),
    Attack("an absolute pattern", "fs.list",
        lambda w: {"path": ".", "pattern": f"{w.outside}/*"}, ("globs",)),
    Attack("a pattern over a link", "fs.list",
        lambda w: {"path": ".", "pattern": w.link("link", w.outside) + "/*"}, ("globs",)),
    Attack("a pattern that matches a link", "fs.list",
        lambda w: w.link("link", w.outside) and {"path": ".", "pattern": "l*/s*/*"}, ("globs",)),
    Attack("a denied folder below a listed one", "fs.list",
        lambda w: {"path": tree_with(w, "no"), "recursive": True}, ("rules", "identity"),
        escaped=is_listed),
    Attack("a denied folder by a pattern", "fs.list",
        lambda w: {"path": tree_with(w, "no"), "pattern": "*/*"}, ("rules", "identity"), escaped=is_listed),
    Attack("a denied folder below a copied one", "fs.copy",
        lambda w: {"src": tree_with(w, "no"), "dst": "new"}, ("rules", "identity"),
        escaped=is_copied),
    Attack("a denied folder below a moved one", "fs.move",
        lambda w: {"src": tree_with(w, "no"), "dst": "new"}, ("rules", "identity"),
        escaped=is_gone("tree/no/secret")),
    Attack("a denied folder below a deleted one", "fs.delete",
        lambda w: {"path": tree_with(w, "no"), "recursive": True}, ("rules", "identity"),
        escaped=is_gone("tree/no/secret")),
    Attack("deleting the home around the keys", "fs.delete",
        lambda w: {"path": home_tree(w), "recursive": True}, ("rules", "identity")),
    Attack("moving the home around the keys", "fs.move",
        lambda w: {"src": home_tree(w), "dst": str(w.inside / "home")}, ("rules", "identity")),
    Attack("moving the folder around the data directory", "fs.move",
        lambda w: no_roots(w, {"src": str(w.top), "dst": f"{w.top}-2"}), ("rules", "identity"),
        escaped=lambda w, _outcome: not w.top.exists()),
    Attack("deleting the root itself", "fs.delete",
        lambda w: {"path": str(w.inside), "recursive": True},
        escaped=lambda w, _outcome: not w.inside.exists()),
    Attack("moving the root itself", "fs.move", lambda w: {"src": ".", "dst": "../new"},
        escaped=lambda w, _outcome: not w.inside.exists()),
    Attack("putting keys where none are", "fs.copy",
        lambda w: no_roots(w, {"src": "mine", "dst": f"{w.home}/.aws/x", "create_dirs": True}),
        ("rules", "identity")),
    Attack("writing what is read-only inside of what is writable", "fs.write",
        lambda w: {"path": f"{read_only(w)}/secret", "content": "x"},
        escaped=is_changed("read-only/secret")),
    Attack("moving what is read-only", "fs.move",
        lambda w: {"src": f"{read_only(w)}/secret", "dst": "new"},
        escaped=is_changed("read-only/secret")),
    Attack("deleting around what is read-only", "fs.delete",
        lambda w: read_only(w) and {"path": "read-only", "recursive": True},
        escaped=is_changed("read-only/secret")),
    Attack("making a file by a link that leads to none", "fs.write",
        lambda w: {"path": w.link("link", w.outside / "new"), "content": "x"}),
    Attack("adding to a file by a link that leads to none", "fs.append",
        lambda w: {"path": w.link("link", w.outside / "new"), "content": "x"}),
    Attack("making folders behind a link", "fs.write",
        lambda w: {"path": w.link("link", w.outside) + "/a/b", "content": "x", "create_dirs": True}),
    Attack("deleting all behind a link with a slash", "fs.delete",
        lambda w: {"path": w.link("link", w.outside) + "/sub/", "recursive": True}),
    Attack("merging a copy through a link", "fs.copy", merged, ("beneath", "verify", "clashes")),
)  # fmt: skip
