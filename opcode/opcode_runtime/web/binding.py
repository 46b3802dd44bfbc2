"""Taking an address.

Rule 1: an address without a host, and `localhost`, mean both loopback addresses.
Rule 2: a socket listens from the moment it is bound: until then Linux lets a second daemon bind the same port.
Rule 3: sockets are never inherited by children.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from contextlib import ExitStack
from typing import NoReturn

from opcode_runtime.model.errors import ErrorCode, OpcodeError

Address = tuple[str, int]
"""A host (name or literal, IPv6 without brackets) and a port; port 0 lets the system choose."""

BACKLOG = 128
_LOOPBACK = ("127.0.0.1", "::1")
_FORM = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<host>[^\[\]:]*)):(?P<port>\d{1,5})")
_MISSING_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def bind_sockets(listen_addr: str) -> list[socket.socket]:
    """Bind and listen on an address such as `127.0.0.1:4100`, `:4100`, `[::1]:4100` or `localhost:0`.

    Raises:
        OpcodeError: VALIDATION_ERROR (no such form or address), CONFLICT (in use), PERMISSION_DENIED.
    """
    return bind_addresses(parse_listen_addr(listen_addr))


def parse_listen_addr(listen_addr: str) -> list[Address]:
    """Read a listening address into the addresses that it means.

    Raises:
        OpcodeError: VALIDATION_ERROR, with the forms that are understood.
    """
    found = _FORM.fullmatch(listen_addr.strip())
    if found is None or int(found["port"]) > 65_535:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"{listen_addr!r} is not a listening address.",
            next="Write it like 127.0.0.1:4100, :4100 or [::1]:4100.",
        )
    host = found["bracketed"] or found["host"]
    hosts = _LOOPBACK if host in {"", "localhost"} else (host,)
    return [(each, int(found["port"])) for each in hosts]


def bind_addresses(addresses: list[Address]) -> list[socket.socket]:
    """Bind and listen on every address, or on none.

    The IPv6 twin of a loopback address may be missing on a machine without IPv6.

    Raises:
        OpcodeError: as `bind_sockets`.
    """
    bound: list[socket.socket] = []
    with ExitStack() as undo:
        for host, port in addresses:
            sock = _listen_or_refuse(host, port, is_optional=bool(bound))
            if sock is not None:
                undo.callback(sock.close)
                bound.append(sock)
        undo.pop_all()
    return bound


def _listen_or_refuse(host: str, port: int, *, is_optional: bool) -> socket.socket | None:
    try:
        return _listen(host, port)
    except (OSError, UnicodeError) as error:
        if is_optional and _errno(error) in _MISSING_HERE:
            return None
        _refuse(host, port, error)


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, sockaddr = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(sockaddr)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _errno(error: Exception) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _refuse(host: str, port: int, error: Exception) -> NoReturn:
    where = f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"
    if _errno(error) == errno.EADDRINUSE:
        code, reason = ErrorCode.CONFLICT, "is in use, perhaps by another opcode daemon"
    elif _errno(error) in {errno.EACCES, errno.EPERM}:
        code, reason = ErrorCode.PERMISSION_DENIED, "may not be used by this user"
    else:
        code, reason = (
            ErrorCode.VALIDATION_ERROR,
            f"cannot be used: {getattr(error, 'strerror', None) or error}",
        )
    raise OpcodeError(
        code,
        f"The address {where} {reason}.",
        next="Stop what uses it, or choose another listen_addr (OPCODE_LISTEN_ADDR).",
    ) from error


def bound_address(sock: socket.socket) -> Address:
    """Where a socket is bound, with the port that the system chose."""
    host, port = sock.getsockname()[:2]
    return host, port


def is_loopback(host: str) -> bool:
    """Whether an address literal can be reached from this machine only."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
