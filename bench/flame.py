"""A flame graph of folded stacks, as SVG: `python -m bench.flame < stacks > flame.svg`.

The stacks are lines of `frame;frame;… count`, as py-spy and others write them (`py-spy record -f raw -t`). Width is the
share of samples, so of time; colours only tell neighbours apart. A frame's whole name shows when the pointer rests
on it.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape

WIDTH_PX, ROW_PX, CHARACTER_PX = 1_200, 16, 6.2
LEAST_PX = 0.7
"""Frames narrower than this are left out."""

_LINE = re.compile(r":\d+\)")
_THREADS = {"MainThread": "the loop", "journal-writer": "journal writer"}


@dataclass(slots=True)
class Frame:
    """One function below its callers."""

    count: int = 0
    inner: dict[str, Frame] = field(default_factory=dict)


def folded(lines: Iterable[str]) -> Frame:
    """All stacks in one tree, lines of one function together."""
    root = Frame()
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        at = root
        at.count += int(count)
        for name in (_named(part) for part in stack.split(";")):
            at = at.inner.setdefault(name, Frame())
            at.count += int(count)
    return root


def _named(frame: str) -> str:
    thread = re.fullmatch(r"thread \(\d+\)(?:: (?P<name>.*))?", frame)
    if thread is None:
        return _LINE.sub(")", frame)
    name = (thread["name"] or "").partition(" ")[0]
    return _THREADS.get(name, "another thread")


def drawn(root: Frame) -> str:
    """The picture."""
    boxes = list(_boxes("", root, 0.0, -1))
    height = (max(depth for _, _, _, depth, _ in boxes) + 1) * ROW_PX
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {height}" '
    rows = [head + 'font-family="monospace" font-size="10">']
    for name, left, width, depth, share in boxes:
        top = height - (depth + 1) * ROW_PX
        shade = zlib.crc32(name.encode()) % 50
        fits = int((width - 4) / CHARACTER_PX)
        text = name if len(name) <= fits else name[: max(0, fits - 1)] + "…" * (fits > 3)
        rows.append(
            f'<g><title>{escape(name)}: {share:.1%}</title><rect x="{left:.1f}" y="{top}" width="{width:.1f}" '
            f'height="{ROW_PX - 1}" fill="hsl({20 + shade}, 70%, {66 + shade % 9}%)"/>'
            f'<text x="{left + 2:.1f}" y="{top + 11}">{escape(text) if fits > 3 else ""}</text></g>'
        )
    return "\n".join([*rows, "</svg>", ""])


def _boxes(
    name: str, frame: Frame, left: float, depth: int, whole: int = 0
) -> Iterator[tuple[str, float, float, int, float]]:
    whole = whole or frame.count
    width = WIDTH_PX * frame.count / whole
    if width < LEAST_PX:
        return
    if depth >= 0:
        yield name, left, width, depth, frame.count / whole
    for each, inner in sorted(frame.inner.items()):
        yield from _boxes(each, inner, left, depth + 1, whole)
        left += WIDTH_PX * inner.count / whole


if __name__ == "__main__":
    sys.stdout.write(drawn(folded(sys.stdin)))
