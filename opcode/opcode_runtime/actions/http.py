"""http.*: one request with one deadline, a bounded body, and no way to places that are not allowed."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import trio

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.egress import EgressPolicy
from opcode_runtime.actions.params import own_timeout_s
from opcode_runtime.actions.registry import action
from opcode_runtime.actions.resources import open_action_resources
from opcode_runtime.model.action import InterruptPolicy
from opcode_runtime.model.errors import ErrorCode, OpcodeError

if TYPE_CHECKING:
    import httpx2

DEFAULT_TIMEOUT_S = 30.0
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

_PROPERTIES: dict[str, Any] = {
    "url": {"type": "string", "minLength": 1},
    "headers": {"type": "object", "additionalProperties": {"type": "string"}},
    "query": {"type": "object", "description": "Added to the URL; a list repeats its name."},
    "body": {},
    "body_encoding": {"type": "string", "enum": ["json", "form", "text", "raw"]},
    "auth": {
        "type": "object",
        "description": "{type: bearer, token} | {type: basic, username, password} | "
        "{type: api_key, header_name, header_value}",
    },
    "timeout": {
        "type": "string",
        "x-duration": True,
        "description": "From connecting to the last byte.",
    },
    "follow_redirects": {"type": "boolean"},
    "max_redirects": {"type": "integer"},
    "tls_skip_verify": {"type": "boolean"},
    "fail_on_error_status": {
        "type": "boolean",
        "description": "A status of 400 or more fails the step.",
    },
}
_METHOD: dict[str, Any] = {"method": {"type": "string", "minLength": 1, "pattern": "^[!-~]+$"}}


def _schema(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "x-secret": True, "properties": properties, "required": ["url"]}


OUTPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "status_code": {"type": "integer"},
        "status": {"type": "string"},
        "headers": {"type": "object"},
        "body": {
            "description": "Parsed when the content type is JSON, else text; null when empty."
        },
        "content_type": {"type": "string"},
        "duration_ms": {"type": "integer"},
        "truncated": {"type": "boolean"},
    },
}


def _host(params: dict[str, Any]) -> str:
    from opcode_runtime.actions.http_request import origin, parse_url

    return origin(parse_url(params["url"])).partition("://")[2]


def _by_method(params: dict[str, Any]) -> InterruptPolicy | None:
    return "retry" if str(params.get("method", "GET")).upper() in _REPEATABLE else None


@action(
    "http.request",
    params=_schema(_PROPERTIES | _METHOD),
    output=OUTPUT,
    target=_host,
    on_interrupt=_by_method,
    timeout_s=DEFAULT_TIMEOUT_S,
)
async def http_request(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Send an HTTP request and give status, headers and body."""
    return await _request(params, str(params.get("method", "GET")).upper(), call)


@action(
    "http.get",
    kind="read_only",
    params=_schema(_PROPERTIES),
    output=OUTPUT,
    target=_host,
    on_interrupt="retry",
    timeout_s=DEFAULT_TIMEOUT_S,
)
async def http_get(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Send a GET request and give status, headers and body."""
    return await _request(params, "GET", call)


@action(
    "http.post",
    params=_schema(_PROPERTIES),
    output=OUTPUT,
    target=_host,
    timeout_s=DEFAULT_TIMEOUT_S,
)
async def http_post(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Send a POST request and give status, headers and body."""
    return await _request(params, "POST", call)


async def _request(params: dict[str, Any], method: str, call: Call) -> dict[str, Any]:
    from opcode_runtime.actions.http_request import build_exchange

    first = build_exchange(params, method, call)
    limit_s = own_timeout_s(http_request.spec, params)
    async with AsyncExitStack() as stack:
        stack.enter_context(trio.fail_after(math.inf if limit_s is None else limit_s))
        resources = call.resources
        if resources is None:
            resources = await stack.enter_async_context(open_action_resources())
        policy = EgressPolicy(call.settings.allow_private, tuple(call.settings.allow_hosts))
        transport = await resources.http_transport(
            policy, verify=not params.get("tls_skip_verify", False)
        )
        output = await _exchange(first, transport, params, call)
    return _judged(output, params)


async def _exchange(
    first: Any, transport: Any, params: dict[str, Any], call: Call
) -> dict[str, Any]:
    import httpcore2

    from opcode_runtime.actions.http_body import decode_body, read_capped
    from opcode_runtime.actions.http_request import REDIRECTS_MAX, broken, exchange

    began = trio.current_time()
    redirects = params.get("max_redirects", 0)
    response = await exchange(
        first,
        transport,
        follow=params.get("follow_redirects", True),
        redirects_max=redirects if redirects > 0 else REDIRECTS_MAX,
    )
    try:
        duration_s = trio.current_time() - began
        content, truncated = await read_capped(response, call.settings.body_bytes_max)
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise broken(first.url, error) from None
    finally:
        with trio.move_on_after(1, shield=True):
            await response.aclose()
    content_type = response.headers.get("content-type", "")
    return {
        "status_code": response.status_code,
        "status": f"{response.status_code} {response.reason_phrase}".strip(),
        "headers": _first_values(response),
        "body": decode_body(content, content_type, truncated=truncated),
        "content_type": content_type,
        "duration_ms": round(duration_s * 1000),
        "truncated": truncated,
    }


def _first_values(response: httpx2.Response) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in response.headers.multi_items():
        found.setdefault("-".join(part.capitalize() for part in name.split("-")), value)
    return found


def _judged(output: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """The output, or the failure that `fail_on_error_status` makes of it."""
    status = output["status_code"]
    if not params.get("fail_on_error_status") or status < 400:
        return output
    passing = status >= 500 or status in _WORTH_ANOTHER_TRY
    code = ErrorCode.EXECUTION_ERROR if passing else ErrorCode.NON_RETRYABLE
    raise OpcodeError(code, f"the server answered {output['status']}", details=output)
