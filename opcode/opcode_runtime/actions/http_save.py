"""`save_to`: a response's content written to a file as it comes, inside the fence of `fs.*`.

The file is there when all of the content is, and not before: an attempt that fails or is cut leaves what was there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import trio

from opcode_runtime.actions.beside import beside_the_loop
from opcode_runtime.actions.call import Call
from opcode_runtime.actions.limits import too_large
from opcode_runtime.actions.paths import Fence
from opcode_runtime.actions.writing import new_content

_BATCH_BYTES = 1 << 20


async def save_target(params: dict[str, Any], call: Call) -> Path:
    """Where `save_to` leads, checked before anything is sent.

    Raises:
        OpcodeError: PATH_DENIED, naming the setting that would allow it; VALIDATION_ERROR for an impossible path.
    """

    def resolve() -> Path:
        with Fence(call) as fence:
            return fence.resolve(params["save_to"], "write")

    return await beside_the_loop(resolve, f"save_to: {params['save_to']!r}")


async def save(
    content: AsyncGenerator[bytes, None], target: Path, call: Call, *, create_dirs: bool
) -> int:
    """Write the content to the file; gives its size in bytes.

    Arguments:
        target: as `save_target` gave it.

    Raises:
        OpcodeError: TOO_LARGE; EXECUTION_ERROR, the disk's word; PATH_DENIED; whatever `content` raises.
    """
    most, size, batch = call.settings.http.file_bytes_max, 0, bytearray()
    async with aclosing(content), _new_file(target, call, create_dirs) as file:
        async for piece in content:
            size += len(piece)
            if size > most:
                raise too_large("the response", "http_file_bytes_max", most)
            batch += piece
            if len(batch) >= _BATCH_BYTES:
                await _write(file, bytes(batch), target)
                batch.clear()
        await _write(file, bytes(batch), target)
    return size


async def _write(file: BinaryIO, part: bytes, target: Path) -> None:
    await beside_the_loop(lambda: file.write(part), f"save_to: {str(target)!r}")


@asynccontextmanager
async def _new_file(target: Path, call: Call, create_dirs: bool) -> AsyncIterator[BinaryIO]:
    """The file of `new_content`, opened and put in its place beside the loop, the latter even when cancelled."""
    stack = ExitStack()

    def begin() -> BinaryIO:
        fence = stack.enter_context(Fence(call))
        key = call.idempotency_key
        return stack.enter_context(new_content(fence, target, create_dirs=create_dirs, key=key))

    where = f"save_to: {str(target)!r}"
    try:
        yield await beside_the_loop(begin, where)
    except BaseException as error:
        failed = (type(error), error, error.__traceback__)
        with trio.CancelScope(shield=True):
            await beside_the_loop(lambda: stack.__exit__(*failed), where)
        raise
    else:
        await beside_the_loop(stack.close, where)
