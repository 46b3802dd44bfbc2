"""The journal of this app keeps the rules of journals: the library's tests, run over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from actors.testing import JournalContract

from .journal import FileJournal


def unchanged(event: Any) -> Any:
    """Events that are JSON values already."""
    return event


class TestFileJournal(JournalContract):
    """All tests are inherited."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @asynccontextmanager
    async def open_journal(self) -> AsyncIterator[FileJournal[Any]]:
        yield FileJournal(self.folder, unchanged, unchanged)
