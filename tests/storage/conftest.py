from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opcode_runtime.storage import Journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    with Journal.open(folder) as opened:
        yield opened
