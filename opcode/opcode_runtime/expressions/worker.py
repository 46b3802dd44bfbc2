"""The child that evaluates what may take long: one request at a time over its pipes, until they close.

Run as a script by `engine.expression_workers`, in Python's isolated mode and with an empty environment:
`worker.py MEMORY_BYTES_MAX CPU_S`. It writes `{"ready": true}`, then reads requests `{source, step_ids, parts}` and
answers each with `{"value": …}` or `{"error": {code, message, details}, "ends": bool}`. A request
`{expr, environment, now_ns}` is one of Expr, `{jq, input}` one of jq.

Rule 1: it holds nothing worth stealing and opens nothing: no environment, no files, two pipes.
Rule 2: it limits itself (memory, processor time); the parent's SIGKILL is for what gets past that. jq looks at no
clock of ours, so that its processor time is for the kernel to end, and the worker with it.
Rule 3: the end of its input is its end.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

if __name__ == "__main__":  # isolated mode leaves out the folder that the package stands in
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from opcode_runtime.expressions import (
    BudgetExceeded,
    Limits,
    compile_expression,
    evaluate,
    run_jq,
    scope_from_parts,
)
from opcode_runtime.expressions.expr import ExprLimits, compile_expr, evaluate_expr
from opcode_runtime.expressions.frames import HEADER, pack, unpack
from opcode_runtime.model.errors import OpcodeError

RESULT_BYTES_MAX = 16 << 20
_OPEN_FILES_MAX = 32


def main() -> None:
    """Serve requests from standard input until it ends."""
    memory_bytes_max, cpu_s = int(sys.argv[1]), float(sys.argv[2])
    os.environ.clear()  # Python itself may have put a locale there
    requests, answers = _private_pipes()
    compile_expression("1 + 1 == 2 && 'a'.matches('a')")  # loads all that is slow to load
    compile_expr("'a' matches 'a'")
    run_jq(".", {})
    _limit(resource.RLIMIT_AS, memory_bytes_max)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES_MAX)
    _limit(resource.RLIMIT_CORE, 0)
    _send(answers, pack({"ready": True}))
    limits = Limits(steps_max=1 << 60, cpu_s=cpu_s, text_chars_max=1 << 60)
    while (request := _receive(requests)) is not None:
        _limit_cpu(cpu_s)
        if not _send(answers, _answered(request, limits)):
            return


def _answered(request: bytes, limits: Limits) -> bytes:
    """The frame that answers a request, whatever happens."""
    try:
        frame = pack({"value": _value(unpack(request), limits)})
        if len(frame) <= RESULT_BYTES_MAX:
            return frame
        error: OpcodeError = BudgetExceeded(
            "result", f"the result is over {RESULT_BYTES_MAX} bytes"
        )
    except OpcodeError as failure:
        error = failure
    except MemoryError:
        return _error_frame(BudgetExceeded("memory", "the expression took too much memory"), True)
    except (RecursionError, ValueError):
        error = BudgetExceeded("nesting", "a value is nested too deeply for an expression")
    return _error_frame(error, False)


def _value(request: dict[str, Any], limits: Limits) -> Any:
    if "expr" in request:
        compiled_expr = compile_expr(request["expr"])
        bounds = ExprLimits(cpu_s=limits.cpu_s)
        environment, now_ns = request["environment"], request["now_ns"]
        return evaluate_expr(compiled_expr, environment, limits=bounds, now_ns=now_ns)
    if "jq" in request:
        return _jq_value(request, limits.cpu_s)
    compiled = compile_expression(request["source"], step_ids=request["step_ids"])
    return evaluate(compiled, scope_from_parts(request["parts"]), limits=limits)


def _jq_value(request: dict[str, Any], cpu_s: float) -> Any:
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        return run_jq(request["jq"], request["input"])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _error_frame(error: OpcodeError, ends: bool) -> bytes:
    fields = {"code": str(error.code), "message": error.message, "details": error.details}
    return pack({"error": fields, "ends": ends})


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent, with standard input and output turned away from them."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return requests, answers


def _receive(pipe: BinaryIO) -> bytes | None:
    header = pipe.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (size,) = HEADER.unpack(header)
    body = pipe.read(size)
    return body if len(body) == size else None


def _send(pipe: BinaryIO, frame: bytes) -> bool:
    try:
        pipe.write(frame)
        pipe.flush()
    except BrokenPipeError:
        return False
    return True


def _limit(kind: int, value: int) -> None:
    try:
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):  # not every system knows every limit
        return


def _limit_cpu(cpu_s: float) -> None:
    """Let the kernel end this process should one evaluation take seconds more than it may."""
    at_most = int(time.process_time() + cpu_s) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (at_most, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
