"""Running one attempt of a built-in action in a test."""

from __future__ import annotations

from typing import Any

import trio

from opcode_runtime.actions import Call, builtin_registry, perform
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed

REGISTRY = builtin_registry()


async def output(name: str, call: Call, **params: Any) -> dict[str, Any]:
    """What a successful attempt gives."""
    with trio.fail_after(20):
        outcome = await perform(REGISTRY.get(name), params, call)
    assert isinstance(outcome, Completed), outcome
    assert isinstance(outcome.output, dict)
    return outcome.output


async def error(name: str, call: Call, **params: Any) -> ErrorInfo:
    """How a failing attempt fails."""
    with trio.fail_after(20):
        outcome = await perform(REGISTRY.get(name), params, call)
    assert isinstance(outcome, Failed), outcome
    return outcome.error


async def denied(name: str, call: Call, **params: Any) -> str:
    """What an attempt that touches a forbidden path is told."""
    info = await error(name, call, **params)
    assert info.code is ErrorCode.PATH_DENIED, info
    return info.message
