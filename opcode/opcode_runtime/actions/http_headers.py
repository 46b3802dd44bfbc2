"""Headers of requests: what an author may set, what is ours to set, and what another origin is not to see.

Rule 1: the headers that frame a message (`Content-Length` and its kind) follow from the message; an author's are left
out. `Host` follows from the URL; another one is refused. `Accept-Encoding` names what is understood here, unless an
author asks for `identity`.
Rule 2: names are tokens and values hold no control characters (RFC 9110 §5), so that no header becomes two.
Rule 3: credentials are the usual headers, whatever `auth` sets, and every header that holds a secret.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from opcode_runtime.model.errors import ErrorCode, OpcodeError

CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
OF_BODY = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})

ENCODINGS = "gzip, deflate"
"""What `http_decoding.py` takes off."""

_FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def merged(under: dict[str, str], over: dict[str, str]) -> dict[str, str]:
    """Both; of headers with the same name, in whatever case, the one of `over`."""
    names = {name.lower() for name in over}
    return {name: value for name, value in under.items() if name.lower() not in names} | over


def checked(headers: dict[str, str], host: str) -> dict[str, str]:
    """The headers as they may be sent.

    Arguments:
        host: what `Host` says for the URL.

    Raises:
        OpcodeError: VALIDATION_ERROR.
    """
    for name, value in headers.items():
        fault = _fault(name, value, host)
        if fault:
            raise OpcodeError(ErrorCode.VALIDATION_ERROR, fault)
    kept = {
        name: value.strip(" \t")
        for name, value in headers.items()
        if name.lower() not in _FRAMING | {"host"}
    }
    plain = any(
        name.lower() == "accept-encoding" and value.lower() == "identity"
        for name, value in kept.items()
    )
    return kept if plain else merged(kept, {"Accept-Encoding": ENCODINGS})


def auth_header(auth: dict[str, Any]) -> dict[str, str]:
    """The header that the parameter `auth` stands for."""
    kind = auth.get("type")
    if kind == "bearer":
        return {"Authorization": f"Bearer {auth.get('token', '')}"}
    if kind == "basic":
        return basic(str(auth.get("username", "")), str(auth.get("password", "")))
    if kind == "api_key" and auth.get("header_name"):
        return {str(auth["header_name"]): str(auth.get("header_value", ""))}
    return {}


def basic(username: str, password: str) -> dict[str, str]:
    """Basic authentication (RFC 7617)."""
    return {
        "Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    }


def holding_secrets(texts: dict[str, str], secrets: tuple[str, ...]) -> frozenset[str]:
    """The keys of the texts that hold a secret, plain or in any form that redaction knows."""
    if not any(secrets):
        return frozenset()
    from opcode_runtime.secrets import Redactor

    redactor = Redactor()
    redactor.know(("x", secret) for secret in secrets if secret)
    return frozenset(
        key
        for key, text in texts.items()
        if any(secret and secret in text for secret in secrets) or redactor.text(text) != text
    )


def _fault(name: str, value: str, host: str) -> str | None:
    if not _TOKEN.fullmatch(name):
        return f"{name!r} is not a header name"
    if _CONTROL.search(value):
        return f"the value of header {name!r} holds a line break or another control character"
    if not _is_text(value):
        return f"the value of header {name!r} holds half a surrogate pair, which is not text"
    if name.lower() == "host" and value.strip(" \t").lower() != host.lower():
        return f"the header 'Host' follows from `url`, where it is {host!r}; leave it out"
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
