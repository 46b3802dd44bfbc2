"""Names of things: workflow ids, step paths, decision ids, idempotency keys.

A step path joins the ids on the way down with `.`; a step that was reset carries `#n` on its own segment. In a path
the characters `.`, `#`, `/`, `%` and control characters of an id are percent-encoded, so a path splits in one way only.
"""

from __future__ import annotations

import hashlib
import re

_MARK = re.compile(r"#\d+")
_RESERVED = re.compile(r"[.#/%\x00-\x1f\x7f]")


def encode_segment(segment: str) -> str:
    """Encode one id or branch key for use in a path.

    >>> encode_segment("v1.2")
    'v1%2E2'
    """
    return _RESERVED.sub(lambda found: f"%{ord(found[0]):02X}", segment)


def unmarked(path: str) -> str:
    """A path without the marks of attempts.

    >>> unmarked("route#2.true.x")
    'route.true.x'
    """
    return _MARK.sub("", path)


def child_id(workflow_id: str, path: str, attempt: int) -> str:
    """The id of the sub-workflow that an attempt of a step runs (hex, 32 characters)."""
    name = f"child\x00{workflow_id}\x00{path}\x00{attempt}"
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def decision_id(workflow_id: str, path: str, opening: int) -> str:
    """Name the `opening`-th decision (1-based) that the step at `path` has asked.

    >>> decision_id("w", "ship", 2)
    'w_ship#2'
    """
    suffix = "" if opening == 1 else f"#{opening}"
    return f"{workflow_id}_{path}{suffix}"


def idempotency_key(workflow_id: str, path: str, resets: int = 0) -> str:
    """The key an action passes on to the outside (hex, 32 characters).

    The same for every attempt of a step; a step that was reset `resets` times has a new one.
    """
    mark = f"#{resets + 1}" if resets else ""
    name = f"{workflow_id}\x00{path}{mark}"
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def jitter_fraction(workflow_id: str, path: str, attempt: int) -> float:
    """A number in [0, 1) that is the same in every replay, for spreading retries."""
    seed = hashlib.blake2b(f"{workflow_id}\x00{path}\x00{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(seed, "big") / 2**64
