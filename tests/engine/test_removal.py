"""Templates that are taken out of use, and what of them stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from opcode_runtime.engine.requests import Define, Query, RemoveTemplate, Run, Signal, Status

from .conftest import World, chain, step
from .test_router import Door, door


def _steps(count: int) -> dict[str, Any]:
    return chain(count, "work.do")


async def _listed(call: Door) -> list[str]:
    rows = (await call(Query(resource="templates")))["templates"]
    return [f"{row['name']}@{row['version']}" for row in rows]


async def _run(call: Door, version: str | None = None, **more: Any) -> dict[str, Any]:
    return await call(Run(template_name="t", agent_id="a", version=version, **more))


async def test_a_removed_version_is_neither_listed_nor_run_and_numbers_go_on(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        for count in (1, 2, 3):
            await call.define(_steps(count))
        assert await call(RemoveTemplate(name="t", version="v3")) == {
            "name": "t",
            "removed": ["v3"],
        }
        assert await _listed(call) == ["t@v2", "t@v1"]
        assert (await _run(call))["template_version"] == "v2"
        refused = await call.refused(Run(template_name="t", agent_id="a", version="v3"))
        assert (refused.code, refused.message) == (
            "NOT_FOUND",
            "there is no template 't' version 'v3'",
        )
        assert (await call.define(_steps(2)))["unchanged"] is True
        assert (await call.define(_steps(3)))["version"] == "v4"
        assert await _listed(call) == ["t@v4", "t@v2", "t@v1"]


async def test_all_versions_go_at_once_and_the_template_can_come_back(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(_steps(1))
        await call.define(_steps(2))
        await call(RemoveTemplate(name="t", version="v1"))
        assert (await call(RemoveTemplate(name="t", agent_id="ann")))["removed"] == ["v2"]
        assert (await call.refused(Run(template_name="t", agent_id="a"))).code == "NOT_FOUND"
        assert await _listed(call) == []
    async with door(tmp_path, world) as call:
        assert (await call.define(_steps(2)))["version"] == "v3"
        assert (await _run(call))["status"] == "completed"


@pytest.mark.parametrize(
    ("name", "version"),
    [("t", "v2"), ("t", "1"), ("t", ""), ("u", None), ("", None), ("\ud800", "v1")],
)
async def test_what_is_not_there_cannot_be_removed(
    tmp_path: Path, world: World, name: str, version: str | None, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(_steps(1))
        refused = await call.refused(RemoveTemplate(name=name, version=version))
        assert refused.code == "NOT_FOUND"
        assert await _listed(call) == ["t@v1"]


async def test_a_template_in_use_stays_and_its_users_are_named(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define({"steps": [step("s", "work.hang")]})
        users = [(await _run(call, wait_s=0))["workflow_id"] for _ in range(12)]
        await call.define(_steps(1))
        assert (await call(RemoveTemplate(name="t", version="v2")))["removed"] == ["v2"]
        for request in (RemoveTemplate(name="t"), RemoveTemplate(name="t", version="v1")):
            refused = await call.refused(request)
            assert refused.code == "CONFLICT"
            named = [each for each in users if each in refused.message]
            assert len(named) == 10
            assert refused.details == {"workflows": refused.details["workflows"], "more": True}
            assert set(refused.details["workflows"]) == set(named)
        for user in users:
            await call(Signal(workflow_id=user, signal_type="cancel"))
        assert (await call(RemoveTemplate(name="t")))["removed"] == ["v1"]


async def test_a_workflow_of_a_removed_version_is_still_read_whole(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(_steps(2))
        ended = await _run(call, idempotency_key="k")
        await call(RemoveTemplate(name="t"))
        assert (await _run(call, idempotency_key="k"))["workflow_id"] == ended["workflow_id"]
    async with door(tmp_path, world) as call:
        status = await call(Status(workflow_id=ended["workflow_id"]))
        assert (status["status"], status["template_version"]) == ("completed", "v1")
        assert list(status["steps"]) == ["s0", "s1"]


async def test_a_repeated_define_answers_about_the_version_it_made(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call.define(_steps(1))
        await call(RemoveTemplate(name="t"))
        first = await call.define(_steps(1), idempotency_key="k")
        await call.define(_steps(2))
        again = await call.define(_steps(1), idempotency_key="k")
    assert (first["version"], again["version"], again["unchanged"]) == ("v2", "v2", True)


async def test_wrong_triggers_and_permissions_are_told_with_the_rest(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    broken = {"steps": [step("s", "work.od")]}
    more: dict[str, Any] = {"triggers": {"schedule": "61 * * * *"}, "permissions": ["everybody"]}
    async with door(tmp_path, world) as call:
        request = Define(name="t", definition=broken, agent_id="a", **more)
        found = {each.pointer for each in (await call.refused(request)).problems}
        assert found == {"/steps/0/action", "/triggers/schedule", "/permissions"}
        assert await _listed(call) == []


async def test_triggers_and_permissions_are_stored_shown_and_part_of_a_version(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    given: dict[str, Any] = {
        "triggers": {"schedule": "0 9 * * 1-5"},
        "permissions": {"run": ["ann"]},
    }
    async with door(tmp_path, world) as call:
        await call.define(_steps(1))
        assert (await call.define(_steps(1), **given))["version"] == "v2"
        assert (await call.define(_steps(1), **given))["unchanged"] is True
        by = {"name": "t", "version": "v2"}
        (row,) = (await call(Query(resource="templates", filter=by)))["templates"]
    assert {key: row[key] for key in given} == given
