"""What actions share between calls: connection pools, opened at first need, closed with the runtime."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from opcode_runtime.actions.egress import EgressPolicy
from opcode_runtime.model.errors import ErrorCode, OpcodeError

if TYPE_CHECKING:
    from opcode_runtime.actions.http_transport import GuardedTransport

_CLOSE_DEADLINE_S = 5.0


class ActionResources:
    """One per runtime. A pool never serves two policies, so that reloaded settings hold at once."""

    def __init__(self) -> None:
        self._transports: dict[tuple[EgressPolicy, bool], GuardedTransport] = {}
        self._opening = trio.Lock()

    async def http_transport(self, policy: EgressPolicy, *, verify: bool) -> GuardedTransport:
        """The pool for a policy; `verify` is whether certificates are checked."""
        key = (policy, verify)
        async with self._opening:
            if key not in self._transports:
                from opcode_runtime.actions.http_transport import GuardedTransport

                context = await trio.to_thread.run_sync(_tls_context, verify)
                self._transports[key] = GuardedTransport(policy, context)
        return self._transports[key]

    async def aclose(self) -> None:
        """Close every pool, the last opened first."""
        while self._transports:
            _, transport = self._transports.popitem()
            with trio.move_on_after(_CLOSE_DEADLINE_S, shield=True):
                await transport.aclose()


@asynccontextmanager
async def open_action_resources() -> AsyncIterator[ActionResources]:
    """What the actions of one runtime share, for as long as the block lasts."""
    resources = ActionResources()
    try:
        yield resources
    finally:
        await resources.aclose()


def _tls_context(verify: bool) -> ssl.SSLContext:
    """The machine's authorities, or those that an operator names by SSL_CERT_FILE or SSL_CERT_DIR."""
    import httpx2

    try:
        return httpx2.create_ssl_context(verify=verify, trust_env=True)
    except OSError as error:
        raise OpcodeError(
            ErrorCode.EXECUTION_ERROR,
            f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error}",
        ) from None
