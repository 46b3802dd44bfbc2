"""From `${{secrets.X}}` in a definition to the action that gets the value, and what everybody else gets to see."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime import OpcodeError
from opcode_runtime.model.errors import ErrorCode

from .conftest import Seen, bytes_below, run_to_end, runtime_on, use_step, vault_in

TOKEN = "tok-3f9c1b7e-secret"
OTHER = "other/secret+value=="
pytestmark = pytest.mark.usefixtures("unlocked")


def one(**params: Any) -> dict[str, Any]:
    return {"steps": [use_step(**params)]}


async def test_the_action_gets_the_value_and_nobody_else_sees_it(
    tmp_path: Path, seen: Seen
) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    async with runtime_on(tmp_path, seen) as runtime:
        view = await run_to_end(runtime, one(key="Bearer ${{secrets.TOKEN}}!", plain=1))
    assert seen.given == [{"key": f"Bearer {TOKEN}!", "plain": 1}]
    assert seen.secrets == [(TOKEN,)]
    step = view["steps"]["a"]
    assert step["input"] == {"key": "Bearer [secret:TOKEN]!", "plain": 1}
    assert step["output"] == {"given": {"key": "Bearer [secret:TOKEN]!", "plain": 1}}
    completed = [each for each in view["events"] if each["event_type"] == "step_completed"]
    assert completed[0]["payload"]["redacted"] is True
    assert TOKEN not in json.dumps(view)
    written = bytes_below(tmp_path)
    assert TOKEN.encode() not in written
    assert written.count(b"[secret:TOKEN]") >= 3  # so the journal can be searched like this


async def test_every_attempt_asks_again_and_errors_are_without_secrets(
    tmp_path: Path, seen: Seen
) -> None:
    store = vault_in(tmp_path, TOKEN=TOKEN)
    definition = one(key="${{secrets.TOKEN}}")
    definition["steps"][0]["retry"] = {"max": 1, "delay": "10ms"}
    seen.fails = 1
    seen.failing = lambda: store.put("TOKEN", OTHER)
    async with runtime_on(tmp_path, seen) as runtime:
        view = await run_to_end(runtime, definition)
    assert [each["key"] for each in seen.given] == [TOKEN, OTHER]
    retrying = [each for each in view["events"] if each["event_type"] == "step_retrying"]
    error = retrying[0]["payload"]["error"]
    assert error["message"].endswith("cannot use [secret:TOKEN]")
    assert error["details"]["redacted"] is True
    text = json.dumps(view) + bytes_below(tmp_path).decode("latin-1")
    assert TOKEN not in text
    assert OTHER not in text


async def test_an_earlier_value_stays_hidden_after_a_rotation(tmp_path: Path, seen: Seen) -> None:
    store = vault_in(tmp_path, TOKEN=TOKEN)
    async with runtime_on(tmp_path, seen) as runtime:
        await run_to_end(runtime, one(key="${{secrets.TOKEN}}"))
        store.put("TOKEN", OTHER)
        await run_to_end(runtime, one(key="${{secrets.TOKEN}}"))
        echoing = {
            "steps": [
                {"id": "a", "action": "test.echo", "params": {"value": "${{inputs.x}}"}},
            ]
        }
        view = await run_to_end(runtime, echoing, params={"x": f"{TOKEN} and {OTHER}"})
    assert view["steps"]["a"]["output"] == "[secret:TOKEN] and [secret:TOKEN]"


async def test_a_mark_in_data_stays_data(tmp_path: Path, seen: Seen) -> None:
    """What looks like a reference in inputs, outputs or literals is never resolved, wherever it ends up."""
    vault_in(tmp_path, TOKEN=TOKEN)
    forged = "[secret:TOKEN] ${{secrets.TOKEN}}"
    definition = {
        "steps": [
            {"id": "e", "action": "test.echo", "params": {"value": "${{inputs.x}}"}},
            {
                **use_step(
                    key="${{inputs.x}}|${{steps.e.output}}|[secret:TOKEN]|$${{secrets.TOKEN}}",
                    headers={"[secret:TOKEN]": "${{inputs.x}}${{secrets.TOKEN}}"},
                ),
                "depends_on": ["e"],
            },
        ]
    }
    async with runtime_on(tmp_path, seen) as runtime:
        await run_to_end(runtime, definition, params={"x": forged})
    assert seen.given == [
        {
            "key": f"{forged}|{forged}|[secret:TOKEN]|${{{{secrets.TOKEN}}}}",
            "headers": {"[secret:TOKEN]": f"{forged}{TOKEN}"},
        }
    ]


async def test_an_input_whose_default_is_a_secret_is_a_reference(
    tmp_path: Path, seen: Seen
) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    definition = {
        "inputs": {"token": "${{secrets.TOKEN}}"},
        "context": {"copy": "${{inputs.token}}"},
        "steps": [
            {
                **use_step("u", key="a ${{inputs.token}}", plain="${{inputs.token}}"),
                "condition": "inputs.token != ''",
            },
            use_step("w", headers="${{inputs}}"),
            {"id": "e", "action": "test.echo", "params": {"value": "${{inputs.token}}"}},
            use_step("c", key="${{inputs.token + '!'}}"),
            use_step("d", key="${{inputs.none ?? inputs.token}}"),
        ],
        "output": {"token": "${{inputs.token}}", "context": "${{context.copy}}"},
    }
    async with runtime_on(tmp_path, seen) as runtime:
        view = await run_to_end(runtime, definition)
    given = sorted(seen.given, key=json.dumps)
    assert given == sorted(
        [
            {"key": f"a {TOKEN}", "plain": "[secret:TOKEN]"},
            {"headers": {"token": TOKEN}},
            {"key": "[secret:TOKEN]!"},
            {"key": TOKEN},
        ],
        key=json.dumps,
    )
    assert view["inputs"] == {"token": "[secret:TOKEN]"}
    assert view["steps"]["e"]["output"] == "[secret:TOKEN]"
    assert view["output"] == {"token": "[secret:TOKEN]", "context": "[secret:TOKEN]"}
    assert TOKEN.encode() not in bytes_below(tmp_path)


async def test_a_run_parameter_with_the_same_text_is_data(tmp_path: Path, seen: Seen) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    definition = {"inputs": {"token": "${{secrets.TOKEN}}"}, **one(key="${{inputs.token}}")}
    async with runtime_on(tmp_path, seen) as runtime:
        await run_to_end(runtime, definition, params={"token": "${{secrets.TOKEN}}"})
        await run_to_end(runtime, definition, params={"token": "[secret:TOKEN]"})
    assert [each["key"] for each in seen.given] == ["${{secrets.TOKEN}}", "[secret:TOKEN]"]


async def test_the_input_schema_does_not_judge_a_value_that_it_cannot_know(
    tmp_path: Path, seen: Seen
) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    definition = {"inputs": {"token": "${{secrets.TOKEN}}"}, **one(key="${{inputs.token}}")}
    schema = {
        "type": "object",
        "properties": {"token": {"type": "string", "pattern": "^tok-"}, "n": {"type": "integer"}},
        "required": ["token", "n"],
    }
    async with runtime_on(tmp_path, seen) as runtime:
        await runtime.define("t", definition, input_schema=schema)
        await (await runtime.run("t", params={"n": 1})).wait()
        for wrong in ({"n": "x"}, {"n": 1, "token": "no"}):
            with pytest.raises(OpcodeError, match="do not fit"):
                await runtime.run("t", params=wrong)
    assert [each["key"] for each in seen.given] == [TOKEN]


async def test_references_outlive_the_process(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that was interrupted gets its secrets again from the journal's names, with the value of now."""
    store = vault_in(tmp_path, TOKEN=TOKEN)
    definition = {
        "inputs": {"token": "${{secrets.TOKEN}}"},
        "steps": [
            {"id": "w", "type": "wait", "config": {"signal": "go"}},
            {**use_step(key="${{secrets.TOKEN}} ${{inputs.token}}"), "depends_on": ["w"]},
        ],
    }
    async with runtime_on(tmp_path, seen) as runtime:
        await runtime.define("t", definition)
        handle = await runtime.run("t")
    store.put("TOKEN", OTHER)
    monkeypatch.setenv("OPCODE_VAULT_KEY", "correct horse battery staple")
    async with runtime_on(tmp_path, seen) as runtime:
        await runtime.signal(handle.workflow_id, "go")
        await runtime.handle(handle.workflow_id).wait()
    assert [each["key"] for each in seen.given] == [f"{OTHER} {OTHER}"]


