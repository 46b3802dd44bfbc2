"""shell.exec and its fence: what settings, definition and step ask for, and what each refusal names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.actions import ActionSettings, Call
from opcode_runtime.actions.settings import ShellLimits
from opcode_runtime.actions.shell_fence import isolation_for
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.sandbox import machine

from .attempts import error, output

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the levels are those of Linux")

PYTHON = os.path.realpath(sys.executable)
FENCED = [
    each.level for each in machine() if each.level in {"landlock", "bwrap"} and each.available
]


async def ran(code: str, call: Call, **params: Any) -> dict[str, Any]:
    return await output("shell.exec", call, command=PYTHON, args=["-I", "-S", "-c", code], **params)


async def test_what_a_definition_demands_and_the_operator_has_ruled_out_is_refused() -> None:
    call = Call(settings=ActionSettings(isolation="rlimits"), min_isolation="landlock")
    info = await error("shell.exec", call, command="true")
    assert info.code is ErrorCode.ISOLATION_ERROR
    assert "landlock" in info.message
    assert "`isolation`" in info.message


async def test_what_the_settings_demand_holds_whatever_the_definition_says() -> None:
    settings = ActionSettings(isolation="rlimits", min_isolation="bwrap")
    info = await error(
        "shell.exec", Call(settings=settings, min_isolation="rlimits"), command="true"
    )
    assert info.code is ErrorCode.ISOLATION_ERROR


async def test_a_control_group_that_is_required_and_missing_is_named() -> None:
    if next(each for each in machine() if each.level == "cgroup").available:
        pytest.skip("there is one here")
    info = await error(
        "shell.exec", Call(settings=ActionSettings(cgroup="required")), command="true"
    )
    assert info.code is ErrorCode.ISOLATION_ERROR
    assert "delegated" in info.message


def test_the_level_is_known_before_anything_starts() -> None:
    assert str(isolation_for(ActionSettings(isolation="rlimits"))).startswith("rlimits")
    with pytest.raises(OpcodeError, match="demanded"):
        isolation_for(ActionSettings(isolation="rlimits"), "landlock")


@pytest.mark.parametrize("level", FENCED)
async def test_the_data_directory_is_closed_though_no_root_is_set(
    level: Any, tmp_path: Path
) -> None:
    for name in ("data", "work"):
        (tmp_path / name).mkdir()
    secret = tmp_path / "data" / "token"
    secret.write_text("secret")
    settings = ActionSettings(isolation=level, data_dir=str(tmp_path / "data"))
    call = Call(settings=settings, cwd=tmp_path / "work")
    got = await output("shell.exec", call, command="cat", args=[str(secret)])
    assert (got["exit_code"], got["stdout"]) == (1, "")
    got = await output("shell.exec", call, command="echo x > made; cat made", shell=True)
    assert got["stdout"] == "x\n"
    assert (tmp_path / "work" / "made").read_text() == "x\n"


@pytest.mark.parametrize("level", FENCED)
async def test_a_program_outside_the_roots_is_refused_with_the_setting_that_opens_it(
    level: Any, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o700)
    settings = ActionSettings(isolation=level, writable_paths=(str(tmp_path / "work"),))
    info = await error("shell.exec", Call(settings=settings), command=str(program))
    assert info.code is ErrorCode.EXECUTION_ERROR
    settings = ActionSettings(
        isolation=level,
        writable_paths=(str(tmp_path / "work"),),
        read_only_paths=(str(program),),
    )
    got = await output("shell.exec", Call(settings=settings), command=str(program))
    assert got["stdout"] == "ran\n"


CONNECT = "import socket; socket.socket().connect_ex(('127.0.0.1', 9)); print('there')"


async def test_a_step_gives_the_network_up_and_cannot_take_it_back() -> None:
    call = Call(settings=ActionSettings(isolation="rlimits"))
    assert (await ran(CONNECT, call))["stdout"] == "there\n"
    assert "PermissionError" in (await ran(CONNECT, call, network=False))["stderr"]
    off = Call(settings=ActionSettings(isolation="rlimits", shell_network=False))
    assert "PermissionError" in (await ran(CONNECT, off, network=True))["stderr"]


async def test_unix_sockets_are_no_network() -> None:
    code = "import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))"
    call = Call(settings=ActionSettings(isolation="rlimits", shell_network=False))
    assert (await ran(code, call))["stdout"] == "b'x'\n"


@pytest.mark.parametrize(
    ("param", "field"),
    [
        ("max_memory_bytes", "memory_bytes_max"),
        ("pids", "processes_max"),
        ("max_cpu_percent", "cpu_percent_max"),
    ],
)
async def test_a_step_that_asks_for_more_than_it_may_have_is_told_which_limit(
    param: str, field: str
) -> None:
    call = Call(settings=ActionSettings(shell=ShellLimits(**{field: 50})))
    info = await error("shell.exec", call, command="true", **{param: 51})
    assert info.code is ErrorCode.PERMISSION_DENIED
    assert f"limits.shell_{field}" in info.message


async def test_a_step_bounds_its_own_memory_and_output() -> None:
    big = "import mmap; mmap.mmap(-1, 300 << 20)"
    got = await ran(big, Call(), max_memory_bytes=200 << 20)
    assert "Cannot allocate memory" in got["stderr"] or got["signal"] == "SIGKILL"
    assert (await ran(big, Call()))["exit_code"] == 0
    got = await ran("print('x' * 100)", Call(), max_output_bytes=10)
    assert (got["stdout_raw"], got["truncated"]) == ("x" * 10, True)


async def test_a_share_of_the_processor_without_a_control_group_is_refused() -> None:
    if next(each for each in machine() if each.level == "cgroup").available:
        pytest.skip("there is one here")
    info = await error("shell.exec", Call(), command="true", max_cpu_percent=50)
    assert info.code is ErrorCode.ISOLATION_ERROR
