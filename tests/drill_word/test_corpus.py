"""Every foreign definition recovers from every kind of cut, with services that are stood in for.

Here a sample of the cuts is made, the kinds in turn; `OPCODE_DRILL_ALL=1` makes all of them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from opcode_runtime.drill import Scene, scene_settings, stand_ins_from, subject_of
from opcode_runtime.model.settings import Settings
from tests.conftest import corpus_dir
from tests.drill_word.corpus_world import inputs, stand_ins
from tests.drill_word.scenes import drilled

FILES = sorted(path.stem for path in corpus_dir().glob("*.json"))
SAMPLE = None if os.environ.get("OPCODE_DRILL_ALL") else 9

pytestmark = pytest.mark.needs("corpus")


@pytest.mark.parametrize("file", FILES or ["none"])
def test_a_foreign_definition_recovers(file: str, corpus: Path) -> None:
    value = json.loads((corpus / f"{file}.json").read_text())
    report = drilled(
        Scene(
            subject_of(value, file, params=inputs(file, value.get("input_schema"))),
            scene_settings(Settings(), {}),
            stand_ins_from(stand_ins(file), generic=True),
        ),
        sample=SAMPLE,
    )
    assert report.passed, report.counter_example()
    assert report.status == "completed"


def test_there_are_thirty_of_them() -> None:
    assert len(FILES) == 30
