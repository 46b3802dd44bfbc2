"""Two lives of the same workflow side by side: their ending, and their journals but for what a crash explains.

Journals are compared step by step, since branches that run beside each other may be written in either order. Left out
are times, ids that are drawn at random, numbers of attempts, and noise (book.py).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from opcode_runtime.drill.book import Book, kind_of
from opcode_runtime.model import events as ev
from opcode_runtime.model.record import Record

_LEFT_OUT = frozenset(
    {
        "at",
        "attempt",
        "child_workflow_id",
        "cwd",
        "decision_id",
        "down_s",
        "duration_ms",
        "key",
        "parent_workflow_id",
        "principal",
        "resolved_at",
        "running_since",
        "signal_seq",
        "timeout_at",
        "waited",
        "wake_at",
        "workflow_id",
    }
)
_TIMES = (
    re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"),
    re.compile(r"\b17[5-9]\d{7}(\.\d+)?\b"),
)
_SHOWN_CHARACTERS = 160

Journal = dict[tuple[str, str], list[str]]


def journal_of(records: Sequence[Record]) -> Journal:
    """A journal as it is compared: the events of each step, in order, as text."""
    book = Book()
    lines: dict[tuple[str, str], list[str]] = {}
    unordered: set[tuple[str, str]] = set()
    for record in records:
        if not book.take(record.stream, record.event):
            continue
        path = getattr(record.event, "step_id", None) or ""
        place = (book.name_of(record.stream), path)
        lines.setdefault(place, []).append(_line(record.event))
        if not path or kind_of(record.event).startswith(("loop_", "parallel_")):
            unordered.add(place)
    named = {place: [_named(line, book) for line in each] for place, each in lines.items()}
    return {k: sorted(each) if k in unordered else each for k, each in named.items()}


def _line(event: ev.AnyEvent) -> str:
    payload = ev.to_payload(event)
    kind = payload.pop("type", kind_of(event))
    return f"{kind} {json.dumps(_plain(payload), sort_keys=True, ensure_ascii=False)}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key not in _LEFT_OUT}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _named(line: str, book: Book) -> str:
    for workflow_id, name in book.names.items():
        line = line.replace(workflow_id, f"<{name or 'workflow'}>")
    for pattern in _TIMES:
        line = pattern.sub("<time>", line)
    return line


def first_difference(twin: Journal, other: Journal, book: Book) -> str | None:
    """Where two journals part, as a sentence; None when they say the same. `book` is that of the other life."""
    for place in [*twin, *(place for place in other if place not in twin)]:
        mine, theirs = twin.get(place, []), other.get(place, [])
        if mine != theirs and not book.is_probe(*place):
            return _difference(place, mine, theirs)
    return None


def _difference(place: tuple[str, str], twin: list[str], other: list[str]) -> str:
    """The first event that one of them has and the other has not; where they hold the same, their order differs."""
    missing = list((Counter(twin) - Counter(other)).elements())
    extra = list((Counter(other) - Counter(twin)).elements())
    where = f"step {place[1]}" if place[1] else "the workflow"
    if place[0]:
        where += f" of {place[0]}"
    if not missing and not extra:
        return f"{where}: the same events in another order"
    mine = missing[0] if missing else "nothing more"
    theirs = extra[0] if extra else "nothing more"
    return f"{where}: the twin has {_around(mine, theirs)}, this life {_around(theirs, mine)}"


def _around(text: str, other: str) -> str:
    """The part of a line in which it differs from another."""
    same = next((n for n, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0)
    start = max(0, same - _SHOWN_CHARACTERS // 2)
    kind = text.partition(" ")[0]
    cut = text[start : start + _SHOWN_CHARACTERS]
    return cut if start == 0 else f"{kind} …{cut}"
