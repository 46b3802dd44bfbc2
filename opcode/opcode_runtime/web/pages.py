"""What is served beside MCP: whether the daemon lives and whether it is ready. Everything else is a JSON 404."""

from __future__ import annotations

from collections.abc import Callable

from quart import Response
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.web.refusals import refusal_body

_CODES = {404: ErrorCode.NOT_FOUND, 413: ErrorCode.TOO_LARGE}


def build_pages(is_ready: Callable[[], bool], *, body_bytes_max: int) -> QuartTrio:
    """Make the app for everything but MCP.

    Arguments:
        is_ready: whether what was interrupted has been taken up again.
    """
    app = QuartTrio(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = body_bytes_max
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> tuple[dict[str, str], int]:
        return ({"status": "ready"}, 200) if is_ready() else ({"status": "recovering"}, 503)

    @app.errorhandler(HTTPException)
    async def refused(error: HTTPException) -> Response:
        return _refused(error)

    return app


def _refused(error: HTTPException) -> Response:
    status = error.code or 500
    code = _CODES.get(
        status, ErrorCode.VALIDATION_ERROR if status < 500 else ErrorCode.EXECUTION_ERROR
    )
    body = refusal_body(code, "internal error" if status >= 500 else f"{error.name}.")
    response = Response(body, status=status, content_type="application/json")
    for name, value in error.get_headers():
        if name.lower() == "allow":
            response.headers[name] = value
    return response
