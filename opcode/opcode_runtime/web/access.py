"""Who may come in.

Rule 1: Host and Origin are compared with exact lists on every route, so that no web page and no rebound name gets in.
Rule 2: every route but the open ones needs a token when there are tokens. Tokens are kept as digests and compared in
constant time; a token in the query counts on `GET /sse` only, for clients that cannot set headers.
Rule 3: such a client cannot set headers on `POST /messages` either, so its stream tells it a ticket that is good for
that, as long as the stream lives.
Rule 4: credentials stop here: what the request is handed on with holds neither headers nor queries that prove anything.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

from opcode_runtime.engine.requests import ANONYMOUS
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.web.binding import Address
from opcode_runtime.web.refusals import RefusedError, Scope

OPERATOR = "operator"
"""The principal that the daemon's own token proves."""

_OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_OPEN_PREFIX = "/.well-known/"
_CREDENTIAL_HEADERS = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
_CREDENTIAL_QUERIES = ("token", "ticket")
_PLAIN_QUERY = re.compile(rb"(?:session_id=[0-9a-f]{32})?")
"""The query of a client that proves itself by a header, or need not: as the SDK makes it, with nothing to take out."""

_ADDRESSES_MAX = 256
"""Of so many addresses at which this is reached the allowed names are kept; of others they are made each time."""


class AllowedNames:
    """The Host and Origin values that are answered.

    Arguments:
        addresses: where the front is bound.
        base_url: the address under which a proxy makes it known, if any.
    """

    def __init__(self, addresses: Iterable[Address], base_url: str | None = None) -> None:
        names = {"localhost", "127.0.0.1", "[::1]"}
        self._hosts = {host for _, port in addresses for host in _with_port(names, port)}
        self._origins = {f"http://{host}" for host in self._hosts}
        if base_url is not None:
            parts = urlsplit(base_url)
            self._hosts.add(parts.netloc.lower())
            self._origins.add(f"{parts.scheme}://{parts.netloc}".lower())
        self._here: dict[Address, tuple[frozenset[str], frozenset[str]]] = {}

    def check(self, scope: Scope) -> None:
        """Compare the Host and Origin of a request.

        Raises:
            RefusedError: 403.
        """
        allowed_hosts, allowed_origins = self._allowed_at(scope)
        hosts, origins = header_values(scope, b"host"), header_values(scope, b"origin")
        if len(hosts) != 1 or hosts[0] not in allowed_hosts:
            raise RefusedError(
                403,
                ErrorCode.PERMISSION_DENIED,
                "This Host is not served: use the address that the daemon listens on, or set base_url.",
            )
        if any(origin not in allowed_origins for origin in origins):
            raise RefusedError(
                403, ErrorCode.PERMISSION_DENIED, "Requests from this Origin are not served."
            )

    def _allowed_at(self, scope: Scope) -> tuple[frozenset[str], frozenset[str]]:
        """The hosts and origins that are answered at the address that the peer connected to."""
        at: Address = (scope.get("server") or ("", 0))[:2]
        found = self._here.get(at)
        if found is None:
            here = _local_hosts(*at)
            origins = self._origins | {f"http://{host}" for host in here}
            found = frozenset(self._hosts | here), frozenset(origins)
            if len(self._here) < _ADDRESSES_MAX:
                self._here[at] = found
        return found


def _with_port(names: Iterable[str], port: int) -> set[str]:
    bare = set(names) if port == 80 else set[str]()
    return {f"{name}:{port}" for name in names} | bare


def _local_hosts(host: str, port: int) -> set[str]:
    """The address that a peer connected to: a literal, so no name can be rebound to it."""
    return _with_port({f"[{host}]" if ":" in host else host}, port) if host else set()


def header_values(scope: Scope, name: bytes) -> list[str]:
    """All values of one header, lower-cased."""
    return [
        value.decode("latin-1").strip().lower() for key, value in scope["headers"] if key == name
    ]


class Credentials:
    """The tokens that are known, and the tickets of the streams that live.

    Arguments:
        tokens: principal by token; empty means that tokens are off.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._principals = {_digest(token): principal for token, principal in tokens.items()}
        self._tickets: dict[bytes, str] = {}

    def principal_of(self, scope: Scope) -> str:
        """Say who sent a request.

        Raises:
            RefusedError: 401 when the request proves nobody.
        """
        if not self._principals or _is_open(scope["path"]):
            return ANONYMOUS
        principal = _known(self._principals, _bearer(scope)) or self._by_query(scope)
        if principal is None:
            raise RefusedError(
                401,
                ErrorCode.PERMISSION_DENIED,
                "This needs a token: send the header Authorization: Bearer <token>.",
                www_authenticate="Bearer",
            )
        return principal

    def is_by_query(self, scope: Scope) -> bool:
        """Whether it takes the query to prove who opens this stream."""
        return bool(self._principals) and _known(self._principals, _bearer(scope)) is None

    @contextmanager
    def ticket(self, principal: str) -> Iterator[str]:
        """A ticket for `POST /messages`, good inside the block."""
        ticket = secrets.token_urlsafe(24)
        self._tickets[_digest(ticket)] = principal
        try:
            yield ticket
        finally:
            del self._tickets[_digest(ticket)]

    def _by_query(self, scope: Scope) -> str | None:
        route = (scope["method"], scope["path"])
        if header_values(scope, b"authorization"):
            return None
        if route == ("GET", "/sse"):
            return _known(self._principals, _query_value(scope, "token"))
        if route == ("POST", "/messages"):
            return _known(self._tickets, _query_value(scope, "ticket"))
        return None


def without_credentials(scope: Scope) -> Scope:
    """A copy of a scope that proves nothing to whoever sees it."""
    return {
        **scope,
        "headers": [pair for pair in scope["headers"] if pair[0] not in _CREDENTIAL_HEADERS],
        "query_string": _without_proofs(scope["query_string"]),
    }


def _without_proofs(query: bytes) -> bytes:
    if _PLAIN_QUERY.fullmatch(query):
        return query
    fields = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    kept = {name: values for name, values in fields.items() if name not in _CREDENTIAL_QUERIES}
    return urlencode(kept, doseq=True).encode()


def _is_open(path: str) -> bool:
    return path in _OPEN_PATHS or path.startswith(_OPEN_PREFIX)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _known(book: Mapping[bytes, str], token: str | None) -> str | None:
    if token is None:
        return None
    digest, found = _digest(token), None
    for known, principal in list(book.items()):
        if hmac.compare_digest(known, digest):
            found = principal
    return found


def _bearer(scope: Scope) -> str | None:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1:
        return None
    kind, _, token = values[0].decode("latin-1").strip().partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _query_value(scope: Scope, name: str) -> str | None:
    try:
        values = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20).get(name, [])
    except ValueError:
        return None
    return values[0] if len(values) == 1 else None
