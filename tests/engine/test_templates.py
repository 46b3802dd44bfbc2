"""Which version of a template is the latest is remembered, for as long as it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import MockClock

from opcode_runtime import OpcodeError, open_runtime
from opcode_runtime.engine import templates
from opcode_runtime.engine.requests import RemoveTemplate

from .conftest import World, chain


async def test_the_latest_version_is_remembered_until_another_is_defined_or_it_is_removed(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        known = runtime._kit.templates
        await runtime.define("t", chain(1, "work.do"))
        assert [known.load("t").template.version for _ in range(2)] == ["v1", "v1"]
        await runtime.define("t", chain(2, "work.do"))
        assert known.load("t").template.version == "v2"
        remove = RemoveTemplate(name="t", version="v2", agent_id="a")
        await runtime.router.handle(remove, principal="p")
        assert known.load("t").template.version == "v1"
        with pytest.raises(OpcodeError, match="there is no template 't'"):
            known.load("t", "")


async def test_no_watch_is_left_behind_when_compiled_versions_are_forgotten(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "LOADED_MAX", 1)
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        known = runtime._kit.templates
        for count in (1, 2):
            await runtime.define("t", chain(count, "work.do"))
        await runtime.define("other", chain(1, "work.do"))
        for _ in range(3):
            assert known.load("t").template.version == "v2"
            assert known.load("t", "v1").template.version == "v1"
            with pytest.raises(OpcodeError):
                known.load("never defined")
        assert runtime._kit.hub.statistics() == {"streams": 1, "watches": 1}
        known.load("other")
        assert runtime._kit.hub.statistics() == {"streams": 1, "watches": 1}
