"""The contract of every store, over the journal on a disk and over an environment without a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb

from opcode_runtime.storage import Journal
from opcode_runtime.storage.lmdb_store import LmdbStore
from opcode_runtime.storage.port import Store
from opcode_runtime.testing.store_contract import StoreContract
from tests.storage.histories import child, said

_INTRUDER = """
import sys
from pathlib import Path
from opcode_runtime.storage import Journal
lock = Path(sys.argv[1]) / "lock"
lock.unlink()
print(Journal.open(Path(sys.argv[1])).epoch)
"""


class _Transaction:
    """A transaction whose commit reaches the disk, or does not, and whose answer does not come back."""

    def __init__(self, txn: Any, *, reaches: bool) -> None:
        self._txn = txn
        self._reaches = reaches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._txn, name)

    def commit(self) -> None:
        if self._reaches:
            self._txn.commit()
        raise lmdb.DiskError("mdb_txn_commit", 5)


class _Environment:
    def __init__(self, env: Any, *, reaches: bool) -> None:
        self._env = env
        self._reaches = reaches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def begin(self, write: bool = False) -> Any:
        txn = self._env.begin(write=write)
        return _Transaction(txn, reaches=self._reaches) if write else txn


class TestLmdbStore(StoreContract):
    """A folder with its lock."""

    reaches = True

    def make_store(self, tmp_path: Path) -> Store:
        self.folder = tmp_path / "journal"
        return LmdbStore(lambda: Journal.open(self.folder))

    def reopen(self, store: Store) -> Store:
        store.release()
        return LmdbStore(lambda: Journal.open(self.folder))

    def rival(self, store: Store) -> Store | None:
        return LmdbStore(lambda: Journal.open(self.folder))

    def overtake(self, store: Store) -> bool:
        with child(_INTRUDER, self.folder) as process:
            assert int(said(process)) > store.claim()
            process.wait(30)
        return True

    def doubt(self, store: Store) -> bool:
        assert isinstance(store, LmdbStore)
        env: Any = _Environment(store.journal._env, reaches=self.reaches)
        store.journal._env = env
        return True


class TestLmdbStoreThatLosesWhatItDoubts(TestLmdbStore):
    """The same, whose commits of unknown result have not reached the disk."""

    reaches = False


class TestStoreOverAnEnvironment(StoreContract):
    """No folder, no lock."""

    def make_store(self, tmp_path: Path) -> Store:
        self.path = tmp_path
        return self._store()

    def _store(self) -> Store:
        return LmdbStore(
            lambda: Journal.over(lmdb.open(str(self.path), map_size=64 << 20, max_dbs=32))
        )

    def reopen(self, store: Store) -> Store:
        store.release()
        return self._store()
