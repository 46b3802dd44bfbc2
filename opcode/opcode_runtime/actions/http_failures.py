"""What went wrong with a request, in words: whose fault, which limit, and when to try again."""

from __future__ import annotations

import json
import math
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore2
import httpx2

from opcode_runtime.actions.http_url import origin
from opcode_runtime.actions.settings import HttpLimits
from opcode_runtime.model.errors import ErrorCode, OpcodeError

BROKEN = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.TimeoutException,
)
"""What the client raises when the other side, or the way there, fails."""

_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
_BODY_CHARACTERS_MAX = 16_384
_SECONDS_DIGITS_MAX = 15


def broken(url: httpx2.URL, error: Exception, limits: HttpLimits) -> OpcodeError:
    """The error for a connection or an answer that broke, in the words of whoever noticed first."""
    where = f"request to {origin(url)}"
    if isinstance(error, httpcore2.ConnectTimeout):
        return _late(where, "no connection", limits.connect_s_max, "connect_s_max")
    if isinstance(error, httpcore2.TimeoutException):
        return _late(where, "no sign of life", limits.idle_s_max, "idle_s_max")
    if isinstance(error, httpcore2.ProxyError):
        return OpcodeError(
            ErrorCode.EXECUTION_ERROR,
            f"{where} failed: the proxy of the setting `http_proxy` answered {error}",
        )
    text = str(error)
    below = error.__cause__ or error.__context__
    while not text and below is not None:
        text = str(below)
        below = below.__cause__ or below.__context__
    if "Receive buffer too long" in text:
        text = "the answer's headers are longer than 100 KiB; no setting allows more"
    return OpcodeError(ErrorCode.EXECUTION_ERROR, f"{where} failed: {text or type(error).__name__}")


def _late(where: str, what: str, limit_s: float, name: str) -> OpcodeError:
    return OpcodeError(
        ErrorCode.TIMEOUT_ERROR,
        f"{where}: {what} within {limit_s:g} s, the setting `limits.http_{name}`",
    )


def error_status(output: dict[str, Any], retry_after_s: float | None) -> OpcodeError:
    """The failure that `fail_on_error_status` makes of an output.

    `details` is the output, its body cut to what an error may carry, with `retry_after_s` when the server said so.
    """
    status = output["status_code"]
    passing = status >= 500 or status in _WORTH_ANOTHER_TRY
    code = ErrorCode.EXECUTION_ERROR if passing else ErrorCode.NON_RETRYABLE
    details = _cut(output)
    wait = ""
    if passing and retry_after_s is not None:
        details["retry_after_s"] = retry_after_s
        wait = f" and asks for {retry_after_s:g} s of patience"
    return OpcodeError(code, f"the server answered {output['status']}{wait}", details=details)


def retry_after_s(
    headers: httpx2.Headers, limit_s: float, now_s: float | None = None
) -> float | None:
    """The seconds that `Retry-After` asks for (RFC 9110 §10.2.3), at most `limit_s`; None when it does not.

    A date is compared with the server's own `Date`, so that its clock need not be ours.

    >>> retry_after_s(httpx2.Headers({"Retry-After": "120"}), 60.0)
    60.0
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:_SECONDS_DIGITS_MAX]), limit_s)
    until_s = _seconds_of(text)
    if until_s is None:
        return None
    began_s = _seconds_of(headers.get("date", ""))
    if began_s is None:
        began_s = time.time() if now_s is None else now_s
    return min(max(until_s - began_s, 0.0), limit_s)


def _seconds_of(text: str) -> float | None:
    """An HTTP date as seconds since 1970; None when it is none."""
    try:
        seconds = parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def _cut(output: dict[str, Any]) -> dict[str, Any]:
    body = output["body"]
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    if len(text) <= _BODY_CHARACTERS_MAX:
        return dict(output)
    return output | {"body": text[:_BODY_CHARACTERS_MAX], "truncated": True}
