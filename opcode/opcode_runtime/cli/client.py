"""A client of the running daemon: MCP over SSE, with the same tools and the same token as any agent.

The MCP SDK takes most of a second to import, hence the imports inside the functions. What goes wrong on the way to the
daemon is translated here, once: nothing answers, the token is refused, the daemon went away, the tool refused.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from opcode_runtime.cli.data_dir import address_of, token_of
from opcode_runtime.cli.exits import CommandError, Exit, usage_error
from opcode_runtime.cli.settings import load_settings

if TYPE_CHECKING:
    from mcp import Client

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 60.0


class Target(msgspec.Struct, frozen=True):
    """Which daemon: its base URL, and the token that it asks for."""

    url: str
    token: str | None = None


def find_daemon(data_dir: Path, *, url: str | None = None, token: str | None = None) -> Target:
    """Find the daemon that a command means.

    Arguments:
        data_dir: the data directory of the daemon; gives the token and, while it runs, the address.
        url: base URL given by the caller (with or without `/sse` at its end); wins over the directory.
        token: token given by the caller; wins over the directory.

    Raises:
        CommandError: no daemon runs there, or its token cannot be read.
    """
    base = (url or address_of(data_dir) or _configured(data_dir)).rstrip("/").removesuffix("/sse")
    if not base.startswith(("http://", "https://")):
        raise usage_error(
            f"--url {base!r} is not an http address.", next="Such as http://127.0.0.1:4100."
        )
    return Target(base, token or token_of(data_dir))


def _configured(data_dir: Path) -> str:
    """The base URL by the settings alone, for a daemon of another user or host; only when one is written there."""
    base_url = load_settings(data_dir).base_url
    if base_url is None:
        raise no_daemon(f"No daemon runs on {data_dir}.")
    return base_url


def no_daemon(message: str) -> CommandError:
    """Nothing answers."""
    return CommandError(
        message,
        Exit.NO_DAEMON,
        next="Start it with `opcode serve`, or name another one with --data-dir or --url.",
    )


def load_sdk() -> None:
    """Import what `connect` needs, for whoever has time to spare before."""
    import_module("mcp.client.sse")


class Connection:
    """A live MCP session."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(
        self, tool: str, arguments: dict[str, Any], *, timeout_s: float = ANSWER_TIMEOUT_S
    ) -> dict[str, Any]:
        """Call a tool and give its structured answer.

        Arguments:
            timeout_s: how long the daemon may take beyond any wait asked for in the arguments.

        Raises:
            CommandError: the tool refused, or gave no answer in time.
        """
        import trio

        with trio.move_on_after(timeout_s):
            result = await self._client.call_tool(tool, arguments)
            answer = result.structured_content
            if result.is_error or not isinstance(answer, dict):
                raise _refusal(answer, result.content)
            return answer
        raise CommandError(
            f"The daemon did not answer {tool} within {timeout_s:g} s.",
            Exit.FAILED,
            code="TIMEOUT_ERROR",
            next="What was asked may have happened: look with `opcode query workflows`.",
        )


@contextlib.asynccontextmanager
async def connect(target: Target, *, read_timeout_s: float = 4_000.0) -> AsyncIterator[Connection]:
    """Connect over SSE.

    Arguments:
        read_timeout_s: silence after which the session counts as lost; above the longest wait of a call.

    Raises:
        CommandError: nothing answers there, the token is refused, or the daemon went away.
    """
    from mcp import Client
    from mcp.client.sse import sse_client

    _quieten_sdk()
    headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
    with _translated(target):
        transport = sse_client(
            f"{target.url}/sse",
            headers=headers,
            timeout=CONNECT_TIMEOUT_S,
            sse_read_timeout=read_timeout_s,
        )
        async with Client(transport, cache=None) as client:
            yield Connection(client)


async def delete(target: Target, path: str, query: dict[str, str]) -> dict[str, Any]:
    """Ask the daemon, beside MCP, to delete something; gives its answer.

    Raises:
        CommandError: nothing answers there, the token is refused, or the daemon refused.
    """
    import httpx2

    headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
    with _translated(target):
        async with httpx2.AsyncClient(timeout=ANSWER_TIMEOUT_S, headers=headers) as client:
            response = await client.delete(f"{target.url}{path}", params=query)
    answer = _decoded(response.content)
    if response.is_success and answer is not None:
        return answer
    if response.status_code in {401, 403} or answer is None:
        raise _refused_at_the_door(response.status_code, target)
    raise _refusal(answer, ())


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return None


@contextlib.contextmanager
def _translated(target: Target) -> Iterator[None]:
    """Turn whatever the HTTP client and the SDK raise, alone or in groups, into one sentence."""
    try:
        yield
    except Exception as error:  # the boundary to the SDK, whose task groups wrap everything
        leaves = list(_leaves(error))
        for leaf in leaves:
            if (told := _in_words(leaf, target)) is not None:
                raise told from None
        if len(leaves) == 1:
            raise leaves[0] from leaves[0].__cause__
        raise


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for inner in error.exceptions:
        yield from _leaves(inner)


def _in_words(error: BaseException, target: Target) -> CommandError | None:
    import anyio
    import httpx2
    from mcp import MCPError

    match error:
        case CommandError():
            return error
        case httpx2.HTTPStatusError():
            return _refused_at_the_door(error.response.status_code, target)
        case httpx2.TransportError() | anyio.ClosedResourceError() | anyio.BrokenResourceError():
            return no_daemon(f"No daemon answers at {target.url}.")
        case MCPError():
            return CommandError(f"The daemon at {target.url} answers: {error}.", Exit.FAILED)
        case _:
            return None


def _refused_at_the_door(status: int, target: Target) -> CommandError:
    if status in {401, 403}:
        told = "refused the token" if target.token else "wants a token"
        return usage_error(
            f"The daemon at {target.url} {told} (HTTP {status}).",
            next="Give the content of <data directory>/token with --token, or that directory with --data-dir.",
        )
    return no_daemon(f"What answers at {target.url} is no opcode daemon (HTTP {status}).")


def _refusal(answer: Any, content: Any) -> CommandError:
    if not isinstance(answer, dict) or "message" not in answer:
        text = " ".join(getattr(part, "text", "") for part in content)
        return CommandError(text or "The daemon refused without a reason.", Exit.FAILED)
    return CommandError(
        _with_problems(answer),
        Exit.FAILED,
        code=answer.get("code"),
        next=answer.get("next"),
        error=answer,
    )


def _with_problems(answer: dict[str, Any]) -> str:
    lines = [str(answer["message"])]
    for problem in answer.get("problems") or ():
        near = problem.get("did_you_mean")
        meant = f" Did you mean {near!r}?" if near else ""
        lines.append(f"  {problem.get('pointer') or '/'}: {problem.get('message')}{meant}")
    return "\n".join(lines)


def _quieten_sdk() -> None:
    """A session that ends hard is told in a sentence by us, not as a traceback by the SDK's loggers."""
    for name in ("mcp", "client", "httpx2", "httpcore2"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
