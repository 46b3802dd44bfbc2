"""Where `http.*` may connect to.

Rule 1: what counts is the resolved address, whatever stands in the URL (`addresses.py` judges it); a connection is
made to exactly the address that was checked.
Rule 2: some addresses are never reached.
Rule 3: once `allow_hosts` holds anything, it is the whole list. An address or network in it covers private addresses
too; a name in it does not. An address that stands for an IPv4 address is covered by IPv4 entries alone.
Rule 4: without it, loopback and private addresses need `allow_private`.
Rule 5: a resolver that does not answer in time is a refusal as well.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import trio

from opcode_runtime.actions.addresses import Address, Network, reach_of, unwrap
from opcode_runtime.model.errors import ErrorCode, OpcodeError

ADDRESSES_MAX = 16
"""How many addresses of a name are looked at; a longer answer is cut."""

_LOOKUPS = trio.CapacityLimiter(16)
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""From a host name and a port to addresses as text; raises OSError or UnicodeError where there is none."""


class EgressPolicy(NamedTuple):
    """The operator's word on where to; see `ActionSettings` for the fields."""

    allow_private: bool = False
    allow_hosts: tuple[str, ...] = ()
    http_proxy: str | None = None
    resolve_s_max: float = 5.0


class HostEntry(NamedTuple):
    """One entry of `allow_hosts`: a network, or a name (`*.` for all below it), and the port it is limited to."""

    name: str
    network: Network | None
    port: int | None


def check_egress(policy: EgressPolicy) -> None:
    """Read what an operator has set, before anything is asked of it.

    Raises:
        OpcodeError: VALIDATION_ERROR, naming the setting and the entry that says nothing.
    """
    _entries(policy.allow_hosts)
    if policy.http_proxy is not None:
        parts = urlsplit(policy.http_proxy)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise OpcodeError(
                ErrorCode.VALIDATION_ERROR,
                "the setting `http_proxy` is no URL such as http://proxy.example:3128",
            )


async def resolve(
    host: str, port: int, policy: EgressPolicy, lookup: Lookup | None = None
) -> list[str]:
    """The addresses of `host` that may be connected to, in the resolver's order.

    Arguments:
        lookup: what is asked about names; the system's resolver when left out. An address is never looked up.

    Raises:
        OpcodeError: PERMISSION_DENIED, naming the setting that would allow it, when there is none;
            EXECUTION_ERROR, the name does not resolve; TIMEOUT_ERROR, not in time.
    """
    found = await _addresses(host, port, policy.resolve_s_max, lookup or system_lookup)
    refusals = [refusal(host, address, port, policy) for address in found]
    allowed = [
        str(address) for address, refused in zip(found, refusals, strict=True) if refused is None
    ]
    if not allowed:
        reason = next((refused for refused in refusals if refused), f"{host!r} has no address")
        raise OpcodeError(ErrorCode.PERMISSION_DENIED, reason)
    return allowed


def refusal(host: str, address: Address, port: int, policy: EgressPolicy) -> str | None:
    """Why `host` at `address` may not be reached; None when it may."""
    where = f"{host}:{port} ({address})"
    reach = reach_of(address)
    if reach == "never":
        return f"{where} is a link-local, metadata or reserved address; no setting allows it"
    entries = _entries(policy.allow_hosts)
    if any(_covers(entry, address, port) for entry in entries):
        return None
    if entries and not any(_names(entry, host, port) for entry in entries):
        return f"{where} is not in the setting `allow_hosts`"
    if reach == "private" and not policy.allow_private:
        return f"{where} is a private address; the setting `allow_private` (or its address in `allow_hosts`) allows it"
    return None


async def vet(host: str, port: int, policy: EgressPolicy, lookup: Lookup | None = None) -> None:
    """Check what a proxy is asked for, and will resolve once more by itself.

    A name that is known here is held to the same rules; one that is not has to stand in `allow_hosts`.

    Raises:
        OpcodeError: as `resolve`.
    """
    try:
        await resolve(host, port, policy, lookup)
    except OpcodeError as error:
        if error.code is not ErrorCode.EXECUTION_ERROR:
            raise
    else:
        return
    if not any(_names(entry, host, port) for entry in _entries(policy.allow_hosts)):
        raise OpcodeError(
            ErrorCode.PERMISSION_DENIED,
            f"{host}:{port} is not known to this machine's resolver; behind a proxy only its name in the setting "
            "`allow_hosts` allows it",
        )


async def system_lookup(host: str, port: int) -> list[str]:
    """Ask the system's resolver, in a thread of a small number of its own."""
    found = await trio.to_thread.run_sync(
        lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
        abandon_on_cancel=True,
        limiter=_LOOKUPS,
    )
    return [str(entry[4][0]) for entry in found]


async def _addresses(host: str, port: int, limit_s: float, lookup: Lookup) -> list[Address]:
    literal = _literal(host)
    if literal is not None:
        return [literal]
    try:
        with trio.fail_after(limit_s):
            texts = await lookup(host, port)
    except trio.TooSlowError:
        raise OpcodeError(
            ErrorCode.TIMEOUT_ERROR,
            f"{host!r} was not resolved within {limit_s:g} s, the setting `limits.http_resolve_s_max`",
        ) from None
    except (OSError, UnicodeError) as error:
        raise OpcodeError(ErrorCode.EXECUTION_ERROR, f"cannot resolve {host!r}: {error}") from None
    found = [_literal(text) for text in dict.fromkeys(texts)]
    return [address for address in found if address is not None][:ADDRESSES_MAX]


def _literal(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


@lru_cache(maxsize=64)
def _entries(allow_hosts: tuple[str, ...]) -> tuple[HostEntry, ...]:
    return tuple(map(_read_entry, allow_hosts))


def _read_entry(entry: str) -> HostEntry:
    """`host`, `*.suffix`, `address`, `network/bits`, each with `:port`; IPv6 with a port in brackets."""
    text = entry.strip().lower()
    head, port = _split_port(text)
    try:
        network = ipaddress.ip_network(head, strict=False)
    except ValueError:
        network = None
    name = "" if network is not None else _ascii(head.removesuffix("."))
    nameless = network is None and not _NAME.fullmatch(name)
    if nameless or (port is not None and not 0 < port < 65536):
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"the setting `allow_hosts` holds {entry!r}, which is no host name, `*.suffix`, address or network, "
            "with or without `:port`",
        )
    return HostEntry(name, network, port)


def _split_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        inside, closed, rest = text[1:].partition("]")
        if not closed or rest[:1] not in {"", ":"}:
            return "", None
        return inside, _port(rest[1:]) if rest else None
    head, colon, tail = text.rpartition(":")
    if colon and ":" not in head:
        return head, _port(tail)
    return text, None


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1


def _ascii(name: str) -> str:
    """A name as URLs carry it (IDNA 2008)."""
    if name.isascii():
        return name
    import idna

    star, below = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        return star + idna.encode(below).decode()
    except idna.IDNAError:
        return ""


def _covers(entry: HostEntry, address: Address, port: int) -> bool:
    plain = unwrap(address)
    if entry.network is None or entry.network.version != plain.version:
        return False
    return plain in entry.network and entry.port in {None, port}


def _names(entry: HostEntry, host: str, port: int) -> bool:
    name = host.lower().removesuffix(".")
    if entry.network is not None or not name:
        return False
    if entry.name.startswith("*."):
        same = name.endswith(entry.name[1:]) and name != entry.name[1:]
    else:
        same = name == entry.name
    return same and entry.port in {None, port}
