"""The pages of the project and the fenced blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

LANGUAGE = ROOT / "docs" / "reference" / "workflow.md"
"""The page of the language, with the ten patterns."""

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: `info` is what stands behind the opening fence, `line` where that is."""

    page: Path
    line: int
    info: str
    text: str

    @property
    def language(self) -> str:
        """The first word of `info`."""
        return self.info.split()[0] if self.info.split() else ""

    @property
    def file(self) -> str | None:
        """The name under which the reader is told to save it."""
        found = re.search(r"\bfile=(\S+)", self.info)
        return found[1] if found else None

    @property
    def place(self) -> str:
        """How messages name it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README.md and everything in docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["info"].strip(), found["text"])
        for found in _FENCE.finditer(text)
    ]


def blocks_of(language: str) -> list[Block]:
    """All blocks in one language, over all pages."""
    return [each for page in pages() for each in blocks(page) if each.language == language]
