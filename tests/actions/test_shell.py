"""shell.exec with real commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call, builtin_registry, perform
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed

SHELL = builtin_registry().get("shell.exec")


async def output(params: dict[str, Any], call: Call | None = None) -> dict[str, Any]:
    with trio.fail_after(20):
        outcome = await perform(SHELL, params, call or Call())
    assert isinstance(outcome, Completed), outcome
    assert isinstance(outcome.output, dict)
    return outcome.output


async def error(params: dict[str, Any], call: Call | None = None) -> ErrorInfo:
    with trio.fail_after(20):
        outcome = await perform(SHELL, params, call or Call())
    assert isinstance(outcome, Failed), outcome
    return outcome.error


async def test_the_output_has_its_documented_shape() -> None:
    got = await output({"command": "echo", "args": ["hi"]})
    assert got.pop("duration_ms") >= 0
    assert got == {
        "stdout": "hi\n",
        "stdout_raw": "hi\n",
        "stderr": "",
        "exit_code": 0,
        "signal": None,
        "killed": False,
        "truncated": False,
    }


@pytest.mark.parametrize(
    ("printed", "parsed"),
    [
        ('{"a": [1, 2.5]}', {"a": [1, 2.5]}),
        (" 3 ", 3),
        ("true", True),
        ("null", None),
        ('"x"', "x"),
        ("", ""),
        ("3 apples", "3 apples"),
        ("NaN", "NaN"),
        ('{"a": 1} {"b": 2}', '{"a": 1} {"b": 2}'),
    ],
)
async def test_stdout_that_is_json_as_a_whole_is_parsed(printed: str, parsed: Any) -> None:
    got = await output({"command": "printf", "args": ["%s", printed]})
    assert got["stdout"] == parsed
    assert got["stdout_raw"] == printed


async def test_arguments_reach_the_command_as_they_are() -> None:
    args = ["a b", "$HOME", "; echo no", 5, {"k": [1]}, True]
    got = await output({"command": "printf", "args": ["<%s>", *args]})
    assert got["stdout"] == '<a b><$HOME><; echo no><5><{"k":[1]}><true>'


async def test_a_shell_is_used_only_on_demand() -> None:
    got = await output({"command": "echo $((1 + 2)) |", "args": ["cat"], "shell": True})
    assert got["stdout"] == 3
    assert (await error({"command": "echo 1 | cat"})).code is ErrorCode.EXECUTION_ERROR


async def test_a_command_sees_only_harmless_variables_its_own_and_who_it_runs_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPCODE_VAULT_KEY", "secret")
    monkeypatch.setenv("ANY_TOKEN", "secret")
    monkeypatch.setenv("LC_ALL", "C")
    call = Call("w", "route.true.a", 3, "key")
    got = await output(
        {"command": "/usr/bin/env", "env": {"MINE": 1, "OPCODE_STEP_ID": "forged"}}, call
    )
    seen = dict(line.split("=", 1) for line in got["stdout_raw"].splitlines())
    ours = {name: value for name, value in seen.items() if name.startswith("OPCODE_")}
    assert ours == {
        "OPCODE_WORKFLOW_ID": "w",
        "OPCODE_STEP_ID": "route.true.a",
        "OPCODE_ATTEMPT": "3",
        "OPCODE_IDEMPOTENCY_KEY": "key",
    }
    assert seen["MINE"] == "1"
    assert seen["LC_ALL"] == "C"
    allowed = {"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "MINE", *ours}
    assert {name for name in seen if not name.startswith("LC_")} <= allowed


@pytest.mark.parametrize("name", ["cwd", "workdir"])
async def test_a_relative_directory_starts_at_that_of_the_workflow(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    got = await output({"command": "pwd", name: "sub"}, Call(cwd=tmp_path))
    assert got["stdout"] == f"{tmp_path / 'sub'}\n"
    assert (await output({"command": "pwd"}, Call(cwd=tmp_path)))["stdout"] == f"{tmp_path}\n"


async def test_a_directory_outside_the_roots_is_refused(tmp_path: Path) -> None:
    call = Call(cwd=tmp_path, settings=ActionSettings(writable_paths=(str(tmp_path),)))
    assert (await error({"command": "pwd", "cwd": "/"}, call)).code is ErrorCode.PATH_DENIED


async def test_input_that_is_data_arrives_as_compact_json() -> None:
    got = await output({"command": "cat", "stdin": {"a": 1.0}})
    assert got["stdout_raw"] == '{"a":1}'


async def test_a_nonzero_exit_is_an_output_unless_it_is_to_fail() -> None:
    params = {"command": "echo out; echo err >&2; exit 3", "shell": True}
    got = await output(params)
    assert (got["exit_code"], got["stdout"], got["stderr"]) == (3, "out\n", "err\n")
    info = await error({**params, "fail_on_nonzero": True})
    assert info.code is ErrorCode.EXECUTION_ERROR
    assert info.details is not None
    assert info.details["stderr"] == "err\n"


async def test_its_own_timeout_is_an_output_and_the_steps_is_a_failure() -> None:
    got = await output({"command": "sleep", "args": [600], "timeout": "100ms"})
    assert (got["killed"], got["exit_code"]) == (True, -1)
    assert (await output({"command": "true", "timeout": "0"}))["killed"] is False
    info = await error({"command": "sleep", "args": [600]}, Call(timeout_s=0.1))
    assert info.code is ErrorCode.TIMEOUT_ERROR


async def test_output_beyond_the_limit_is_cut_and_said_so() -> None:
    call = Call(settings=ActionSettings(output_bytes_max=10))
    got = await output({"command": "printf", "args": ["%s", "1" * 100]}, call)
    assert got["stdout_raw"] == "1" * 10
    assert got["truncated"] is True


async def test_a_command_that_is_missing_or_empty_is_an_error_that_says_so() -> None:
    info = await error({"command": "no-such-command"})
    assert info.code is ErrorCode.EXECUTION_ERROR
    assert "no-such-command" in info.message
    assert (await error({"command": ""})).code is ErrorCode.VALIDATION_ERROR
    assert (await error({"command": "   ", "shell": True})).code is ErrorCode.VALIDATION_ERROR
    assert (await error({})).code is ErrorCode.VALIDATION_ERROR


def test_an_interruption_follows_the_general_rule_and_the_breaker_counts_by_program() -> None:
    assert SHELL.on_interrupt({"command": "x"}) is None
    assert SHELL.target_of({"command": "git push origin", "shell": True}) == "git"
    assert SHELL.target_of({"command": "/a b/c"}) == "/a b/c"
    assert SHELL.target_of({}) is None
