"""The one place where an action is called.

Here parameters are converted and checked, the deadline is kept, what comes back is checked to be JSON, and whatever
is raised becomes a `Failed`. Only a cancellation passes through.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import trio

from opcode_runtime.actions.beside import BESIDE_LOOP_BYTES, in_thread
from opcode_runtime.actions.call import Call
from opcode_runtime.actions.params import own_timeout_s, read_params
from opcode_runtime.actions.registry import Action
from opcode_runtime.model.durations import format_duration
from opcode_runtime.model.errors import ErrorCode, ErrorInfo, OpcodeError
from opcode_runtime.model.json_size import is_larger
from opcode_runtime.model.outcome import Completed, Failed, Outcome

_DEPTH_MAX = 128


async def perform(action: Action, params: Any, call: Call) -> Outcome:
    """Run one attempt of an action to its outcome, which is never an exception.

    Arguments:
        action: what to run.
        params: as resolved; converted and checked here.
        call: the attempt; its `timeout_s` wins over the action's own.
    """
    try:
        known = read_params(action.spec, params)
        limit_s = _limit_s(action, known, call)
        if limit_s is None:
            return Completed(await _output(action, known, call), tuple(call.requests))
        with trio.move_on_after(limit_s) as scope:
            output = await _output(action, known, call)
            return Completed(output, tuple(call.requests))
    except Exception as error:  # the boundary between actions, whoever wrote them, and the runtime
        return Failed(_error_info(action, error), tuple(call.requests))
    assert scope.cancelled_caught
    return Failed(_timeout(action, limit_s), tuple(call.requests))


async def _output(action: Action, params: dict[str, Any], call: Call) -> Any:
    """What the action gives, checked; work that grows with large values is done beside the loop."""
    if action.in_place and is_larger(params, BESIDE_LOOP_BYTES):
        return await in_thread(lambda: _checked_output(action.fn(params, call)))
    output = action.fn(params, call)
    if action.is_async or inspect.isawaitable(output):
        output = await output
    if is_larger(output, BESIDE_LOOP_BYTES):
        return await in_thread(lambda: _checked_output(output))
    return _checked_output(output)


def perform_in_place(action: Action, params: Any, call: Call) -> Outcome:
    """Run a pure action at once, without a task.

    Raises:
        ValueError: the action is not pure, or has something to wait for.
    """
    if not action.in_place:
        raise ValueError(f"{action.name} cannot run in place")
    try:
        output = action.fn(read_params(action.spec, params), call)
        return Completed(_checked_output(output), tuple(call.requests))
    except Exception as error:  # the same boundary as above
        return Failed(_error_info(action, error), tuple(call.requests))


def _limit_s(action: Action, params: dict[str, Any], call: Call) -> float | None:
    """The attempt's deadline; an action that was given its own `timeout` keeps that one itself."""
    if call.timeout_s is not None:
        return call.timeout_s
    return None if own_timeout_s(action.spec, params) is not None else action.spec.timeout_s


def _timeout(action: Action, limit_s: float | None) -> ErrorInfo:
    text = "its own deadline" if limit_s is None else format_duration(limit_s)
    return ErrorInfo(ErrorCode.TIMEOUT_ERROR, f"{action.name}: not done within {text}")


def _error_info(action: Action, error: Exception) -> ErrorInfo:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, OpcodeError):
        return error.info()
    if isinstance(error, trio.TooSlowError):
        return _timeout(action, None)
    if isinstance(error, RecursionError):
        return ErrorInfo(ErrorCode.EXECUTION_ERROR, f"{action.name}: nested too deeply")
    return ErrorInfo(ErrorCode.EXECUTION_ERROR, f"{action.name}: {type(error).__name__}: {error}")


def _checked_output(output: Any) -> Any:
    return _as_json(output, "output", 0)


def _as_json(value: Any, where: str, depth: int) -> Any:
    """The value with tuples as lists; refuses whatever has no place in a journal."""
    if value is None:
        return None
    if depth > _DEPTH_MAX:
        raise OpcodeError(ErrorCode.EXECUTION_ERROR, f"{where} is nested deeper than {_DEPTH_MAX}")
    if isinstance(value, dict):
        return {
            _key(key, where): _as_json(item, f"{where}.{key}", depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_as_json(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
    return _scalar(value, where)


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise OpcodeError(ErrorCode.EXECUTION_ERROR, f"{where} has a key that is not text: {key!r}")
    return str(_scalar(key, where))


def _scalar(value: Any, where: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise OpcodeError(ErrorCode.EXECUTION_ERROR, f"{where} is {value}, which JSON cannot hold")
    if isinstance(value, str) and not value.isascii() and _has_surrogate(value):
        raise OpcodeError(
            ErrorCode.EXECUTION_ERROR, f"{where} holds half a surrogate pair, which is not text"
        )
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise OpcodeError(
        ErrorCode.EXECUTION_ERROR, f"{where} is a {type(value).__name__}, which is not JSON"
    )


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
