"""Definitions that others wrote: all are accepted as they stand, and none goes without a test that runs it.

The definitions are no part of the project; see `corpus_dir` in the conftest for where they are looked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import OpcodeError, open_runtime
from opcode_runtime.engine.requests import Define

FOREIGN_MIN = 30


def files(corpus: Path) -> list[Path]:
    """The files with foreign definitions: in the corpus, or in the examples in it."""
    found = sorted(corpus.glob("*.json")) or sorted(corpus.glob("examples/*.json"))
    assert len(found) >= FOREIGN_MIN
    return found


def request_of(foreign: dict[str, Any]) -> Define:
    """The request that defines it, with nothing changed."""
    return Define(
        name=foreign["name"],
        definition=foreign["definition"],
        input_schema=foreign.get("input_schema"),
        agent_id="foreign",
    )


@pytest.mark.needs("corpus")
async def test_every_foreign_definition_is_accepted_as_it_stands(
    tmp_path: Path, corpus: Path, autojump_clock: MockClock
) -> None:
    refused: list[str] = []
    async with open_runtime(tmp_path) as runtime:
        for path in files(corpus):
            request = request_of(json.loads(path.read_text()))
            try:
                await runtime.router.handle(request, principal="test")
            except OpcodeError as error:
                refused += [f"{path.stem}{each.pointer}: {each.message}" for each in error.problems]
                refused += [] if error.problems else [f"{path.stem}: {error}"]
            await trio.lowlevel.checkpoint()
    assert not refused


@pytest.mark.needs("corpus")
def test_every_foreign_definition_is_run_by_a_test(corpus: Path) -> None:
    played = "".join(path.read_text() for path in (Path(__file__).parent / "foreign").glob("*.py"))
    assert [path.stem for path in files(corpus) if f'"{path.stem}"' not in played] == []


@pytest.mark.needs("corpus")
def test_nothing_in_the_product_knows_a_foreign_definition(corpus: Path) -> None:
    import opcode_runtime

    product = Path(opcode_runtime.__path__[0])
    names = [path.stem for path in files(corpus)]
    sources = {path: path.read_text() for path in product.rglob("*.py")}
    known = [(path.name, name) for path, text in sources.items() for name in names if name in text]
    assert known == []
