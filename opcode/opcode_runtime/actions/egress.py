"""Where `http.*` may connect to.

Rule 1: what counts is the resolved address, after unwrapping IPv4 from IPv6 (mapped, 6to4, NAT64, Teredo); a
connection is made to exactly the address that was checked.
Rule 2: link-local, metadata, multicast, unspecified and reserved addresses are never reached.
Rule 3: once `allow_hosts` holds anything, it is the whole list. An address or network in it covers private addresses
too; a name in it does not.
Rule 4: without it, loopback and private addresses need `allow_private`.
"""

from __future__ import annotations

import ipaddress
from typing import Literal, NamedTuple

import trio

from opcode_runtime.model.errors import ErrorCode, OpcodeError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Reach = Literal["never", "private", "public"]

_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "100.100.100.200/32",  # metadata service of one cloud, inside the shared address space
        "192.0.0.192/32",  # the same of another
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "fd00:ec2::/32",  # metadata services over IPv6
        "fd20:ce::254/128",
    )
)
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class EgressPolicy(NamedTuple):
    """The operator's word on where to; see `ActionSettings` for the two fields."""

    allow_private: bool = False
    allow_hosts: tuple[str, ...] = ()


def unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    compatible = int(address) >> 32 == 0 and int(address) > 1
    if compatible or any(address in network for network in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def reach_of(address: Address) -> Reach:
    """How far an address is allowed by nature: never, as private, or as public."""
    plain = unwrap(address)
    if any(plain in network for network in _NEVER if network.version == plain.version):
        return "never"
    return (
        "public"
        if plain.is_global and not plain.is_multicast and not plain.is_reserved
        else "private"
    )


async def resolve(host: str, port: int, policy: EgressPolicy) -> list[str]:
    """The addresses of `host` that may be connected to, in the resolver's order.

    Raises:
        OpcodeError: PERMISSION_DENIED, naming the setting that would allow it, when there is none;
            EXECUTION_ERROR, the name does not resolve.
    """
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OpcodeError(ErrorCode.EXECUTION_ERROR, f"cannot resolve {host!r}: {error}") from None
    texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    refusals = [refusal(host, ipaddress.ip_address(text), port, policy) for text in texts]
    allowed = [text for text, refused in zip(texts, refusals, strict=True) if refused is None]
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
    by_address = any(_covers(entry, address, port) for entry in policy.allow_hosts)
    if by_address:
        return None
    if policy.allow_hosts and not any(_names(entry, host, port) for entry in policy.allow_hosts):
        return f"{where} is not in the setting `allow_hosts`"
    if reach == "private" and not policy.allow_private:
        return f"{where} is a private address; the setting `allow_private` (or its address in `allow_hosts`) allows it"
    return None


def _split_entry(entry: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]:port`, `v6`, `network/bits` → the part before the port, and the port."""
    text = entry.strip().lower()
    if text.startswith("["):
        inside, _, rest = text[1:].partition("]")
        return inside, int(rest[1:]) if rest[1:].isdecimal() else None
    head, colon, tail = text.rpartition(":")
    if colon and tail.isdecimal() and ":" not in head:
        return head, int(tail)
    return text, None


def _covers(entry: str, address: Address, port: int) -> bool:
    head, wanted = _split_entry(entry)
    try:
        network = ipaddress.ip_network(head, strict=False)
    except ValueError:
        return False
    plain = unwrap(address)
    same = plain in network if network.version == plain.version else address in network
    return same and wanted in {None, port}


def _names(entry: str, host: str, port: int) -> bool:
    head, wanted = _split_entry(entry)
    name = host.lower().rstrip(".")
    same = (
        name.endswith(head[1:]) and name != head[2:]
        if head.startswith("*.")
        else name == head.rstrip(".")
    )
    return same and wanted in {None, port}
