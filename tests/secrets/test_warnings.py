"""What `define` says of secrets that a template would not get: a warning, since they may still be set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opcode_runtime import Runtime
from opcode_runtime.engine.requests import Define

from .conftest import Seen, runtime_on, use_step, vault_in

Json = dict[str, Any]
VALUE = "a-value-of-a-secret"


async def warnings_of(
    runtime: Runtime, definition: Json, name: str = "t", *, check_only: bool = True
) -> list[Json]:
    """The warnings of `define`."""
    request = Define(name=name, definition=definition, agent_id="ann", check_only=check_only)
    found: list[Json] = (await runtime.router.handle(request, principal="ann"))["warnings"]
    return found


def naming(*names: str) -> Json:
    texts = [f"Bearer ${{{{secrets.{name}}}}}" for name in names]
    return {"steps": [use_step(key=texts[0], headers={"more": texts[1:]})]}


@pytest.mark.usefixtures("unlocked")
async def test_a_secret_that_the_vault_does_not_hold_is_a_warning_until_it_does(
    tmp_path: Path, seen: Seen
) -> None:
    store = vault_in(tmp_path, TOKEN=VALUE)
    async with runtime_on(tmp_path, seen) as runtime:
        assert await warnings_of(runtime, naming("TOKEN")) == []
        [warning] = await warnings_of(runtime, naming("TOKEN", "OTHER", "OTHER"))
        assert warning["code"] == "VAULT_ERROR"
        assert warning["pointer"] == "/steps/0/params/headers/more/0"
        assert "no secret 'OTHER'" in warning["message"]
        assert "opcode secret set OTHER" in warning["message"]
        assert VALUE not in str(warning)
        store.put("OTHER", VALUE)
        assert await warnings_of(runtime, naming("TOKEN", "OTHER")) == []


@pytest.mark.usefixtures("unlocked")
async def test_a_secret_of_other_templates_or_versions_is_a_warning(
    tmp_path: Path, seen: Seen
) -> None:
    store = vault_in(tmp_path)
    store.put("ONE", VALUE, templates=("t@v1",))
    store.put("ANY", VALUE, templates=("t",))
    async with runtime_on(tmp_path, seen) as runtime:
        assert await warnings_of(runtime, naming("ONE", "ANY"), check_only=False) == []
        assert await warnings_of(runtime, naming("ONE", "ANY")) == []  # the same: still v1
        [warning] = await warnings_of(runtime, naming("ANY", "ONE"))
        assert "'t' (v2) may not use the secret 'ONE'" in warning["message"]
        both = await warnings_of(runtime, naming("ONE", "ANY"), "another")
        assert len(both) == 2


@pytest.mark.usefixtures("unlocked")
async def test_a_default_of_an_input_is_looked_at_and_a_literal_is_not(
    tmp_path: Path, seen: Seen
) -> None:
    vault_in(tmp_path)
    definition = {
        "inputs": {"token": "${{secrets.NONE}}"},
        "steps": [use_step(key="$${{secrets.LITERAL}}", plain="secrets ${{inputs.token}}")],
    }
    async with runtime_on(tmp_path, seen) as runtime:
        [warning] = await warnings_of(runtime, definition)
    assert (warning["pointer"], "'NONE'" in warning["message"]) == ("/inputs/token", True)


async def test_a_locked_vault_says_nothing_when_a_template_is_defined(
    tmp_path: Path, seen: Seen
) -> None:
    async with runtime_on(tmp_path, seen) as runtime:
        assert await warnings_of(runtime, naming("TOKEN")) == []
