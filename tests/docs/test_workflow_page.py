"""The ten patterns of the page about the language: each is saved, defined and run as it stands by a real daemon."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from opcode_runtime.core.planning import HOOK_TIMEOUT_S
from opcode_runtime.core.validation.shape import STEP_TYPES
from opcode_runtime.engine.workflow import REST_S
from opcode_runtime.model.settings import Limits

from .blocks import LANGUAGE, Block, blocks
from .reader import Reader

PATTERNS = (
    "Linear",
    "Branch",
    "For-each",
    "Fan-out",
    "Approval",
    "Recovery",
    "Sub-workflow",
    "Nested",
    "Lifecycle",
    "Scripts",
)
TEXT = LANGUAGE.read_text("utf-8")


def _headings() -> dict[str, int]:
    """The patterns that the page has, and the line each begins in."""
    found = re.finditer(r"^### (.+)$", TEXT, re.MULTILINE)
    return {each[1]: TEXT.count("\n", 0, each.start()) + 1 for each in found}


def blocks_in(pattern: str) -> list[Block]:
    """The blocks of one pattern."""
    begins = _headings()
    ends = min((line for line in begins.values() if line > begins[pattern]), default=1 << 30)
    return [block for block in blocks(LANGUAGE) if begins[pattern] < block.line < ends]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody who has read the page up to the first pattern: a daemon runs."""
    folder, home = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("home")
    reader = Reader(folder, home)
    first = min(_headings().values())
    try:
        reader.follow([block for block in blocks(LANGUAGE) if block.line < first])
        yield reader
        reader.leave()
    finally:
        reader.give_up()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_does_what_the_page_shows(pattern: str, reader: Reader) -> None:
    reader.follow(blocks_in(pattern), whole=True)


def test_the_ten_patterns_are_on_the_page_and_nothing_else_is() -> None:
    assert tuple(_headings()) == PATTERNS


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_has_a_definition_and_shows_what_each_of_its_runs_prints(
    pattern: str,
) -> None:
    found = blocks_in(pattern)
    assert any(block.language == "json" for block in found)
    for before, behind in zip(found, [*found[1:], None], strict=True):
        if before.language == "console":
            assert behind is not None
            assert behind.language == "text", before.place
    assert sum(block.language == "console" for block in found) >= 1


def test_every_type_of_step_is_shown_at_work() -> None:
    documents = [json.loads(block.text) for block in blocks(LANGUAGE) if block.language == "json"]
    text = json.dumps(documents)
    assert [kind for kind in STEP_TYPES[1:] if f'"type": "{kind}"' not in text] == []


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    limits = Limits()
    text = " ".join(TEXT.split())
    said = (
        f"more than {limits.iterations_max:,} iterations",
        f"begin {limits.executions_max:,} attempts",
        f"reopened {limits.reopenings_max} times",
        f"keeps {limits.inbox_max:,} signals",
        f"{limits.depth_max} deep",
        f"`CIRCUIT_OPEN` for {limits.breaker_cooldown_s:.0f} seconds",
        f"for longer than {REST_S:.0f} seconds",
        f"a timeout of {HOOK_TIMEOUT_S:.0f} seconds",
    )
    assert [words for words in said if words not in text] == []
    assert [words for words in ("five times in a row", "eight deep") if words not in text] == []
    assert (limits.breaker_failures_max, limits.nesting_max) == (5, 8)
