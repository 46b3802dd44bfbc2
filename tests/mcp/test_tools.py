"""The table of tools agrees with the requests, and the instructions with the tools."""

from __future__ import annotations

import subprocess
import sys

import jsonschema
import msgspec
import pytest

from opcode_runtime.engine.requests import Signal
from opcode_runtime.mcp import EXAMPLE_DEFINITION, INSTRUCTIONS, TOOLS, call_tool
from opcode_runtime.model.errors import ErrorCode, OpcodeError


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_every_argument_is_a_field_of_the_request(tool):
    fields = {field.name for field in msgspec.structs.fields(tool.request)}
    arguments = {"wait_s" if name == "wait" else name for name in tool.input_schema["properties"]}
    assert arguments == fields - {"events_max"}
    required = {field.name for field in msgspec.structs.fields(tool.request) if field.required}
    assert set(tool.input_schema["required"]) == required


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_schemas_are_schemas_and_every_argument_is_described(tool):
    for schema in (tool.input_schema, tool.output_schema):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
    assert all(argument["description"] for argument in tool.input_schema["properties"].values())


def test_the_instructions_name_every_tool_and_hold_the_example():
    assert all(name in INSTRUCTIONS for name in TOOLS)
    assert msgspec.json.encode(EXAMPLE_DEFINITION).decode() in INSTRUCTIONS
    assert "{{{" not in INSTRUCTIONS


@pytest.mark.parametrize("word", ["condition", "loop", "parallel", "wait", "reasoning"])
def test_every_step_type_is_told_before_anything_is_read(word):
    assert word in INSTRUCTIONS
    assert word in TOOLS["opcode.define"].description


def test_the_instructions_stay_short():
    assert len(INSTRUCTIONS) < 4_096


def test_a_signal_may_have_any_name_and_the_known_ones_are_told():
    arguments = TOOLS["opcode.signal"].input_schema["properties"]
    assert "enum" not in arguments["signal_type"]
    known = ("decision", "data", "cancel", "pause", "resume", "retry", "skip")
    assert all(f"{name}: " in arguments["signal_type"]["description"] for name in known)


def test_importing_the_tools_does_not_import_the_sdk():
    code = "import sys, opcode_runtime.mcp; sys.exit('mcp.server' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Router:
    def __init__(self, answer) -> None:
        self._answer = answer

    async def handle(self, request, *, principal):
        if isinstance(self._answer, Exception):
            raise self._answer
        return {"asked": msgspec.to_builtins(request), "principal": principal}


async def call(answer, arguments):
    return await call_tool(Router(answer), TOOLS["opcode.signal"], arguments, principal="p")


CANCEL = {"workflow_id": "w", "signal_type": "cancel"}


async def test_a_call_reaches_the_router_with_its_principal():
    reply = await call(None, CANCEL)
    assert reply.structured == {"asked": msgspec.to_builtins(Signal(**CANCEL)), "principal": "p"}


async def test_a_refusal_of_the_router_is_a_reply():
    reply = await call(OpcodeError(ErrorCode.BUSY, "too much at once"), CANCEL)
    assert (reply.is_error, reply.structured["code"], reply.structured["retryable"]) == (
        True,
        "BUSY",
        True,
    )


async def test_a_bug_is_answered_without_its_text(capsys):
    reply = await call(ZeroDivisionError("the secret detail"), CANCEL)
    assert reply.is_error
    assert reply.structured["message"] == "internal error"
    assert "secret" not in reply.text
    assert "the secret detail" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [None, {}, {"workflow_id": {}}, {"": 1}, {"\ud800": 1}])
async def test_whatever_the_arguments_a_call_is_answered(arguments):
    assert (await call(None, arguments)).structured["code"] == "VALIDATION_ERROR"
