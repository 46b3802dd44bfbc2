"""Fixtures of the front door's tests."""

from __future__ import annotations

import pytest

from tests.web.doors import HASTY, open_door


@pytest.fixture
async def door():
    async with open_door() as opened:
        yield opened


@pytest.fixture
async def hasty_door():
    """A door whose deadlines are a fifth of a second, for what is about waiting."""
    async with open_door(deadlines=HASTY) as opened:
        yield opened
