"""Every fenced block of the pages: programs run, definitions are checked, commands are typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trio.testing import MockClock

import opcode_runtime
from opcode_runtime.cli.daemon import client_configuration
from opcode_runtime.engine.requests import Define

from .blocks import LANGUAGE, ROOT, Block, blocks, blocks_of, pages
from .reader import SKIPPED, Reader, first_difference, first_missing

LANGUAGES = {
    "python": "run as a program",
    "json": "parsed, and checked when it is a definition",
    "console": "typed, against a real daemon",
    "sh": "saved as a file, and run by a workflow of its page",
    "text": "compared with what the console block before it answered; else it only shows a form",
    "mermaid": "made by the generator of the reference",
}
"""What becomes of a block in each language."""

PROGRAM_S = 60.0


def places(found: list[Block]) -> list[Any]:
    """Blocks as parameters that are named by where they stand."""
    return [pytest.param(block, id=block.place) for block in found]


def test_every_block_is_in_a_language_that_is_looked_after() -> None:
    every = [block for page in pages() for block in blocks(page)]
    assert [block.place for block in every if block.language not in LANGUAGES] == []
    fences = sum(page.read_text("utf-8").count("```") for page in pages())
    assert fences == 2 * len(every)


@pytest.mark.parametrize("block", places(blocks_of("python")))
def test_a_program_on_a_page_runs(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(block.text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PROGRAM_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def definition_request(document: Any) -> Define | None:
    """What `opcode.define` would be asked to check; None when the document is no definition."""
    if not isinstance(document, dict):
        return None
    if "definition" in document:
        fields = {"agent_id": "reader"} | document | {"check_only": True}
    elif "steps" in document:
        fields = {"name": "x", "agent_id": "reader", "definition": document, "check_only": True}
    else:
        return None
    return msgspec.convert(fields, Define)


@pytest.mark.parametrize("block", places(blocks_of("json")))
async def test_a_definition_on_a_page_is_accepted(
    block: Block, tmp_path: Path, autojump_clock: MockClock
) -> None:
    request = definition_request(json.loads(block.text))
    if request is None:
        return
    async with opcode_runtime.open_runtime(tmp_path) as runtime:
        if "invalid" in block.info.split():
            with pytest.raises(opcode_runtime.OpcodeError):
                await runtime.router.handle(request, principal="reader")
        else:
            answer = await runtime.router.handle(request, principal="reader")
            assert answer == {"name": request.name, "valid": True, "warnings": []}


def test_the_definitions_on_the_pages_are_found() -> None:
    requests = [definition_request(json.loads(block.text)) for block in blocks_of("json")]
    assert sum(request is not None for request in requests) >= 4


def test_the_client_configuration_in_the_readme_is_the_one_that_serve_prints() -> None:
    [block] = [each for each in blocks(ROOT / "README.md") if each.language == "json"]
    shown = client_configuration("http://127.0.0.1:4100", "<the token it made>")
    assert json.loads(block.text) == shown


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody with a fresh clone and an empty home directory."""
    folder, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copy(ROOT / "README.md", folder)
    reader = Reader(folder, home)
    try:
        yield reader
    finally:
        reader.give_up()


WITH_COMMANDS = [
    page
    for page in pages()
    if page != LANGUAGE and any(block.language == "console" for block in blocks(page))
]
"""All but the page of the language, whose patterns are followed one by one (test_workflow_page.py)."""


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in WITH_COMMANDS]
)
def test_whoever_follows_a_page_gets_the_answers_it_shows(page: Path, reader: Reader) -> None:
    reader.follow(blocks(page))
    reader.leave()


def test_what_is_not_typed_here_stands_on_a_page_and_is_tested_elsewhere() -> None:
    lines = {line for block in blocks_of("console") for line in block.text.splitlines()}
    assert set(SKIPPED) <= lines
    assert all((ROOT / where).exists() for where in SKIPPED.values())


def test_an_answer_that_is_shown_whole_has_no_other_lines() -> None:
    answer = "a     done  1   x   \n\nb  running\nnext: none\n"
    assert first_difference("a done 1 …\nb running", answer) is None
    assert first_difference("a done … y\nb running", answer) is not None
    assert first_difference("a done 1 …", answer) is not None
    assert first_difference("a done 1 …\nb running\nc", answer) is not None
    assert first_difference("b running", answer) is not None


def test_shown_lines_are_looked_for_in_their_order() -> None:
    answer = "a     done  1   x\nb  running\n"
    assert first_missing("a done 1 …\nb running", answer) is None
    assert first_missing("a … x\nb", answer) is None
    assert first_missing("b running\na", answer) is not None
    assert first_missing("a failed", answer) is not None
    assert first_missing("a … running", answer) is not None
