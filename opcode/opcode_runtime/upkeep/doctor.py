"""What an operator should look at: data directory, file system, space, clock, vault, fences, what was left behind.

Nothing is changed, and nothing is read as a whole: `verify` does that. Whether the daemon answers is asked by the
command line, which knows how to find it.
"""

from __future__ import annotations

import os
import platform
import stat
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal

import lmdb
import msgspec

from opcode_runtime.model.durations import format_duration
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.settings import Settings
from opcode_runtime.model.times import rfc3339
from opcode_runtime.sandbox import level_for, machine
from opcode_runtime.storage import JournalError, JournalLocked
from opcode_runtime.storage.mounts import mount_of
from opcode_runtime.storage.readonly import JournalReader, has_writer
from opcode_runtime.storage.tables import STORE_VERSION
from opcode_runtime.upkeep.backup import UNFINISHED

State = Literal["ok", "warning", "problem"]

_MAP_USED_MAX = 0.9
_AHEAD_MAX_S = 60.0
_VOLATILE = frozenset({"tmpfs", "ramfs", "overlay"})
_FILES_MAX = 10_000


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at; `next` says what to do when it is not ok."""

    name: str
    state: State
    found: str
    next: str | None = None


def examine(data_dir: Path, journal_dir: Path, settings: Settings) -> list[Check]:
    """Look at everything that can be looked at without a daemon, in a fixed order."""
    return [
        _versions(),
        *_directory(data_dir),
        *_private_files(data_dir, journal_dir),
        *_file_system(journal_dir),
        *_space(journal_dir, settings),
        *_journal(journal_dir, settings),
        *_leftovers(data_dir, journal_dir),
        _vault(data_dir, settings),
        *_isolation(settings),
    ]


def _versions() -> Check:
    engine = ".".join(map(str, lmdb.version()))
    found = (
        f"opcode {metadata.version('opcode-runtime')}, journal layout {STORE_VERSION}, "
        f"Python {platform.python_version()}, lmdb {lmdb.__version__} (LMDB {engine}), "
        f"{platform.system()} {platform.release()}"
    )
    return Check("versions", "ok", found)


def _isolation(settings: Settings) -> Iterator[Check]:
    """What shell steps will be held to here, then each level with what it is made of or what is missing."""
    yield isolation_of(settings)
    for fitness in machine():
        found = fitness.why if fitness.available else f"not here: {fitness.why}"
        yield Check(f"isolation by {fitness.level}", "ok", found)


def isolation_of(settings: Settings) -> Check:
    """What shell steps will be held to here; not ok when nothing fences them, or none will run."""
    try:
        level = level_for(
            wanted=settings.isolation,
            minimum=(settings.min_isolation,),
            group=settings.cgroup,
            network=settings.shell_network,
        )
    except OpcodeError as error:
        return Check("isolation", "problem", f"no shell step will run: {error.message}", error.next)
    if level.level == "rlimits":
        text = f"shell steps run at the level {level}: ended as a whole, but free to do what this user may"
        return Check(
            "isolation", "warning", text, "install bubblewrap, or run on Linux 6.2 or later"
        )
    roots = settings.read_only_paths or settings.writable_paths
    reach = "what the roots allow" if roots else "what this user may, except what is always denied"
    return Check("isolation", "ok", f"shell steps run at the level {level}, and may touch {reach}")


def _vault(data_dir: Path, settings: Settings) -> Check:
    """Whether there is a vault, and whether it opens for a daemon that is started from here. Takes most of a second."""
    from opcode_runtime.secrets import VAULT_FILE, key_file_of, open_store, take_passphrase

    path = data_dir / VAULT_FILE
    try:
        key_file = key_file_of(data_dir, settings.vault_key_file)
        passphrase = take_passphrase(key_file, dict(os.environ))
        if not path.exists():
            needs = "" if passphrase else "; a step that needs a secret fails with VAULT_ERROR"
            return Check("vault", "ok", f"there is none yet{needs}")
        if passphrase is None:
            text = f"{path} is there, and no passphrase is given here to open it"
            fix = "name a file with it in the setting vault_key_file, or start the daemon with OPCODE_VAULT_KEY"
            return Check("vault", "warning", text, fix)
        count = len(open_store(data_dir, passphrase).read()[0])
    except OpcodeError as error:
        fix = error.next or "restore the vault from a copy, or give the passphrase it has"
        return Check("vault", "problem", error.message, fix)
    return Check("vault", "ok", f"its passphrase opens it; secrets in it: {count}")


def _directory(data_dir: Path) -> Iterator[Check]:
    try:
        found = data_dir.stat()
    except FileNotFoundError:
        yield Check(
            "data directory", "ok", f"{data_dir} is not there yet; the first start makes it"
        )
        return
    except OSError as error:
        text = f"{data_dir} cannot be looked at: {error.strerror}"
        yield Check("data directory", "problem", text, "name another one with --data-dir")
        return
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        text = f"{data_dir} belongs to user {found.st_uid}, this is user {os.geteuid()}"
        yield Check("data directory", "warning", text, "run opcode as the user whose it is")
    elif mode & 0o077:
        text = f"{data_dir} may be entered by others (mode {mode:04o})"
        yield Check("data directory", "problem", text, f"chmod 700 {data_dir}")
    else:
        yield Check("data directory", "ok", f"{data_dir}, mode {mode:04o}")


def _private_files(data_dir: Path, journal_dir: Path) -> Iterator[Check]:
    paths = [path for root in {data_dir, journal_dir} for path in _files(root)]
    open_ = sorted({str(path) for path in paths if _mode(path) & 0o077})
    if not paths:
        return
    if open_:
        text = f"{len(open_)} files may be read by others, such as {open_[0]}"
        fix = f"chmod -R go= {data_dir}"
        yield Check("private files", "problem", text, fix)
    else:
        yield Check("private files", "ok", f"{len(paths)} files, all for this user alone")


def _files(root: Path) -> list[Path]:
    """The files right in a folder and in the journal's; no others, a steps' folder may hold anything."""
    folders = [root, root / "data"]
    found: list[Path] = []
    for folder in folders:
        try:
            found += [path for path in folder.iterdir() if path.is_file()]
        except OSError:
            continue
    return found[:_FILES_MAX]


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.lstat().st_mode)
    except OSError:
        return 0


def _file_system(journal_dir: Path) -> Iterator[Check]:
    mount = mount_of(journal_dir)
    if mount is None:
        yield Check("file system", "ok", "this system does not tell what the journal lies on")
        return
    text = f"{mount.kind}, mounted at {mount.point}"
    if mount.is_network:
        local = "move the journal to a local disk, with the setting db_path"
        yield Check("file system", "problem", f"a network file system: {text}", local)
    elif mount.kind in _VOLATILE:
        durable = (
            "a restart of the machine or container may empty it: name a durable disk with db_path"
        )
        yield Check("file system", "warning", text, durable)
    elif mount.read_only:
        writable = (
            "reading works; to run a daemon, mount it writable or name another place with db_path"
        )
        yield Check("file system", "warning", f"{text}, read-only", writable)
    else:
        yield Check("file system", "ok", text)


def _space(journal_dir: Path, settings: Settings) -> Iterator[Check]:
    place = next((each for each in (journal_dir, *journal_dir.parents) if each.exists()), None)
    if place is None:
        return
    found = os.statvfs(place)
    free = found.f_bavail * found.f_frsize
    least = settings.min_free_bytes
    text = f"{free >> 20} MiB free, at least {least >> 20} MiB wanted"
    if free < least:
        yield Check("free space", "problem", text, "free space there: new workflows are refused")
    else:
        yield Check("free space", "ok", text)


def _journal(journal_dir: Path, settings: Settings) -> Iterator[Check]:
    if not journal_dir.exists():
        yield Check("journal", "ok", f"there is none in {journal_dir} yet")
        return
    try:
        reader = JournalReader.open(journal_dir, trusting=True)
    except JournalError as error:
        state: State = "warning" if isinstance(error, JournalLocked) else "problem"
        yield Check("journal", state, error.message, error.next)
        return
    with reader:
        writer = "a daemon writes to it" if has_writer(journal_dir) else "no daemon writes to it"
        notices = "".join(f"; {each}" for each in reader.notices)
        text = f"{reader.last_position()} events, epoch {reader.tail.epoch}, {writer}{notices}"
        if notices:
            yield Check("journal", "warning", text, "opcode verify checks everything")
        else:
            yield Check("journal", "ok", text)
        yield _map(reader, settings)
        yield _readers(reader)
        yield _clock(reader.last_at())


def _map(reader: JournalReader, settings: Settings) -> Check:
    used, size = reader.used_bytes(), settings.journal_bytes_max
    text = f"{used >> 20} MiB of {size >> 20} MiB used ({used / size:.1%})"
    if used / size < _MAP_USED_MAX:
        return Check("journal size", "ok", text)
    more = "prune old workflows (opcode prune), or raise journal_bytes_max and restart"
    return Check("journal size", "problem", text, more)


def _readers(reader: JournalReader) -> Check:
    stale = sorted(pid for pid in reader.readers() if not Path(f"/proc/{pid}").exists())
    if not stale or not Path("/proc/self").exists():
        return Check("readers", "ok", "no reader that is gone holds pages of the journal")
    text = f"processes that are gone ({', '.join(map(str, stale))}) still hold pages of the journal"
    return Check("readers", "warning", text, "the next start of the daemon frees them")


def _clock(last_at: float | None) -> Check:
    """A monotonic clock says nothing across restarts: all that can be known is that no event lies in the future."""
    now = time.time()
    if last_at is None or last_at <= now + _AHEAD_MAX_S:
        last = "" if last_at is None else f"; the newest event is of {rfc3339(last_at)}"
        return Check("clock", "ok", f"it is {rfc3339(now)}{last}")
    ahead = format_duration(round(last_at - now))
    text = f"the newest event lies {ahead} in the future: the clock is behind, or was ahead"
    return Check("clock", "problem", text, "set the clock; timers go by it after a restart")


def _leftovers(data_dir: Path, journal_dir: Path) -> Iterator[Check]:
    found: list[Path] = []
    try:
        found += [journal_dir / "data.new"] if (journal_dir / "data.new").exists() else []
        for folder in {data_dir, journal_dir.parent}:
            if folder.is_dir():
                found += sorted(path for path in folder.iterdir() if path.name.endswith(UNFINISHED))
    except OSError as error:
        text = f"nobody can look: {error.filename}: {error.strerror}"
        yield Check("leftovers", "problem", text, "check the permissions, and who owns it")
        return
    if not found:
        yield Check("leftovers", "ok", "nothing unfinished lies about")
        return
    text = f"{len(found)} unfinished, such as {found[0]}"
    then = "remove what no running command writes; a first start clears data.new itself"
    yield Check("leftovers", "warning", text, then)
