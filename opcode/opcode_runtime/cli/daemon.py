"""The life of the daemon, from settings to the last line.

Rule 1: what can be refused is refused before anything is touched but the lock file: settings, a second daemon on the
directory, a port in use, an open door. Only then come the token, the pid file and the journal, in this order.
Rule 2: the first SIGTERM or SIGINT takes no more work, drains (`drain_s`) and leaves every workflow resumable; the
second ends at once, which the journal survives as it survives a kill.
Rule 3: the token is shown on standard output when it is made, or on a terminal; it is never logged.
"""

from __future__ import annotations

import gc
import ipaddress
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
import trio

from opcode_runtime.cli.data_dir import (
    announced,
    make_token,
    owned,
    publish_address,
    token_of,
    withdraw,
)
from opcode_runtime.cli.exits import CommandError, Exit, usage_error
from opcode_runtime.cli.json_files import read_object
from opcode_runtime.cli.logs import configure_logs
from opcode_runtime.cli.settings import data_dir_of, load_settings
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.settings import Settings

if TYPE_CHECKING:
    from opcode_runtime.engine.runtime import Runtime

_TRIAL_S = 5.0
_log = structlog.get_logger("opcode_runtime.daemon")


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line said. `flags` are settings by name, None where not given."""

    data_dir: Path | None = None
    flags: dict[str, Any] = {}
    answers: Path | None = None
    json: bool = False


class _Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """What stands once nothing can be refused any more."""

    data_dir: Path
    settings: Settings
    sockets: list[socket.socket]
    token: str | None
    token_is_new: bool
    as_json: bool

    @property
    def url(self) -> str:
        """Where clients on this machine reach it."""
        return local_url(self.sockets[0])


def run_daemon(options: ServeOptions) -> int:
    """Be the daemon until a signal ends it.

    Raises:
        CommandError: it cannot start; says why and what to do.
    """
    gc.disable()  # until it answers: what a start makes is there to stay, and looking through it costs a fifth of it
    data_dir = data_dir_of(options.data_dir)
    settings = _settings(options, data_dir)
    with owned(data_dir), _bound(settings) as sockets, ExitStack() as stack:
        _refuse_open_door(settings, sockets)
        token = token_of(data_dir) if settings.require_token else None
        is_new = settings.require_token and token is None
        if is_new:
            token = make_token(data_dir)
        configure_logs(settings, token=token)
        stack.enter_context(announced(data_dir))
        daemon = _Daemon(
            data_dir=data_dir,
            settings=settings,
            sockets=sockets,
            token=token,
            token_is_new=is_new,
            as_json=options.json,
        )
        return _run(daemon)


def local_url(sock: socket.socket) -> str:
    """The base URL of a bound socket, as seen from this machine."""
    host, port = sock.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        host = "::1" if address.version == 6 else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def client_configuration(url: str, token: str | None) -> dict[str, Any]:
    """What an MCP client's configuration needs to find this daemon."""
    server: dict[str, Any] = {"type": "sse", "url": f"{url}/sse"}
    if token:
        server["headers"] = {"Authorization": f"Bearer {token}"}
    return {"mcpServers": {"opcode": server}}


def _settings(options: ServeOptions, data_dir: Path) -> Settings:
    flags = dict(options.flags)
    if options.answers is not None:
        flags["answers"] = read_object(options.answers)[0]
    return load_settings(data_dir, flags)


@contextmanager
def _bound(settings: Settings) -> Iterator[list[socket.socket]]:
    from opcode_runtime.web import bind_sockets

    try:
        sockets = bind_sockets(settings.listen_addr)
    except OpcodeError as error:
        is_taken = error.code is ErrorCode.CONFLICT
        raise _cannot_start(error, Exit.FAILED if is_taken else Exit.USAGE) from None
    except (OSError, UnicodeError) as error:  # a host name that does not resolve
        raise usage_error(
            f"listen_addr {settings.listen_addr!r} cannot be used: {error}."
        ) from None
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def _refuse_open_door(settings: Settings, sockets: list[socket.socket]) -> None:
    if settings.require_token:
        return
    for sock in sockets:
        host = sock.getsockname()[0]
        if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            raise usage_error(
                f"Without a token the daemon listens on loopback only, not on {host}.",
                next="Leave out --no-auth (`require_token`), or listen on 127.0.0.1.",
            )