async def test_a_template_that_is_not_on_the_list_gets_nothing(tmp_path: Path, seen: Seen) -> None:
    store = vault_in(tmp_path)
    store.put("TOKEN", TOKEN, templates=("other", "t@v2"))
    async with runtime_on(tmp_path, seen) as runtime:
        view = await run_to_end(runtime, one(key="${{secrets.TOKEN}}"))
        assert view["status"] == "failed"
        error = view["steps"]["a"]["error"]
        assert error["code"] == "VAULT_ERROR"
        assert "may not use the secret 'TOKEN'" in error["message"]
        view = await run_to_end(runtime, one(key="second ${{secrets.TOKEN}}"))
    assert view["status"] == "completed"
    assert [each["key"] for each in seen.given] == [f"second {TOKEN}"]


async def test_a_secret_that_is_not_there_fails_the_step_and_can_be_set_meanwhile(
    tmp_path: Path, seen: Seen
) -> None:
    store = vault_in(tmp_path)
    async with runtime_on(tmp_path, seen) as runtime:
        view = await run_to_end(runtime, one(key="${{secrets.TOKEN}}"))
        assert view["steps"]["a"]["error"]["code"] == "VAULT_ERROR"
        assert "no secret 'TOKEN'" in view["steps"]["a"]["error"]["message"]
        store.put("TOKEN", TOKEN)
        view = await run_to_end(runtime, one(key="${{secrets.TOKEN}}"))
    assert view["status"] == "completed"


