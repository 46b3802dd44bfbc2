"""A stage for each row."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.conformance.stage import Stage, open_stage


@pytest.fixture
async def stage(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[Stage]:
    """A runtime in virtual time with actions that do as they are told."""
    async with open_stage(tmp_path) as opened:
        yield opened
