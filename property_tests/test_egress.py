"""I-X5 `egress_contained`: no request connects to a denied address, whatever a resolver says and wherever it is sent.

Which addresses are special is told here by their registries and by how each address was made, not by asking the code.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opcode_runtime.actions.settings import ActionSettings
from opcode_runtime.model.outcome import Completed
from tests.escape.network import JEWELS, World, answer, attempt, moved

EXAMPLES = 500
DOOR = "93.184.216.34"


def networks(text: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks that a text names, one after the other."""
    return [ipaddress.ip_network(each) for each in text.split()]


SPECIAL_V4 = networks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 "
    "168.63.129.16/32"
)
SPECIAL_V6 = networks("2001::/23 2001:db8::/32 3fff::/20")
[GLOBAL_V6] = networks("2000::/3")
NEVER = networks("169.254.0.0/16 224.0.0.0/4 0.0.0.0/8")
[PRIVATE] = networks("10.0.0.0/8")
ENDS = [int(end) for network in SPECIAL_V4 for end in (network[0], network[-1])]
EDGES = [IPv4Address(end + by) for end in ENDS for by in (-1, 0, 1) if 0 <= end + by < 1 << 32]

v4 = st.sampled_from(EDGES) | st.ip_addresses(v=4)
rest = st.integers(0, (1 << 80) - 1)


def is_special_v4(address: IPv4Address) -> bool:
    return any(address in network for network in SPECIAL_V4)


def is_special_v6(address: IPv6Address) -> bool:
    """Of an address that was not made from an IPv4 one."""
    return address not in GLOBAL_V6 or any(address in network for network in SPECIAL_V6)


WRAPPERS = {
    "::ffff:0:0": 0,
    "::ffff:0:0:0": 0,
    "64:ff9b::": 0,
    "2002::": 80,
}
"""Prefixes of addresses that stand for an IPv4 address, and where in them it begins, in bits from the right."""


@st.composite
def wrapped(draw: st.DrawFn) -> tuple[str, bool]:
    inner, prefix = draw(v4), draw(st.sampled_from(sorted(WRAPPERS)))
    shift = WRAPPERS[prefix]
    filling = draw(rest) if shift else 0
    address = IPv6Address(int(IPv6Address(prefix)) | int(inner) << shift | filling)
    return str(address), is_special_v4(inner)


@st.composite
def teredo(draw: st.DrawFn) -> tuple[str, bool]:
    server, client = draw(v4), draw(v4)
    inverted = int(client) ^ 0xFFFFFFFF
    address = IPv6Address(
        0x20010000 << 96 | int(server) << 64 | draw(st.integers(0, 0xFFFFFFFF)) << 32 | inverted
    )
    return str(address), is_special_v4(server) or is_special_v4(client)


@st.composite
def isatap(draw: st.DrawFn) -> tuple[str, bool]:
    inner, head = draw(v4), draw(st.integers(0x2400 << 48, 0x2C00 << 48))
    address = IPv6Address(head << 64 | 0x5EFE << 32 | int(inner))
    return str(address), is_special_v4(inner)


plain_v4 = v4.map(lambda address: (str(address), is_special_v4(address)))
plain_v6 = st.ip_addresses(v=6, network="2400::/6") | st.ip_addresses(v=6, network="fc00::/6")
plain_v6 |= st.ip_addresses(v=6, network="2001:d00::/24") | st.ip_addresses(
    v=6, network="3fff::/16"
)
drawn = st.one_of(
    plain_v4,
    wrapped(),
    teredo(),
    isatap(),
    plain_v6.map(lambda each: (str(each), is_special_v6(each))),
)


def host_of(address: str) -> str:
    return f"[{address}]" if ":" in address else address


async def reached(address: str, way: str, allowed: ActionSettings) -> tuple[set[str], object]:
    """Try to come to an address by its number, by a name, or by a redirect; gives what was reached."""
    world = World({"name.test": [[address]]}, {DOOR: moved(f"http://{host_of(address)}/")})
    urls = {
        "number": f"http://{host_of(address)}/",
        "name": "http://name.test/",
        "redirect": f"http://{DOOR}/",
    }
    outcome = await attempt(world, {"url": urls[way]}, allowed)
    found = world.reached() - ({DOOR} if way == "redirect" else set())
    return found, outcome.output["body"] if isinstance(outcome, Completed) else None


@settings(max_examples=EXAMPLES, deadline=None)
@given(each=drawn, way=st.sampled_from(["number", "name", "redirect"]))
@example(each=("::1", True), way="name")
@example(each=("::", True), way="number")
def test_what_is_not_global_is_never_connected_to(each: tuple[str, bool], way: str) -> None:
    address, special = each
    found, body = trio.run(reached, address, way, ActionSettings())
    if special:
        assert (found, body) == (set(), None)
    else:
        assert body == JEWELS or address == DOOR


@settings(max_examples=EXAMPLES, deadline=None)
@given(inner=v4, allow_all=st.booleans(), prefix=st.sampled_from(["", *sorted(WRAPPERS)]))
def test_settings_open_what_is_private_and_nothing_beyond(
    inner: IPv4Address, allow_all: bool, prefix: str
) -> None:
    address = str(inner)
    if prefix:
        address = str(IPv6Address(int(IPv6Address(prefix)) | int(inner) << WRAPPERS[prefix]))
    listed = ("0.0.0.0/0", "::/0") if allow_all else ()
    open_wide = ActionSettings(allow_private=True, allow_hosts=listed)
    found, _ = trio.run(reached, address, "number", open_wide)
    if any(inner in network for network in NEVER):
        assert found == set()
    elif inner in PRIVATE:
        assert found


@settings(max_examples=100, deadline=None)
@given(answers=st.lists(drawn, min_size=1, max_size=6), pages=st.booleans())
def test_of_many_addresses_of_a_name_only_global_ones_are_tried(
    answers: list[tuple[str, bool]], pages: bool
) -> None:
    async def main() -> set[str]:
        addresses = [address for address, _ in answers]
        refusing = dict.fromkeys(addresses, b"") if not pages else {}
        world = World({"name.test": [addresses]}, {**refusing, DOOR: answer("x")})
        await attempt(world, {"url": "http://name.test/"})
        return world.reached()

    special = {address for address, is_special in answers if is_special}
    assert not trio.run(main) & special
