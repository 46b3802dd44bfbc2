"""How long the front waits for a peer, in one place."""

from __future__ import annotations

import msgspec


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """Every wait of the front that depends on a peer, in seconds.

    Arguments:
        keep_alive_s: for the next request on a connection, and for the head of a request that has begun.
        body_s: for a whole request body.
        send_s: for a peer to take 64 KiB; one that does not is dropped.
        linger_s: for a peer to finish sending what was refused, so that it can read the refusal.
        grace_s: for calls under way when the front is told to stop.
    """

    keep_alive_s: float = 15.0
    body_s: float = 20.0
    send_s: float = 10.0
    linger_s: float = 2.0
    grace_s: float = 1.0
