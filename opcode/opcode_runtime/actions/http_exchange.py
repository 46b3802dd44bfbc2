"""From a step's parameters to an output: one exchange over the runtime's transport, its body read or saved."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import trio

from opcode_runtime.actions.beside import BESIDE_LOOP_BYTES, beside_the_loop
from opcode_runtime.actions.call import Call
from opcode_runtime.actions.egress import EgressPolicy
from opcode_runtime.actions.http_body import decode_body, read_capped
from opcode_runtime.actions.http_decoding import content_of
from opcode_runtime.actions.http_failures import BROKEN, broken, error_status, retry_after_s
from opcode_runtime.actions.http_request import REDIRECTS, build_exchange, exchange
from opcode_runtime.actions.http_save import save, save_target
from opcode_runtime.actions.http_transport import GuardedTransport
from opcode_runtime.actions.resources import open_action_resources

_CLOSE_S = 1.0


async def perform_exchange(params: dict[str, Any], method: str, call: Call) -> dict[str, Any]:
    """Send the request that the parameters describe, and give the output.

    Raises:
        OpcodeError: whatever there is to say against it.
    """
    first = build_exchange(params, method, call)
    limits = call.settings.http
    target = await save_target(params, call) if params.get("save_to") else None
    async with AsyncExitStack() as stack:
        transport = await _transport(stack, params, call)
        began = trio.current_time()
        redirects = params.get("max_redirects", 0)
        response = await exchange(
            first,
            transport,
            limits,
            follow=params.get("follow_redirects", True),
            redirects_max=redirects if redirects > 0 else REDIRECTS,
        )
        stack.push_async_callback(_close, response)
        duration_ms = round((trio.current_time() - began) * 1000)
        try:
            content = await _content(response, target, params, call)
        except BROKEN as error:
            raise broken(response.request.url, error, limits) from None
    output = _envelope(response) | {"duration_ms": duration_ms} | content
    if params.get("fail_on_error_status") and response.status_code >= 400:
        raise error_status(output, retry_after_s(response.headers, limits.retry_after_s_max))
    return output


async def _transport(stack: AsyncExitStack, params: dict[str, Any], call: Call) -> GuardedTransport:
    settings, resources = call.settings, call.resources
    if resources is None:
        resources = await stack.enter_async_context(open_action_resources())
    policy = EgressPolicy(
        settings.allow_private,
        tuple(settings.allow_hosts),
        settings.http_proxy,
        settings.http.resolve_s_max,
    )
    return await resources.http_transport(policy, verify=not params.get("tls_skip_verify", False))


async def _close(response: httpx2.Response) -> None:
    with trio.move_on_after(_CLOSE_S, shield=True):
        await response.aclose()


async def _content(
    response: httpx2.Response, target: Path | None, params: dict[str, Any], call: Call
) -> dict[str, Any]:
    """The fields that come of the content: the body, or where it was saved."""
    settings, ratio_max = call.settings, call.settings.http.ratio_max
    if target is not None and response.is_success:
        pieces = content_of(response, ratio_max, settings.http.file_bytes_max)
        create = params.get("create_dirs", False)
        size = await save(pieces, target, call, create_dirs=create)
        return {"body": None, "truncated": False, "saved_to": str(target), "size": size}
    content, truncated = await read_capped(response, settings.body_bytes_max, ratio_max)
    content_type = response.headers.get("content-type", "")

    def decode() -> Any:
        return decode_body(content, content_type, truncated=truncated)

    if len(content) <= BESIDE_LOOP_BYTES:
        return {"body": decode(), "truncated": truncated}
    return {"body": await beside_the_loop(decode, "the body"), "truncated": truncated}


def _envelope(response: httpx2.Response) -> dict[str, Any]:
    values: dict[str, list[str]] = {}
    for name, value in response.headers.multi_items():
        canonical = "-".join(part.capitalize() for part in name.split("-"))
        values.setdefault(canonical, []).append(value)
    return {
        "status_code": response.status_code,
        "status": f"{response.status_code} {response.reason_phrase}".strip(),
        "headers": {name: each[0] for name, each in values.items()},
        "repeated_headers": {name: each for name, each in values.items() if len(each) > 1},
        "content_type": response.headers.get("content-type", ""),
    }
