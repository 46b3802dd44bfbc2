"""Which paths actions may touch.

Rule 1: denied always are the data directory, the journal, the vault key file, `/proc` and `/sys` (but a few files
that only tell about the machine) wherever they are mounted, and the keys in the home directory.
Rule 2: then the operator's `deny_paths`.
Rule 3: as soon as one root is set, everything outside the roots is denied. Where roots stand inside each other, the
innermost decides, and at the same place the one that allows less: writing needs a writable root.
Rule 4: a denied place stays denied under its other names: where a link to it stands, where it or a part of it is
mounted a second time, and in a directory that does not tell capitals from small letters.
Rule 5: a file with several names (hard links) is denied when one of them is in a place of rule 1.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from typing import Literal

from opcode_runtime.actions.mounts import MountTable, aliases, mount_table
from opcode_runtime.actions.settings import ActionSettings
from opcode_runtime.model.errors import ErrorCode, OpcodeError

Access = Literal["read", "write"]
Identity = tuple[int, int]

TELLING = frozenset(
    f"/proc/{name}" for name in ("cpuinfo", "meminfo", "loadavg", "uptime", "version")
)
KEY_DIRECTORIES = (".ssh", ".aws", ".gnupg")
_KERNEL_KINDS = frozenset(
    {
        "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "efivarfs", "fusectl",
        "proc", "pstore", "securityfs", "selinuxfs", "sysfs", "tracefs",
    }
)  # fmt: skip
"""What belongs into `/proc` and `/sys`."""
_NAMES_MAX = 10_000
"""Files of rule 5 that are remembered; with more of them every file with several names is denied."""


class PathRules:
    """The operator's rules, made ready for many questions.

    Arguments:
        settings: where the rules stand.
    """

    def __init__(self, settings: ActionSettings) -> None:
        own = (settings.data_dir, settings.journal_dir, settings.vault_key_file)
        keys = [os.path.join(home, name) for home in homes() for name in KEY_DIRECTORIES]
        table = mount_table()
        self._guarded = _places([*(path for path in own if path), *keys])
        kernel = ["/proc", "/sys", *table.points_of(_KERNEL_KINDS)]
        self.always = _everywhere({*self._guarded, *kernel}, table)
        self.denied = _everywhere(_places(settings.deny_paths), table)
        self.writable = _real(settings.writable_paths)
        self.read_only = _real(settings.read_only_paths)

    @property
    def has_roots(self) -> bool:
        """Whether the operator set any root."""
        return bool(self.writable or self.read_only)

    def check(self, path: str, access: Access, shown: str | None = None) -> None:
        """Raise PATH_DENIED unless a path without symbolic links may be touched.

        Arguments:
            shown: what the message calls it; a link must not be told where it leads.
        """
        name = repr(path if shown is None else shown)
        if path not in TELLING and is_under(path, self.always):
            raise denial(f"{name} is always denied; no setting allows it")
        if is_under(path, self.denied):
            raise denial(f"{name} is denied by the setting `deny_paths`")
        root, may_write = self._innermost(path)
        if root is None:
            setting = "writable_paths" if access == "write" else "read_only_paths"
            raise denial(f"{name} is outside the roots; the setting `{setting}` would allow it")
        if access == "write" and not may_write:
            raise denial(f"{name} is read-only; the setting `writable_paths` would allow it")

    def check_identity(self, path: str, status: os.stat_result) -> None:
        """Raise PATH_DENIED for what is a denied place by another name, or a guarded file by another name."""
        if path in TELLING:
            return
        identity = (status.st_dev, status.st_ino)
        rule = self._identities.get(identity)
        if rule is not None:
            raise denial(f"{path!r} is {rule}")
        if status.st_nlink > 1 and stat.S_ISREG(status.st_mode) and self._is_guarded(identity):
            raise denial(f"{path!r} is another name of a file that is always denied")

    def root_of(self, path: str) -> str:
        """The innermost root around a path; the root of the file system where none is set."""
        return self._innermost(path)[0] or "/"

    def _innermost(self, path: str) -> tuple[str | None, bool]:
        if not self.has_roots:
            return "/", True
        writable = max(_around(path, self.writable), key=len, default="")
        readable = max(_around(path, self.read_only), key=len, default="")
        may_write = len(writable) > len(readable)
        return (writable if may_write else readable) or None, may_write

    @cached_property
    def _identities(self) -> dict[Identity, str]:
        found: dict[Identity, str] = {}
        for paths, rule in (
            (self.denied, "denied by the setting `deny_paths`"),
            (self.always, "always denied; no setting allows it"),
        ):
            for path in paths:
                with suppress(OSError):
                    status = os.stat(path)
                    found[status.st_dev, status.st_ino] = rule
        return found

    def _is_guarded(self, identity: Identity) -> bool:
        known = self._guarded_files
        return known is None or identity in known

    @cached_property
    def _guarded_files(self) -> frozenset[Identity] | None:
        """The files of rule 5; None when they are too many."""
        found: set[Identity] = set()
        for identity in _files_below(self._guarded):
            found.add(identity)
            if len(found) > _NAMES_MAX:
                return None
        return frozenset(found)


def denial(text: str) -> OpcodeError:
    """The error for a path that may not be touched."""
    return OpcodeError(ErrorCode.PATH_DENIED, text)


def is_under(path: str, places: Iterable[str]) -> bool:
    """Whether a path is one of these places or in one of them."""
    return any(_around(path, places))


def homes() -> set[str]:
    """The home directories that HOME and the user database name."""
    found = {os.environ.get("HOME", "")}
    with suppress(KeyError):
        found.add(pwd.getpwuid(os.getuid()).pw_dir)
    return found - {""}


def _around(path: str, places: Iterable[str]) -> Iterator[str]:
    for place in places:
        if place in {path, "/"} or path.startswith(f"{place}/"):
            yield place


def _files_below(places: Iterable[str]) -> Iterator[Identity]:
    for place in places:
        yield from _identity(place, None)
        for _, _, names, directory in os.fwalk(place):
            for name in names:
                yield from _identity(name, directory)


def _identity(name: str, directory: int | None) -> Iterator[Identity]:
    with suppress(OSError):
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            yield status.st_dev, status.st_ino


def _places(paths: Iterable[str]) -> tuple[str, ...]:
    """Where paths lead, and where the last of their links stands."""
    found: set[str] = set()
    for path in paths:
        whole = os.path.abspath(os.path.expanduser(path))
        found |= {
            os.path.realpath(whole),
            os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole)),
        }
    return tuple(sorted(found))


def _everywhere(paths: Iterable[str], table: MountTable) -> tuple[str, ...]:
    found = set(paths)
    for path in tuple(found):
        found |= aliases(path, table)
    return tuple(sorted(found))


def _real(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(os.path.realpath(os.path.expanduser(path)) for path in paths)
