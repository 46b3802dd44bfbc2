"""shell.exec: one command, its whole process tree ending with the step."""

from __future__ import annotations

import os
from typing import Any

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.params import own_timeout_s
from opcode_runtime.actions.paths import Fence
from opcode_runtime.actions.registry import action, isolated
from opcode_runtime.actions.shell_fence import confinement_of, isolation_for
from opcode_runtime.actions.text import parse_json
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.sandbox import ChildResult, ChildSpec, run_child

DEFAULT_TIMEOUT_S = 30.0
_KEPT_NAMES = frozenset({"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"})
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PARAMS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "command": {
            "type": "string",
            "pattern": r"\S",
            "description": "Program, or a whole line with `shell`.",
        },
        "args": {"type": "array", "items": {"type": "string"}, "description": "One argument each."},
        "env": {"type": "object", "additionalProperties": {"type": "string"}, "x-secret": True},
        "cwd": {"type": "string", "description": "Relative to the workflow's directory."},
        "workdir": {"type": "string", "description": "Another name for `cwd`."},
        "stdin": {"type": "string", "x-secret": True},
        "timeout": {
            "type": "string",
            "x-duration": True,
            "description": "Kills the command; `killed` says so.",
        },
        "shell": {
            "type": "boolean",
            "description": "Run `command` and `args` as one line of /bin/sh.",
        },
        "fail_on_nonzero": {
            "type": "boolean",
            "description": "A non-zero exit code fails the step.",
        },
        "network": {
            "type": "boolean",
            "description": "False takes the network away; true does not give it back.",
        },
        "max_memory_bytes": {
            "type": "integer",
            "minimum": 1,
            "description": "Of the whole tree in a control group, else of each process.",
        },
        "max_cpu_percent": {
            "type": "integer",
            "minimum": 1,
            "description": "100 is one core; needs a control group.",
        },
        "pids": {
            "type": "integer",
            "minimum": 1,
            "description": "Processes and threads that there may be at once.",
        },
        "max_output_bytes": {
            "type": "integer",
            "minimum": 1,
            "description": "Kept of each of stdout and stderr; `truncated` says so.",
        },
    },
    "required": ["command"],
}
OUTPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "stdout": {"description": "Parsed when the whole of it is JSON, else the text."},
        "stdout_raw": {"type": "string"},
        "stderr": {"type": "string"},
        "exit_code": {"type": "integer", "description": "-1 when a signal ended the command."},
        "signal": {"type": ["string", "null"]},
        "duration_ms": {"type": "integer"},
        "killed": {"type": "boolean", "description": "The parameter `timeout` had passed."},
        "truncated": {"type": "boolean"},
    },
    "required": [
        "stdout",
        "stdout_raw",
        "stderr",
        "exit_code",
        "signal",
        "duration_ms",
        "killed",
        "truncated",
    ],
}


def _program(params: dict[str, Any]) -> str:
    command = str(params["command"])
    return command.split(maxsplit=1)[0] if params.get("shell") else command


@isolated(lambda settings, demanded: str(isolation_for(settings, demanded)))
@action("shell.exec", params=PARAMS, output=OUTPUT, target=_program, timeout_s=DEFAULT_TIMEOUT_S)
async def shell_exec(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Run a command (without a shell unless `shell` is true) and give its output and exit code."""
    stdin, timeout_s = params.get("stdin"), own_timeout_s(shell_exec.spec, params)
    with Fence(call) as fence:
        cwd = fence.resolve(params.get("cwd", params.get("workdir")) or ".", "read")
        limit_s = timeout_s or call.timeout_s or DEFAULT_TIMEOUT_S
        confinement = confinement_of(params, call, fence.rules, timeout_s=limit_s)
    output_bytes_max = call.settings.output_bytes_max
    result = await run_child(
        ChildSpec(
            argv=command_line(params),
            env=child_environment(params.get("env", {}), call),
            cwd=cwd,
            stdin=None if stdin is None else stdin.encode(),
            timeout_s=timeout_s,
            output_bytes_max=min(
                params.get("max_output_bytes", output_bytes_max), output_bytes_max
            ),
            confinement=confinement,
        ),
        children_dir=call.children_dir,
    )
    output = _output(result)
    if params.get("fail_on_nonzero") and result.exit_code != 0:
        raise OpcodeError(
            ErrorCode.EXECUTION_ERROR,
            f"shell.exec: {_program(params)!r} ended with {_how(result)}",
            details=output,
        )
    return output


def command_line(params: dict[str, Any]) -> list[str]:
    """The argv: program and arguments, or one line for /bin/sh."""
    command, args = params["command"], params.get("args", [])
    if params.get("shell"):
        return ["/bin/sh", "-c", " ".join([command, *args])]
    return [command, *args]


def child_environment(given: dict[str, str], call: Call) -> dict[str, str]:
    """A command's whole environment: a few of the daemon's variables, the step's, and who it runs for."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_NAMES or name.startswith("LC_")
    }
    env.setdefault("PATH", _DEFAULT_PATH)
    env |= given
    env |= {
        "OPCODE_WORKFLOW_ID": call.workflow_id,
        "OPCODE_STEP_ID": call.step_id,
        "OPCODE_ATTEMPT": str(call.attempt),
        "OPCODE_IDEMPOTENCY_KEY": call.idempotency_key,
    }
    return env


def _output(result: ChildResult) -> dict[str, Any]:
    text = result.stdout.decode(errors="replace")
    return {
        "stdout": parse_json(text),
        "stdout_raw": text,
        "stderr": result.stderr.decode(errors="replace"),
        "exit_code": result.exit_code,
        "signal": result.signal,
        "duration_ms": round(result.duration_s * 1000),
        "killed": result.killed,
        "truncated": result.stdout_truncated or result.stderr_truncated,
    }


def _how(result: ChildResult) -> str:
    return result.signal or f"exit code {result.exit_code}"
