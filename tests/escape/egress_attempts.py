"""Ways to where `http.*` must not come. Each works once the fence is down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from opcode_runtime.actions.settings import ActionSettings
from tests.escape.network import OTHER, PUBLIC, Page, World, answer, moved

NAMED = {
    "public.test": [[PUBLIC]],
    "api.test": [[PUBLIC]],
    "evil.test": [[OTHER]],
    "localhost": [["127.0.0.1", "::1"]],
    "ip6-localhost": [["::1"]],
}
API_ONLY = ActionSettings(allow_hosts=("api.test",))


@dataclass
class Attempt:
    """One way.

    Arguments:
        title: what is tried.
        url: where the request goes.
        names: what the resolver says beside `NAMED`.
        pages: what servers answer that are no target.
        allowed: addresses that may be reached on the way; any other one is an escape.
    """

    title: str
    url: str
    names: dict[str, list[list[str]]] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    settings: ActionSettings = field(default_factory=ActionSettings)
    params: dict[str, Any] = field(default_factory=dict)
    name: str = "http.get"
    allowed: frozenset[str] = frozenset({PUBLIC})

    def world(self) -> World:
        """A new world for one try."""
        names = {name: [list(each) for each in answers] for name, answers in self._names()}
        return World(names, dict(self.pages))

    def _names(self) -> Iterator[tuple[str, list[list[str]]]]:
        yield from (NAMED | self.names).items()


SPELLINGS = {
    "loopback": "127.0.0.1",
    "the loopback's other end": "127.8.8.8",
    "a private network": "10.0.0.1",
    "a private network in the middle": "172.16.5.4",
    "a private network at home": "192.168.1.1",
    "addresses shared by a carrier": "100.64.0.1",
    "benchmarks": "198.18.0.1",
    "documentation": "203.0.113.5",
    "protocol assignments": "192.0.0.8",
    "the relay of 6to4": "192.88.99.1",
    "this host": "0.0.0.0",
    "this host in one digit": "0",
    "loopback in decimal": "2130706433",
    "loopback in hexadecimal": "0x7f000001",
    "loopback in hexadecimal parts": "0x7f.0x0.0x0.0x1",
    "loopback in two parts": "127.1",
    "loopback in three parts": "127.0.1",
    "loopback in two parts, one hexadecimal": "0x7f.1",
    "loopback in octal": "017700000001",
    "loopback with ideographic dots": "127\u30020\u30020\u30021",
    "metadata": "169.254.169.254",
    "metadata in decimal": "2852039166",
    "metadata in hexadecimal": "0xa9fea9fe",
    "metadata of containers": "169.254.170.2",
    "metadata of another cloud": "100.100.100.200",
    "metadata of a third": "168.63.129.16",
    "metadata of a fourth": "192.0.0.192",
    "broadcast": "255.255.255.255",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "loopback in IPv6": "[::1]",
    "loopback in IPv6, written out": "[0:0:0:0:0:0:0:1]",
    "nothing in IPv6": "[::]",
    "mapped loopback": "[::ffff:127.0.0.1]",
    "mapped loopback in hexadecimal": "[::ffff:7f00:1]",
    "mapped metadata": "[::ffff:a9fe:a9fe]",
    "compatible loopback": "[::127.0.0.1]",
    "translated loopback": "[::ffff:0:127.0.0.1]",
    "loopback by NAT64": "[64:ff9b::7f00:1]",
    "metadata by NAT64": "[64:ff9b::a9fe:a9fe]",
    "a private network by local NAT64": "[64:ff9b:1::a00:1]",
    "metadata by local NAT64 of 48 bits": "[64:ff9b:1:a9fe:a9:fe00::]",
    "loopback by 6to4": "[2002:7f00:1::1]",
    "metadata by 6to4": "[2002:a9fe:a9fe::]",
    "a private client of Teredo": "[2001:0:808:808:0:0:f5ff:fffe]",
    "a private server of Teredo": "[2001:0:a00:1:0:0:f7f7:f7f7]",
    "a private network by ISATAP": "[2606:4700::5efe:a00:1]",
    "link-local": "[fe80::1]",
    "site-local": "[fec0::1]",
    "unique local": "[fd12::1]",
    "metadata in IPv6": "[fd00:ec2::254]",
    "metadata in IPv6 of another cloud": "[fd20:ce::254]",
    "multicast in IPv6": "[ff02::1]",
    "documentation in IPv6": "[2001:db8::1]",
    "new documentation in IPv6": "[3fff::1]",
    "segment routing": "[5f00::1]",
    "discard": "[100::1]",
    "a name of this machine": "localhost",
    "its name in capitals": "LOCALHOST",
    "its name with a dot": "localhost.",
    "its name in IPv6": "ip6-localhost",
    "a port of a shell": "127.0.0.1:22",
    "a port of a database": "[::1]:6379",
    "a user in front": "public.test@127.0.0.1",
    "two users in front": "public.test@evil.test@127.0.0.1",
    "a backslash in front": "public.test\\@127.0.0.1",
    "spaces and marks": "1.1.1.1 &@127.0.0.1# @3.3.3.3",
}
"""Where to, by what it is."""

RESOLVED = {
    "a name for the loopback": ["127.0.0.1"],
    "a name for metadata": ["169.254.169.254"],
    "a name for a mapped address": ["::ffff:10.0.0.1"],
    "a name for a zone": ["fe80::1%2"],
    "a name for several": ["10.0.0.1", "::1", "192.168.0.1"],
    "a private address beside a public one": ["10.0.0.1", PUBLIC],
    "a private address behind a public one": [PUBLIC, "10.0.0.1"],
}
"""What a name of the attacker's resolves to."""

