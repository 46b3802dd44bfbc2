"""How far an address is allowed by nature.

Rule 1: an address that stands for an IPv4 address (mapped, translated, compatible, 6to4, NAT64) is judged as that one;
an address that carries further ones (Teredo, ISATAP, local NAT64) as the worst of them and of itself.
Rule 2: link-local, metadata, multicast, unspecified, broadcast and unassigned addresses are never reached, nor is an
address with a zone.
Rule 3: what is not global by the registries of special-purpose addresses (RFC 6890 and its updates) is private. The
tables are ours, since `ipaddress` says different things in different versions of Python.
"""

from __future__ import annotations

import ipaddress
from typing import Literal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Reach = Literal["never", "private", "public"]

_ORDER: tuple[Reach, ...] = ("public", "private", "never")


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_NEVER_V4 = _networks(
    "0.0.0.0/8",
    "169.254.0.0/16",
    "100.100.100.200/32",  # metadata services of clouds that do not use a link-local address
    "168.63.129.16/32",
    "192.0.0.192/32",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
_NEVER_V6 = _networks("fd00:ec2::/32", "fd20:ce::254/128")
_PRIVATE_V4 = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
)
_PRIVATE_V6 = _networks("::1/128", "fc00::/7", "2001::/23", "2001:db8::/32", "3fff::/20")
_GLOBAL_V6 = _networks("2000::/3")

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_LOW_32_BITS = (
    _MAPPED,
    ipaddress.IPv6Network("::ffff:0:0:0/96"),
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("::/96"),
)
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself.

    >>> unwrap(ipaddress.ip_address("::ffff:7f00:1")), unwrap(ipaddress.ip_address("2002:a00:1::"))
    (IPv4Address('127.0.0.1'), IPv4Address('10.0.0.1'))
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.sixtofour is not None:
        return address.sixtofour
    if int(address) > 1 and any(address in network for network in _LOW_32_BITS):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def reach_of(address: Address) -> Reach:
    """How far an address is allowed by nature: never, as private, or as public."""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return "never"
    plain = unwrap(address)
    if isinstance(plain, ipaddress.IPv4Address):
        return _reach_v4(plain)
    if plain in _LOCAL_NAT64:
        return _worst("private", *map(_reach_v4, _local_nat64(plain)))
    return _worst(_reach_v6(plain), *map(_reach_v4, _carried(plain)))


def _worst(*found: Reach) -> Reach:
    return max(found, key=_ORDER.index)


def _reach_v4(address: ipaddress.IPv4Address) -> Reach:
    if any(address in network for network in _NEVER_V4):
        return "never"
    return "private" if any(address in network for network in _PRIVATE_V4) else "public"


def _reach_v6(address: ipaddress.IPv6Address) -> Reach:
    if any(address in network for network in _NEVER_V6):
        return "never"
    if address.teredo is not None:
        return "public"
    if any(address in network for network in _PRIVATE_V6):
        return "private"
    return "public" if any(address in network for network in _GLOBAL_V6) else "never"


def _carried(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """Further IPv4 addresses that a packet to this one may end at: Teredo's two, or ISATAP's (RFC 4380, RFC 5214)."""
    if address.teredo is not None:
        return address.teredo
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()


def _local_nat64(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """What an address of the local-use prefix (RFC 8215) may stand for, by each prefix length of RFC 6052 that fits."""
    low = int(address)
    found = (
        low & 0xFFFFFFFF,
        ((low >> 64) & 0xFFFF) << 16 | (low >> 40) & 0xFFFF,
        ((low >> 64) & 0xFF) << 24 | (low >> 32) & 0xFFFFFF,
        (low >> 24) & 0xFFFFFFFF,
    )
    # A low number comes from zero padding, and 0.0.0.0/8 leads nowhere.
    return tuple(ipaddress.IPv4Address(each) for each in found if each >> 24)
