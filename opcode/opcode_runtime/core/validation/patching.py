"""JSON Patch (RFC 6902) over plain JSON values."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from opcode_runtime.core.validation.findings import Patch, pointer


def apply_patch(document: Any, patch: Patch) -> Any:
    """The document with a patch applied; the one given stays as it is.

    Raises:
        ValueError: an operation is malformed, names a place that is not there, a `test` does not hold, or the
            document is nested too deeply to be copied.
    """
    holder = {"": _copied(document)}
    for operation in patch:
        try:
            _OPERATIONS[operation["op"]](holder, operation)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(f"patch operation {operation!r} cannot be applied") from error
    return holder[""]


def as_meant(document: Any, patches: Iterable[Patch | None]) -> Any:
    """The document with every patch that can be applied and touches nothing that another one has touched.

    One that is nested too deeply to be copied comes back as it is.
    """
    try:
        holder = {"": _copied(document)}
    except ValueError:
        return document
    done: set[str] = set()
    for patch in patches:
        names = touched(patch or [])
        if patch is None or _overlap(names, done):
            continue
        try:
            for operation in patch:
                _OPERATIONS[operation["op"]](holder, operation)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
        done |= names
    return holder[""]


def _copied(document: Any) -> Any:
    try:
        return copy.deepcopy(document)
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None


def _overlap(names: set[str], done: set[str]) -> bool:
    """Whether one of the pointers is at or below one that is done."""
    return any(
        name[:end] in done
        for name in names
        for end in range(1, len(name) + 1)
        if end == len(name) or name[end] == "/"
    )


def touched(patch: Patch) -> set[str]:
    """Every pointer that a patch names."""
    return {operation[key] for operation in patch for key in ("path", "from") if key in operation}


def parts_of(place: str) -> list[str]:
    """The parts of a JSON pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in place.split("/")[1:]]


def spelled(place: str) -> str:
    """A pointer as messages write it.

    >>> spelled("/steps/0/config/body/1")
    'steps[0].config.body[1]'
    """
    parts = parts_of(place)
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts).removeprefix(
        "."
    )


def value_at(document: Any, place: str) -> Any:
    """The value that a pointer names.

    Raises:
        LookupError: there is none.
    """
    for part in parts_of(place):
        if isinstance(document, list):
            document = document[_index(document, part)]
        elif isinstance(document, dict):
            document = document[part]
        else:
            raise LookupError(place)
    return document


def _find(holder: dict[str, Any], place: str) -> tuple[Any, Any]:
    """The object or list that holds what a pointer names, and its key there."""
    if place and not place.startswith("/"):
        raise KeyError(place)
    value: Any = holder
    key: Any = ""
    for part in parts_of(place):
        value = value[key]
        key = _index(value, part) if isinstance(value, list) else part
    return value, key


def _index(value: list[Any], part: str) -> int:
    if part == "-":
        return len(value)
    if not part.isascii() or not part.isdigit() or (part != "0" and part.startswith("0")):
        raise KeyError(part)
    return int(part)


def _add(holder: dict[str, Any], operation: dict[str, Any]) -> None:
    _put(holder, operation["path"], copy.deepcopy(operation["value"]))


def _put(holder: dict[str, Any], place: str, value: Any) -> None:
    target, key = _find(holder, place)
    if isinstance(target, list):
        if key > len(target):
            raise IndexError(place)
        target.insert(key, value)
    else:
        target[key] = value


def _take(holder: dict[str, Any], place: str) -> Any:
    target, key = _find(holder, place)
    return target.pop(key)


def _remove(holder: dict[str, Any], operation: dict[str, Any]) -> None:
    _take(holder, operation["path"])


def _replace(holder: dict[str, Any], operation: dict[str, Any]) -> None:
    target, key = _find(holder, operation["path"])
    _ = target[key]  # only what is there can be replaced
    target[key] = copy.deepcopy(operation["value"])


def _move(holder: dict[str, Any], operation: dict[str, Any]) -> None:
    if operation["path"].startswith(operation["from"] + "/"):
        raise KeyError(operation["path"])
    _put(holder, operation["path"], _take(holder, operation["from"]))


def _copy(holder: dict[str, Any], operation: dict[str, Any]) -> None:
    target, key = _find(holder, operation["from"])
    _put(holder, operation["path"], copy.deepcopy(target[key]))


def _expect(holder: dict[str, Any], operation: dict[str, Any]) -> None:
    target, key = _find(holder, operation["path"])
    if target[key] != operation["value"]:
        raise KeyError(pointer(operation["path"]))


_OPERATIONS = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _expect,
}
