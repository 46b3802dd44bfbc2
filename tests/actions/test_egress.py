"""Which addresses may be reached, by vectors and by rule."""

from __future__ import annotations

import ipaddress

import pytest
import trio

from opcode_runtime.actions.addresses import reach_of
from opcode_runtime.actions.egress import EgressPolicy, check_egress, refusal, resolve
from opcode_runtime.model.errors import ErrorCode, OpcodeError

OPEN = EgressPolicy(allow_private=True)


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254",
        "169.254.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "fe80::1",
        "fec0::1",
        "fd00:ec2::254",
        "224.0.0.1",
        "ff02::1",
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "240.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
    ],
)
def test_some_addresses_are_never_reached(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert reach_of(address) == "never"
    everything = EgressPolicy(allow_private=True, allow_hosts=("0.0.0.0/0", "::/0", "host"))
    assert refusal("host", address, 80, everything) is not None


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "::1",
        "fd12::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
    ],
)
def test_private_addresses_need_the_setting(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert reach_of(address) == "private"
    assert "allow_private" in (refusal("host", address, 80, EgressPolicy()) or "")
    assert refusal("host", address, 80, OPEN) is None


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"]
)
def test_public_addresses_need_nothing(text: str) -> None:
    assert refusal("host", ipaddress.ip_address(text), 443, EgressPolicy()) is None


@pytest.mark.parametrize(
    ("entry", "host", "address", "port", "allowed"),
    [
        ("api.example", "api.example", "1.1.1.1", 443, True),
        ("API.example", "api.example.", "1.1.1.1", 443, True),
        ("api.example", "xapi.example", "1.1.1.1", 443, False),
        ("api.example:443", "api.example", "1.1.1.1", 443, True),
        ("api.example:443", "api.example", "1.1.1.1", 80, False),
        ("*.example", "a.b.example", "1.1.1.1", 443, True),
        ("*.example", "example", "1.1.1.1", 443, False),
        ("*.example", "badexample", "1.1.1.1", 443, False),
        ("10.0.0.0/8", "inner", "10.1.1.1", 80, True),
        ("10.0.0.0/8:80", "inner", "10.1.1.1", 81, False),
        ("10.1.1.1", "inner", "10.1.1.1", 80, True),
        ("10.1.1.1", "inner", "10.1.1.2", 80, False),
        ("[fd12::1]:80", "inner", "fd12::1", 80, True),
        ("fd12::/16", "inner", "fd12::1", 80, True),
        ("inner", "inner", "10.1.1.1", 80, False),
        ("api.example.", "api.example", "1.1.1.1", 443, True),
        ("b\u00fccher.example", "xn--bcher-kva.example", "1.1.1.1", 443, True),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", "1.1.1.1", 443, True),
        ("*.b\u00fccher.example", "a.xn--bcher-kva.example", "1.1.1.1", 443, True),
        ("::/0", "inner", "::ffff:10.1.1.1", 80, False),
        ("::/0", "inner", "64:ff9b::a01:101", 80, False),
        ("10.0.0.0/8", "inner", "::ffff:10.1.1.1", 80, True),
        ("[fd12::1]", "inner", "fd12::1", 80, True),
        ("10.1.1.1/8", "inner", "10.2.2.2", 80, True),
    ],
)
def test_allow_hosts_is_the_whole_list(
    entry: str, host: str, address: str, port: int, allowed: bool
) -> None:
    policy = EgressPolicy(allow_hosts=(entry,))
    assert (refusal(host, ipaddress.ip_address(address), port, policy) is None) == allowed


@pytest.mark.parametrize(
    "host", ["0x7f.1", "2130706433", "0177.0.0.1", "127.1", "localhost", "::1"]
)
async def test_other_spellings_of_the_loopback_are_seen_through(host: str) -> None:
    with trio.fail_after(10), pytest.raises(OpcodeError) as caught:
        await resolve(host, 80, EgressPolicy())
    assert caught.value.code is ErrorCode.PERMISSION_DENIED
    assert "allow_private" in caught.value.message


async def test_what_is_connected_to_is_the_checked_address() -> None:
    assert await resolve("127.1", 80, OPEN) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "http://api.example",
        "api.example/path",
        "api.example:0",
        "api.example:65536",
        "api.example:http",
        "a.*.example",
        "10.0.0.0/33",
        "[fd12::1",
        "[fd12::1]80",
        "api..example",
        "-api.example",
        "a b",
        "\u2488.example",
    ],
)
def test_an_entry_that_says_nothing_is_an_error_that_names_it(entry: str) -> None:
    policy = EgressPolicy(allow_hosts=("fine.example", entry))
    with pytest.raises(OpcodeError) as caught:
        check_egress(policy)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    assert repr(entry) in caught.value.message
    with pytest.raises(OpcodeError):
        refusal("fine.example", ipaddress.ip_address("1.1.1.1"), 443, policy)


@pytest.mark.parametrize("proxy", [None, "http://p:3128", "https://u:p@proxy.example"])
def test_a_proxy_is_a_url(proxy: str | None) -> None:
    check_egress(EgressPolicy(http_proxy=proxy))


def test_a_zone_is_never_reached() -> None:
    for text in ("fe80::1%eth0", "2606:4700::1111%eth0", "::1%lo"):
        assert reach_of(ipaddress.ip_address(text)) == "never"


async def test_a_name_without_addresses_is_refused() -> None:
    async def nothing(host: str, port: int) -> list[str]:
        return ["nonsense"]

    with pytest.raises(OpcodeError) as caught:
        await resolve("name.example", 80, OPEN, nothing)
    assert "no address" in caught.value.message
