"""Every definition of the project's own pages and examples recovers from every kind of cut.

Files and commands are real here, in a scratch directory; the network is stood in for.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.drill import Options, Report, Scene, scene_settings, stand_ins_from, subject_of
from opcode_runtime.drill import drill as make
from opcode_runtime.model.settings import Settings
from tests.docs.blocks import ROOT, Block, blocks, blocks_of
from tests.drill_word.corpus_world import sample

SAMPLE = None if os.environ.get("OPCODE_DRILL_ALL") else 8
DEFINITIONS = [
    each for each in blocks_of("json") if each.file is not None and "invalid" not in each.info
]
EXAMPLES = sorted((ROOT / "examples").glob("*.json")) + sorted(
    (ROOT / "examples/actions").glob("*")
)
_PARAMS = re.compile(r"opcode run (?P<name>[\w.-]+)[^\n]*?--params '(?P<params>[^']*)'")
_FOUND = {"status_code": 201, "status": "201 Created", "headers": {}, "content_type": "text/plain"}
STAND_INS: dict[str, Any] = {
    "http.get": {
        "output": _FOUND
        | {"status_code": 200, "body": {"title": "A page"}}
        | {"saved_to": "page.json", "size": 19}
    },
    "http.post": {"output": _FOUND | {"body": {"order": 7}}},
    "http.request": {"output": _FOUND | {"body": None}},
}


def recovers(values: list[Any], params: dict[str, Any], copy: tuple[Path, ...] = ()) -> Report:
    """Drill templates, of which the last is run; its files are in its scratch directory."""
    scene = Scene(
        subject_of(values, "documented", name=values[-1]["name"], params=params),
        scene_settings(Settings(), {}),
        stand_ins_from(STAND_INS),
    )
    report = make(scene, Options(sample=SAMPLE, real=0, copy=copy))
    assert report.passed, report.counter_example()
    return report


def templates_on(page: Path) -> list[dict[str, Any]]:
    """All templates of a page, in their order."""
    found = [(each, json.loads(each.text)) for each in DEFINITIONS if each.page == page]
    return [{"name": Path(str(block.file)).stem, **value} for block, value in found]


@pytest.mark.parametrize("block", DEFINITIONS, ids=lambda block: f"{block.page.stem}-{block.file}")
def test_a_definition_on_a_page_recovers(block: Block, tmp_path: Path) -> None:
    value = json.loads(block.text)
    name = value.get("name", Path(str(block.file)).stem)
    others = [each for each in templates_on(block.page) if each["name"] != name]
    for each in blocks(block.page):
        if each.file is not None and each.language != "json":
            (tmp_path / each.file).write_text(each.text)
    (tmp_path / "door-open").touch()  # what the tutorial's reader makes, to let a step go on
    text = block.page.read_text("utf-8")
    given = next((m["params"] for m in _PARAMS.finditer(text) if m["name"] == name), None)
    params = sample(value.get("input_schema") or {"type": "object"})
    if given is not None and not given.startswith("@"):
        params = json.loads(given)
    shaped = value if "definition" in value else {"definition": value}
    recovers([*others, {**shaped, "name": name}], params, tuple(sorted(tmp_path.iterdir())))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_recovers(path: Path, tmp_path: Path) -> None:
    value = json.loads(path.read_text())
    values = [value]
    if "example-expr-eval" in path.read_text() and value["name"] != "example-expr-eval":
        values.insert(0, json.loads((path.parent / "expr.eval.json").read_text()))
    params = sample(value.get("input_schema") or {"type": "object"})
    if "file" in params:
        params["file"] = "README.md"
    saved = tmp_path / "page.json"
    saved.write_text('{"title": "A page"}')
    report = recovers(values, params, (ROOT / "README.md", saved))
    assert report.status == "completed"
