"""Where expressions begin and end in a text, found without knowing what they mean.

Rule 1: `${{ … }}` ends at the first `}}` outside quotes and outside braces; `$${{` is a literal `${{`.
Rule 2: quotes are `'…'`, `"…"` and their triple forms; a backslash takes the next character with it, and only triple
quotes may hold a line break. Nothing unterminated gets any further than this module: the lexer underneath would
take exponential time over it. A comment goes from `//` to the end of its line.
Rule 3: `??` counts only outside quotes and brackets.
Rule 4: a text that has the form of a path is a path, hyphens and all; in anything else a hyphen is a minus, except in a
known step id after `steps.`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from opcode_runtime.expressions._failures import Malformed
from opcode_runtime.expressions._scope import NAMESPACES, Keys

SOURCE_CHARS_MAX = 16_384
STEP_ID_CHARS_MAX = 2_048

_OPENING = re.compile(r"\$?\$\{\{")
_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(
    r"""\.(?P<name>[A-Za-z0-9_-]+)|\[(?P<index>\d{1,9})\]|\['(?P<one>[^'\\]*)'\]|\["(?P<two>[^"\\]*)"\]"""
)
_STEP_RUN = re.compile(r"""(?<![\w.])steps\.([^\s\[\](){}'",?:!=<>&|+*/]+)""")
_CEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CEL_WORDS = frozenset({"true", "false", "null", "in"})
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


def split_template(text: str) -> list[str | tuple[int, int]]:
    """Cut a text into literal pieces and expressions, the latter as (begin, end) of the inside.

    Raises:
        Malformed: an expression that never ends.
    """
    pieces: list[str | tuple[int, int]] = []
    at = 0
    while (found := _OPENING.search(text, at)) is not None:
        if found.start() > at:
            pieces.append(text[at : found.start()])
        if len(found[0]) == 4:
            pieces.append("${{")
            at = found.end()
            continue
        end = _expression_end(text, found.end())
        pieces.append((found.end(), end))
        at = end + 2
    if at < len(text):
        pieces.append(text[at:])
    return pieces


def unwrapped(text: str) -> tuple[int, int]:
    """Where the inside of a text that is one `${{ … }}` begins and ends; of any other text, the whole."""
    begin = len(text) - len(text.lstrip())
    if not text.startswith("${{", begin):
        return 0, len(text)
    end = _expression_end(text, begin + 3)
    return (begin + 3, end) if not text[end + 2 :].strip() else (0, len(text))


def is_wrapped(text: str) -> bool:
    """Whether a text is one `${{ … }}` and nothing else."""
    try:
        return unwrapped(text) != (0, len(text))
    except Malformed:
        return False


def split_defaults(source: str) -> list[tuple[int, str]]:
    """Cut `a ?? b ?? c` into its sides, each with its offset."""
    sides: list[tuple[int, str]] = []
    begin = skip_to = 0
    for at, char, depth in _outside_quotes(source, 0):
        if depth == 0 and at >= skip_to and char == "?" and source.startswith("??", at):
            sides.append((begin, source[begin:at]))
            begin = skip_to = at + 2
    sides.append((begin, source[begin:]))
    return sides


def parse_path(text: str) -> tuple[str, Keys] | None:
    """Read a path into its namespace and keys; None when it is something else."""
    body = text.strip()
    root = _NAMESPACE.match(body)
    if root is None or root[0] not in NAMESPACES:
        return None
    keys: list[str | int] = []
    at = root.end()
    while at < len(body):
        found = _KEY.match(body, at)
        if found is None:
            return None
        keys.append(_key_of(found))
        at = found.end()
    return root[0], tuple(keys)


def mentioned_step_ids(source: str, known: Container[str]) -> frozenset[str]:
    """The known step ids that a text writes after `steps.`, the longest at each place."""
    found = (_longest_prefix(run[1], known) for run in _STEP_RUN.finditer(source))
    return frozenset(step_id for step_id in found if step_id is not None)


def quote_step_ids(source: str, known: Container[str]) -> tuple[str, list[tuple[int, int]]]:
    """Write known step ids that are no plain names in brackets: `steps.a-b.c` becomes `steps["a-b"].c`.

    Returns:
        The rewritten text, and (end in the new text, characters added so far) for each change.
    """
    quoted = _quoted_ranges(source)
    parts: list[str] = []
    moved: list[tuple[int, int]] = []
    at = added = 0
    for found in _STEP_RUN.finditer(source):
        if any(begin <= found.start() < end for begin, end in quoted):
            continue
        step_id = _longest_prefix(found[1], known)
        if step_id is None or (_CEL_NAME.fullmatch(step_id) and step_id not in _CEL_WORDS):
            continue
        dot = found.start(1) - 1
        end = found.start(1) + len(step_id)
        parts += [source[at:dot], f'["{step_id}"]']
        at, added = end, added + 3
        moved.append((end + added, added))
    return "".join([*parts, source[at:]]), moved


def original_offset(offset: int, moved: list[tuple[int, int]]) -> int:
    """Where an offset into a rewritten text stood before `quote_step_ids`."""
    added = 0
    for end, added_then in moved:
        if offset < end:
            break
        added = added_then
    return offset - added


def _key_of(found: re.Match[str]) -> str | int:
    if found["index"] is not None:
        return int(found["index"])
    return next(text for text in (found["name"], found["one"], found["two"]) if text is not None)


def _longest_prefix(run: str, known: Container[str]) -> str | None:
    for end in range(min(len(run), STEP_ID_CHARS_MAX), 0, -1):
        ends_a_name = end == len(run) or not (run[end].isalnum() or run[end] == "_")
        if ends_a_name and run[:end] in known:
            return run[:end]
    return None


def _expression_end(text: str, begin: int) -> int:
    for at, char, depth in _outside_quotes(text, begin):
        if depth == 0 and char == "}" and text.startswith("}}", at):
            return at
    raise Malformed(begin - 3, "this ${{ has no closing }}")


def _outside_quotes(text: str, begin: int) -> Iterator[tuple[int, str, int]]:
    """Every character outside quotes and comments: its offset, itself, and how many brackets are open before it."""
    open_brackets: list[str] = []
    at = begin
    while at < len(text):
        char = text[at]
        if char in "'\"":
            at = _quote_end(text, at)
            continue
        if char == "/" and text.startswith("//", at):
            at = _line_end(text, at)
            continue
        yield at, char, len(open_brackets)
        if char in _CLOSERS:
            open_brackets.append(_CLOSERS[char])
        elif open_brackets and char == open_brackets[-1]:
            open_brackets.pop()
        at += 1


def _quoted_ranges(text: str) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    last = -1
    for at, _, _ in _outside_quotes(text, 0):
        if at > last + 1:
            ranges.append((last + 1, at))
        last = at
    return [*ranges, (last + 1, len(text))]


def _line_end(text: str, begin: int) -> int:
    end = text.find("\n", begin)
    return len(text) if end < 0 else end


def _quote_end(text: str, begin: int) -> int:
    """The offset after the closing quote of the literal that begins at `begin`."""
    mark = text[begin] * 3 if text.startswith(text[begin] * 3, begin) else text[begin]
    at = begin + len(mark)
    while at < len(text):
        if text.startswith(mark, at):
            return at + len(mark)
        at += text[at] == "\\"
        if len(mark) == 1 and text[at : at + 1] in {"\r", "\n"}:
            break
        at += 1
    raise Malformed(begin, "this quote is never closed")
