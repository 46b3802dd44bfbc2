"""The top level of a definition: its own keys, and what others write there."""

from __future__ import annotations

from typing import Any

from opcode_runtime.core.validation.findings import Findings, Patch, pointer
from opcode_runtime.core.validation.shape import check_object

_TITLE_KEYS = ("name", "description", "version", "author", "tags", "category", "features", "title")
"""What other languages write beside the steps; here it is `metadata`."""
_BESIDE_KEYS = ("input_schema", "output_schema", "triggers", "permissions")


def check_top(found: Findings, document: dict[str, Any]) -> bool:
    """Check the keys of a definition and their values; whether it has a list of steps to look at."""
    if _is_wrapped(found, document):
        return False
    titles = [key for key in _TITLE_KEYS if key in document]
    beside = [key for key in _BESIDE_KEYS if key in document]
    _say_titles(found, document, titles)
    for key in beside:
        found.error(
            pointer(key),
            f"{key!r} is an argument of define, beside the definition",
            patch=[{"op": "remove", "path": pointer(key)}],
        )
    check_object(found, "", document, "workflow", skip=(*titles, *beside))
    return isinstance(document.get("steps"), list)


def _is_wrapped(found: Findings, document: dict[str, Any]) -> bool:
    """Whether this is a whole template, with the definition as one of its keys."""
    inner = document.get("definition")
    if "steps" in document or not isinstance(inner, dict) or "steps" not in inner:
        return False
    patch = [{"op": "move", "from": pointer("definition"), "path": ""}]
    message = "this is a template: send its 'definition' alone, and its schemas beside it"
    found.error(pointer("definition"), message, patch=patch)
    return True


def _say_titles(found: Findings, document: dict[str, Any], titles: list[str]) -> None:
    """Note keys that describe the workflow; the first brings the repair for all."""
    metadata = document.get("metadata", {})
    free = [key for key in titles if isinstance(metadata, dict) and key not in metadata]
    for index, key in enumerate(titles):
        patch: Patch = []
        if "metadata" not in document:
            patch.append({"op": "add", "path": pointer("metadata"), "value": {}})
        patch += [
            {"op": "move", "from": pointer(name), "path": pointer("metadata", name)}
            for name in free
        ]
        found.error(
            pointer(key),
            f"unknown key {key!r}; what describes a definition belongs into 'metadata'",
            did_you_mean="metadata",
            patch=patch if index == 0 and free else [{"op": "remove", "path": pointer(key)}],
        )