LOCATIONS = {
    "to the loopback": "http://127.0.0.1/",
    "to metadata": "http://169.254.169.254/latest/meta-data",
    "to a decimal address": "http://2130706433/",
    "without a scheme": "//127.0.0.1/",
    "to another scheme": "https://127.0.0.1/",
    "to a private name": "http://inner.test/",
    "to mapped loopback": "http://[::ffff:127.0.0.1]/",
    "past a user": "http://public.test@127.0.0.1/",
}
"""Where an allowed server sends us."""

UNLISTED = {
    "a host that is not in the list": "http://evil.test/",
    "its address": f"http://{OTHER}/",
    "a longer name": "http://api.test.evil.test/",
    "a name with a longer head": "http://evilapi.test/",
    "the name as a user": "http://api.test@evil.test/",
    "the name as a fragment": "http://evil.test#@api.test/",
    "the name as a query": "http://evil.test?@api.test/",
    "a name below it": "http://x.api.test/",
    "a name that looks like it": "http://\u0430pi.test/",
}
"""Hosts beside the one that `allow_hosts` names."""


def _chain(*stations: str) -> Callable[[Any], bytes]:
    """A server whose paths /0, /1, … lead on, and the last one to `stations`' end."""

    def page(request: Any) -> bytes:
        number = int(request.target.strip("/") or 0)
        return moved(stations[number])

    return page


def _spelled() -> Iterator[Attempt]:
    for title, host in SPELLINGS.items():
        yield Attempt(title, f"http://{host}/", allowed=frozenset())
    yield Attempt("loopback over TLS", "https://127.0.0.1/", allowed=frozenset())


def _resolved() -> Iterator[Attempt]:
    for title, addresses in RESOLVED.items():
        pages: dict[str, Page] = {PUBLIC: b"" if addresses[0] == PUBLIC else answer("harmless")}
        yield Attempt(title, "http://name.test/", {"name.test": [addresses]}, pages)
    rebound = {"name.test": [[PUBLIC], ["10.0.0.1"]]}
    again: dict[str, Page] = {PUBLIC: moved("http://name.test/again")}
    yield Attempt("a name that changes between two hops", "http://name.test/", rebound, again)
    punycode = {"xn--bcher-kva.test": [["10.0.0.1"]]}
    yield Attempt("an international name", "http://b\u00fccher.test/", punycode)


def _redirected() -> Iterator[Attempt]:
    inner = {"inner.test": [["10.0.0.1"]]}
    for title, location in LOCATIONS.items():
        yield Attempt(
            f"redirected {title}", "http://public.test/", inner, {PUBLIC: moved(location)}
        )
    chain = _chain("/1", "http://public.test/2", "http://127.0.0.1/")
    yield Attempt("redirected at the third hop", "http://public.test/0", pages={PUBLIC: chain})
    kept: dict[str, Page] = {PUBLIC: moved("http://127.0.0.1/", "307 Temporary Redirect")}
    yield Attempt(
        "a redirected POST", "http://public.test/", pages=kept, name="http.post", params={"body": 1}
    )


def _unlisted() -> Iterator[Attempt]:
    names = {
        name: [[OTHER]]
        for name in ("api.test.evil.test", "evilapi.test", "x.api.test", "xn--pi-6kc.test")
    }
    for title, url in UNLISTED.items():
        yield Attempt(title, url, names, settings=API_ONLY)
    yield Attempt(
        "redirected to a host that is not in the list",
        "http://api.test/",
        pages={PUBLIC: moved("http://evil.test/")},
        settings=API_ONLY,
    )
    private = {"api.test": [["10.0.0.1"]]}
    yield Attempt(
        "a listed name that turns private", "http://api.test/", private, settings=API_ONLY
    )
    port = ActionSettings(allow_hosts=("api.test:443",))
    yield Attempt("another port", "http://api.test:8080/", settings=port, allowed=frozenset())


def _opened() -> Iterator[Attempt]:
    """Settings that open much, and never everything."""
    private = ActionSettings(allow_private=True)
    whole = ActionSettings(allow_private=True, allow_hosts=("0.0.0.0/0", "::/0"))
    for settings, word in ((private, "private addresses"), (whole, "all networks")):
        for host in ("169.254.169.254", "[fe80::1]", "0.0.0.0", "[64:ff9b::a9fe:a9fe]"):
            yield Attempt(f"{host} where {word} are allowed", f"http://{host}/", settings=settings)
    six = ActionSettings(allow_hosts=("::/0",))
    for host in ("[::ffff:10.0.0.1]", "[2002:a00:1::]", "[64:ff9b::a00:1]"):
        yield Attempt(f"{host} where IPv6 is allowed", f"http://{host}/", settings=six)


ATTEMPTS = [*_spelled(), *_resolved(), *_redirected(), *_unlisted(), *_opened()]