def _cannot_start(error: OpcodeError, exit_code: Exit) -> CommandError:
    return CommandError(error.message, exit_code, next=error.next, code=str(error.code))


def _run(daemon: _Daemon) -> int:
    try:
        return trio.run(_live, daemon, restrict_keyboard_interrupt_to_checkpoints=True)
    except Exception as error:  # the boundary to the process: a refusal to start, else a bug
        found = _only_error(error)
        if isinstance(found, OpcodeError):
            raise _cannot_start(found, Exit.FAILED) from None
        _log.exception("daemon_failed", error=str(found))
        return Exit.FAILED


def _only_error(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _live(daemon: _Daemon) -> int:
    from opcode_runtime.engine.runtime import open_runtime
    from opcode_runtime.secrets import close_to_others

    close_to_others()  # commands run as the same user, and could look into this process
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch_signals, signals, stop, daemon)
            async with open_runtime(daemon.data_dir, settings=daemon.settings) as runtime:
                steps_left = await _serve_until(stop, runtime, daemon)
            _log.info("daemon_stopped", steps_in_doubt=steps_left)
            nursery.cancel_scope.cancel()
    return Exit.DONE


async def _serve_until(stop: trio.Event, runtime: Runtime, daemon: _Daemon) -> int:
    """Answer until `stop`, then drain, still answering; gives the number of steps that did not end in time."""
    from opcode_runtime.web import serve

    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        front = partial(
            serve, runtime, listen=daemon.sockets, token=daemon.token, shutdown=shutdown
        )
        try:
            await nursery.start(front)
            publish_address(daemon.data_dir, daemon.url)
            if daemon.token_is_new:
                nursery.start_soon(_warn_of_weak_fences, daemon.settings)
            return await _answer_until(stop, runtime, daemon)
        finally:
            shutdown.set()  # also when the runtime fails: the front ends by this event, not by cancellation


async def _answer_until(stop: trio.Event, runtime: Runtime, daemon: _Daemon) -> int:
    from opcode_runtime.engine.collector import short_collections

    async with short_collections():
        _log.info("daemon_ready", url=daemon.url, data_dir=str(daemon.data_dir))
        _greet(daemon)
        await stop.wait()
        _log.info("daemon_draining", drain_s=daemon.settings.drain_s)
        return await runtime.drain()


async def _warn_of_weak_fences(settings: Settings) -> None:
    """At the first start, say when commands are not held to files; later `opcode doctor` does. Tries the fences out."""
    from opcode_runtime.upkeep import isolation_of

    with trio.move_on_after(_TRIAL_S):
        found = await trio.to_thread.run_sync(isolation_of, settings, abandon_on_cancel=True)
        if found.state != "ok":
            _log.warning("weak_isolation", found=found.found, next=found.next)


async def _watch_signals(signals: AsyncIterator[int], stop: trio.Event, daemon: _Daemon) -> None:
    async for number in signals:
        if stop.is_set():
            withdraw(daemon.data_dir)
            os._exit(128 + number)
        _log.info("daemon_stopping", signal=signal.Signals(number).name)
        stop.set()


def _greet(daemon: _Daemon) -> None:
    """Say on standard output that the daemon answers: one JSON line to a program, or to a person how to connect."""
    if daemon.as_json:
        ready = {"url": daemon.url, "pid": os.getpid(), "data_dir": str(daemon.data_dir)}
        lines = [json.dumps(ready)]
    else:
        lines = list(_greeting(daemon))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _greeting(daemon: _Daemon) -> Iterator[str]:
    yield f"opcode listens on {daemon.url}"
    if daemon.token is not None and not (daemon.token_is_new or sys.stdout.isatty()):
        yield f"The token for clients is in {daemon.data_dir / 'token'}."
        return
    url = (daemon.settings.base_url or daemon.url).rstrip("/")
    yield "Configuration for an MCP client:"
    yield json.dumps(client_configuration(url, daemon.token), indent=2)
