"""http.*: one request with one deadline, a bounded body, and no way to places that are not allowed.

What is done with a request is in `http_exchange.py`, which is imported with the first one: the HTTP library is slow to
load.
"""

from __future__ import annotations

import importlib
import math
import sys
from typing import Any
from urllib.parse import urlsplit

import trio

from opcode_runtime.actions.beside import beside_the_loop
from opcode_runtime.actions.call import Call
from opcode_runtime.actions.params import own_timeout_s
from opcode_runtime.actions.registry import action
from opcode_runtime.model.action import InterruptPolicy

DEFAULT_TIMEOUT_S = 30.0
_EXCHANGE = "opcode_runtime.actions.http_exchange"
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

_PROPERTIES: dict[str, Any] = {
    "url": {"type": "string", "minLength": 1, "description": "http or https."},
    "headers": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "Host and the headers that frame a message are set by the runtime.",
    },
    "query": {"type": "object", "description": "Added to the URL; a list repeats its name."},
    "body": {},
    "body_encoding": {"type": "string", "enum": ["json", "form", "text", "raw"]},
    "auth": {
        "type": "object",
        "description": "{type: bearer, token} | {type: basic, username, password} | "
        "{type: api_key, header_name, header_value}",
        "properties": {"type": {"type": "string", "enum": ["bearer", "basic", "api_key"]}},
        "additionalProperties": {"type": "string"},
    },
    "timeout": {
        "type": "string",
        "x-duration": True,
        "description": "From connecting to the last byte; 30s when left out.",
    },
    "follow_redirects": {"type": "boolean", "description": "True when left out."},
    "max_redirects": {"type": "integer", "description": "10 when left out."},
    "tls_skip_verify": {"type": "boolean"},
    "fail_on_error_status": {
        "type": "boolean",
        "description": "A status of 400 or more fails the step; a retry waits as `Retry-After` asks.",
    },
    "save_to": {
        "type": "string",
        "minLength": 1,
        "description": "A file for the content of a 2xx answer, which `body` then does not hold.",
    },
    "create_dirs": {"type": "boolean", "description": "Make what is missing of its directory."},
}
_METHOD: dict[str, Any] = {
    "method": {"type": "string", "minLength": 1, "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}
}


def _schema(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "x-secret": True, "properties": properties, "required": ["url"]}


OUTPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "status_code": {"type": "integer", "minimum": 100, "maximum": 999},
        "status": {"type": "string"},
        "headers": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "By canonical name, such as Content-Type; of a repeated one the first.",
        },
        "repeated_headers": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "description": "Every value of the headers that came more than once.",
        },
        "body": {
            "description": "Parsed when the content type is JSON, else text; null when empty or saved."
        },
        "content_type": {"type": "string"},
        "duration_ms": {"type": "integer", "minimum": 0, "description": "Until the headers came."},
        "truncated": {
            "type": "boolean",
            "description": "`body` holds as much as `limits.http_body_bytes_max` allows, as text.",
        },
        "saved_to": {"type": "string", "description": "The absolute path, with `save_to`."},
        "size": {"type": "integer", "minimum": 0, "description": "Bytes saved."},
    },
    "required": [
        "status_code",
        "status",
        "headers",
        "repeated_headers",
        "body",
        "content_type",
        "duration_ms",
        "truncated",
    ],
    "additionalProperties": False,
}


def _host(params: dict[str, Any]) -> str:
    """What the circuit breaker counts by; an unfit URL has none, and fails by itself."""
    parts = urlsplit(params["url"])
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.hostname}:{port}" if parts.hostname else ""


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
    limit_s = own_timeout_s(http_request.spec, params)
    with trio.fail_after(math.inf if limit_s is None else limit_s):
        if _EXCHANGE not in sys.modules:
            await beside_the_loop(lambda: importlib.import_module(_EXCHANGE), "the HTTP library")
        from opcode_runtime.actions.http_exchange import perform_exchange

        return await perform_exchange(params, method, call)
