"""crypto.*: digests, keyed digests, random ids."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import Any

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.registry import action

_ALGORITHM: dict[str, Any] = {
    "type": "string",
    "enum": ["sha256", "sha384", "sha512", "sha1", "md5"],
    "description": "sha256 when left out.",
}
_HASH: dict[str, Any] = {
    "type": "object",
    "properties": {"data": {"type": "string"}, "algorithm": _ALGORITHM},
    "required": ["data"],
}
_HMAC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "data": {"type": "string", "x-secret": True},
        "key": {"type": "string", "x-secret": True},
        "algorithm": _ALGORITHM,
    },
    "required": ["data", "key"],
}
_UUID: dict[str, Any] = {"type": "object", "properties": {}}


def _texts(*names: str) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": list(names)}


@action("crypto.hash", kind="pure", params=_HASH, output=_texts("hash", "algorithm"))
def crypto_hash(params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """The digest of a text (UTF-8), in hex."""
    algorithm = params.get("algorithm", "sha256")
    digest = hashlib.new(algorithm, params["data"].encode(), usedforsecurity=False)
    return {"hash": digest.hexdigest(), "algorithm": algorithm}


@action("crypto.hmac", kind="pure", params=_HMAC, output=_texts("hmac", "algorithm"))
def crypto_hmac(params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """The keyed digest (HMAC, RFC 2104) of a text, in hex."""
    algorithm = params.get("algorithm", "sha256")
    digest = hmac.new(params["key"].encode(), params["data"].encode(), algorithm)
    return {"hmac": digest.hexdigest(), "algorithm": algorithm}


@action("crypto.uuid", kind="pure", params=_UUID, output=_texts("uuid"))
def crypto_uuid(_params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """A random UUID (version 4, RFC 9562)."""
    return {"uuid": str(uuid.uuid4())}
