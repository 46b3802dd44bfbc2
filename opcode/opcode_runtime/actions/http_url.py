"""URLs of requests: which are accepted, and what counts as the same origin."""

from __future__ import annotations

from typing import Any

import httpx2

from opcode_runtime.actions.text import plain_text
from opcode_runtime.model.errors import ErrorCode, OpcodeError

_PORTS = {"http": 80, "https": 443}


def parse_url(text: str) -> httpx2.URL:
    """An absolute http or https URL.

    Raises:
        OpcodeError: VALIDATION_ERROR.
    """
    url = _read(text)
    if url is None:
        raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"{text!r} is not an http or https URL")
    return url


def redirect_target(base: httpx2.URL, location: str) -> httpx2.URL:
    """Where a redirect leads.

    Raises:
        OpcodeError: PERMISSION_DENIED, it leads out of http and https.
    """
    try:
        joined = str(base.join(location))
    except (httpx2.InvalidURL, ValueError):
        joined = location
    url = _read(joined)
    if url is None:
        raise OpcodeError(
            ErrorCode.PERMISSION_DENIED,
            f"{origin(base)} redirects to {location[:200]!r}, which is not an http or https URL; no setting allows it",
        )
    return url


def origin(url: httpx2.URL) -> str:
    """Scheme, host and port: what decides whether credentials may go along."""
    return f"{url.scheme}://{_bracketed(url)}:{url.port or _PORTS[url.scheme]}"


def host_header(url: httpx2.URL) -> str:
    """What `Host` says for a URL; the scheme's own port is left out."""
    host = _bracketed(url)
    return host if url.port in {None, _PORTS[url.scheme]} else f"{host}:{url.port}"


def with_query(url: httpx2.URL, query: dict[str, Any]) -> httpx2.URL:
    """The URL with further parameters: a list repeats its name, null leaves it out."""
    for name, value in query.items():
        if value is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            url = url.copy_add_param(name, plain_text(item))
    return url


def without_user(url: httpx2.URL) -> httpx2.URL:
    """The URL without the name and password in it."""
    return url.copy_with(username=None, password=None) if url.userinfo else url


def _read(text: str) -> httpx2.URL | None:
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError, TypeError):
        return None
    host = url.raw_host
    # A percent sign in a host is a zone, or a name in disguise; neither is a place on the network.
    well = url.scheme in _PORTS and host and b"%" not in host and host.isascii()
    return url if well and (url.port is None or 0 < url.port < 65536) else None


def _bracketed(url: httpx2.URL) -> str:
    host = url.raw_host.decode("ascii")
    return f"[{host}]" if ":" in host else host
