"""Workflows that name secrets are drilled without any: marks stand in the places of values."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.drill import Scene, scene_settings, stand_ins_from, subject_of
from opcode_runtime.model.settings import Settings
from opcode_runtime.secrets import FD_VARIABLE, KEY_VARIABLE
from tests.drill_word.scenes import drilled, scene, step

SIGN = {
    "id": "sign",
    "action": "crypto.hmac",
    "depends_on": ["fetch"],
    "params": {"data": "x", "key": "${{secrets.SIGNING}}"},
}


def fetch(**more: Any) -> dict[str, Any]:
    """A step that is given a secret, and is stood in for."""
    given = step("fetch", retry={"max": 1, "delay": "10s"}, **more)
    given["params"]["headers"] = {"Authorization": "Bearer ${{secrets.TOKEN}}"}
    return given


@pytest.fixture(autouse=True)
def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.delenv(FD_VARIABLE, raising=False)


def test_a_workflow_that_names_secrets_recovers_from_every_cut() -> None:
    no = {"error": {"code": "EXECUTION_ERROR", "message": "no"}}
    report = drilled(
        scene(
            fetch(),
            SIGN,
            stand_ins={"fetch": [no, {"output": {"status_code": 200}}]},
            inputs={"token": "${{secrets.OTHER}}"},
        )
    )
    assert report.passed, report.counter_example()
    assert report.status == "completed"
    assert any("[secret:NAME]" in each for each in report.notes)


def test_a_real_step_gets_the_mark_and_no_value() -> None:
    value = {
        "steps": [
            {
                "id": "say",
                "action": "shell.exec",
                "params": {
                    "command": "sh",
                    "args": ["-c", 'test "$KEY" = "[secret:TOKEN]"'],
                    "env": {"KEY": "${{secrets.TOKEN}}"},
                    "fail_on_nonzero": True,
                },
            }
        ]
    }
    what = Scene(
        subject_of(value, "x", name="x"), scene_settings(Settings(), {}), stand_ins_from({})
    )
    report = drilled(what, sample=4)
    assert report.passed, report.counter_example()
    assert (report.status, report.effects) == ("completed", 1)


def test_a_real_process_of_the_sample_has_no_vault_either() -> None:
    report = drilled(scene(fetch(), SIGN, stand_ins={"fetch": {"output": 1}}), sample=1, real=1)
    assert report.passed, report.counter_example()
    assert report.status == "completed"
    assert len(report.real) == 1


def test_a_drill_that_needs_no_secret_says_nothing_of_them() -> None:
    assert not any("secret" in each for each in drilled(scene(step("a")), sample=1).notes)