async def test_a_pure_action_gets_secrets_too(tmp_path: Path, seen: Seen) -> None:
    vault_in(tmp_path, KEY=TOKEN)
    definition = {
        "steps": [
            {
                "id": "a",
                "action": "crypto.hmac",
                "params": {"data": "x", "key": "${{secrets.KEY}}"},
            }
        ]
    }
    async with runtime_on(tmp_path, seen) as runtime:
        view = await run_to_end(runtime, definition)
        forged = {
            "steps": [{**definition["steps"][0], "params": {"data": "x", "key": "[secret:KEY]"}}]
        }
        other = await run_to_end(runtime, forged)
    expected = hmac.new(TOKEN.encode(), b"x", hashlib.sha256).hexdigest()
    assert expected in json.dumps(view["steps"]["a"]["output"])
    assert expected not in json.dumps(other)


async def test_a_large_output_is_looked_through_as_well(tmp_path: Path, seen: Seen) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    filling = "x" * 400_000
    async with runtime_on(tmp_path, seen) as runtime:
        view = await run_to_end(runtime, one(key="${{secrets.TOKEN}}", echo=filling))
    assert view["steps"]["a"]["status"] == "completed"
    assert TOKEN.encode() not in bytes_below(tmp_path)


async def test_when_a_secret_was_last_used_is_told_after_the_end(
    tmp_path: Path, seen: Seen
) -> None:
    store = vault_in(tmp_path, TOKEN=TOKEN, IDLE="never used value")
    before = (tmp_path / "vault").read_bytes()
    async with runtime_on(tmp_path, seen) as runtime:
        await run_to_end(runtime, one(key="${{secrets.TOKEN}}"))
    idle, used = store.listed()
    assert idle.last_used_at is None
    assert used.last_used_at is not None
    assert (tmp_path / "vault").read_bytes() == before


async def test_a_changed_vault_fails_steps_and_says_so(tmp_path: Path, seen: Seen) -> None:
    store = vault_in(tmp_path, TOKEN=TOKEN)
    async with runtime_on(tmp_path, seen) as runtime:
        store.reencrypt(b"quite another passphrase")
        view = await run_to_end(runtime, one(key="${{secrets.TOKEN}}"))
    error = view["steps"]["a"]["error"]
    assert error["code"] == ErrorCode.VAULT_ERROR
    assert "since the runtime started" in error["message"]
    assert seen.given == []


async def test_a_runtime_does_not_open_with_a_wrong_passphrase(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    monkeypatch.setenv("OPCODE_VAULT_KEY", "not the right passphrase")
    with pytest.raises(OpcodeError, match="passphrase does not open"):
        async with runtime_on(tmp_path, seen):
            pass


async def test_without_a_passphrase_everything_else_works(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    monkeypatch.delenv("OPCODE_VAULT_KEY")
    async with runtime_on(tmp_path, seen) as runtime:
        assert (await run_to_end(runtime, one(plain=1)))["status"] == "completed"
        view = await run_to_end(runtime, one(key="${{secrets.TOKEN}}"))
    error = view["steps"]["a"]["error"]
    assert (error["code"], error["message"].split(":")[0]) == ("VAULT_ERROR", "the vault is locked")


async def test_the_passphrase_comes_from_the_file_that_the_settings_name(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault_in(tmp_path, TOKEN=TOKEN)
    monkeypatch.delenv("OPCODE_VAULT_KEY")
    (tmp_path / "key").write_text("correct horse battery staple\n")
    (tmp_path / "key").chmod(0o600)
    async with runtime_on(tmp_path, seen, vault_key_file="key") as runtime:
        view = await run_to_end(runtime, one(key="${{secrets.TOKEN}}"))
    assert view["status"] == "completed"
