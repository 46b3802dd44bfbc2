"""One consistent copy of a store, whoever writes to it meanwhile; the child's half of `backup` and `restore`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lmdb

from opcode_runtime.storage.folder import Folder, sync_directory
from opcode_runtime.storage.readonly import JournalReader
from opcode_runtime.storage.tables import STORE_VERSION, Tables, Tail
from opcode_runtime.storage.witness import Witness


def copy_store(source: Path, target: Path) -> dict[str, Any]:
    """Copy the journal of one folder into another, which is new and empty; synced, with a witness of that moment.

    Raises:
        JournalError: the source cannot be read, or the target has no room.
    """
    folder = Folder(target)
    folder.data.mkdir(mode=0o700)
    with JournalReader.open(source) as reader:
        reader.copy_to(folder.data)
        name = reader.name
    folder.data_file.chmod(0o600)
    tail, workflows, events = _look(folder.data)
    witness = Witness.create(folder.witness)
    if tail.commit:
        witness.note(tail.commit, tail.root)
    witness.close()
    _write(folder.version, f"{STORE_VERSION}\n")
    _write(folder.created, f"{name.hex()}\n")
    for path in (folder.data_file, folder.witness, folder.version, folder.created):
        _sync(path)
    sync_directory(folder.data)
    sync_directory(target)
    return {"workflows": workflows, "events": events, "at": tail.at, "epoch": tail.epoch}


def _look(path: Path) -> tuple[Tail, int, int]:
    """Where the copy ends, which may be behind the reader's first look, and what it holds."""
    with lmdb.open(str(path), readonly=True, lock=False, max_dbs=64, create=False) as env:
        tables = Tables(env)
        with env.begin() as txn:
            workflows = txn.stat(tables.workflows)["entries"]
            return tables.tail(txn), workflows, txn.stat(tables.records)["entries"]


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
