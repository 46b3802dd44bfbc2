"""One HTTP exchange: the request, its redirects, the response.

Redirects are followed by hand, because each hop is checked anew and because only the same origin sees credentials.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

from opcode_runtime.actions.beside import BESIDE_LOOP_BYTES, beside_the_loop
from opcode_runtime.actions.call import Call
from opcode_runtime.actions.http_body import encode_body
from opcode_runtime.actions.http_failures import BROKEN, broken
from opcode_runtime.actions.http_headers import (
    CREDENTIALS,
    OF_BODY,
    auth_header,
    basic,
    checked,
    holding_secrets,
    merged,
)
from opcode_runtime.actions.http_transport import GuardedTransport
from opcode_runtime.actions.http_url import (
    host_header,
    origin,
    parse_url,
    redirect_target,
    with_query,
    without_user,
)
from opcode_runtime.actions.limits import too_large
from opcode_runtime.actions.settings import HttpLimits
from opcode_runtime.model.errors import ErrorCode, OpcodeError

REDIRECTS = 10
"""Followed when a step does not say how many."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that may move on to another URL.

    Arguments:
        credentials: lower-case names of headers that only the first origin may see.
        secrets: what only the first origin may see, wherever it stands.
    """

    method: str
    url: httpx2.URL
    headers: dict[str, str]
    body: bytes | None = None
    credentials: frozenset[str] = CREDENTIALS
    secrets: tuple[str, ...] = field(default=(), repr=False)


def build_exchange(params: dict[str, Any], method: str, call: Call) -> Exchange:
    """Read a step's parameters into the first request.

    Raises:
        OpcodeError: VALIDATION_ERROR; TOO_LARGE, the body.
    """
    url = with_query(parse_url(params["url"]), params.get("query", {}))
    if method == "CONNECT":
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, "the method CONNECT asks for a tunnel, which is no request"
        )
    headers = {"Accept": "*/*", "User-Agent": "opcode"}
    body, content_type = _body(params, call.settings.http)
    headers |= {"Content-Type": content_type} if content_type else {}
    if method not in SAFE_METHODS and call.idempotency_key:
        headers["Idempotency-Key"] = call.idempotency_key
    headers = merged(headers, params.get("headers", {}))
    auth = auth_header(params.get("auth", {}))
    if not params.get("auth") and url.userinfo:
        auth = basic(url.username, url.password)
    headers = checked(merged(headers, auth), host_header(url))
    given = {name.lower() for name in auth}
    return Exchange(method, without_user(url), headers, body, CREDENTIALS | given, call.secrets)


def _body(params: dict[str, Any], limits: HttpLimits) -> tuple[bytes | None, str | None]:
    if params.get("body") is None:
        return None, None
    body, content_type = encode_body(params["body"], params.get("body_encoding", "json"))
    if len(body) > limits.request_bytes_max:
        raise too_large("the request's body", "http_request_bytes_max", limits.request_bytes_max)
    return body, content_type


async def exchange(
    first: Exchange,
    transport: GuardedTransport,
    limits: HttpLimits,
    *,
    follow: bool,
    redirects_max: int,
) -> httpx2.Response:
    """Send, follow redirects, and give the last response with its body unread; the caller closes it.

    Raises:
        OpcodeError: EXECUTION_ERROR (no connection, a broken answer, too many redirects), TIMEOUT_ERROR,
            PERMISSION_DENIED.
    """
    now = first
    for _ in range(min(redirects_max, limits.redirects_max) + 1):
        response = await _send(now, transport, limits)
        location = response.headers.get("location")
        if not follow or response.status_code not in _REDIRECTS or location is None:
            return response
        await response.aclose()
        now = await _redirected(now, response.status_code, location)
    raise _too_many(first.url, redirects_max, limits)


def _too_many(url: httpx2.URL, redirects_max: int, limits: HttpLimits) -> OpcodeError:
    if redirects_max <= limits.redirects_max:
        text = (
            f"more than {redirects_max} redirects from {origin(url)}, the parameter `max_redirects`"
        )
    else:
        text = (
            f"more than {limits.redirects_max} redirects from {origin(url)}, "
            "the setting `limits.http_redirects_max`"
        )
    return OpcodeError(ErrorCode.EXECUTION_ERROR, text)


async def _redirected(now: Exchange, status: int, location: str) -> Exchange:
    if now.secrets and now.body is not None and len(now.body) > BESIDE_LOOP_BYTES:
        return await beside_the_loop(lambda: redirected(now, status, location), "the redirect")
    return redirected(now, status, location)


def redirected(now: Exchange, status: int, location: str) -> Exchange:
    """The request that a redirect asks for (RFC 9110 §15.4), without what another origin is not to see.

    Raises:
        OpcodeError: PERMISSION_DENIED, it leads out of http and https, or would take a secret in its body along.
    """
    target = redirect_target(now.url, location)
    turned = status == 303 or (status in {301, 302} and now.method == "POST")
    method = "GET" if turned and now.method != "HEAD" else now.method
    body = None if turned else now.body
    drop = set(OF_BODY) if turned else set()
    if origin(target) != origin(now.url):
        drop |= now.credentials | _keep_secrets_home(body, now, target)
    if method in SAFE_METHODS:
        drop.add("idempotency-key")
    headers = {name: value for name, value in now.headers.items() if name.lower() not in drop}
    return replace(now, method=method, url=without_user(target), headers=headers, body=body)


def _keep_secrets_home(body: bytes | None, now: Exchange, target: httpx2.URL) -> frozenset[str]:
    """The names of the headers that hold a secret, in lower case; a body that does is refused."""
    texts = {name.lower(): value for name, value in now.headers.items()}
    # A line break is in no header name.
    held = holding_secrets(texts | {"\n": (body or b"").decode(errors="replace")}, now.secrets)
    if "\n" in held:
        raise OpcodeError(
            ErrorCode.PERMISSION_DENIED,
            f"{origin(now.url)} redirects a body that holds a secret to {origin(target)}; no setting allows it, "
            "but the step may name that URL itself",
        )
    return held


async def _send(now: Exchange, transport: GuardedTransport, limits: HttpLimits) -> httpx2.Response:
    raw = [(name.encode(), value.encode()) for name, value in now.headers.items()]
    waits = {"connect": limits.connect_s_max, "read": limits.idle_s_max, "write": limits.idle_s_max}
    extensions: dict[str, Any] = {"timeout": waits}
    if now.url.host.endswith("."):
        extensions["sni_hostname"] = now.url.raw_host.decode("ascii").removesuffix(".")
    try:
        request = httpx2.Request(
            now.method, now.url, headers=raw, content=now.body, extensions=extensions
        )
        return await transport.handle_async_request(request)
    except BROKEN as error:
        raise broken(now.url, error, limits) from None
