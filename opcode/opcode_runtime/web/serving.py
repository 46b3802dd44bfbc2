"""The front door of one runtime, from sockets to the end."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Protocol

import trio

from opcode_runtime.engine.requests import ANONYMOUS
from opcode_runtime.mcp import RequestHandler, build_server
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.settings import Settings
from opcode_runtime.web.accepting import Acceptor
from opcode_runtime.web.access import OPERATOR, AllowedNames, Credentials
from opcode_runtime.web.binding import Address, bind_addresses, bound_address, is_loopback
from opcode_runtime.web.deadlines import Deadlines
from opcode_runtime.web.front import Front
from opcode_runtime.web.pages import build_pages


class ServedRuntime(Protocol):
    """What the front needs of a runtime. One with an event `ready` is not ready until it is set."""

    @property
    def router(self) -> RequestHandler:
        """Where requests go."""
        ...

    @property
    def settings(self) -> Settings:
        """The limits, and `base_url`."""
        ...


async def serve(
    runtime: ServedRuntime,
    *,
    listen: Sequence[Address] | Sequence[socket.socket],
    token: str | None,
    shutdown: trio.Event,
    deadlines: Deadlines | None = None,
    task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on every address until `shutdown` is set, then end within `deadlines.grace_s`.

    Arguments:
        listen: addresses to bind, or sockets from `bind_sockets`, which are closed at the end.
        token: what a caller must prove to know; None lets everyone in, on loopback only.
        task_status: told the bound addresses as soon as connections are accepted.

    Raises:
        OpcodeError: the address cannot be used (as `bind_sockets`), or PERMISSION_DENIED for an open door to others.
    """
    with ExitStack() as stack:
        sockets = _bound(listen)
        for sock in sockets:
            stack.callback(sock.close)
        addresses = [bound_address(sock) for sock in sockets]
        _refuse_open_door(addresses, token)
        deadlines = deadlines or Deadlines()
        front = _front(runtime, addresses, token, deadlines)
        acceptor = Acceptor(front, runtime.settings.limits, deadlines)
        listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in sockets]
        async with front.sessions(), trio.open_nursery() as nursery:
            await nursery.start(partial(acceptor.run, listeners, shutdown=shutdown))
            task_status.started(addresses)


def _bound(listen: Sequence[Address] | Sequence[socket.socket]) -> list[socket.socket]:
    given = [each for each in listen if isinstance(each, socket.socket)]
    return given or bind_addresses([each for each in listen if not isinstance(each, socket.socket)])


def _refuse_open_door(addresses: Sequence[Address], token: str | None) -> None:
    others = [host for host, _ in addresses if not is_loopback(host)]
    if others and not token:
        raise OpcodeError(
            ErrorCode.PERMISSION_DENIED,
            f"Without a token the daemon listens on loopback only, not on {', '.join(others)}.",
            next="Set a token, or listen on 127.0.0.1.",
        )


def _front(
    runtime: ServedRuntime, addresses: Sequence[Address], token: str | None, deadlines: Deadlines
) -> Front:
    limits = runtime.settings.limits
    return Front(
        build_server(runtime.router, principal=OPERATOR if token else ANONYMOUS),
        build_pages(
            lambda: _is_ready(runtime), runtime.router, body_bytes_max=limits.body_bytes_max
        ),
        names=AllowedNames(addresses, runtime.settings.base_url),
        credentials=Credentials({token: OPERATOR} if token else {}),
        limits=limits,
        deadlines=deadlines,
    )


def _is_ready(runtime: ServedRuntime) -> bool:
    ready = getattr(runtime, "ready", None)
    return not isinstance(ready, trio.Event) or ready.is_set()
