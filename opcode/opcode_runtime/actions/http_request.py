"""One HTTP exchange: the request, its redirects, the response.

Redirects are followed by hand, because each hop is checked anew and because only the same origin sees credentials.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field, replace
from typing import Any

import httpcore2
import httpx2

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.http_body import encode_body
from opcode_runtime.actions.http_transport import GuardedTransport
from opcode_runtime.actions.text import plain_text
from opcode_runtime.model.errors import ErrorCode, OpcodeError

REDIRECTS_MAX = 10
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
REPEATABLE_METHODS = SAFE_METHODS | {"PUT", "DELETE"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
_OF_BODY = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that may move on to another URL.

    Arguments:
        credentials: lower-case names of headers that only the first origin may see.
    """

    method: str
    url: httpx2.URL
    headers: dict[str, str]
    body: bytes | None = None
    credentials: frozenset[str] = field(default=_CREDENTIALS)


def build_exchange(params: dict[str, Any], method: str, call: Call) -> Exchange:
    """Read a step's parameters into the first request.

    Raises:
        OpcodeError: VALIDATION_ERROR.
    """
    url = _with_query(parse_url(params["url"]), params.get("query", {}))
    headers = {"Accept": "*/*", "User-Agent": "opcode", "Accept-Encoding": "gzip, deflate"}
    body = None
    if params.get("body") is not None:
        body, content_type = encode_body(params["body"], params.get("body_encoding", "json"))
        headers |= {"Content-Type": content_type} if content_type else {}
    if method not in SAFE_METHODS and call.idempotency_key:
        headers["Idempotency-Key"] = call.idempotency_key
    headers = _merged(headers, params.get("headers", {}))
    auth = _auth_header(params.get("auth", {}), url)
    headers = _merged(headers, auth)
    secret = {
        name.lower()
        for name, value in headers.items()
        if any(each in value for each in call.secrets if each)
    }
    given = frozenset(name.lower() for name in auth) | secret
    return Exchange(method, _without_user(url), _checked(headers), body, _CREDENTIALS | given)


def parse_url(text: str) -> httpx2.URL:
    """An absolute http or https URL.

    Raises:
        OpcodeError: VALIDATION_ERROR.
    """
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError, TypeError):
        url = None
    if url is None or url.scheme not in {"http", "https"} or not url.host:
        raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"{text!r} is not an http or https URL")
    return url


async def exchange(
    first: Exchange, transport: GuardedTransport, *, follow: bool, redirects_max: int
) -> httpx2.Response:
    """Send, follow redirects, and give the last response with its body unread; the caller closes it.

    Raises:
        OpcodeError: EXECUTION_ERROR (no connection, a broken answer, too many redirects), PERMISSION_DENIED.
    """
    now = first
    for _ in range(redirects_max + 1):
        response = await _send(now, transport)
        location = response.headers.get("location")
        if not follow or response.status_code not in _REDIRECTS or location is None:
            return response
        await response.aclose()
        now = redirected(now, response.status_code, location)
    raise OpcodeError(
        ErrorCode.EXECUTION_ERROR, f"more than {redirects_max} redirects from {origin(first.url)}"
    )


def redirected(now: Exchange, status: int, location: str) -> Exchange:
    """The request that a redirect asks for (RFC 9110 §15.4), without what another origin is not to see."""
    target = parse_url(str(now.url.join(location)))
    turned = status == 303 or (status in {301, 302} and now.method == "POST")
    method = "GET" if turned and now.method != "HEAD" else now.method
    drop = set(_OF_BODY) if turned else set()
    if origin(target) != origin(now.url):
        drop |= now.credentials
    if method in SAFE_METHODS:
        drop.add("idempotency-key")
    headers = {name: value for name, value in now.headers.items() if name.lower() not in drop}
    return replace(
        now,
        method=method,
        url=_without_user(target),
        headers=headers,
        body=None if turned else now.body,
    )


def origin(url: httpx2.URL) -> str:
    """Scheme, host and port: what decides whether credentials may go along."""
    port = url.port or (443 if url.scheme == "https" else 80)
    return f"{url.scheme}://{url.host}:{port}"


async def _send(now: Exchange, transport: GuardedTransport) -> httpx2.Response:
    raw = [(name.encode(), value.encode()) for name, value in now.headers.items()]
    try:
        request = httpx2.Request(now.method, now.url, headers=raw, content=now.body)
        return await transport.handle_async_request(request)
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
        raise broken(now.url, error) from None


def broken(url: httpx2.URL, error: BaseException) -> OpcodeError:
    """The error for a connection or an answer that broke, in the words of whoever noticed first."""
    text = str(error)
    below = error.__cause__ or error.__context__
    while not text and below is not None:
        text = str(below)
        below = below.__cause__ or below.__context__
    return OpcodeError(
        ErrorCode.EXECUTION_ERROR,
        f"request to {origin(url)} failed: {text or type(error).__name__}",
    )


def _with_query(url: httpx2.URL, query: dict[str, Any]) -> httpx2.URL:
    for name, value in query.items():
        if value is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            url = url.copy_add_param(name, plain_text(item))
    return url


def _without_user(url: httpx2.URL) -> httpx2.URL:
    return url.copy_with(username=None, password=None) if url.userinfo else url


def _merged(under: dict[str, str], over: dict[str, str]) -> dict[str, str]:
    names = {name.lower() for name in over}
    return {name: value for name, value in under.items() if name.lower() not in names} | over


def _auth_header(auth: dict[str, Any], url: httpx2.URL) -> dict[str, str]:
    kind = auth.get("type")
    if kind == "bearer":
        return {"Authorization": f"Bearer {auth.get('token', '')}"}
    if kind == "basic":
        return _basic(str(auth.get("username", "")), str(auth.get("password", "")))
    if kind == "api_key" and auth.get("header_name"):
        return {str(auth["header_name"]): str(auth.get("header_value", ""))}
    return _basic(url.username, url.password) if url.userinfo else {}


def _basic(username: str, password: str) -> dict[str, str]:
    return {
        "Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    }


def _checked(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"{name!r} is not a header name")
        if any(character in value for character in "\r\n\0"):
            raise OpcodeError(
                ErrorCode.VALIDATION_ERROR,
                f"the value of header {name!r} holds a line break or NUL",
            )
        if not _is_text(value):
            raise OpcodeError(
                ErrorCode.VALIDATION_ERROR,
                f"the value of header {name!r} holds half a surrogate pair, which is not text",
            )
    return {name: value.strip(" \t") for name, value in headers.items()}


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
