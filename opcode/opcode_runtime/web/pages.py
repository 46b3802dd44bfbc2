"""What is served beside MCP. Everything else is a JSON 404.

| route | answer |
|---|---|
| `GET /healthz` | whether the daemon lives |
| `GET /readyz` | whether what was interrupted has been taken up again |
| `DELETE /templates?name=NAME[&version=vN][&agent_id=WHO]` | takes a template out of use |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException

from opcode_runtime.engine.requests import RemoveTemplate
from opcode_runtime.mcp import PRINCIPAL_KEY, RequestHandler
from opcode_runtime.mcp.replies import refusal
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.web.refusals import refusal_body

_CODES = {404: ErrorCode.NOT_FOUND, 413: ErrorCode.TOO_LARGE}
_STATUSES = {
    ErrorCode.VALIDATION_ERROR: 400,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.BUSY: 503,
    ErrorCode.DEGRADED: 507,
}
_REMOVAL_ARGUMENTS = ("name", "version", "agent_id")


def build_pages(
    is_ready: Callable[[], bool], router: RequestHandler, *, body_bytes_max: int
) -> QuartTrio:
    """Make the app for everything but MCP.

    Arguments:
        is_ready: whether what was interrupted has been taken up again.
        router: answers what goes to the engine.
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

    @app.delete("/templates")
    async def remove_template() -> dict[str, Any]:
        removal = _removal(request.args)
        scope: dict[str, Any] = {**request.scope}
        return await router.handle(removal, principal=scope[PRINCIPAL_KEY])

    @app.errorhandler(OpcodeError)
    async def not_done(error: OpcodeError) -> tuple[dict[str, Any], int]:
        return refusal(error).structured, _STATUSES.get(error.code, 500)

    @app.errorhandler(HTTPException)
    async def refused(error: HTTPException) -> Response:
        return _refused(error)

    return app


def _removal(arguments: MultiDict[str, str]) -> RemoveTemplate:
    """The request that a query string asks for. Anything odd in it is refused: what is removed must be meant."""
    given = {key: values for key, values in arguments.lists() if key in _REMOVAL_ARGUMENTS}
    odd = len(given) < len(arguments) or any(len(values) != 1 for values in given.values())
    if odd or not given.get("name", [""])[0] or "" in given.get("version", ()):
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"this takes {', '.join(_REMOVAL_ARGUMENTS)}, each at most once; name is needed",
        )
    return RemoveTemplate(**{key: values[0] for key, values in given.items()})


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
